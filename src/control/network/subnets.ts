/** Subnets: address blocks of networks (N-ML2-17). */
import { sql } from 'kysely';
import type { SubnetPool } from '#model/address-scopes.ts';
import type { Config } from '#model/config.ts';
import { ApiError } from '#model/errors.ts';
import { type FixedIp, type Network, network, type Port, port, type Subnet, subnet } from '#model/networks.ts';
import { type Cidr, cidrOverlaps, formatCidr, parseCidr } from '#net/cidr.ts';
import { dropPool } from '#store/number-pool.ts';
import type { Reader, Tx } from '#store/store.ts';
import { Table } from '#store/table.ts';
import type { Context } from '../http/context.ts';
import { isAutoAddress, lockNetwork, resetSubnetPool, subnetPool } from './ipam.ts';
import { MIN_MTU } from './mtu.ts';
import { AUTO_DELETE_PORT_OWNERS, type NetworkHooks, type NetworkRuleDeps, ROUTER_INTERFACE_OWNERS } from './network-hooks.ts';
import { requireNetwork } from './network-visibility.ts';
import { newObject } from './new-object.ts';
import { ownRows } from './policy.ts';
import { checkQuota } from './quotas.ts';
import { idIn, reachedIds, sharedFilter, sharedWith } from './rbac-visibility.ts';
import type { Given, Rule } from './rule.ts';
import { allocatePrefix, lockPools, requireSamePool } from './subnet-allocation.ts';
import { checkDhcp, checkedCidr, checkGateway, checkHostRoutes, checkModes, checkNameservers, checkPools, defaultGateway, defaultPools } from './subnet-checks.ts';

const subnets = new Table(subnet);
const networks = new Table(network);
const ports = new Table(port);

type GivenSubnet = Given<typeof subnet>;

export function subnetsRule({ config, hooks }: NetworkRuleDeps): Rule<typeof subnet> {
  return {
    resource: subnet,
    create: (tx, context, given) => createSubnets(tx, context, { config, hooks }, given),
    update: (tx, context, current, changes) => updateSubnet(tx, context, { config, hooks }, current, changes),
    delete: (tx, context, current) => deleteSubnet(tx, context, hooks, current),
    present: presentSubnets,
    visible: visibleSubnets,
    owns: async (reader, context, current) => (await networks.get(reader, current.network_id))?.project_id === context.project_id,
    filters: {
      'shared': sharedFilter(network, 'subnets.network_id'),
      'router:external': (query, values) => query.where(onExternal(values)),
    },
  };
}

/** Removes a subnet that nothing uses any more, and its pool of addresses. */
export async function removeSubnet(tx: Tx, current: Subnet): Promise<void> {
  await dropPool(tx, subnetPool(current.id));
  await subnets.delete(tx, current.id);
}

/** One's own, those of one's own networks, and those of shared ones; not those of external networks. */
export function visibleSubnets(query: any, context: Context): any {
  if (!context.project_id) return ownRows(subnet, query, context);
  return query.where(idIn(
    subnet,
    sql`select id from subnets where project_id = ${context.project_id}`,
    sql`select subnets.id from networks join subnets on subnets.network_id = networks.id where networks.project_id = ${context.project_id}`,
    sql`select subnets.id from (${reachedIds(network, context)}) as shared join subnets on subnets.network_id = shared.object_id`,
  ));
}

async function createSubnets(tx: Tx, context: Context, deps: NetworkRuleDeps, given: readonly GivenSubnet[]): Promise<Subnet[]> {
  for (const [project, group] of Map.groupBy(given, ({ project_id }) => project_id ?? '')) await checkQuota(tx, deps.config, project, 'subnet', group.length);
  const pools = await lockPools(tx, context, given);
  // In one order, so that two bulk requests cannot wait for each other for ever.
  for (const id of [...new Set(given.map(({ network_id }) => network_id!))].sort()) await lockNetwork(tx, id);
  const made: Subnet[] = [];
  for (const [i, wanted] of given.entries()) {
    const onto = await requireNetwork(tx, context, wanted.network_id!);
    if (!context.is_admin && onto.project_id !== context.project_id) throw new ApiError('PolicyNotAuthorized', { rule: 'create_subnet' });
    const created = await newSubnet(tx, deps.config, onto, pools[i], wanted);
    await subnets.insert(tx, [created]);
    await resetSubnetPool(tx, created);
    await announce(tx, context, deps.hooks, onto, created, 'create');
    made.push(created);
  }
  return made;
}

