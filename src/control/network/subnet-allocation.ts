/**
 * Prefixes for subnets out of subnet pools (extension subnet_allocation). What is taken of a pool stands in the rows of
 * its subnets and nowhere else. Locks come in this order: pools, networks, address scopes.
 */
import { type SubnetPool, subnetPool } from '#model/address-scopes.ts';
import { ApiError } from '#model/errors.ts';
import { type Network, PREFIX_DELEGATION, type subnet } from '#model/networks.ts';
import { type Cidr, cidrOf, parseCidr } from '#net/cidr.ts';
import { parseIp } from '#net/ip.ts';
import { addressesOf, freePrefix } from '#net/prefix-pool.ts';
import type { Tx } from '#store/store.ts';
import { Table } from '#store/table.ts';
import type { Context } from '../http/context.ts';
import { scopeLock } from './address-scopes.ts';
import type { Given } from './rule.ts';
import { requireVersion } from './subnet-checks.ts';
import { prefixAddresses, quotaUnits, versionOf } from './subnet-pool-checks.ts';
import { defaultPool, visiblePools } from './subnet-pools.ts';

const pools = new Table(subnetPool);

type GivenSubnet = Given<typeof subnet>;

/**
 * Locks the pools that new subnets are taken from, to be called before any network is locked. Answers the pool of each
 * subnet, undefined for one that has a CIDR and no pool. Throws ApiError BadRequest, SubnetPoolNotFound.
 */
export async function lockPools(tx: Tx, context: Context, given: readonly GivenSubnet[]): Promise<(SubnetPool | undefined)[]> {
  const wanted: (string | undefined)[] = [];
  for (const each of given) wanted.push(await wantedPool(tx, context, each));
  const ids = [...new Set(wanted.filter((id) => id !== undefined))].sort();
  for (const id of ids) await tx.lock(`${subnetPool.collection}:${id}`);
  const visible = ids.length === 0 ? [] : await pools.list(tx, { filters: { id: ids }, where: (query) => visiblePools(query, context) });
  return wanted.map((id) => {
    const found = visible.find((pool) => pool.id === id);
    if (id !== undefined && !found) throw new ApiError('SubnetPoolNotFound', { id });
    return found;
  });
}

/**
 * The prefix of the pool for a new subnet: the given one, that of the given gateway, or a free one. The caller holds the
 * pool's lock until the subnet stands in its table. Throws ApiErrors as Neutron's allocator.
 */
export async function allocatePrefix(tx: Tx, pool: SubnetPool, given: GivenSubnet): Promise<Cidr> {
  const version = versionOf(pool);
  if (given.ip_version !== version) throw refusal(`Cannot allocate IPv${given.ip_version} subnet from IPv${version} subnet pool`);
  const exact = given.cidr === undefined ? undefined : parseCidr(given.cidr)!;
  if (!exact && given.allocation_pools) throw refusal('allocation_pools allowed only for specific subnet requests');
  const length = exact?.prefix ?? given.prefixlen ?? pool.default_prefixlen;
  if (length > pool.max_prefixlen) throw new ApiError('MaxPrefixSubnetAllocationError', { prefixlen: length, max_prefixlen: pool.max_prefixlen });
  if (length < pool.min_prefixlen) throw new ApiError('MinPrefixSubnetAllocationError', { prefixlen: length, min_prefixlen: pool.min_prefixlen });
  const gateway = given.gateway_ip ? parseIp(given.gateway_ip)! : undefined;
  if (gateway) requireVersion(gateway.version, version, 'gateway_ip', given.gateway_ip!);
  const wanted = exact ?? (gateway && cidrOf(gateway, length));

  const rows = await tx.db.selectFrom('subnets').select(['cidr', 'project_id']).where('subnetpool_id', '=', pool.id).execute();
  const taken = rows.map((row) => ({ cidr: parseCidr(row['cidr'])!, project_id: row['project_id'] as string }));
  requireQuota(pool, taken.filter((each) => each.project_id === given.project_id).map(({ cidr }) => cidr), { version, base: 0n, prefix: length });
  const free = prefixAddresses(pool).without(addressesOf(taken.map(({ cidr }) => cidr)).ranges);
  if (!wanted) {
    const found = freePrefix(version, free, length);
    if (!found) throw new ApiError('SubnetAllocationError', { id: pool.id, reason: `insufficient prefix space to allocate subnet size /${length}` });
    return found;
  }
  if (addressesOf([wanted]).without(free.ranges).size > 0n) throw new ApiError('SubnetAllocationError', { id: pool.id, reason: 'the requested subnet is not in the available set of prefixes' });
  return wanted;
}

