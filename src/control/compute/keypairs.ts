/** SSH key pairs of users. A generated private key is answered once and kept nowhere. */
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { type Keypair, keypair as keypairResource } from '#model/compute.ts';
import { ApiError } from '#model/errors.ts';
import { enumeration, object, text } from '#model/kind.ts';
import type { Reader } from '#store/store.ts';
import { Table } from '#store/table.ts';
import { checked, limitOf, memberOf, nextLink, type Query, valueOf } from './body.ts';
import type { Deps } from './deps.ts';
import { novaTime } from './hosts.ts';
import { mayWrite, mustBeAdmin } from './policy.ts';
import { generateSshKey, parseSshPublicKey } from './ssh-key.ts';

export const keypairs = new Table(keypairResource);

const newKeypair = object({ name: text(), public_key: text(16_384), type: enumeration('ssh'), user_id: text() }, ['name']);

/** /os-keypairs */
export function keypairRoutes(app: FastifyInstance, { store, publicEndpoint }: Deps): void {
  type ByName = { Params: { name: string } };

  app.get('/os-keypairs', async (request) => {
    const query = request.query as Query;
    const found = await keypairs.list(store.reader, { filters: { user_id: [ownerOf(request, query, 'index')] }, sort: [{ key: 'name', dir: 'asc' }] });
    const paged = request.microversion >= 35;
    const marker = paged ? valueOf(query, 'marker') : undefined;
    const start = marker === undefined ? 0 : found.findIndex(({ name }) => name === marker) + 1;
    if (marker !== undefined && start === 0) throw new ApiError('badRequest', { reason: `marker [${marker}] not found` });
    const page = paged ? found.slice(start, start + limitOf(query)) : found;
    const more = paged && page.length > 0 && found.length > start + page.length;
    return {
      keypairs: page.map((each) => ({ keypair: brief(each, request.microversion) })),
      ...(more ? { keypairs_links: [nextLink(`${publicEndpoint}/compute/v2.1`, '/os-keypairs', query, page.at(-1)!.name)] } : {}),
    };
  });

  app.get<ByName>('/os-keypairs/:name', async (request) => {
    const found = await keypairOf(store.reader, ownerOf(request, request.query as Query, 'show'), request.params.name);
    return { keypair: { ...brief(found, request.microversion), user_id: found.user_id, id: idNumber(found), created_at: novaTime(found.created_at), deleted: false, deleted_at: null, updated_at: null } };
  });

  app.post('/os-keypairs', async (request, reply) => {
    const given = checked(newKeypair, memberOf(request.body, 'keypair'), 'keypair');
    if (given.type !== undefined && request.microversion < 2) throw new ApiError('badRequest', { reason: "Additional properties are not allowed ('type' was unexpected)" });
    const user_id = request.microversion >= 10 && given.user_id !== undefined ? given.user_id : request.context.user_id;
    if (user_id !== request.context.user_id) mustBeAdmin(request.context, 'os-keypairs:create');
    else mayWrite(request.context, 'os-keypairs:create');
    const name = given.name!;
    if (name.trim() === '' || !/^[A-Za-z0-9 _@.-]+$/.test(name)) throw new ApiError('InvalidKeypair', { reason: 'Keypair name contains unsafe characters' });
    const generated = given.public_key === undefined ? generateSshKey('Generated-by-Nova') : undefined;
    const key = generated ?? parseSshPublicKey(given.public_key!);
    if (!key) throw new ApiError('InvalidKeypair', { reason: 'failed to generate fingerprint' });
    const created = await store.write(async (tx) => {
      await tx.lock('keypairs');
      if ((await named(tx, user_id, name)) !== undefined) throw new ApiError('KeyPairExists', { name });
      const row: Keypair = { id: crypto.randomUUID(), name, user_id, type: 'ssh', public_key: key.line, fingerprint: key.fingerprint, created_at: tx.now };
      await keypairs.insert(tx, [row]);
      return row;
    }, request.requestId);
    return reply.code(request.microversion >= 2 ? 201 : 200).send({
      keypair: { ...brief(created, request.microversion), user_id, ...(generated ? { private_key: generated.privateKey } : {}) },
    });
  });

  app.delete<ByName>('/os-keypairs/:name', async (request, reply) => {
    const owner = ownerOf(request, request.query as Query, 'delete');
    if (owner === request.context.user_id) mayWrite(request.context, 'os-keypairs:delete');
    await store.write(async (tx) => keypairs.delete(tx, (await keypairOf(tx, owner, request.params.name)).id), request.requestId);
    return reply.code(request.microversion >= 2 ? 204 : 202).send();
  });
}

/** The key pair of a user by its name; 404 without. */
export async function keypairOf(reader: Reader, userId: string, name: string): Promise<Keypair> {
  const found = await named(reader, userId, name);
  if (!found) throw new ApiError('KeypairNotFound', { name, user_id: userId });
  return found;
}

async function named(reader: Reader, userId: string, name: string): Promise<Keypair | undefined> {
  const [found] = await keypairs.list(reader, { filters: { user_id: [userId], name: [name] }, limit: 1 });
  return found;
}

/** Whose pairs are asked for: since 2.10 an admin may name another user. */
function ownerOf(request: FastifyRequest, query: Query, method: string): string {
  const given = request.microversion >= 10 ? valueOf(query, 'user_id') : undefined;
  if (given !== undefined && given !== request.context.user_id) mustBeAdmin(request.context, `os-keypairs:${method}`);
  return given ?? request.context.user_id;
}

function brief({ name, public_key, fingerprint, type }: Keypair, microversion: number): Record<string, unknown> {
  return { name, public_key, fingerprint, ...(microversion >= 2 ? { type } : {}) };
}

/** Nova shows its row's number: any that stays with the pair will do. */
const idNumber = ({ id }: Keypair): number => parseInt(id.slice(0, 7), 16);
