/** The tags of an object as a sub-resource (extension standard-attr-tag): every verb passes the object's own policy. */
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { ApiError } from '#model/errors.ts';
import { InvalidValue, list, text } from '#model/kind.ts';
import type { Store, Tx } from '#store/store.ts';
import { Table } from '#store/table.ts';
import type { Collection } from './collection.ts';

const MAX_TAGS = 50;
const tag = text(255);
const tagList = list(tag, { unique: true });

type TagRequest = FastifyRequest<{ Params: { id: string; tag: string } }>;

/** Adds `/v2.0/<collection>/<id>/tags[/<tag>]`; nothing for a resource without tags. */
export function tagRoutes(app: FastifyInstance, store: Store, collection: Collection): void {
  if (!('tags' in collection.resource.attributes)) return;
  const table = new Table<any>(collection.resource);
  const url = `${collection.path}/:id/tags`;
  const read = async ({ context, params }: TagRequest): Promise<string[]> => (await collection.require(store.reader, context, params.id)).tags ?? [];
  const write = (request: TagRequest, decide: (tags: readonly string[]) => readonly string[]) =>
    collection.change(request, 'update', (tx, current) => replace(tx, table, current, decide(current.tags ?? [])));

  app.get(url, async (request) => ({ tags: await read(request as TagRequest) }));
  app.put(url, async (request) => {
    const wanted = givenTags(request.body);
    return { tags: await write(request as TagRequest, () => wanted) };
  });
  app.delete(url, async (request, reply) => {
    await write(request as TagRequest, () => []);
    await reply.code(204).send();
  });
  app.get(`${url}/:tag`, async (request, reply) => {
    const { params } = request as TagRequest;
    if (!(await read(request as TagRequest)).includes(params.tag)) throw new ApiError('TagNotFound', { tag: params.tag });
    await reply.code(204).send();
  });
  app.put(`${url}/:tag`, async (request, reply) => {
    const added = checked(() => tag.convert((request as TagRequest).params.tag));
    await write(request as TagRequest, (tags) => [...tags, added]);
    await reply.code(201).send();
  });
  app.delete(`${url}/:tag`, async (request, reply) => {
    const { params } = request as TagRequest;
    await write(request as TagRequest, (tags) => {
      if (!tags.includes(params.tag)) throw new ApiError('TagNotFound', { tag: params.tag });
      return tags.filter((each) => each !== params.tag);
    });
    await reply.code(204).send();
  });
}

async function replace(tx: Tx, table: Table<any>, current: any, wanted: readonly string[]): Promise<string[]> {
  const tags = [...new Set(wanted)].sort();
  if (tags.length > MAX_TAGS) throw new ApiError('BadRequest', { resource: table.name, reason: `The number of tags exceed the per-resource limit of ${MAX_TAGS}` });
  if (JSON.stringify(tags) !== JSON.stringify(current.tags)) await table.update(tx, current, { tags });
  return tags;
}

function givenTags(body: unknown): string[] {
  if (typeof body !== 'object' || body === null || !('tags' in body)) throw new ApiError('InvalidInput', { reason: 'Invalid tags body' });
  return checked(() => tagList.convert(body.tags));
}

function checked<T>(convert: () => T): T {
  try {
    return convert();
  } catch (error) {
    if (error instanceof InvalidValue) throw new ApiError('InvalidInput', { reason: error.message });
    throw error;
  }
}
