/**
 * Addresses of ports. An address is a row of `ip_allocations`; the free ones of a subnet stand in the number pool
 * `subnet:<id>`: its allocation pools without what is allocated. The lowest free address comes first (N-DH-3, N-ML2-17).
 */
import { ApiError } from '#model/errors.ts';
import type { FixedIp, Subnet } from '#model/networks.ts';
import { cidrContains, cidrLast, parseCidr } from '#net/cidr.ts';
import { eui64, formatIp, IP_BITS, type Ip, parseIp } from '#net/ip.ts';
import { RangeSet } from '#net/range-set.ts';
import { freeRanges, giveBack, setPool, takeExact, takeLowest } from '#store/number-pool.ts';
import type { Tx } from '#store/store.ts';

/** A router's legs have the addresses they are given: none is made from a MAC. */
export const ROUTER_INTERFACES = ['network:router_interface', 'network:ha_router_replicated_interface', 'network:router_interface_distributed', 'network:router_centralized_snat'];
const isRouterInterface = (deviceOwner: string): boolean => ROUTER_INTERFACES.includes(deviceOwner);
const CHUNK = 500;

/** The number pool of a subnet's free addresses; a pool's numbers are the addresses as integers. */
export const subnetPool = (subnetId: string): string => `subnet:${subnetId}`;

/** Holds a network against its deletion and other changes of its ports, addresses and subnets until the transaction ends: the lock that `lockObject` takes. */
export const lockNetwork = (tx: Tx, networkId: string): Promise<void> => tx.lock(`networks:${networkId}`);

/** An address asked for: by subnet, by address, or both. */
export type FixedIpWish = Partial<FixedIp>;

/** A port that wants addresses. */
export interface AddressWish {
  readonly port_id: string;
  readonly mac_address: string;
  readonly device_owner: string;
  /** Absent: what the network's subnets give by themselves; empty: none at all. */
  readonly fixed_ips?: readonly FixedIpWish[];
}

/** One address to find: a certain one, the lowest of the first subnet with room, or what the MAC makes of a prefix. */
type Need =
  | { readonly port_id: string; readonly exact: Ip; readonly subnet: Subnet }
  | { readonly port_id: string; readonly anyOf: readonly Subnet[] };

/** Sets the free addresses of a new or changed subnet: its allocation pools without those allocated in it. */
export async function resetSubnetPool(tx: Tx, subnet: Pick<Subnet, 'id' | 'allocation_pools'>): Promise<void> {
  await tx.lock(subnetPool(subnet.id));
  const rows = await tx.db.selectFrom('ip_allocations').select('ip_address').where('subnet_id', '=', subnet.id).execute();
  const taken = new RangeSet(rows.map(({ ip_address }) => single(parseIp(ip_address)!.value)));
  await setPool(tx, subnetPool(subnet.id), poolsOf(subnet).without(taken.ranges));
}

/** True for subnets where a host makes its own address from its MAC (SLAAC, stateless DHCPv6). */
export function isAutoAddress(subnet: Pick<Subnet, 'ipv6_address_mode' | 'ipv6_ra_mode'>): boolean {
  return [subnet.ipv6_address_mode, subnet.ipv6_ra_mode].some((mode) => mode === 'slaac' || mode === 'dhcpv6-stateless');
}

/**
 * Allocates what the ports of one network wish, with a fixed number of statements however many ports wish the usual.
 * `subnets` are all of the network's; the caller holds `lockNetwork`. Answers each port's addresses.
 */
export async function allocateAddresses(tx: Tx, networkId: string, subnets: readonly Subnet[], wishes: readonly AddressWish[]): Promise<Map<string, FixedIp[]>> {
  const ordered = inOrder(subnets);
  const needs: Need[] = [];
  for (const wish of wishes) needs.push(...await needsOf(tx, networkId, ordered, wish));
  return satisfy(tx, networkId, needs, wishes.map((wish) => wish.port_id));
}

/**
 * Changes a port's addresses to `wish.fixed_ips`: those that stay are kept, the others return to their pools, and the
 * addresses that hosts make themselves follow the MAC. The caller holds `lockNetwork`. Answers the port's addresses.
 */
