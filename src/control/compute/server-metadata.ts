/** A server's metadata (`/metadata`) and, since 2.26, its tags (`/tags`). */
import type { FastifyInstance } from 'fastify';
import type { Server } from '#model/compute.ts';
import { ApiError } from '#model/errors.ts';
import { list, text } from '#model/kind.ts';
import { checked, isObject, memberOf } from './body.ts';
import type { Deps } from './deps.ts';
import { since } from './microversion.ts';
import { serverOf, servers, serverToChange, updateServer } from './servers.ts';

/** Nova's limits of both. */
const MAX_METADATA = 128;
const MAX_TAGS = 50;

const keys = list(text(), { max: MAX_METADATA });
const tagList = list(text(60), { unique: true, max: MAX_TAGS });

/** Checks names and values of metadata. */
export function readMetadata(given: unknown): Record<string, string> {
  if (!isObject(given)) throw new ApiError('badRequest', { reason: "Invalid input for field/attribute metadata. It is not of type 'object'." });
  if (Object.keys(given).length > MAX_METADATA) throw new ApiError('forbidden', { reason: `Maximum number of metadata items exceeds ${MAX_METADATA}` });
  for (const key of checked(keys, Object.keys(given), 'metadata')) {
    if (!/^[a-zA-Z0-9-_:. ]{1,255}$/.test(key)) throw new ApiError('badRequest', { reason: `Invalid input for field/attribute metadata. '${key.slice(0, 60)}' does not match any of the regexes: '^[a-zA-Z0-9-_:. ]{1,255}$'` });
  }
  return Object.fromEntries(Object.entries(given).map(([key, value]) => [key, checked(text(), value, key)]));
}

export function metadataRoutes(app: FastifyInstance, { store }: Deps): void {
  type ById = { Params: { id: string } };
  type ByKey = { Params: { id: string; key: string } };
  const change = (request: { context: Parameters<typeof serverToChange>[1]; requestId: string }, id: string, policy: string, changes: (server: Server) => Partial<Server>) =>
    store.write(async (tx) => {
      const found = await serverToChange(tx, request.context, id, policy);
      return servers.update(tx, found, { ...changes(found), updated_at: tx.now });
    }, request.requestId);

  app.get<ById>('/servers/:id/metadata', async (request) => ({ metadata: (await serverOf(store.reader, request.context, request.params.id)).metadata }));
  app.get<ByKey>('/servers/:id/metadata/:key', async (request) => {
    const { metadata } = await serverOf(store.reader, request.context, request.params.id);
    return { meta: { [request.params.key]: itemOf(metadata, request.params.key) } };
  });
  app.post<ById>('/servers/:id/metadata', async (request) => {
    const given = readMetadata(memberOf(request.body, 'metadata'));
    const { metadata } = await change(request, request.params.id, 'server-metadata:create', (server) => ({ metadata: readMetadata({ ...server.metadata, ...given }) }));
    return { metadata };
  });
  app.put<ById>('/servers/:id/metadata', async (request) => {
    const given = readMetadata(memberOf(request.body, 'metadata'));
    const { metadata } = await change(request, request.params.id, 'server-metadata:update_all', () => ({ metadata: given }));
    return { metadata };
  });
  app.put<ByKey>('/servers/:id/metadata/:key', async (request) => {
    const given = readMetadata(memberOf(request.body, 'meta'));
    if (Object.keys(given).join() !== request.params.key) throw new ApiError('badRequest', { reason: 'Request body and URI mismatch' });
    await change(request, request.params.id, 'server-metadata:update', (server) => ({ metadata: readMetadata({ ...server.metadata, ...given }) }));
    return { meta: given };
  });
  app.delete<ByKey>('/servers/:id/metadata/:key', async (request, reply) => {
    const { id, key } = request.params;
    await change(request, id, 'server-metadata:delete', ({ metadata }) => {
      itemOf(metadata, key);
      return { metadata: Object.fromEntries(Object.entries(metadata).filter(([name]) => name !== key)) };
    });
    return reply.code(204).send();
  });

  app.get<ById>('/servers/:id/tags', async (request) => {
    since(request, 26);
    return { tags: (await serverOf(store.reader, request.context, request.params.id)).tags };
  });
  app.put<ById>('/servers/:id/tags', async (request) => {
    since(request, 26);
    const tags = checked(tagList, isObject(request.body) ? request.body['tags'] : undefined, 'tags');
    tags.forEach(checkTag);
    await change(request, request.params.id, 'os-server-tags:update_all', () => ({ tags }));
    return { tags };
  });
  app.delete<ById>('/servers/:id/tags', async (request, reply) => {
    since(request, 26);
    await change(request, request.params.id, 'os-server-tags:delete_all', () => ({ tags: [] }));
    return reply.code(204).send();
  });
  app.get<{ Params: { id: string; tag: string } }>('/servers/:id/tags/:tag', async (request, reply) => {
    since(request, 26);
    mustHave(await serverOf(store.reader, request.context, request.params.id), request.params.tag);
    return reply.code(204).send();
  });
  app.put<{ Params: { id: string; tag: string } }>('/servers/:id/tags/:tag', async (request, reply) => {
    since(request, 26);
    const { id, tag } = request.params;
    checkTag(tag);
    const created = await store.write(async (tx) => {
      const found = await serverToChange(tx, request.context, id, 'os-server-tags:update');
      if (found.tags.includes(tag)) return false;
      if (found.tags.length >= MAX_TAGS) throw new ApiError('badRequest', { reason: `The number of tags exceeded the per-server limit ${MAX_TAGS}` });
      await updateServer(tx, found, { tags: [...found.tags, tag] });
      return true;
    }, request.requestId);
    return reply.code(created ? 201 : 204).send();
  });
  app.delete<{ Params: { id: string; tag: string } }>('/servers/:id/tags/:tag', async (request, reply) => {
    since(request, 26);
    const { id, tag } = request.params;
    await change(request, id, 'os-server-tags:delete', (server) => {
      mustHave(server, tag);
      return { tags: server.tags.filter((each) => each !== tag) };
    });
    return reply.code(204).send();
  });
}

function itemOf(metadata: Record<string, string>, key: string): string {
  const value = Object.hasOwn(metadata, key) ? metadata[key] : undefined;
  if (value === undefined) throw new ApiError('itemNotFound', { reason: 'Metadata item was not found' });
  return value;
}

function checkTag(tag: string): void {
  if (tag === '' || tag.length > 60 || /[/,]/.test(tag)) throw new ApiError('badRequest', { reason: `Tag '${tag.slice(0, 60)}' is invalid. It must be a non empty string without characters '/' and ',' of at most 60 characters.` });
}

function mustHave({ id, tags }: Server, tag: string): void {
  if (!tags.includes(tag)) throw new ApiError('itemNotFound', { reason: `Server ${id} has no tag '${tag}'` });
}
