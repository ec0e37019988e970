/** What must stand in the Open_vSwitch database before any flow makes sense: bridges, patches, tunnel ports. */
import { createHash } from 'node:crypto';
import type { TunnelItem } from '#hoststate/switching.ts';
import { parseIp } from '#net/ip.ts';
import type { Operation } from '#openflow/ovsdb-client.ts';
import { addBridgeOps, addPortOps, delPortOps, setBridgeOps, setInterfaceOps } from '#openflow/vswitch-operations.ts';
import type { Vswitch } from '#openflow/vswitch.ts';

/** Our birth mark on rows. */
export const OWNER = { 'patchbay-owned': 'true' } as const;

export interface BridgePlanInput {
  readonly datapathType: string;
  readonly physicalBridges: readonly string[];
  readonly tunnels: readonly TunnelItem[];
  readonly localIp: string | null;
  /** Tunnel ports that nobody wants go only once the state is complete. */
  readonly sweep: boolean;
}

/** The name of a tunnel port: its type and the endpoint, of IPv4 in hex as Neutron does it (`vxlan-c0a80216`). */
export function tunnelPortName(type: string, remoteIp: string): string {
  const ip = parseIp(remoteIp);
  return `${type}-${ip?.version === 4 ? ip.value.toString(16).padStart(8, '0') : digest(ip?.value ?? 0n)}`;
}

/** A device's name holds no IPv6 address, and peers of several sites may end alike. */
function digest(address: bigint): string {
  return BigInt(`0x${createHash('sha256').update(address.toString(16)).digest('hex')}`).toString(36).slice(0, 8);
}

/** The operations that bring bridges, patches and tunnels to what they shall be; empty when they are. */
export function planBridges(vswitch: Vswitch, input: BridgePlanInput): Operation[] {
  const ops: Operation[] = [];
  for (const name of ['br-int', 'br-tun']) {
    const bridge = vswitch.find('Bridge', name);
    if (!bridge) ops.push(...addBridgeOps({ name, datapath_type: input.datapathType, fail_mode: 'secure', external_ids: OWNER, other_config: { 'mac-table-size': '50000' } }));
    else if (bridge.fail_mode !== 'secure') ops.push(...setBridgeOps(name, { fail_mode: 'secure' }));
  }
  ops.push(...patchPair(vswitch, 'br-int', 'patch-tun', 'br-tun', 'patch-int'));
  for (const bridge of input.physicalBridges) {
    if (!vswitch.find('Bridge', bridge)) continue;
    ops.push(...patchPair(vswitch, 'br-int', `int-${bridge}`, bridge, `phy-${bridge}`));
  }
  return [...ops, ...planTunnels(vswitch, input)];
}

function planTunnels(vswitch: Vswitch, { tunnels, localIp, sweep }: BridgePlanInput): Operation[] {
  const ops: Operation[] = [];
  const wanted = new Set<string>();
  for (const tunnel of localIp ? tunnels : []) {
    const name = tunnelPortName(tunnel.network_type, tunnel.remote_ip);
    wanted.add(name);
    const options = { local_ip: localIp!, remote_ip: tunnel.remote_ip, key: 'flow' };
    const current = vswitch.find('Interface', name);
    if (!current) ops.push(...addPortOps({ bridge: 'br-tun', name, type: tunnel.network_type, options, external_ids: OWNER }));
    else if (current.options['local_ip'] !== localIp || current.options['remote_ip'] !== tunnel.remote_ip) ops.push(...setInterfaceOps(name, { options }));
  }
  for (const row of sweep ? vswitch.rows('Interface').values() : []) {
    if (row.external_ids['patchbay-owned'] !== 'true' || !row.options['remote_ip'] || wanted.has(row.name)) continue;
    const port = vswitch.find('Port', row.name);
    if (port) ops.push(...delPortOps(port));
  }
  return ops;
}

function patchPair(vswitch: Vswitch, bridgeA: string, nameA: string, bridgeB: string, nameB: string): Operation[] {
  const side = (bridge: string, name: string, peer: string): Operation[] =>
    vswitch.find('Interface', name) ? [] : addPortOps({ bridge, name, type: 'patch', options: { peer }, external_ids: OWNER });
  return [...side(bridgeA, nameA, nameB), ...side(bridgeB, nameB, nameA)];
}
