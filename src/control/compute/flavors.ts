/** Flavors: the sizes that servers come in. */
import type { FastifyInstance } from 'fastify';
import { type Flavor, flavor as flavorResource } from '#model/compute.ts';
import { ApiError } from '#model/errors.ts';
import { boolean, integer, type Kind, list, nullable, object, text } from '#model/kind.ts';
import { Table } from '#store/table.ts';
import type { Reader, Tx } from '#store/store.ts';
import type { Context } from '../http/context.ts';
import { checked, isObject, limitOf, memberOf, nextLink, type Query, valueOf } from './body.ts';
import type { Deps } from './deps.ts';
import { mustBeAdmin } from './policy.ts';
import { checkDriverSpec } from './server-machine.ts';

export const flavors = new Table(flavorResource);

const newFlavor = object({
  id: nullable(text()), name: text(), vcpus: integer(1), ram: integer(1), disk: integer(0), swap: integer(0), 'OS-FLV-EXT-DATA:ephemeral': integer(0),
  'os-flavor-access:is_public': boolean, rxtx_factor: { ...text(), convert: (value: unknown) => String(value) } as Kind<string>,
}, ['name', 'vcpus', 'ram', 'disk']);

/** /flavors and what is below. */
export function flavorRoutes(app: FastifyInstance, { store, publicEndpoint }: Deps): void {
  const base = `${publicEndpoint}/compute/v2.1`;
  type ById = { Params: { id: string } };

  const listing = (present: (flavor: Flavor) => unknown, path: string) => async (request: { context: Context; query: unknown }) => {
    const query = request.query as Query;
    const { page, more } = await pageOf(store.reader, request.context, query);
    return { flavors: page.map(present), ...(more ? { flavors_links: [nextLink(base, path, query, page.at(-1)!.id)] } : {}) };
  };
  app.get('/flavors', listing(({ id, name }) => ({ id, name, links: flavorLinks(publicEndpoint, id) }), '/flavors'));
  app.get('/flavors/detail', listing((each) => wire(each, publicEndpoint), '/flavors/detail'));
  app.get<ById>('/flavors/:id', async (request) => ({ flavor: wire(await visibleFlavor(store.reader, request.context, request.params.id), publicEndpoint) }));

  app.post('/flavors', async (request) => {
    mustBeAdmin(request.context, 'os-flavor-manage:create');
    const given = checked(newFlavor, memberOf(request.body, 'flavor'), 'flavor');
    const id = given.id === undefined || given.id === null || given.id === 'auto' ? crypto.randomUUID() : given.id;
    if (!/^[a-zA-Z0-9. _-]+$/.test(id) || id.trim() !== id) throw new ApiError('badRequest', { reason: 'id can only contain letters from A-Z (both cases), periods, dashes, underscores and spaces.' });
    if (given.name!.trim() === '') throw new ApiError('badRequest', { reason: `Invalid input for field/attribute name. Value: ${given.name}.` });
    const created = await store.write((tx) => createFlavor(tx, {
      id, name: given.name!.trim(), vcpus: given.vcpus!, ram: given.ram!, disk: given.disk!, swap: given.swap ?? 0, ephemeral: given['OS-FLV-EXT-DATA:ephemeral'] ?? 0,
      is_public: given['os-flavor-access:is_public'] ?? true, disabled: false, extra_specs: {}, access: [],
    }), request.requestId);
    return { flavor: wire(created, publicEndpoint) };
  });
  app.delete<ById>('/flavors/:id', async (request, reply) => {
    mustBeAdmin(request.context, 'os-flavor-manage:delete');
    await store.write(async (tx) => {
      const found = await flavorOf(tx, request.params.id);
      await flavors.delete(tx, found.id);
    }, request.requestId);
    return reply.code(202).send();
  });

  app.get<ById>('/flavors/:id/os-extra_specs', async (request) => ({ extra_specs: (await visibleFlavor(store.reader, request.context, request.params.id)).extra_specs }));
  app.get<{ Params: { id: string; key: string } }>('/flavors/:id/os-extra_specs/:key', async (request) => {
    const { extra_specs } = await visibleFlavor(store.reader, request.context, request.params.id);
    return { [request.params.key]: existing(extra_specs, request.params.key, request.params.id) };
  });
  app.post<ById>('/flavors/:id/os-extra_specs', async (request) => {
    mustBeAdmin(request.context, 'os-flavor-extra-specs:create');
    const given = extraSpecs(memberOf(request.body, 'extra_specs'));
    checkDriverSpec(given);
    await change(request.params.id, request.requestId, ({ extra_specs }) => ({ extra_specs: { ...extra_specs, ...given } }));
    return { extra_specs: given };
  });
  app.put<{ Params: { id: string; key: string } }>('/flavors/:id/os-extra_specs/:key', async (request) => {
    mustBeAdmin(request.context, 'os-flavor-extra-specs:update');
    const given = extraSpecs(isObject(request.body) ? request.body : {});
    if (Object.keys(given).join() !== request.params.key) throw new ApiError('badRequest', { reason: 'Request body and URI mismatch' });
    checkDriverSpec(given);
    await change(request.params.id, request.requestId, ({ extra_specs }) => ({ extra_specs: { ...extra_specs, ...given } }));
    return given;
  });
  app.delete<{ Params: { id: string; key: string } }>('/flavors/:id/os-extra_specs/:key', async (request, reply) => {
    mustBeAdmin(request.context, 'os-flavor-extra-specs:delete');
    const { id, key } = request.params;
    await change(id, request.requestId, ({ extra_specs }) => {
      existing(extra_specs, key, id);
      return { extra_specs: Object.fromEntries(Object.entries(extra_specs).filter(([name]) => name !== key)) };
    });
    return reply.send();
  });

  app.get<ById>('/flavors/:id/os-flavor-access', async (request) => {
    mustBeAdmin(request.context, 'os-flavor-access');
    const found = await flavorOf(store.reader, request.params.id);
    if (found.is_public) throw new ApiError('itemNotFound', { reason: 'Access list not available for public flavors.' });
    return accessList(found);
  });
  app.post<ById>('/flavors/:id/action', async (request) => {
    const body = isObject(request.body) ? request.body : {};
    const [action] = Object.keys(body);
    if (action !== 'addTenantAccess' && action !== 'removeTenantAccess') throw new ApiError('badRequest', { reason: `There is no such action: ${action ?? ''}` });
    mustBeAdmin(request.context, `os-flavor-access:${action === 'addTenantAccess' ? 'add' : 'remove'}_tenant_access`);
    const tenant = checked(text(), memberOf(body, action)['tenant'], 'tenant');
    return accessList(await change(request.params.id, request.requestId, (found) => {
      const has = found.access.includes(tenant);
      if (action === 'removeTenantAccess') {
        if (!has) throw new ApiError('itemNotFound', { reason: `Flavor access not found for ${found.id} / ${tenant} combination.` });
        return { access: found.access.filter((each) => each !== tenant) };
      }
      if (found.is_public) throw new ApiError('conflictingRequest', { reason: 'Can not add access to a public flavor.' });
      if (has) throw new ApiError('conflictingRequest', { reason: `Flavor access already exists for flavor ${found.id} and project ${tenant} combination.` });
      return { access: [...found.access, tenant] };
    }));
  });

  function change(id: string, requestId: string, changes: (found: Flavor) => Partial<Flavor>): Promise<Flavor> {
    return store.write(async (tx) => {
      await tx.lock('flavors');
      const found = await flavorOf(tx, id);
      return flavors.update(tx, found, changes(found));
    }, requestId);
  }
}