export async function changeAddresses(tx: Tx, networkId: string, subnets: readonly Subnet[], held: readonly FixedIp[], wish: AddressWish & { fixed_ips: readonly FixedIpWish[] }): Promise<FixedIp[]> {
  const ordered = inOrder(subnets);
  const autoIds = new Set(isRouterInterface(wish.device_owner) ? [] : ordered.filter(isAutoAddress).map((subnet) => subnet.id));
  const wanted = wish.fixed_ips.filter((ip) => !held.some((one) => autoIds.has(one.subnet_id) && one.ip_address === ip.ip_address));
  const left = held.filter((ip) => !autoIds.has(ip.subnet_id));
  const kept = new Set<FixedIp>();
  const added: FixedIpWish[] = [];
  // Named addresses first: a bare subnet must not use one up that another entry names.
  for (const ip of [...wanted].sort((a, b) => Number(a.ip_address === undefined) - Number(b.ip_address === undefined))) {
    const at = left.findIndex((one) => (ip.ip_address ?? one.ip_address) === one.ip_address && (ip.subnet_id ?? one.subnet_id) === one.subnet_id);
    if (at >= 0) kept.add(left.splice(at, 1)[0]!);
    else added.push(ip);
  }
  const needs: Need[] = [];
  for (const need of await needsOf(tx, networkId, ordered, { ...wish, fixed_ips: added }, wish.fixed_ips.length > 0)) {
    const same = 'exact' in need ? held.find((one) => one.subnet_id === need.subnet.id && one.ip_address === formatIp(need.exact)) : undefined;
    if (same) kept.add(same);
    else needs.push(need);
  }
  await releaseAddresses(tx, ordered, held.filter((ip) => !kept.has(ip)));
  const fresh = await satisfy(tx, networkId, needs, [wish.port_id]);
  return [...held.filter((ip) => kept.has(ip)), ...fresh.get(wish.port_id)!];
}

/** Frees addresses; those inside their subnet's allocation pools return to them. A subnet that is gone has no pool. */
export async function releaseAddresses(tx: Tx, subnets: readonly Subnet[], ips: readonly FixedIp[]): Promise<void> {
  const byId = new Map(subnets.map((subnet) => [subnet.id, subnet]));
  for (const { subnet_id, ip_address } of ips) {
    await tx.db.deleteFrom('ip_allocations').where('subnet_id', '=', subnet_id).where('ip_address', '=', ip_address).execute();
    const subnet = byId.get(subnet_id);
    const value = parseIp(ip_address)!.value;
    if (subnet && poolsOf(subnet).has(value)) await giveBack(tx, subnetPool(subnet_id), value);
  }
}

async function needsOf(tx: Tx, networkId: string, subnets: readonly Subnet[], wish: AddressWish, withAuto = wish.fixed_ips === undefined || wish.fixed_ips.length > 0): Promise<Need[]> {
  const { port_id, device_owner } = wish;
  const suited = subnets.filter((subnet) => subnet.service_types.length === 0 || subnet.service_types.includes(device_owner));
  const router = isRouterInterface(device_owner);
  const needs: Need[] = [];
  if (wish.fixed_ips === undefined) {
    if (subnets.length > 0 && suited.length === 0) throw new ApiError('IpAddressGenerationFailure', { network_id: networkId });
    for (const version of [4, 6]) {
      const anyOf = suited.filter((subnet) => subnet.ip_version === version && (version === 4 || !isAutoAddress(subnet)));
      if (anyOf.length > 0) needs.push({ port_id, anyOf });
    }
  }
  for (const fixed of wish.fixed_ips ?? []) {
    const subnet = await subnetFor(tx, networkId, suited, fixed);
    if (fixed.ip_address !== undefined) {
      if (isAutoAddress(subnet) && !router) throw new ApiError('AllocationOnAutoAddressSubnet', { ip: fixed.ip_address, subnet_id: subnet.id });
      needs.push({ port_id, exact: parseIp(fixed.ip_address)!, subnet });
    } else if (router || !isAutoAddress(subnet)) needs.push({ port_id, anyOf: [subnet] });
  }
  if (!router && withAuto) {
    for (const subnet of suited.filter(isAutoAddress)) needs.push({ port_id, subnet, exact: eui64({ version: 6, value: parseCidr(subnet.cidr)!.base }, wish.mac_address) });
  }
  return needs;
}

/** The subnet of the network that an entry of `fixed_ips` means; the address, if given, is one a host may have there. */
async function subnetFor(tx: Tx, networkId: string, subnets: readonly Subnet[], fixed: FixedIpWish): Promise<Subnet> {
  if (subnets.length === 0) throw new ApiError('InvalidInput', { reason: 'IP allocation requires subnets for network' });
  const ip = fixed.ip_address === undefined ? undefined : parseIp(fixed.ip_address)!;
  if (fixed.subnet_id !== undefined) {
    const subnet = subnets.find((one) => one.id === fixed.subnet_id);
    if (!subnet) {
      const elsewhere = await tx.db.selectFrom('subnets').select('id').where('id', '=', fixed.subnet_id).executeTakeFirst();
      if (!elsewhere) throw new ApiError('SubnetNotFound', { id: fixed.subnet_id });
      throw new ApiError('InvalidInput', { reason: `Failed to create port on network ${networkId}, because fixed_ips included invalid subnet ${fixed.subnet_id}` });
    }
    if (ip && !mayHave(subnet, ip)) throw new ApiError('InvalidIpForSubnet', { ip: fixed.ip_address });
    return subnet;
  }
  if (!ip) throw new ApiError('InvalidInput', { reason: 'IP allocation requires subnet_id or ip_address' });
  const subnet = subnets.find((one) => mayHave(one, ip));
  if (!subnet) throw new ApiError('InvalidIpForNetwork', { ip: fixed.ip_address });
  return subnet;
}