async function newSubnet(tx: Tx, config: Config, onto: Network, pool: SubnetPool | undefined, given: GivenSubnet): Promise<Subnet> {
  refuseSegment(given);
  if (given.cidr !== undefined) checkedCidr(given.cidr, given.ip_version!);
  const cidr = checkedCidr(pool ? formatCidr(await allocatePrefix(tx, pool, given)) : given.cidr!, given.ip_version!);
  const { version } = cidr;
  if (given.enable_dhcp) checkDhcp(cidr);
  if (given.gateway_ip) checkGateway(cidr, given.gateway_ip);
  checkNameservers(config, version, given.dns_nameservers ?? []);
  checkHostRoutes(config, version, given.host_routes ?? []);
  checkModes(cidr, { ipv6_ra_mode: given.ipv6_ra_mode ?? null, ipv6_address_mode: given.ipv6_address_mode ?? null }, given.enable_dhcp ?? true);
  if (onto.mtu < MIN_MTU[version]) throw new ApiError('NetworkMTUSubnetConflict', { id: onto.id, mtu: onto.mtu });
  await requireNoOverlap(tx, onto.id, cidr);
  await requireSamePool(tx, onto, version, pool);
  const gateway_ip = given.gateway_ip === undefined ? defaultGateway(cidr) : given.gateway_ip;
  const allocation_pools = given.allocation_pools ?? defaultPools(cidr, gateway_ip);
  checkPools(cidr, allocation_pools, gateway_ip);
  return newObject(subnet, tx, given, { cidr: formatCidr(cidr), gateway_ip, allocation_pools, subnetpool_id: pool?.id ?? null });
}

async function updateSubnet(tx: Tx, context: Context, { config, hooks }: NetworkRuleDeps, current: Subnet, changes: GivenSubnet): Promise<Subnet> {
  await lockNetwork(tx, current.network_id);
  const cidr = parseCidr(current.cidr)!;
  if (changes.enable_dhcp && !current.enable_dhcp) checkDhcp(cidr);
  if (changes.enable_dhcp === false && (current.ipv6_ra_mode || current.ipv6_address_mode)) throw new ApiError('InvalidInput', { reason: 'Cannot disable enable_dhcp with ipv6 attributes set' });
  refuseSegment(changes);
  if (changes.gateway_ip) checkGateway(cidr, changes.gateway_ip);
  if (changes.gateway_ip !== undefined && changes.gateway_ip !== current.gateway_ip) await requireFreeGateway(tx, current);
  if (changes.dns_nameservers) checkNameservers(config, cidr.version, changes.dns_nameservers, current.id);
  if (changes.host_routes) checkHostRoutes(config, cidr.version, changes.host_routes, current.id);
  if (changes.allocation_pools || changes.gateway_ip !== undefined) {
    checkPools(cidr, changes.allocation_pools ?? current.allocation_pools, changes.gateway_ip === undefined ? current.gateway_ip : changes.gateway_ip);
  }
  const updated = await subnets.update(tx, current, changes);
  if (changes.allocation_pools) await resetSubnetPool(tx, updated);
  await announce(tx, context, hooks, (await networks.get(tx, current.network_id))!, updated, 'update');
  return updated;
}