/**
 * Refuses a new subnet beside ones of the same network and version that are of another pool, or of none: routers tell
 * a network's address scope by its subnets. Pools of one scope go together. The caller holds the locks of network and pool.
 */
export async function requireSamePool(tx: Tx, { id: network_id }: Network, version: number, pool: SubnetPool | undefined): Promise<void> {
  let there = await poolsOnNetwork(tx, network_id, version);
  let scope = scopeOf(there);
  if (pool && scope !== null && there.some(({ subnetpool_id }) => subnetpool_id !== pool.id)) {
    // The other pool may be about to leave the scope.
    await tx.lock(scopeLock(scope));
    there = await poolsOnNetwork(tx, network_id, version);
    scope = scopeOf(there);
  }
  if (pool && scope !== null && pool.address_scope_id !== scope) throw new ApiError('NetworkAddressScopeAffinityError');
  const wrong = pool ? scope === null && there.some(({ subnetpool_id }) => subnetpool_id !== pool.id) : there.some(({ subnetpool_id }) => subnetpool_id !== null);
  if (wrong) throw new ApiError('NetworkSubnetPoolAffinityError', { network_id });
}

/** The id of the pool that a new subnet asks for. */
async function wantedPool(tx: Tx, context: Context, given: GivenSubnet): Promise<string | undefined> {
  const { subnetpool_id, use_default_subnetpool, cidr } = given;
  if (cidr !== undefined && given.prefixlen !== undefined) throw refusal('cidr and prefixlen must not be supplied together');
  if (use_default_subnetpool && subnetpool_id) throw refusal('subnetpool_id and use_default_subnetpool cannot both be specified');
  if (subnetpool_id === PREFIX_DELEGATION) throw refusal('there is no prefix delegation here, give a cidr or a subnet pool');
  if (subnetpool_id) return subnetpool_id;
  if (use_default_subnetpool) {
    const version = cidr === undefined ? given.ip_version! : parseCidr(cidr)!.version;
    const found = await defaultPool(tx, context, version);
    if (!found) throw refusal(`No default subnetpool found for IPv${version}`);
    return found.id;
  }
  if (cidr === undefined) throw refusal('A cidr must be specified in the absence of a subnet pool');
  return undefined;
}

/** Neutron counts what the pool's owner has, whoever asks; by its manual the limit is each project's, and so it is here. */
function requireQuota(pool: SubnetPool, own: readonly Cidr[], wanted: Cidr): void {
  const quota = pool.default_quota;
  if (!quota) return;
  const used = own.reduce((sum, cidr) => sum + quotaUnits(cidr), 0);
  if (used + quotaUnits(wanted) > quota) throw new ApiError('SubnetPoolQuotaExceeded', { id: pool.id, used, quota, wanted: quotaUnits(wanted) });
}

type PoolOnNetwork = { readonly subnetpool_id: string | null; readonly address_scope_id: string | null };

async function poolsOnNetwork(tx: Tx, networkId: string, version: number): Promise<PoolOnNetwork[]> {
  const rows = await tx.db.selectFrom('subnets').leftJoin('subnetpools', 'subnetpools.id', 'subnets.subnetpool_id').select(['subnets.subnetpool_id', 'subnetpools.address_scope_id']).distinct()
    .where('subnets.network_id', '=', networkId).where('subnets.ip_version', '=', version).execute();
  return rows as PoolOnNetwork[];
}

function scopeOf(there: readonly PoolOnNetwork[]): string | null {
  return there.find(({ address_scope_id }) => address_scope_id !== null)?.address_scope_id ?? null;
}

function refusal(reason: string): ApiError {
  return new ApiError('BadRequest', { resource: 'subnets', reason });
}
