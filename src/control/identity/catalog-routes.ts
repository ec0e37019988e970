/** Regions, services and endpoints: the catalog's parts, which follow from the settings and can only be read. */
import type { FastifyInstance } from 'fastify';
import { ApiError } from '#model/errors.ts';
import { callerOf } from './caller.ts';
import type { IdentityDeps } from './identity-deps.ts';
import { IMPLIED_ROLES, roles } from './identity-tables.ts';
import { requireAdmin } from './policy.ts';
import { listLinks } from './wire.ts';

export function catalogRoutes(app: FastifyInstance, { catalog, config, base, store }: IdentityDeps): void {
  const links = (path: string) => ({ links: { self: `${base}/v3${path}` } });
  const regions = [{ id: config.region_name, description: '', parent_region_id: null, ...links(`/regions/${encodeURIComponent(config.region_name)}`) }];
  const services = catalog.map(({ id, type, name }) => ({ id, type, name, description: '', enabled: true, ...links(`/services/${id}`) }));
  const endpoints = catalog.flatMap((service) => service.endpoints.map((endpoint) => ({ ...endpoint, service_id: service.id, enabled: true, ...links(`/endpoints/${endpoint.id}`) })));

  readOnlyRoutes(app, base, 'regions', 'RegionNotFound', regions, ['parent_region_id']);
  readOnlyRoutes(app, base, 'services', 'ServiceNotFound', services, ['type', 'name']);
  readOnlyRoutes(app, base, 'endpoints', 'EndpointNotFound', endpoints, ['interface', 'service_id', 'region_id']);

  app.get('/v3/role_inferences', async (request) => {
    requireAdmin(callerOf(request), 'identity:list_role_inference_rules');
    const all = await roles.list(store.reader);
    const shown = (name: string | undefined) => all.filter((role) => role.name === name).map(({ id, name }) => ({ id, name, ...links(`/roles/${id}`) }));
    const rules = Object.entries(IMPLIED_ROLES).flatMap(([prior, implied]) => shown(prior).map((prior_role) => ({ prior_role, implies: shown(implied) })));
    return { role_inferences: rules, links: listLinks(base, '/role_inferences') };
  });
}

function readOnlyRoutes(app: FastifyInstance, base: string, collection: string, notFound: 'RegionNotFound' | 'ServiceNotFound' | 'EndpointNotFound', all: readonly { id: string }[], filters: readonly string[]): void {
  const member = collection.slice(0, -1);
  app.get(`/v3/${collection}`, async (request) => {
    if (collection !== 'regions') requireAdmin(callerOf(request), `identity:list_${collection}`);
    const query = request.query as Record<string, string | undefined>;
    const matches = (object: Record<string, unknown>) => filters.every((name) => query[name] === undefined || query[name] === object[name]);
    return { [collection]: all.filter((object) => matches(object as Record<string, unknown>)), links: listLinks(base, `/${collection}`) };
  });
  app.get<{ Params: { id: string } }>(`/v3/${collection}/:id`, async (request) => {
    if (collection !== 'regions') requireAdmin(callerOf(request), `identity:get_${member}`);
    const found = all.find((object) => object.id === request.params.id);
    if (!found) throw new ApiError(notFound, { id: request.params.id });
    return { [member]: found };
  });
}
