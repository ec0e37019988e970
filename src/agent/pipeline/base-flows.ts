/** Flows that every host has, whatever it holds: the frame of the tables. */
import type { HostView, OfPorts } from './host-view.ts';
import { DEAD_VLAN, INT, REG_NET, REG_PORT, TUN, TUN_TABLE, ZONE } from './tables.ts';

/** A neighbour message without a link-layer address option, as Open vSwitch shows it. */
export const NO_OPTION = '00:00:00:00:00:00';

/** br-int without anything plugged. */
export function intBridgeBase(): string[] {
  const lines = [
    `table=${INT.LOCAL_SWITCHING},priority=65535,dl_vlan=${DEAD_VLAN} actions=drop`,
    `table=${INT.LOCAL_SWITCHING},priority=0 actions=drop`,
    `table=${INT.CANARY},priority=0 actions=drop`,
    `table=${INT.ARP_SPOOF},priority=0 actions=drop`,
    `table=${INT.MAC_SPOOF},priority=0 actions=drop`,
    `table=${INT.TRANSIENT},priority=0 actions=drop`,
    `table=${INT.MULTICAST},priority=0 actions=drop`,
    `table=${INT.BASE_EGRESS},priority=0 actions=resubmit(,${INT.DROPPED})`,
    `table=${INT.ACCEPT_OR_INGRESS},priority=110,dl_dst=01:00:00:00:00:00/01:00:00:00:00:00 actions=resubmit(,${INT.MULTICAST})`,
    `table=${INT.ACCEPT_OR_INGRESS},priority=80 actions=resubmit(,${INT.ACCEPTED_EGRESS})`,
    `table=${INT.BASE_INGRESS},priority=100,arp actions=resubmit(,${INT.ACCEPTED_INGRESS})`,
    `table=${INT.BASE_INGRESS},priority=95,udp,tp_src=67,tp_dst=68 actions=resubmit(,${INT.ACCEPTED_INGRESS})`,
    `table=${INT.BASE_INGRESS},priority=95,udp6,tp_src=547,tp_dst=546 actions=resubmit(,${INT.ACCEPTED_INGRESS})`,
    // A neighbour's conntrack has found it already.
    `table=${INT.BASE_INGRESS},priority=80,ct_state=+trk actions=resubmit(,${INT.RULES_INGRESS})`,
    `table=${INT.BASE_INGRESS},priority=0 actions=resubmit(,${INT.DROPPED})`,
    `table=${INT.ACCEPTED_INGRESS},priority=0 actions=output:NXM_NX_REG5[]`,
    `table=${INT.DROPPED},priority=0 actions=drop`,
    `table=${INT.ACCEPTED_EGRESS},priority=0 actions=drop`,
  ];
  lines.push(...anyFilteredPort());
  // Neighbour discovery and router advertisements come in unasked; who may send them is decided at their source.
  for (const type of [130, 134, 135, 136]) lines.push(`table=${INT.BASE_INGRESS},priority=100,icmp6,icmp_type=${type} actions=resubmit(,${INT.ACCEPTED_INGRESS})`);
  for (const family of ['ip', 'ipv6']) {
    lines.push(
      `table=${INT.ACCEPT_OR_INGRESS},priority=90,ct_state=+new-est+trk,${family} actions=ct(commit,${ZONE}),resubmit(,${INT.ACCEPTED_EGRESS})`,
      `table=${INT.BASE_INGRESS},priority=90,ct_state=-trk,${family} actions=ct(table=${INT.RULES_INGRESS},${ZONE})`,
      `table=${INT.ACCEPTED_INGRESS},priority=90,ct_state=+new-est+trk,${family} actions=ct(commit,${ZONE},exec(move:${REG_PORT}->NXM_NX_CT_MARK[])),output:NXM_NX_REG5[]`,
    );
  }
  // What the rules do not admit; none admits what conntrack finds invalid.
  for (const table of [INT.RULES_EGRESS, INT.RULES_INGRESS]) {
    // Errors are never so long that they need fragments, whose type nobody sees.
    for (const family of ['ip', 'ipv6']) lines.push(`table=${table},priority=90,ct_state=+rel+trk,${family},nw_frag=yes actions=resubmit(,${INT.DROPPED})`);
    lines.push(`table=${table},priority=0 actions=resubmit(,${INT.DROPPED})`);
  }
  // A DHCP server's answer in fragments shows its ports to conntrack only (table 71 drops it whole).
  for (const [udp, server, client] of [['udp', 67, 68], ['udp6', 547, 546]]) {
    lines.push(`table=${INT.RULES_EGRESS},priority=90,ct_state=-inv+trk,${udp},nw_frag=yes,ct_nw_proto=17,ct_tp_src=${server},ct_tp_dst=${client} actions=resubmit(,${INT.DROPPED})`);
  }
  return lines;
}