/** Inside the subnet, and neither its network nor its broadcast address (RFC 3021: /31 and /32 have neither). */
function mayHave(subnet: Subnet, ip: Ip): boolean {
  const cidr = parseCidr(subnet.cidr)!;
  if (!cidrContains(cidr, ip)) return false;
  if (cidr.prefix >= IP_BITS[cidr.version] - 1) return true;
  return ip.value !== cidr.base && (cidr.version === 6 || ip.value !== cidrLast(cidr));
}

async function satisfy(tx: Tx, networkId: string, needs: readonly Need[], portIds: readonly string[]): Promise<Map<string, FixedIp[]>> {
  const found = new Map<Need, FixedIp>();
  // Certain addresses first: the lowest free one may be among them.
  const exact = needs.filter((need) => 'exact' in need);
  for (const need of exact) {
    found.set(need, { subnet_id: need.subnet.id, ip_address: formatIp(need.exact) });
    await takeExact(tx, subnetPool(need.subnet.id), need.exact.value);
  }
  await insertAllocations(tx, networkId, exact.map((need) => ({ ...found.get(need)!, port_id: need.port_id })));
  const groups = new Map<string, Need[]>();
  for (const need of needs) {
    if (!('anyOf' in need)) continue;
    const key = need.anyOf.map((subnet) => subnet.id).join();
    groups.set(key, [...(groups.get(key) ?? []), need]);
  }
  const rows: (FixedIp & { port_id: string })[] = [];
  for (const group of groups.values()) {
    const ips = await takeFromFirst(tx, networkId, (group[0] as { anyOf: readonly Subnet[] }).anyOf, group.length);
    group.forEach((need, i) => {
      found.set(need, ips[i]!);
      rows.push({ ...ips[i]!, port_id: need.port_id });
    });
  }
  await insertAllocations(tx, networkId, rows);
  const result = new Map<string, FixedIp[]>(portIds.map((id) => [id, []]));
  for (const need of needs) result.get(need.port_id)!.push(found.get(need)!);
  return result;
}

/** `count` addresses: the lowest of the first subnet until it is full, then of the next. */
async function takeFromFirst(tx: Tx, networkId: string, subnets: readonly Subnet[], count: number): Promise<FixedIp[]> {
  const ips: FixedIp[] = [];
  for (const subnet of subnets) {
    const pool = subnetPool(subnet.id);
    const rest = count - ips.length;
    let values = await takeLowest(tx, pool, rest);
    if (!values && rest > 1) {
      const free = new RangeSet(await freeRanges(tx, pool)).size;
      values = free > 0n ? await takeLowest(tx, pool, Number(free)) : undefined;
    }
    for (const value of values ?? []) ips.push({ subnet_id: subnet.id, ip_address: formatIp({ version: subnet.ip_version as 4 | 6, value }) });
    if (ips.length === count) return ips;
  }
  throw new ApiError('IpAddressGenerationFailure', { network_id: networkId });
}

async function insertAllocations(tx: Tx, networkId: string, rows: readonly (FixedIp & { port_id: string })[]): Promise<void> {
  for (let i = 0; i < rows.length; i += CHUNK) {
    const part = rows.slice(i, i + CHUNK).map(({ subnet_id, ip_address, port_id }) => ({ subnet_id, ip_address, network_id: networkId, port_id }));
    const done = await tx.db.insertInto('ip_allocations').values(part).onConflict((c) => c.columns(['subnet_id', 'ip_address']).doNothing()).returning(['subnet_id', 'port_id', 'ip_address']).execute();
    if (done.length === part.length) continue;
    const made = new Set(done.map((row) => `${row.subnet_id} ${row.ip_address} ${row.port_id}`));
    const refused = part.find((row) => !made.has(`${row.subnet_id} ${row.ip_address} ${row.port_id}`)) ?? part[0]!;
    throw new ApiError('IpAddressAlreadyAllocated', { ip: refused.ip_address, subnet_id: refused.subnet_id });
  }
}

/** Oldest first, so that answers do not depend on how the engine happens to read. */
function inOrder(subnets: readonly Subnet[]): Subnet[] {
  const key = (subnet: Subnet): string => `${subnet.created_at} ${subnet.id}`;
  return [...subnets].sort((a, b) => (key(a) < key(b) ? -1 : 1));
}

export function poolsOf(subnet: Pick<Subnet, 'allocation_pools'>): RangeSet {
  return new RangeSet(subnet.allocation_pools.map(({ start, end }) => ({ first: parseIp(start!)!.value, last: parseIp(end!)!.value })));
}

const single = (value: bigint): { first: bigint; last: bigint } => ({ first: value, last: value });
