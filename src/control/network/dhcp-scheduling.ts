/**
 * Which hosts serve DHCP on a network, each by a port of its own that takes the first free address (N-DH-1…3, N-DH-12).
 * Written in the transaction that makes the subnet, so that no instance's port is there before.
 */
import { createHash } from 'node:crypto';
import type { Config } from '#model/config.ts';
import { type Network, type Port, port, type Subnet, subnet } from '#model/networks.ts';
import type { Reader, Tx } from '#store/store.ts';
import { Table } from '#store/table.ts';
import type { Context } from '../http/context.ts';
import { isAutoAddress, lockNetwork } from './ipam.ts';
import { createPorts } from './port-create.ts';
import { deletePorts, updatePort } from './port-update.ts';

const subnets = new Table(subnet);
const ports = new Table(port);

/** The network's own services ask as nobody's project, with an admin's rights. */
export const SERVICE_CONTEXT: Context = {
  request_id: '', user_id: '', user_name: '', project_id: null, project_name: null, project_domain_id: null, user_domain_id: '', roles: ['admin', 'service'],
  is_admin: true, is_reader: false,
};

/** RFC 4122 appendix C: the name space of host names. */
const NAMESPACE_DNS = Buffer.from('6ba7b8109dad11d180b400c04fd430c8', 'hex');

/** True for a subnet that needs a DHCP server; SLAAC needs none, and IPv6 without an address mode has none. */
export function needsDhcp(one: Pick<Subnet, 'enable_dhcp' | 'ip_version' | 'ipv6_address_mode'>): boolean {
  return one.enable_dhcp && (one.ip_version === 4 || one.ipv6_address_mode === 'dhcpv6-stateful' || one.ipv6_address_mode === 'dhcpv6-stateless');
}

/**
 * Brings a network's DHCP ports to what its subnets need: `dhcp_agents_per_network` of them, on the hosts of `hosts`
 * (alive ones) that serve the fewest networks, each with an address on every subnet that needs DHCP; none when no
 * subnet does. Called after every change of the network's subnets, and when a host appears. Without a host there is
 * none yet. A server on a host that is not in `hosts` stays: a missed heartbeat must not move it.
 */
export async function ensureDhcp(tx: Tx, config: Config, network: Network, hosts: readonly string[]): Promise<void> {
  await lockNetwork(tx, network.id);
  const all = await subnets.list(tx, { filters: { network_id: [network.id] } });
  const wanted = all.filter(needsDhcp);
  if (wanted.length === 0) return removeDhcp(tx, network.id);
  const serving = await tx.db.selectFrom('network_dhcp_bindings').select(['host', 'port_id']).where('network_id', '=', network.id).execute();
  const fixed_ips = wanted.map((one) => ({ subnet_id: one.id }));
  const implied = new Set(all.filter(isAutoAddress).map((one) => one.id));
  for (const current of await ports.getMany(tx, serving.map(({ port_id }) => port_id))) await servePort(tx, config, current, fixed_ips, implied);
  const missing = config.dhcp_agents_per_network - serving.length;
  if (missing <= 0) return;
  const busy = new Set(serving.map(({ host }) => host));
  for (const host of (await leastUsed(tx, hosts.filter((one) => !busy.has(one)))).slice(0, missing)) await serveOn(tx, config, network, host, fixed_ips);
}

/** An admin adds a server of the network, on `host`, beside those that it has; false when the host serves it already. Without a subnet that needs DHCP it waits for one, without an address. */
export async function addDhcpServer(tx: Tx, config: Config, network: Network, host: string): Promise<boolean> {
  await lockNetwork(tx, network.id);
  const serving = await tx.db.selectFrom('network_dhcp_bindings').select('host').where('network_id', '=', network.id).where('host', '=', host).executeTakeFirst();
  if (serving) return false;
  const wanted = (await subnets.list(tx, { filters: { network_id: [network.id] } })).filter(needsDhcp);
  await serveOn(tx, config, network, host, wanted.map((one) => ({ subnet_id: one.id })));
  return true;
}

