/** Networks: segments, MTU, sharing (N-ML2-3…15, N-MTU-1…5, N-MTU-8). */
import type { Config } from '#model/config.ts';
import { ApiError } from '#model/errors.ts';
import { type Network, type NetworkType, network, port, subnet } from '#model/networks.ts';
import { ACCESS_AS_EXTERNAL, ACCESS_AS_SHARED, EVERY_PROJECT } from '#model/rbac-policies.ts';
import type { Reader, Tx } from '#store/store.ts';
import { Table } from '#store/table.ts';
import type { Context } from '../http/context.ts';
import { requireZones } from './agents.ts';
import { dnsDomain } from './dns-names.ts';
import { deleteUnassociated } from './floating-ips.ts';
import { lockNetwork } from './ipam.ts';
import { MIN_MTU, maxMtu } from './mtu.ts';
import { requireNoGateway } from './network-external.ts';
import { AUTO_DELETE_PORT_OWNERS, type NetworkRuleDeps } from './network-hooks.ts';
import { visibleNetworks } from './network-visibility.ts';
import { newObject } from './new-object.ts';
import { dropPolicies, policyForAll, projectInNeed, shareWithAll } from './object-policies.ts';
import { checkQuota } from './quotas.ts';
import { sharedFilter, sharedWith } from './rbac-visibility.ts';
import type { Given, Rule } from './rule.ts';
import { allocateTenantSegment, releaseSegment, reserveProviderSegment, type WantedSegment } from './segments.ts';
import { removeSubnet } from './subnets.ts';

const networks = new Table(network);
const ports = new Table(port);
const subnets = new Table(subnet);

const CHUNK = 500;
const PROVIDER = ['provider:network_type', 'provider:physical_network', 'provider:segmentation_id'] as const;

export function networksRule({ config, hooks }: NetworkRuleDeps): Rule<typeof network> {
  return {
    resource: network,
    create: (tx, _context, given) => createNetworks(tx, config, given),
    update: (tx, _context, current, changes) => updateNetwork(tx, config, current, changes),
    delete: (tx, context, current) => deleteNetwork(tx, context, { config, hooks }, current),
    present: presentNetworks,
    visible: visibleNetworks,
    filters: { shared: sharedFilter(network) },
  };
}

async function createNetworks(tx: Tx, config: Config, given: readonly Given<typeof network>[]): Promise<Network[]> {
  for (const [project, group] of Map.groupBy(given, ({ project_id }) => project_id ?? '')) await checkQuota(tx, config, project, 'network', group.length);
  const made: Network[] = [];
  for (const wanted of given) made.push(await newNetwork(tx, config, wanted));
  await networks.insert(tx, made);
  await shareWithAll(tx, network, made.filter((_, i) => given[i]!.shared));
  await shareWithAll(tx, network, made.filter((each) => each['router:external']), ACCESS_AS_EXTERNAL);
  return made;
}

async function newNetwork(tx: Tx, config: Config, given: Given<typeof network>): Promise<Network> {
  const id = crypto.randomUUID();
  await requireZones(tx, 'network', given.availability_zone_hints ?? []);
  const wanted = wantedSegment(given);
  const segment = wanted ? await reserveProviderSegment(tx, config, wanted, id) : await allocateTenantSegment(tx, config, id);
  const { network_type, physical_network, segmentation_id } = segment;
  return newObject(network, tx, given, {
    id,
    status: 'ACTIVE',
    dns_domain: dnsDomain(given.dns_domain ?? ''),
    mtu: checkedMtu(given.mtu, maxMtu(config, network_type, physical_network)),
    'provider:network_type': network_type,
    'provider:physical_network': physical_network,
    'provider:segmentation_id': segmentation_id,
  });
}

async function updateNetwork(tx: Tx, config: Config, current: Network, given: Given<typeof network>): Promise<Network> {
  const changes = { ...given };
  const moved = PROVIDER.filter((name) => name in given && (given[name] ?? null) !== current[name]);
  if (moved.length > 0) throw new ApiError('InvalidInput', { reason: `Plugin does not support updating the following provider network attributes: ${moved.join(', ')}` });
  if (given.mtu !== undefined) {
    changes.mtu = checkedMtu(given.mtu, maxMtu(config, current['provider:network_type'] as NetworkType, current['provider:physical_network']));
    await requireMtuForSubnets(tx, current.id, changes.mtu);
  }
  if (given.dns_domain !== undefined) changes.dns_domain = dnsDomain(given.dns_domain);
  if (given.shared !== undefined) await setShared(tx, current, given.shared);
  if (given['router:external'] !== undefined) await setExternal(tx, current, given['router:external']);
  return networks.update(tx, current, changes);
}

/** Makes or removes the policy for everybody. A network that others use by it alone stays shared. */
async function setShared(tx: Tx, current: Network, shared: boolean): Promise<void> {
  const policy = await policyForAll(tx, current);
  if (shared && !policy) await shareWithAll(tx, network, [current]);
  if (shared || !policy) return;
  if ((await projectInNeed(tx, policy, current.project_id)) !== undefined) throw new ApiError('InvalidSharedSetting', { network: current.name });
  await dropPolicies(tx, current, ACCESS_AS_SHARED, EVERY_PROJECT);
}