/** What every filtered port may send, and what none may, whoever it says it is: a guest is no DHCP server and no router (N-SG-3), and forges no discovery. */
function anyFilteredPort(): string[] {
  const may = (priority: number, match: string): string => `table=${INT.BASE_EGRESS},priority=${priority},${match} actions=resubmit(,${INT.ACCEPT_OR_INGRESS})`;
  const never = (priority: number, match: string): string => `table=${INT.BASE_EGRESS},priority=${priority},${match} actions=resubmit(,${INT.DROPPED})`;
  return [
    never(96, 'udp,tp_src=67,tp_dst=68'),
    never(96, 'udp6,tp_src=547,tp_dst=546'),
    // Redirects and router advertisements of both families.
    ...[5, 9].map((type) => never(96, `icmp,icmp_type=${type}`)),
    ...[134, 137].map((type) => never(96, `icmp6,icmp_type=${type}`)),
    // Table 24 has checked it.
    may(95, 'arp'),
    // While an address is tentative its solicitations and reports come from the unspecified address (RFC 4862, RFC 3590, RFC 3810) and name no MAC.
    ...[131, 133, 143].map((type) => may(95, `icmp6,icmp_type=${type},ipv6_src=::`)),
    may(95, `icmp6,icmp_type=135,ipv6_src=::,nd_sll=${NO_OPTION}`),
    // Queries, and solicitations that name another MAC, must not come as far as a rule for all of ICMPv6.
    ...[130, 135].map((type) => never(94, `icmp6,icmp_type=${type}`)),
  ];
}

/** br-tun without peers: drops everything (N-VX-2). */
export function tunBridgeBase(ofports: OfPorts): string[] {
  const patchInt = ofports.patch('patch-int');
  const lines = [
    `table=${TUN.CLASSIFIER},priority=0 actions=drop`,
    `table=${TUN.FROM_INT},priority=1,arp,dl_dst=ff:ff:ff:ff:ff:ff actions=resubmit(,${TUN.ARP_RESPONDER})`,
    `table=${TUN.FROM_INT},priority=0,dl_dst=00:00:00:00:00:00/01:00:00:00:00:00 actions=resubmit(,${TUN.UNICAST})`,
    `table=${TUN.FROM_INT},priority=0,dl_dst=01:00:00:00:00:00/01:00:00:00:00:00 actions=resubmit(,${TUN.FLOOD})`,
    ...Object.values(TUN_TABLE).map((table) => `table=${table},priority=0 actions=drop`),
    `table=${TUN.UNICAST},priority=0 actions=resubmit(,${TUN.FLOOD})`,
    `table=${TUN.ARP_RESPONDER},priority=0 actions=resubmit(,${TUN.FLOOD})`,
    `table=${TUN.FLOOD},priority=0 actions=drop`,
  ];
  if (patchInt !== undefined) {
    lines.push(
      `table=${TUN.CLASSIFIER},priority=1,in_port=${patchInt} actions=resubmit(,${TUN.FROM_INT})`,
      // A virtual address may move between guests without our knowing: what a peer sends teaches where its MAC is.
      `table=${TUN.LEARN},priority=1 actions=learn(table=${TUN.UNICAST},hard_timeout=300,priority=1,cookie=0x506174636862614c,NXM_OF_VLAN_TCI[0..11],NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],load:0->NXM_OF_VLAN_TCI[],load:NXM_NX_TUN_ID[]->NXM_NX_TUN_ID[],output:NXM_OF_IN_PORT[]),output:${patchInt}`,
    );
  }
  return lines;
}

/** A tunnel port on br-tun: its frames are translated by the table of its type. */
export function tunnelFlows(type: string, ofport: number | undefined): string[] {
  return ofport === undefined ? [] : [`table=${TUN.CLASSIFIER},priority=1,in_port=${ofport} actions=resubmit(,${TUN_TABLE[type]})`];
}

/** A physical bridge: what comes from br-int needs a flow of its network, the rest is an ordinary switch. */
export function physBridgeBase(bridge: string, ofports: OfPorts): string[] {
  const patch = ofports.patch(`phy-${bridge}`);
  return [
    'table=0,priority=0 actions=NORMAL',
    ...(patch === undefined ? [] : [`table=0,priority=2,in_port=${patch} actions=drop`]),
  ];
}

/** On br-int: nothing of the physical network enters that no network here wants (N-OVS-11). */
export function physPatchFlows(bridge: string, ofports: OfPorts): string[] {
  const patch = ofports.patch(`int-${bridge}`);
  return patch === undefined ? [] : [`table=${INT.LOCAL_SWITCHING},priority=2,in_port=${patch} actions=drop`];
}

/** The uplink of a network on br-int: the patch to br-tun or to its physical bridge; undefined for local networks. */
export function uplinkOf(view: HostView, ofports: OfPorts, networkId: string): number | undefined {
  const segment = view.get('segment', networkId);
  if (!segment) return undefined;
  if (segment.network_type in TUN_TABLE) return ofports.patch('patch-tun');
  const physnet = segment.physical_network ? view.get('physnet', segment.physical_network) : undefined;
  return physnet && ofports.patch(`int-${physnet.bridge}`);
}

/** Loads of the network register, for the tables that begin with a VLAN. */
export const loadNet = (localVlan: number): string => `load:${hex(localVlan)}->${REG_NET}`;
export const hex = (value: number): string => `0x${value.toString(16)}`;