/** Adds a flavor; 409 when its name or id is taken. */
export async function createFlavor(tx: Tx, given: Omit<Flavor, 'created_at'>): Promise<Flavor> {
  await tx.lock('flavors');
  if (await flavors.get(tx, given.id)) throw new ApiError('FlavorIdExists', { id: given.id });
  if ((await flavors.list(tx, { filters: { name: [given.name] }, limit: 1 })).length > 0) throw new ApiError('FlavorExists', { name: given.name });
  const created = { ...given, created_at: tx.now };
  await flavors.insert(tx, [created]);
  return created;
}

/** The flavor, if the token may use it; 404 otherwise. */
export async function visibleFlavor(reader: Reader, context: Context, id: string): Promise<Flavor> {
  const found = await flavorOf(reader, id);
  if (!mayUse(context, found)) throw new ApiError('FlavorNotFound', { id });
  return found;
}

export function flavorLinks(publicEndpoint: string, id: string): unknown[] {
  const path = `flavors/${encodeURIComponent(id)}`;
  return [{ rel: 'self', href: `${publicEndpoint}/compute/v2.1/${path}` }, { rel: 'bookmark', href: `${publicEndpoint}/compute/${path}` }];
}

async function flavorOf(reader: Reader, id: string): Promise<Flavor> {
  const found = await flavors.get(reader, id);
  if (!found) throw new ApiError('FlavorNotFound', { id });
  return found;
}