/** By the attribute a network becomes external for everybody, or for nobody any more. */
async function setExternal(tx: Tx, current: Network, external: boolean): Promise<void> {
  if (external === current['router:external']) return;
  if (external) return shareWithAll(tx, network, [current], ACCESS_AS_EXTERNAL);
  await requireNoGateway(tx, current);
  await dropPolicies(tx, current, ACCESS_AS_EXTERNAL);
}

async function deleteNetwork(tx: Tx, context: Context, { config, hooks }: NetworkRuleDeps, current: Network): Promise<void> {
  await lockNetwork(tx, current.id);
  if (current['router:external']) await deleteUnassociated(tx, current.id);
  const attached = await ports.list(tx, { filters: { network_id: [current.id] }, sort: [{ key: 'id', dir: 'asc' }] });
  const inUse = attached.filter((each) => !AUTO_DELETE_PORT_OWNERS.includes(each.device_owner));
  if (inUse.length > 0) throw new ApiError('NetworkInUse', { id: current.id, ports: inUse.map((each) => each.id).slice(0, 100).join(',') });
  for (const each of attached) await hooks.removePort(tx, context, each);
  for (const each of await subnets.list(tx, { filters: { network_id: [current.id] } })) await removeSubnet(tx, each);
  await releaseSegment(tx, config, current.id);
  await dropPolicies(tx, current);
  await networks.delete(tx, current.id);
}

/** Whether it is shared, ids of the subnets, the zones of the hosts that serve DHCP, the address scopes of the pools that its subnets are of (N-L3-13). */
async function presentNetworks(reader: Reader, context: Context, objects: readonly Network[]): Promise<Record<string, unknown>[]> {
  const subnetIds = new Map<string, string[]>();
  const zones = new Map<string, Set<string>>();
  const scopes = new Map<string, string>();
  for (let i = 0; i < objects.length; i += CHUNK) {
    const ids = objects.slice(i, i + CHUNK).map(({ id }) => id);
    const held = await reader.db.selectFrom('subnets').leftJoin('subnetpools', 'subnetpools.id', 'subnets.subnetpool_id').select(['subnets.id', 'subnets.network_id', 'subnets.ip_version', 'subnetpools.address_scope_id'])
      .where('subnets.network_id', 'in', ids).orderBy('subnets.id').execute();
    for (const { id, network_id, ip_version, address_scope_id } of held) {
      subnetIds.set(network_id, [...(subnetIds.get(network_id) ?? []), id]);
      if (address_scope_id !== null) scopes.set(`${network_id} ${ip_version}`, address_scope_id);
    }
    const served = await reader.db.selectFrom('network_dhcp_bindings as binding').innerJoin('agents', 'agents.host', 'binding.host')
      .select(['binding.network_id', 'agents.availability_zone']).where('binding.network_id', 'in', ids).where('agents.agent_type', '=', 'DHCP agent').execute();
    for (const row of served) zones.set(row.network_id, (zones.get(row.network_id) ?? new Set<string>()).add(row.availability_zone));
  }
  const shared = await sharedWith(reader, network, objects.map(({ id }) => id), context.project_id);
  return objects.map(({ id }) => ({
    shared: shared.has(id), subnets: subnetIds.get(id) ?? [], availability_zones: [...(zones.get(id) ?? [])].sort(), ipv4_address_scope: scopes.get(`${id} 4`) ?? null, ipv6_address_scope: scopes.get(`${id} 6`) ?? null,
  }));
}

/** Undefined when no provider attribute is set: the system chooses (N-ML2-8). */
function wantedSegment(given: Given<typeof network>): WantedSegment | undefined {
  if (PROVIDER.every((name) => (given[name] ?? null) === null)) return undefined;
  return { network_type: given['provider:network_type'], physical_network: given['provider:physical_network'], segmentation_id: given['provider:segmentation_id'] };
}

/** 0 and nothing mean the largest. */
function checkedMtu(wanted: number | undefined, max: number): number {
  if (!wanted) return max;
  if (wanted > max) throw new ApiError('InvalidInput', { reason: `Requested MTU is too big, maximum is ${max}` });
  if (wanted < MIN_MTU[4]) throw new ApiError('InvalidInput', { reason: `Requested MTU is too small, minimum is ${MIN_MTU[4]}` });
  return wanted;
}

async function requireMtuForSubnets(tx: Tx, id: string, mtu: number): Promise<void> {
  if (mtu >= MIN_MTU[6]) return;
  const v6 = await tx.db.selectFrom('subnets').select('id').where('network_id', '=', id).where('ip_version', '=', 6).limit(1).executeTakeFirst();
  if (v6) throw new ApiError('NetworkMTUSubnetConflict', { id, mtu });
}
