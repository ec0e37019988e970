/** Subnet pools (extensions subnet_allocation, default-subnetpools): prefixes that subnets are taken from. */
import { sql } from 'kysely';
import { type SubnetPool, subnetPool } from '#model/address-scopes.ts';
import type { Config } from '#model/config.ts';
import { ApiError } from '#model/errors.ts';
import type { Reader, Tx } from '#store/store.ts';
import { Table } from '#store/table.ts';
import type { Context } from '../http/context.ts';
import { requireScope, scopeLock } from './address-scopes.ts';
import { newObject } from './new-object.ts';
import { dropPolicies, shareWithAll } from './object-policies.ts';
import { checkQuota } from './quotas.ts';
import { ownOrReachedRows, sharedFilter, sharedWith } from './rbac-visibility.ts';
import type { Given, NetworkDeps, Rule } from './rule.ts';
import { grownPrefixes, newPrefixes, prefixAddresses, prefixLengths, versionOf } from './subnet-pool-checks.ts';

const pools = new Table(subnetPool);

type GivenPool = Given<typeof subnetPool>;

export function subnetPoolsRule({ config }: NetworkDeps): Rule<typeof subnetPool> {
  return {
    resource: subnetPool,
    create: (tx, context, given) => createPools(tx, context, config, given),
    update: updatePool,
    delete: (tx, _context, current) => deletePool(tx, current),
    present: presentPools,
    visible: visiblePools,
    filters: { shared: sharedFilter(subnetPool) },
  };
}

/** One's own, and shared ones. */
export function visiblePools(query: any, context: Context): any {
  return context.is_admin ? query : ownOrReachedRows(subnetPool, query, context);
}

/** The pool that is used when a subnet asks for the default one, if `context` may see it. */
export async function defaultPool(reader: Reader, context: Context, version: number): Promise<SubnetPool | undefined> {
  const [found] = await pools.list(reader, { filters: { is_default: [true], ip_version: [version] }, where: (query) => visiblePools(query, context) });
  return found;
}

/** Changes a pool under its lock, with all that an update has to hold; `changes.prefixes` are all that it shall have. */
export async function updatePool(tx: Tx, context: Context, current: SubnetPool, changes: GivenPool): Promise<SubnetPool> {
  const next = { ...current, ...changes };
  if (changes.prefixes) next.prefixes = grownPrefixes(current, changes.prefixes);
  prefixLengths(versionOf(current), next);
  const rescoped = next.address_scope_id !== current.address_scope_id;
  const becomesDefault = next.is_default && !current.is_default;
  await lockAll(tx, [...(becomesDefault ? [defaultLock(current)] : []), ...(rescoped || changes.prefixes ? scopeLocks(current, next) : [])]);
  if (becomesDefault) await requireNoDefault(tx, current);
  await requireOwnScope(tx, context, current);
  if (rescoped) await requireWholeNetworks(tx, current);
  if (rescoped || changes.prefixes) await checkScope(tx, context, next);
  return pools.update(tx, current, changes.prefixes ? { ...changes, prefixes: next.prefixes } : changes);
}

async function createPools(tx: Tx, context: Context, config: Config, given: readonly GivenPool[]): Promise<SubnetPool[]> {
  for (const [project, group] of Map.groupBy(given, ({ project_id }) => project_id ?? '')) await checkQuota(tx, config, project, 'subnetpool', group.length);
  const wanted = given.map((each) => newPool(tx, each));
  await lockAll(tx, wanted.flatMap((each) => [...(each.is_default ? [defaultLock(each)] : []), ...scopeLocks(each)]));
  for (const each of wanted) {
    if (each.is_default) await requireNoDefault(tx, each);
    await checkScope(tx, context, each);
    await pools.insert(tx, [each]);
  }
  await shareWithAll(tx, subnetPool, wanted.filter((_, i) => given[i]!.shared));
  return wanted;
}

function newPool(tx: Tx, given: GivenPool): SubnetPool {
  const prefixes = newPrefixes(given.prefixes!);
  return newObject(subnetPool, tx, given, { ...prefixes, ...prefixLengths(versionOf(prefixes), given) });
}