function mayUse(context: Context, { is_public, access }: Flavor): boolean {
  return is_public || context.is_admin || (context.project_id !== null && access.includes(context.project_id));
}

/** There are few flavors: a page is cut out of all of them. */
async function pageOf(reader: Reader, context: Context, query: Query): Promise<{ page: Flavor[]; more: boolean }> {
  const wanted = publicity(context, valueOf(query, 'is_public'));
  const [minRam, minDisk] = [numeric(query, 'minRam'), numeric(query, 'minDisk')];
  const key = SORT_KEYS.get(valueOf(query, 'sort_key') ?? 'flavorid');
  if (!key) throw new ApiError('badRequest', { reason: `Sort key '${valueOf(query, 'sort_key')}' is not known.` });
  const turn = valueOf(query, 'sort_dir') === 'desc' ? -1 : 1;
  const found = (await flavors.list(reader))
    .filter((each) => mayUse(context, each) && (wanted === undefined || each.is_public === wanted) && each.ram >= minRam && each.disk >= minDisk)
    .sort((a, b) => turn * (compare(a[key], b[key]) || compare(a.id, b.id)));
  const marker = valueOf(query, 'marker');
  const start = marker === undefined ? 0 : found.findIndex(({ id }) => id === marker) + 1;
  if (marker !== undefined && start === 0) throw new ApiError('badRequest', { reason: `marker [${marker}] not found` });
  const limit = limitOf(query);
  return { page: found.slice(start, start + limit), more: limit > 0 && found.length > start + limit };
}

const SORT_KEYS = new Map<string, keyof Flavor>([
  ['flavorid', 'id'], ['id', 'id'], ['name', 'name'], ['memory_mb', 'ram'], ['root_gb', 'disk'], ['vcpus', 'vcpus'], ['ephemeral_gb', 'ephemeral'],
  ['swap', 'swap'], ['created_at', 'created_at'], ['is_public', 'is_public'],
]);

const compare = (a: unknown, b: unknown): number => (typeof a === 'number' ? a - (b as number) : String(a) < String(b) ? -1 : String(a) > String(b) ? 1 : 0);

/** Admins choose between public, private and (`None`) all; others see what they may use. */
function publicity(context: Context, given: string | undefined): boolean | undefined {
  if (!context.is_admin) return undefined;
  if (given === undefined) return true;
  const lower = given.toLowerCase();
  if (lower === 'none') return undefined;
  if (['true', '1', 't', 'yes', 'on'].includes(lower)) return true;
  if (['false', '0', 'f', 'no', 'off'].includes(lower)) return false;
  throw new ApiError('badRequest', { reason: `Invalid is_public filter [${given.slice(0, 60)}]` });
}

function numeric(query: Query, name: string): number {
  const given = valueOf(query, name) ?? '0';
  if (!/^[0-9]{1,12}$/.test(given)) throw new ApiError('badRequest', { reason: `Invalid ${name} filter [${given.slice(0, 60)}]` });
  return Number(given);
}

function wire(each: Flavor, publicEndpoint: string): Record<string, unknown> {
  return {
    id: each.id, name: each.name, ram: each.ram, disk: each.disk, vcpus: each.vcpus, swap: each.swap === 0 ? '' : each.swap, rxtx_factor: 1.0,
    'OS-FLV-EXT-DATA:ephemeral': each.ephemeral, 'OS-FLV-DISABLED:disabled': each.disabled, 'os-flavor-access:is_public': each.is_public,
    links: flavorLinks(publicEndpoint, each.id),
  };
}

const accessList = ({ id, access }: Flavor) => ({ flavor_access: access.map((tenant_id) => ({ flavor_id: id, tenant_id })) });

const specPairs = list(text(), { max: 128 });

function extraSpecs(given: Record<string, unknown>): Record<string, string> {
  for (const key of checked(specPairs, Object.keys(given), 'extra_specs')) {
    if (!/^[a-zA-Z0-9-_:. ]{1,255}$/.test(key)) throw new ApiError('badRequest', { reason: `Invalid input for field/attribute extra_specs. '${key.slice(0, 60)}' does not match any of the regexes.` });
  }
  return Object.fromEntries(Object.entries(given).map(([key, value]) => [key, checked(text(), typeof value === 'number' ? String(value) : value, key)]));
}

function existing(specs: Record<string, string>, key: string, id: string): string {
  const value = Object.hasOwn(specs, key) ? specs[key] : undefined;
  if (value === undefined) throw new ApiError('itemNotFound', { reason: `Flavor ${id} has no extra specs with key ${key}.` });
  return value;
}
