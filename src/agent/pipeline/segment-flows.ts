/** A network on the host: how its frames enter br-int, and how they leave it by the uplink (N-OVS-7…11, N-VX-6). */
import { hex, loadNet, uplinkOf } from './base-flows.ts';
import { flowKey, parseFlow } from '#openflow/flow.ts';
import type { HostView, OfPorts } from './host-view.ts';
import { INT, REG_PORT, REG_UPLINK, TUN, TUN_TABLE, ZONE } from './tables.ts';

export interface BridgeLines {
  readonly bridge: string;
  readonly lines: readonly string[];
}

/** The key of a flow that each network has as long as its conntrack zone is in use. */
export const zoneKey = (localVlan: number): string => flowKey(parseFlow(`table=${INT.MULTICAST},priority=10,reg6=${hex(localVlan)},reg7=0 actions=drop`));

const UNTAGGED = 'vlan_tci=0x0000/0x1fff';

/** All that follows from the network itself and from which of its ports are plugged here. */
export function segmentFlows(view: HostView, ofports: OfPorts, networkId: string): BridgeLines[] {
  const segment = view.get('segment', networkId);
  if (!segment) return [];
  const { local_vlan: vlan, network_type: type, segmentation_id: id } = segment;
  const uplink = uplinkOf(view, ofports, networkId);
  const int: string[] = [...floodFlows(view, ofports, networkId, vlan, uplink), ...sharedMacFlows(view, ofports, networkId, vlan)];
  const bridges: BridgeLines[] = [{ bridge: 'br-int', lines: int }];
  if (uplink === undefined) return bridges;

  const accept = (match: string) => `table=${INT.LOCAL_SWITCHING},priority=3,in_port=${uplink},${match}`;
  const enter = `${loadNet(vlan)},load:0x1->${REG_UPLINK},resubmit(,${INT.TRANSIENT})`;
  int.push(`table=${INT.TRANSIENT},priority=90,in_port=${uplink},reg6=${hex(vlan)} actions=resubmit(,${INT.ACCEPT_OR_INGRESS})`);
  if (type in TUN_TABLE) {
    int.push(`${accept(`dl_vlan=${vlan}`)} actions=strip_vlan,${enter}`);
    bridges.push({ bridge: 'br-tun', lines: [`table=${TUN_TABLE[type]},priority=1,tun_id=${hex(id ?? 0)} actions=push_vlan:0x8100,set_field:${vlan + 4096}->vlan_vid,resubmit(,${TUN.LEARN})`] });
    return bridges;
  }
  const physBridge = view.get('physnet', segment.physical_network ?? '')!.bridge;
  const patch = ofports.patch(`phy-${physBridge}`);
  const leave = `table=0,priority=4,in_port=${patch},dl_vlan=${vlan}`;
  if (type === 'vlan') {
    int.push(`${accept(`dl_vlan=${id}`)} actions=strip_vlan,${enter}`);
    if (patch !== undefined) bridges.push({ bridge: physBridge, lines: [`${leave} actions=set_field:${(id ?? 0) + 4096}->vlan_vid,NORMAL`] });
  } else {
    int.push(`${accept(UNTAGGED)} actions=${enter}`);
    if (patch !== undefined) bridges.push({ bridge: physBridge, lines: [`${leave} actions=strip_vlan,NORMAL`] });
  }
  return bridges;
}

/**
 * Who gets frames for everybody. Filtered ports judge each copy by their own rules; frames with an unknown unicast
 * address reach the uplink and the ports without filter only, so that no neighbour can listen in.
 */
function floodFlows(view: HostView, ofports: OfPorts, networkId: string, vlan: number, uplink: number | undefined): string[] {
  const net = `reg6=${hex(vlan)}`;
  const copies: string[] = [];
  const unfiltered: string[] = [];
  for (const port of view.portsOfNetwork(networkId)) {
    const ofport = port.admin_state_up ? ofports.port(port.port_id) : undefined;
    if (ofport === undefined) continue;
    if (port.port_security_enabled) copies.push(`load:${hex(ofport)}->${REG_PORT}`, `resubmit(,${INT.BASE_INGRESS})`);
    else {
      copies.push(`output:${ofport}`);
      if (!port.device_owner.startsWith('network:')) unfiltered.push(`output:${ofport}`);
    }
  }
  const toUplink = uplink === undefined ? [] : [`push_vlan:0x8100`, `set_field:${vlan + 4096}->vlan_vid`, `output:${uplink}`];
  // What has no flow is dropped by its table.
  const to = (match: string, list: readonly string[]): string[] => (list.length > 0 ? [`${match} actions=${list.join(',')}`] : []);
  const fromHere = [...copies, ...toUplink];
  return [
    // It stands with nobody to send to as well: it says that the network's conntrack zone is in use.
    `table=${INT.MULTICAST},priority=10,${net},reg7=0 actions=${fromHere.length > 0 ? fromHere.join(',') : 'drop'}`,
    ...to(`table=${INT.MULTICAST},priority=10,${net},reg7=0x1`, copies),
    ...to(`table=${INT.ACCEPTED_EGRESS},priority=10,${net},reg7=0`, [...unfiltered, ...toUplink]),
    ...to(`table=${INT.ACCEPTED_EGRESS},priority=10,${net},reg7=0x1`, unfiltered),
  ];
}

/**
 * MACs of allowed address pairs: a virtual router's may be used by several ports, here and on other hosts, and nobody
 * says which one has it now. Each port here judges a copy, and one goes on as for an unknown address. A port whose own
 * MAC it is comes first (priority 100): nobody takes a neighbour's frames away by a pair.
 */
function sharedMacFlows(view: HostView, ofports: OfPorts, networkId: string, vlan: number): string[] {
  const copies = new Map<string, string>();
  for (const port of view.portsOfNetwork(networkId)) {
    const ofport = port.admin_state_up && port.port_security_enabled ? ofports.port(port.port_id) : undefined;
    if (ofport === undefined) continue;
    for (const mac of new Set(port.allowed_address_pairs.map((pair) => pair.mac_address))) {
      if (mac !== port.mac_address) copies.set(mac, `${copies.get(mac) ?? ''}load:${hex(ofport)}->${REG_PORT},resubmit(,${INT.BASE_INGRESS}),`);
    }
  }
  return [...copies].flatMap(([mac, actions]) => [
    ...['ip', 'ipv6'].map((family) => `table=${INT.ACCEPT_OR_INGRESS},priority=99,ct_state=+new-est+trk,${family},reg6=${hex(vlan)},dl_dst=${mac} actions=${actions}ct(commit,${ZONE}),resubmit(,${INT.ACCEPTED_EGRESS})`),
    `table=${INT.ACCEPT_OR_INGRESS},priority=98,reg6=${hex(vlan)},dl_dst=${mac} actions=${actions}resubmit(,${INT.ACCEPTED_EGRESS})`,
  ]);
}
