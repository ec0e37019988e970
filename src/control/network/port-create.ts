/** Creating ports: many at once for the price of a few statements, the address settled before anything boots (N-ML2-16, N-ML2-18). */
import type { Config } from '#model/config.ts';
import { ApiError } from '#model/errors.ts';
import { type FixedIp, type Network, network, type Port, port, subnet } from '#model/networks.ts';
import type { Tx } from '#store/store.ts';
import { Table } from '#store/table.ts';
import type { Context } from '../http/context.ts';
import { type Binding, bindingFor } from './binding.ts';
import { dnsDomain, dnsName } from './dns-names.ts';
import { allocateAddresses, lockNetwork } from './ipam.ts';
import { macsInUse, newMacs } from './mac-addresses.ts';
import { requireNetwork } from './network-visibility.ts';
import { newObject } from './new-object.ts';
import { addressPairs, checkFixedIps, checkMac, dhcpOptions } from './port-attributes.ts';
import { isNetworkService, ownsNetwork, requirePortPolicy } from './port-policy.ts';
import { checkQuota } from './quotas.ts';
import { sharedWith } from './rbac-visibility.ts';
import type { Given } from './rule.ts';
import { ensureDefaultGroup, refuseMixed, requireGroups } from './security-groups.ts';

const networks = new Table(network);
const subnets = new Table(subnet);
const ports = new Table(port);

/** A port to make: defaults are filled in. */
export type NewPort = Given<typeof port> & Pick<Port, 'network_id' | 'project_id'>;
type Wanted = Given<typeof port> & Pick<Port, 'id' | 'network_id' | 'project_id' | 'device_owner' | 'allowed_address_pairs' | 'extra_dhcp_opts' | 'dns_name' | 'dns_domain' | 'binding:host_id' | 'binding:vnic_type'>;

/**
 * Creates ports with their addresses, groups and bindings, and answers them in the order given. `quota: false` is for
 * the network's own services, which no project's limit may stop.
 */
export async function createPorts(tx: Tx, config: Config, context: Context, given: readonly NewPort[], { quota = true } = {}): Promise<Port[]> {
  const wanted = given.map((one) => checked({ ...PORT_DEFAULTS, ...one, id: crypto.randomUUID() } as Wanted, config));
  const byNetwork = Map.groupBy(wanted, (one) => one.network_id);
  const home = await lockedNetworks(tx, context, [...byNetwork.keys()]);
  for (const one of wanted) await requirePortPolicy(tx, context, home.get(one.network_id)!, 'create', one);
  if (quota) for (const [project, own] of Map.groupBy(wanted, (one) => one.project_id)) await checkQuota(tx, config, project, 'port', own.length);
  const security = await securityOf(tx, context, wanted, home);
  const made = new Map<string, Port>();
  for (const [networkId, own] of byNetwork) {
    for (const one of await onNetwork(tx, config, home.get(networkId)!, own, security)) made.set(one.id, one);
  }
  const inOrder = wanted.map(({ id }) => made.get(id)!);
  await ports.insert(tx, inOrder);
  await insertMemberships(tx, inOrder);
  return inOrder;
}

/** Which groups a port is in, one row each. */
export async function insertMemberships(tx: Tx, members: readonly Pick<Port, 'id' | 'security_groups'>[]): Promise<void> {
  const rows = members.flatMap(({ id, security_groups }) => security_groups.map((security_group_id) => ({ port_id: id, security_group_id })));
  for (let i = 0; i < rows.length; i += 500) await tx.db.insertInto('port_security_groups').values(rows.slice(i, i + 500)).execute();
}

/** The ports of one network with their MACs, addresses and bindings, not yet stored. */
async function onNetwork(tx: Tx, config: Config, home: Network, wanted: readonly Wanted[], security: ReadonlyMap<string, Security>): Promise<Port[]> {
  const macs = await macsFor(tx, config, home.id, wanted);
  const addresses = await allocateAddresses(tx, home.id, await subnets.list(tx, { filters: { network_id: [home.id] } }), wanted.map(({ id, device_owner, fixed_ips }) => ({ port_id: id, mac_address: macs.get(id)!, device_owner, fixed_ips })));
  const bindings = new Map<string, Binding>();
  const made: Port[] = [];
  for (const one of wanted) {
    const key = `${one['binding:vnic_type']} ${one['binding:host_id']}`;
    if (!bindings.has(key)) bindings.set(key, await bindingFor(tx, config, home, one['binding:host_id'], one['binding:vnic_type']));
    const mac_address = macs.get(one.id)!;
    made.push(newObject(port, tx, one, {
      ...security.get(one.id)!, ...bindings.get(key)!, mac_address, status: one.status ?? 'DOWN', fixed_ips: addresses.get(one.id)! as FixedIp[],
      allowed_address_pairs: addressPairs(one.allowed_address_pairs, mac_address, config.max_allowed_address_pair),
    }));
  }
  return made;
}