/** An admin takes the network's server off `host`; nobody takes its place before the network's subnets change. False when there is none. */
export async function removeDhcpServer(tx: Tx, networkId: string, host: string): Promise<boolean> {
  await lockNetwork(tx, networkId);
  const serving = await tx.db.selectFrom('network_dhcp_bindings').select('port_id').where('network_id', '=', networkId).where('host', '=', host).executeTakeFirst();
  if (serving) await deletePorts(tx, await ports.getMany(tx, [serving.port_id]));
  return serving !== undefined;
}

/** The networks that need DHCP and have fewer servers than they should, or one that could not be bound. */
export async function networksWithoutDhcp(reader: Reader, config: Config): Promise<string[]> {
  const waiting = new Set((await subnets.list(reader, { filters: { enable_dhcp: [true] } })).filter(needsDhcp).map((one) => one.network_id));
  const served = await reader.db.selectFrom('network_dhcp_bindings').innerJoin('ports', 'ports.id', 'network_dhcp_bindings.port_id')
    .select((e) => ['network_dhcp_bindings.network_id', e.fn.countAll<number>().as('n')]).where('ports.binding_vif_type', '=', 'ovs').groupBy('network_dhcp_bindings.network_id').execute();
  for (const { network_id, n } of served) if (Number(n) >= config.dhcp_agents_per_network) waiting.delete(network_id);
  return [...waiting];
}

/** Deletes a network's DHCP ports: before the network is deleted, or when no subnet needs them. */
export async function removeDhcp(tx: Tx, networkId: string): Promise<void> {
  const serving = await tx.db.selectFrom('network_dhcp_bindings').select('port_id').where('network_id', '=', networkId).execute();
  if (serving.length > 0) await deletePorts(tx, await ports.getMany(tx, serving.map(({ port_id }) => port_id)));
}

/** Neutron's id of a DHCP server: which host for which network. */
export function dhcpDeviceId(host: string, networkId: string): string {
  return `dhcp${uuid5(host.split('.')[0]!)}-${networkId}`;
}

async function serveOn(tx: Tx, config: Config, network: Network, host: string, fixed_ips: { subnet_id: string }[]): Promise<void> {
  const [made] = await createPorts(tx, config, SERVICE_CONTEXT, [{
    network_id: network.id, project_id: network.project_id, device_owner: 'network:dhcp', device_id: dhcpDeviceId(host, network.id),
    port_security_enabled: false, security_groups: [], fixed_ips, 'binding:host_id': host,
  }], { quota: false });
  await tx.db.insertInto('network_dhcp_bindings').values({ network_id: network.id, host, port_id: made!.id }).execute();
  tx.record('network_dhcp_bindings', `${network.id}/${host}`, 'create');
}

/** An address on each subnet and no other; nothing is written when it is so. */
async function servePort(tx: Tx, config: Config, current: Port, fixed_ips: { subnet_id: string }[], implied: ReadonlySet<string>): Promise<void> {
  const held = new Set(current.fixed_ips.map((ip) => ip.subnet_id!));
  const same = fixed_ips.every((ip) => held.has(ip.subnet_id)) && [...held].every((id) => implied.has(id) || fixed_ips.some((ip) => ip.subnet_id === id));
  const failed = current['binding:vif_type'] === 'binding_failed';
  if (same && !failed) return;
  await updatePort(tx, config, SERVICE_CONTEXT, current, { ...(same ? {} : { fixed_ips }), ...(failed ? { 'binding:host_id': current['binding:host_id'] } : {}) });
}

async function leastUsed(tx: Tx, hosts: readonly string[]): Promise<string[]> {
  if (hosts.length === 0) return [];
  const rows = await tx.db.selectFrom('network_dhcp_bindings').select((e) => ['host', e.fn.countAll<number>().as('n')]).where('host', 'in', hosts).groupBy('host').execute();
  const load = new Map(rows.map(({ host, n }) => [host, Number(n)]));
  return [...hosts].sort((a, b) => (load.get(a) ?? 0) - (load.get(b) ?? 0) || (a < b ? -1 : 1));
}

/** RFC 4122 §4.3, version 5. */
function uuid5(name: string): string {
  const bytes = createHash('sha1').update(NAMESPACE_DNS).update(name).digest().subarray(0, 16);
  bytes[6] = (bytes[6]! & 0x0f) | 0x50;
  bytes[8] = (bytes[8]! & 0x3f) | 0x80;
  return bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}
