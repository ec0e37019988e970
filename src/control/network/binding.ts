/**
 * Binding a port to a host: what the host's agent can carry decides `binding:vif_type`, and the network gets its local
 * VLAN there. A port that cannot be bound fails alone, with its reason on it (DESIGN law 4).
 */
import type { Config } from '#model/config.ts';
import { type Network, type Port, port } from '#model/networks.ts';
import { Table } from '#store/table.ts';
import type { Tx } from '#store/store.ts';
import { aliveSince } from './agents.ts';
import { hostNumber } from './host-numbers.ts';

const ports = new Table(port);
const TUNNEL_TYPES = ['vxlan', 'gre', 'geneve'];

/** What a port's binding consists of. */
export type Binding = Pick<Port, 'binding:host_id' | 'binding:vif_type' | 'binding:vif_details' | 'status_reason'>;

export const UNBOUND: Binding = { 'binding:host_id': '', 'binding:vif_type': 'unbound', 'binding:vif_details': {}, status_reason: null };

/** The binding of a port of `network` to `host`; '' is no host. Allocates the network's local VLAN there. */
export async function bindingFor(tx: Tx, config: Config, network: Network, host: string, vnicType: Port['binding:vnic_type']): Promise<Binding> {
  if (host === '') return UNBOUND;
  const failed = (reason: string): Binding => ({ 'binding:host_id': host, 'binding:vif_type': 'binding_failed', 'binding:vif_details': {}, status_reason: reason });
  if (vnicType !== 'normal') return failed(`host ${host} has no mechanism for vnic_type ${vnicType}`);
  const agent = await tx.db.selectFrom('agents').select(['heartbeat_timestamp', 'configurations']).where('host', '=', host).where('agent_type', '=', 'Open vSwitch agent').executeTakeFirst();
  if (!agent) return failed(`host ${host} has no Open vSwitch agent`);
  if (agent['heartbeat_timestamp'] < aliveSince(config)) return failed(`the Open vSwitch agent of host ${host} is down`);
  const configurations: Record<string, any> = JSON.parse(agent['configurations'] ?? '{}');
  const unreachable = segmentProblem(network, host, configurations);
  if (unreachable) return failed(unreachable);
  if ((await hostNumber(tx, host, 'local_vlan', network.id)) === undefined) return failed(`host ${host} has no free local VLAN for network ${network.id}`);
  return {
    'binding:host_id': host,
    'binding:vif_type': 'ovs',
    'binding:vif_details': {
      port_filter: true, connectivity: 'l2', bridge_name: configurations['integration_bridge'] ?? 'br-int',
      datapath_type: configurations['datapath_type'] ?? 'system', ovs_hybrid_plug: false,
    },
    status_reason: null,
  };
}

/** Binds an existing port to `host`, also again after a failure; it is DOWN until the host says otherwise. */
export async function bindPort(tx: Tx, config: Config, network: Network, current: Port, host: string): Promise<Port> {
  const binding = await bindingFor(tx, config, network, host, current['binding:vnic_type']);
  return ports.update(tx, current, { ...binding, status: 'DOWN' });
}

/** Takes a port off its host. The local VLAN is freed later, by the host's acknowledgement (`freeHostNumber`). */
export async function unbindPort(tx: Tx, current: Port): Promise<Port> {
  return ports.update(tx, current, { ...UNBOUND, status: 'DOWN' });
}

/**
 * What a host or the provisioning of a port reports; nothing is written when it says what is known, when there is no such
 * port, or when it is not bound to `host` any more.
 */
export async function setPortStatus(tx: Tx, portId: string, status: 'ACTIVE' | 'DOWN' | 'BUILD', reason: string | null = null, host?: string): Promise<void> {
  const current = await ports.get(tx, portId);
  if (host !== undefined && (current?.['binding:host_id'] !== host || current['binding:vif_type'] !== 'ovs')) return;
  if (!current || (current.status === status && current.status_reason === reason)) return;
  await ports.update(tx, current, { status, status_reason: reason });
}

/** Why the host cannot carry the network's segment, by what its agent says of itself. */
export function segmentProblem(network: Network, host: string, configurations: Record<string, any>): string | undefined {
  const type = network['provider:network_type'];
  const physnet = network['provider:physical_network'];
  if ((type === 'flat' || type === 'vlan') && !Object.hasOwn(configurations['bridge_mappings'] ?? {}, physnet ?? '')) return `host ${host} has no bridge for physical network ${physnet}`;
  if (type && TUNNEL_TYPES.includes(type) && !(configurations['tunnel_types'] ?? []).includes(type)) return `host ${host} makes no ${type} tunnels`;
  return undefined;
}