type Security = Pick<Port, 'port_security_enabled' | 'security_groups'>;

/** Port security and groups: the network's default and the project's default group where nothing is said. */
async function securityOf(tx: Tx, context: Context, wanted: readonly Wanted[], home: ReadonlyMap<string, Network>): Promise<Map<string, Security>> {
  const result = new Map<string, Security>();
  for (const [project, own] of Map.groupBy(wanted, (one) => one.project_id)) {
    const named = new Set(own.flatMap((one) => one.security_groups ?? []));
    const found = await requireGroups(tx, context, project, [...named]);
    for (const one of own) refuseMixed((one.security_groups ?? []).map((id) => found.get(id)!));
    let standard: string[] | undefined;
    for (const one of own) {
      const enabled = one.port_security_enabled ?? (isNetworkService(one.device_owner) ? false : home.get(one.network_id)!.port_security_enabled || (one.security_groups ?? []).length > 0);
      if (!enabled && (one.security_groups ?? []).length > 0) throw new ApiError('PortSecurityAndIPRequiredForSecurityGroups');
      if (!enabled && one.allowed_address_pairs.length > 0) throw new ApiError('AddressPairAndPortSecurityRequired');
      const byDefault = one.security_groups === undefined && enabled && !isNetworkService(one.device_owner) && project !== '';
      if (byDefault) standard ??= [await ensureDefaultGroup(tx, project)];
      result.set(one.id, { port_security_enabled: enabled, security_groups: byDefault ? standard! : one.security_groups ?? [] });
    }
    if (standard) await requireGroups(tx, context, project, standard);
  }
  return result;
}

async function macsFor(tx: Tx, config: Config, networkId: string, wanted: readonly Wanted[]): Promise<Map<string, string>> {
  const given = wanted.flatMap(({ mac_address }) => mac_address ?? []);
  const inUse = given.length > 0 ? await macsInUse(tx, networkId, given) : new Set<string>();
  const mac = given.find((one, i) => inUse.has(one) || given.indexOf(one) < i);
  if (mac) throw new ApiError('MacAddressInUse', { network_id: networkId, mac });
  const fresh = await newMacs(tx, config, networkId, wanted.length - given.length, new Set(given));
  return new Map(wanted.map(({ id, mac_address }) => [id, mac_address ?? fresh.pop()!]));
}

/** The networks, locked, if `context` may put ports on all of them. What it does not see is 404, so that ids cannot be probed. */
async function lockedNetworks(tx: Tx, context: Context, ids: readonly string[]): Promise<Map<string, Network>> {
  for (const id of [...ids].sort()) await lockNetwork(tx, id);
  const found = new Map((await networks.getMany(tx, ids)).map((one) => [one.id, one]));
  const foreign = ids.filter((id) => !ownsNetwork(context, found.get(id)));
  const shared = await sharedWith(tx, network, foreign, context.project_id);
  for (const id of ids) {
    const home = found.get(id);
    if (!home) throw new ApiError('NetworkNotFound', { id });
    if (ownsNetwork(context, home) || shared.has(id)) continue;
    // Others see an external network for its gateways and floating addresses; ports of theirs have no place on it.
    await requireNetwork(tx, context, id);
    throw new ApiError('PolicyNotAuthorized', { rule: 'create_port' });
  }
  return found;
}

/** What needs no other row, before any is read. */
function checked(one: Wanted, config: Config): Wanted {
  if (one.mac_address !== undefined) checkMac(one.mac_address);
  if (one.fixed_ips) checkFixedIps(one.fixed_ips, isNetworkService(one.device_owner) ? Infinity : config.max_fixed_ips_per_port);
  return { ...one, extra_dhcp_opts: dhcpOptions(one.extra_dhcp_opts), dns_name: dnsName(config, one.dns_name), dns_domain: dnsDomain(one.dns_domain) };
}

/** The defaults that the API fills in, for callers inside. Nobody changes them in place. */
const PORT_DEFAULTS = Object.fromEntries(Object.entries(port.attributes).flatMap(([name, { initial }]) => (typeof initial === 'object' ? [[name, initial.default] as const] : [])));
