/** A port that is plugged here: who it may claim to be, and how frames find it (N-SG-3, N-OVS-5, N-OVS-15). */
import { linkLocalOf } from '#net/ip.ts';
import type { PortItem } from '#hoststate/port.ts';
import type { SegmentItem } from '#hoststate/switching.ts';
import { hex, loadNet, NO_OPTION } from './base-flows.ts';
import type { HostView, OfPorts } from './host-view.ts';
import { logsAccepted } from './log-flows.ts';
import { ruleFlows } from './rule-flows.ts';
import { INT, REG_PORT, ZONE } from './tables.ts';

/** Every flow that stands for this one port on br-int. */
export function portFlows(view: HostView, ofports: OfPorts, portId: string): string[] {
  const port = view.get('port', portId);
  const segment = port && view.get('segment', port.network_id);
  const ofport = ofports.port(portId);
  if (!port || !segment || ofport === undefined || !port.admin_state_up) return [];
  const vlan = segment.local_vlan;
  const begin = `load:${hex(ofport)}->${REG_PORT},${loadNet(vlan)}`;
  // A tagged frame from a guest matches nothing here: no hopping into other VLANs.
  const fromPort = `in_port=${ofport},vlan_tci=0x0000/0x1fff`;
  if (!port.port_security_enabled) {
    return [
      `table=${INT.LOCAL_SWITCHING},priority=9,${fromPort} actions=resubmit(,${INT.TRANSIENT})`,
      `table=${INT.TRANSIENT},priority=100,in_port=${ofport} actions=${begin},resubmit(,${INT.ACCEPT_OR_INGRESS})`,
      `table=${INT.ACCEPTED_EGRESS},priority=20,reg6=${hex(vlan)},dl_dst=${port.mac_address} actions=output:${ofport}`,
    ];
  }
  return [
    `table=${INT.LOCAL_SWITCHING},priority=10,arp,${fromPort} actions=resubmit(,${INT.ARP_SPOOF})`,
    `table=${INT.LOCAL_SWITCHING},priority=10,icmp6,icmp_type=136,${fromPort} actions=resubmit(,${INT.ARP_SPOOF})`,
    `table=${INT.LOCAL_SWITCHING},priority=9,${fromPort} actions=resubmit(,${INT.MAC_SPOOF})`,
    `table=${INT.TRANSIENT},priority=100,in_port=${ofport} actions=${begin},resubmit(,${INT.BASE_EGRESS})`,
    ...identityFlows(port, ofport, vlan),
    ...(port.stateful ? stateFlows(segment, ofport) : statelessFlows(ofport)),
    ...ruleFlows(port.security_groups.flatMap((group) => [...view.rulesOfGroup(group)]), ofport, port.stateful, view.logsOfPort(portId).some(logsAccepted)),
  ];
}

/**
 * What follows from a connection, whatever the rules of now say. A network's ports share its conntrack zone, and TCP is
 * +est before anybody has answered (Open vSwitch 3.1): what comes in as part of a connection counts only for the port that
 * let its first packet in (`ct_mark`, table 92), or else a neighbour could begin one elsewhere and go on here.
 */
function stateFlows(segment: SegmentItem, ofport: number): string[] {
  const port = `reg5=${hex(ofport)}`;
  const errors = (table: number, accepted: number): string => `table=${table},priority=50,ct_state=-new-est+rel-inv+trk,${port} actions=resubmit(,${accepted})`;
  const known = (table: number, accepted: number, state: string): string => `table=${table},priority=60,ct_state=${state}-rel-inv+trk,${port} actions=resubmit(,${accepted})`;
  return [
    errors(INT.RULES_EGRESS, INT.ACCEPT_OR_INGRESS), errors(INT.RULES_INGRESS, INT.ACCEPTED_INGRESS),
    ...(segment.connections_of_removed_rules === 'keep' ? [
      known(INT.RULES_EGRESS, INT.ACCEPT_OR_INGRESS, '+est'), known(INT.RULES_INGRESS, INT.ACCEPTED_INGRESS, '+est+rpl'),
      `table=${INT.RULES_INGRESS},priority=60,ct_state=+est-rpl-rel-inv+trk,ct_mark=${hex(ofport)},${port} actions=resubmit(,${INT.ACCEPTED_INGRESS})`,
    ] : []),
  ];
}

/**
 * Into table 82 without asking conntrack. What a neighbour here has found of its own connection stays on the packet: table
 * 92 commits it. Fragments show neither ports nor type: what might be a DHCP server's or a router's does not leave.
 */
function statelessFlows(ofport: number): string[] {
  const reg = `reg5=${hex(ofport)}`;
  return [
    ...['ip', 'ipv6'].map((family) => `table=${INT.BASE_INGRESS},priority=91,${family},${reg} actions=resubmit(,${INT.RULES_INGRESS})`),
    ...['udp', 'udp6', 'icmp', 'icmp6'].map((protocol) => `table=${INT.BASE_EGRESS},priority=96,${protocol},nw_frag=yes,${reg} actions=resubmit(,${INT.DROPPED})`),
  ];
}