async function deletePool(tx: Tx, { id }: SubnetPool): Promise<void> {
  const used = await tx.db.selectFrom('subnets').select('id').where('subnetpool_id', '=', id).limit(1).executeTakeFirst();
  if (used) throw new ApiError('SubnetPoolDeleteError', { id });
  await dropPolicies(tx, { id });
  await pools.delete(tx, id);
}

/** Refuses a second default pool of one version. The caller holds `defaultLock`. */
async function requireNoDefault(tx: Tx, { ip_version }: SubnetPool): Promise<void> {
  const other = await tx.db.selectFrom('subnetpools').select('id').where('is_default', '=', 1).where('ip_version', '=', ip_version).executeTakeFirst();
  if (other) throw new ApiError('InvalidInput', { reason: `A default subnetpool for IPv${ip_version} has already been set. Only one default may exist per IP family` });
}

/** A pool in somebody else's scope is no longer its owner's to change. */
async function requireOwnScope(tx: Tx, context: Context, { id, address_scope_id }: SubnetPool): Promise<void> {
  if (address_scope_id === null || context.is_admin) return;
  const scope = await requireScope(tx, context, address_scope_id);
  if (scope.project_id !== context.project_id) throw new ApiError('IllegalSubnetPoolUpdate', { id, reason: `it is associated with the shared address scope ${address_scope_id} of another project` });
}

/** What a pool in a scope owes: its version, and prefixes that no other pool there has. The caller holds the scope's lock. */
async function checkScope(tx: Tx, context: Context, pool: SubnetPool): Promise<void> {
  const id = pool.address_scope_id;
  if (id === null) return;
  const scope = await requireScope(tx, context, id);
  if (scope.ip_version !== pool.ip_version) throw new ApiError('IllegalSubnetPoolIpVersionAssociationToAddressScope', { id, ip_version: pool.ip_version, scope_version: scope.ip_version });
  const own = prefixAddresses(pool);
  for (const other of await pools.list(tx, { filters: { address_scope_id: [id] } })) {
    if (other.id !== pool.id && prefixAddresses(other).overlaps(own)) throw new ApiError('AddressScopePrefixConflict', { id });
  }
}

/** A pool takes whole networks along when it changes its scope: none may have subnets of other pools too, or they would lie in two scopes. */
async function requireWholeNetworks(tx: Tx, { id, ip_version }: SubnetPool): Promise<void> {
  const torn = await tx.db.selectFrom('subnets as own').innerJoin('subnets as other', 'other.network_id', 'own.network_id').select('own.id')
    .where('own.subnetpool_id', '=', id).where('other.ip_version', '=', ip_version).where(sql<boolean>`coalesce(other.subnetpool_id, '') <> ${id}`).limit(1).executeTakeFirst();
  if (torn) throw new ApiError('NetworkAddressScopeAffinityError');
}

const defaultLock = ({ ip_version }: SubnetPool): string => `default_subnetpool:${ip_version}`;

function scopeLocks(...held: SubnetPool[]): string[] {
  return held.flatMap(({ address_scope_id }) => (address_scope_id === null ? [] : [scopeLock(address_scope_id)]));
}

/** In one order, so that two requests cannot wait for each other for ever. */
async function lockAll(tx: Tx, names: readonly string[]): Promise<void> {
  for (const name of [...new Set(names)].sort()) await tx.lock(name);
}

async function presentPools(reader: Reader, context: Context, objects: readonly SubnetPool[]): Promise<Record<string, unknown>[]> {
  const shared = await sharedWith(reader, subnetPool, objects.map(({ id }) => id), context.project_id);
  return objects.map((pool) => ({ shared: shared.has(pool.id), ...lengthsAsText(pool) }));
}

/** Neutron shows these three as text. */
function lengthsAsText({ min_prefixlen, max_prefixlen, default_prefixlen }: SubnetPool): Record<string, unknown> {
  return { min_prefixlen: String(min_prefixlen), max_prefixlen: String(max_prefixlen), default_prefixlen: String(default_prefixlen) };
}