async function deleteSubnet(tx: Tx, context: Context, hooks: NetworkHooks, current: Subnet): Promise<void> {
  await lockNetwork(tx, current.network_id);
  const users = await portsOf(tx, current.id);
  const holds = (each: Port) => (isAutoAddress(current) ? ROUTER_INTERFACE_OWNERS.includes(each.device_owner) : !AUTO_DELETE_PORT_OWNERS.includes(each.device_owner));
  if (users.some(holds)) throw new ApiError('SubnetInUse', { id: current.id, reason: 'One or more ports have an IP allocation from this subnet' });
  await tx.db.deleteFrom('ip_allocations').where('subnet_id', '=', current.id).execute();
  for (const each of users) {
    const fixed_ips = (each.fixed_ips as FixedIp[]).filter(({ subnet_id }) => subnet_id !== current.id);
    const rest = await ports.update(tx, each, { fixed_ips });
    if (fixed_ips.length === 0 && AUTO_DELETE_PORT_OWNERS.includes(each.device_owner)) await hooks.removePort(tx, context, rest);
  }
  await removeSubnet(tx, current);
  await announce(tx, context, hooks, (await networks.get(tx, current.network_id))!, current, 'delete');
}

/** A network's revision tells of its subnets too. */
async function announce(tx: Tx, context: Context, hooks: NetworkHooks, onto: Network, changed: Subnet, op: 'create' | 'update' | 'delete'): Promise<void> {
  const bumped = await networks.update(tx, onto, {});
  await hooks.onSubnetChanged(tx, context, bumped, changed, op);
}

async function presentSubnets(reader: Reader, context: Context, objects: readonly Subnet[]): Promise<Record<string, unknown>[]> {
  const ids = [...new Set(objects.map(({ network_id }) => network_id))];
  const found = await networks.getMany(reader, ids);
  const shared = await sharedWith(reader, network, ids, context.project_id);
  const byId = new Map(found.map((each) => [each.id, each]));
  return objects.map(({ network_id }) => ({ shared: shared.has(network_id), 'router:external': byId.get(network_id)?.['router:external'] ?? false }));
}

function refuseSegment({ segment_id }: GivenSubnet): void {
  if (segment_id) throw new ApiError('BadRequest', { resource: 'subnets', reason: 'networks here have one segment, segment_id must be null' });
}

async function requireNoOverlap(tx: Tx, networkId: string, cidr: Cidr): Promise<void> {
  const others = await tx.db.selectFrom('subnets').select('cidr').where('network_id', '=', networkId).where('ip_version', '=', cidr.version).execute();
  if (others.some((other) => cidrOverlaps(parseCidr(other['cidr'])!, cidr))) {
    throw new ApiError('InvalidInput', { reason: `Requested subnet with cidr: ${formatCidr(cidr)} for network: ${networkId} overlaps with another subnet` });
  }
}

/** The gateway address stays while a router's port has it. */
async function requireFreeGateway(tx: Tx, current: Subnet): Promise<void> {
  if (current.gateway_ip === null) return;
  const holder = await tx.db.selectFrom('ip_allocations').innerJoin('ports', 'ports.id', 'ip_allocations.port_id').select('ports.id')
    .where('ip_allocations.subnet_id', '=', current.id).where('ip_allocations.ip_address', '=', current.gateway_ip).where('ports.device_owner', 'in', ROUTER_INTERFACE_OWNERS).executeTakeFirst();
  if (holder) throw new ApiError('GatewayIpInUse', { ip_address: current.gateway_ip, port_id: holder['id'] });
}

async function portsOf(tx: Tx, subnetId: string): Promise<Port[]> {
  const rows = await tx.db.selectFrom('ip_allocations').select('port_id').distinct().where('subnet_id', '=', subnetId).execute();
  return ports.getMany(tx, rows.map((row) => row.port_id));
}

/** True for subnets whose network is external, or is not. */
function onExternal(values: readonly string[]) {
  const wanted = values.map((value) => Number(network.attributes['router:external'].kind.convert(value)));
  return sql<boolean>`subnets.network_id in (select id from networks where router_external in (${sql.join(wanted)}))`;
}
