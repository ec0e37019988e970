/** The five routes that domains, projects, users and roles have alike. What is special about each is its rule. */
import type { FastifyInstance } from 'fastify';
import { ApiError, type ErrorType } from '#model/errors.ts';
import type { Held, Resource } from '#model/resource.ts';
import type { Reader, Tx } from '#store/store.ts';
import type { Table } from '#store/table.ts';
import { callerOf } from './caller.ts';
import type { IdentityDeps } from './identity-deps.ts';
import type { PasswordHasher } from './password-hasher.ts';
import { requireAdmin } from './policy.ts';
import { envelope, type Given, invalid, readFields, readFilters, show } from './resource-wire.ts';
import type { ValidToken } from './valid-token.ts';
import { listLinks } from './wire.ts';

export interface IdentityRule<R extends Resource> {
  readonly table: Table<R>;
  readonly notFound: ErrorType;
  /** The body may hold a `password`, which is hashed before the transaction and given to it as a hash. */
  readonly takesPassword?: boolean;
  /** Who may read one besides admins; default nobody. */
  readonly mayRead?: (caller: ValidToken, object: Held<R>) => boolean;
  create(tx: Tx, caller: ValidToken, given: Given<R>, passwordHash: string | undefined): Promise<Held<R>>;
  update(tx: Tx, current: Held<R>, changes: Given<R>, passwordHash: string | undefined): Promise<Held<R>>;
  delete(tx: Tx, current: Held<R>): Promise<void>;
}

export function collectionRoutes<R extends Resource>(app: FastifyInstance, deps: IdentityDeps, rule: IdentityRule<R>): void {
  const { store, tokens, passwords, base } = deps;
  const { resource } = rule.table;
  const { collection, member } = resource;
  const find = async (reader: Reader, id: string): Promise<Held<R>> => {
    const found = await rule.table.get(reader, id);
    if (!found) throw new ApiError(rule.notFound, { id });
    return found;
  };

  app.get(`/v3/${collection}`, async (request) => {
    requireAdmin(callerOf(request), `identity:list_${collection}`);
    const filters = readFilters(resource, request.query as Record<string, unknown>);
    const found = await rule.table.list(store.reader, { filters, sort: [{ key: 'name', dir: 'asc' }, { key: 'id', dir: 'asc' }] });
    return { [collection]: found.map((object) => show(resource, object, base)), links: listLinks(base, `/${collection}`) };
  });

  app.post(`/v3/${collection}`, async (request, reply) => {
    const caller = callerOf(request);
    requireAdmin(caller, `identity:create_${member}`);
    const { fields, password } = takePassword(rule, envelope(member, request.body));
    const given = readFields(resource, fields);
    const hash = await hashIfGiven(passwords, password);
    const made = await tokens.write((tx) => rule.create(tx, caller, given, hash), request.requestId);
    return reply.code(201).send({ [member]: show(resource, made, base) });
  });

  app.get<{ Params: { id: string } }>(`/v3/${collection}/:id`, async (request) => {
    const caller = callerOf(request);
    const found = await rule.table.get(store.reader, request.params.id);
    if (!found || !rule.mayRead?.(caller, found)) requireAdmin(caller, `identity:get_${member}`);
    return { [member]: show(resource, found ?? (await find(store.reader, request.params.id)), base) };
  });

  app.patch<{ Params: { id: string } }>(`/v3/${collection}/:id`, async (request) => {
    requireAdmin(callerOf(request), `identity:update_${member}`);
    const { fields, password } = takePassword(rule, envelope(member, request.body));
    readFields(resource, fields, await find(store.reader, request.params.id));
    const hash = await hashIfGiven(passwords, password);
    const changed = await tokens.write(async (tx) => {
      const current = await find(tx, request.params.id);
      const changes = readFields(resource, fields, current);
      if (isImmutable(current) && !('options' in changes)) throw new ApiError('ResourceIsImmutable', { noun: resource.noun, id: request.params.id });
      return rule.update(tx, current, changes, hash);
    }, request.requestId);
    return { [member]: show(resource, changed, base) };
  });

  app.delete<{ Params: { id: string } }>(`/v3/${collection}/:id`, async (request, reply) => {
    requireAdmin(callerOf(request), `identity:delete_${member}`);
    await tokens.write(async (tx) => {
      const current = await find(tx, request.params.id);
      if (isImmutable(current)) throw new ApiError('ResourceIsImmutable', { noun: resource.noun, id: request.params.id });
      await rule.delete(tx, current);
    }, request.requestId);
    return reply.code(204).send();
  });
}

/** Throws Conflict when another object holds these values; `name` is what the message shows. */
export async function refuseDuplicate<R extends Resource>(tx: Tx, table: Table<R>, filters: Record<string, unknown>, exceptId?: string): Promise<void> {
  const found = await table.list(tx, { filters: Object.fromEntries(Object.entries(filters).map(([name, value]) => [name, [value]])) });
  if (found.some((object) => (object as { id: string }).id !== exceptId)) throw new ApiError('Conflict', { noun: table.resource.noun, name: filters['name'] });
}

function takePassword(rule: { takesPassword?: boolean }, fields: Record<string, unknown>): { fields: Record<string, unknown>; password?: string } {
  if (!rule.takesPassword || !('password' in fields)) return { fields };
  const { password, ...rest } = fields;
  if (password === null) return { fields: rest };
  if (typeof password !== 'string' || password === '' || password.length > 4096) throw invalid('password', 'it has to be a text of 1 to 4096 characters');
  return { fields: rest, password };
}

async function hashIfGiven(passwords: PasswordHasher, password: string | undefined): Promise<string | undefined> {
  return password === undefined ? undefined : passwords.hash(password);
}

function isImmutable(object: unknown): boolean {
  return (object as { options?: { immutable?: boolean | null } }).options?.immutable === true;
}