/** Neighbour discovery that a host takes part in: listener reports (131, 132, 143), solicitations of routers and neighbours. */
const DISCOVERY = [131, 132, 133, 143];

/** The addresses that the port may use: what it claims otherwise is dropped. */
function identityFlows(port: PortItem, ofport: number, vlan: number): string[] {
  const reg = `reg5=${hex(ofport)}`;
  // Its own MAC only: who else may use one is the network's affair, for several ports may.
  const lines = [`table=${INT.ACCEPT_OR_INGRESS},priority=100,reg6=${hex(vlan)},dl_dst=${port.mac_address} actions=load:${hex(ofport)}->${REG_PORT},resubmit(,${INT.BASE_INGRESS})`];
  const track = port.stateful ? `ct(table=${INT.RULES_EGRESS},${ZONE})` : `resubmit(,${INT.RULES_EGRESS})`;
  const base = (match: string, accepted = `resubmit(,${INT.ACCEPT_OR_INGRESS})`): string => `table=${INT.BASE_EGRESS},${match} actions=${accepted}`;
  const identities = identitiesOf(port);
  const macs = new Set(identities.map(({ mac }) => mac));
  // Table 25 lets the port's MACs pass and no other: which one it is counts where there are several.
  const sentBy = (mac: string): string => (macs.size > 1 ? `,dl_src=${mac}` : '');
  for (const mac of macs) {
    lines.push(
      `table=${INT.MAC_SPOOF},priority=2,in_port=${ofport},dl_src=${mac} actions=resubmit(,${INT.TRANSIENT})`,
      // An address is asked for before it is used (RFC 5227), without a sender.
      `table=${INT.ARP_SPOOF},priority=2,arp,in_port=${ofport}${sentBy(mac)},arp_sha=${mac},arp_spa=0.0.0.0,arp_op=1 actions=resubmit(,${INT.MAC_SPOOF})`,
    );
  }
  for (const { mac, ip, version } of identities) {
    if (version === 4) {
      lines.push(
        `table=${INT.ARP_SPOOF},priority=2,arp,in_port=${ofport}${sentBy(mac)},arp_sha=${mac},arp_spa=${ip} actions=resubmit(,${INT.MAC_SPOOF})`,
        base(`priority=80,udp,${reg}${sentBy(mac)},nw_src=${ip},tp_src=68,tp_dst=67`),
        base(`priority=65,ip,${reg}${sentBy(mac)},nw_src=${ip}`, track),
      );
      continue;
    }
    // Who advertises or solicits names its own MAC as its link-layer address, or none (OSSA-2016-009).
    for (const option of [mac, NO_OPTION]) {
      lines.push(
        `table=${INT.ARP_SPOOF},priority=2,icmp6,in_port=${ofport},icmp_type=136${sentBy(mac)},nd_target=${ip},nd_tll=${option} actions=resubmit(,${INT.MAC_SPOOF})`,
        base(`priority=95,icmp6,${reg},icmp_type=135${sentBy(mac)},ipv6_src=${ip},nd_sll=${option}`),
      );
    }
    // An advertisement has been checked by table 24.
    for (const type of [...DISCOVERY, 136]) lines.push(base(`priority=95,icmp6,${reg},icmp_type=${type}${sentBy(mac)},ipv6_src=${ip}`));
    lines.push(
      base(`priority=80,udp6,${reg}${sentBy(mac)},ipv6_src=${ip},tp_src=546,tp_dst=547`),
      base(`priority=65,ipv6,${reg}${sentBy(mac)},ipv6_src=${ip}`, track),
    );
  }
  lines.push(base(`priority=80,udp,${reg}${sentBy(port.mac_address)},nw_src=0.0.0.0,tp_src=68,tp_dst=67`));
  return lines;
}

interface Identity {
  readonly mac: string;
  /** An address or a prefix. */
  readonly ip: string;
  readonly version: 4 | 6;
}

/** Fixed addresses, link-local ones and allowed pairs, each once. */
function identitiesOf(port: PortItem): Identity[] {
  const found = new Map<string, Identity>();
  const add = (mac: string, ip: string) => found.set(`${mac} ${ip}`, { mac, ip, version: ip.includes(':') ? 6 : 4 });
  const linkLocal = (mac: string) => add(mac, linkLocalOf(mac));
  linkLocal(port.mac_address);
  for (const ip of port.ip_addresses) add(port.mac_address, ip);
  for (const pair of port.allowed_address_pairs) {
    add(pair.mac_address, pair.ip_address);
    linkLocal(pair.mac_address);
  }
  return [...found.values()];
}
