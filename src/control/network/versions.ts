/** What clients ask first: versions, resources, extensions. */
import type { FastifyInstance, HTTPMethods } from 'fastify';
import type { Config } from '#model/config.ts';
import { ApiError } from '#model/errors.ts';
import type { Collection } from './collection.ts';
import { extensions } from './extensions.ts';

const WRITES: HTTPMethods[] = ['POST', 'PUT', 'DELETE', 'PATCH'];

/** `GET /`: the one version, for anybody. */
export function versionRoute(app: FastifyInstance, url: string): void {
  app.get('/', async () => ({ versions: [{ id: 'v2.0', status: 'CURRENT', links: [{ rel: 'self', href: `${url}/v2.0/` }] }] }));
  readOnly(app, '/');
}

/** `GET /v2.0`, `/v2.0/extensions` and `/v2.0/extensions/<alias>`. */
export function discoveryRoutes(app: FastifyInstance, url: string, config: Config, collections: readonly Collection[]): void {
  const list = extensions(config);
  app.get('/v2.0', async () => ({
    resources: collections.map(({ resource, path }) => ({ name: resource.member, collection: resource.collection, links: [{ rel: 'self', href: `${url}${path}` }] })),
  }));
  app.get('/v2.0/extensions', async () => ({ extensions: list }));
  app.get('/v2.0/extensions/:alias', async (request) => {
    const alias = (request.params as { alias: string }).alias.replace(/\.json$/, '');
    const extension = list.find((each) => each.alias === alias);
    if (!extension) throw new ApiError('ExtensionNotFound', { alias });
    return { extension };
  });
  for (const path of ['/v2.0', '/v2.0/extensions', '/v2.0/extensions/:alias']) readOnly(app, path);
}

/** Answers other methods than GET with 405. */
export function readOnly(app: FastifyInstance, url: string): void {
  app.route({
    method: WRITES,
    url,
    handler: async (request) => {
      throw new ApiError('HTTPMethodNotAllowed', { method: request.method });
    },
  });
}
