/** A port that is plugged here: who it may claim to be, and how frames find it (N-SG-3, N-OVS-5, N-OVS-15). */
import { eui64, formatIp, parseIp } from '#net/ip.ts';
import type { PortItem } from '#hoststate/port.ts';
import { hex, loadNet } from './base-flows.ts';
import type { HostView, OfPorts } from './host-view.ts';
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
    ...ruleFlows(port.security_groups.flatMap((group) => [...view.rulesOfGroup(group)]), ofport),
  ];
}

/** The addresses that the port may use: what it claims otherwise is dropped. */
function identityFlows(port: PortItem, ofport: number, vlan: number): string[] {
  const reg = `reg5=${hex(ofport)}`;
  // Its own MAC only: who else may use one is the network's affair, for several ports may.
  const lines = [`table=${INT.ACCEPT_OR_INGRESS},priority=100,reg6=${hex(vlan)},dl_dst=${port.mac_address} actions=load:${hex(ofport)}->${REG_PORT},resubmit(,${INT.BASE_INGRESS})`];
  const identities = identitiesOf(port);
  const macs = new Set(identities.map((identity) => identity.mac));
  for (const mac of macs) {
    lines.push(
      `table=${INT.MAC_SPOOF},priority=2,in_port=${ofport},dl_src=${mac} actions=resubmit(,${INT.TRANSIENT})`,
      // A probe for a double address carries no sender address (RFC 5227), so there is none to forge.
      `table=${INT.ARP_SPOOF},priority=2,arp,in_port=${ofport},dl_src=${mac},arp_op=1,arp_spa=0.0.0.0,arp_sha=${mac} actions=resubmit(,${INT.MAC_SPOOF})`,
    );
  }
  for (const { mac, ip, version } of identities) {
    if (version === 4) {
      lines.push(
        `table=${INT.ARP_SPOOF},priority=2,arp,in_port=${ofport},dl_src=${mac},arp_spa=${ip},arp_sha=${mac} actions=resubmit(,${INT.MAC_SPOOF})`,
        `table=${INT.BASE_EGRESS},priority=65,ct_state=-trk,ip,${reg},dl_src=${mac},nw_src=${ip} actions=ct(table=${INT.RULES_EGRESS},${ZONE})`,
      );
      continue;
    }
    lines.push(
      `table=${INT.ARP_SPOOF},priority=2,icmp6,in_port=${ofport},icmp_type=136,dl_src=${mac},nd_target=${ip} actions=resubmit(,${INT.MAC_SPOOF})`,
      `table=${INT.BASE_EGRESS},priority=65,ct_state=-trk,ipv6,${reg},dl_src=${mac},ipv6_src=${ip} actions=ct(table=${INT.RULES_EGRESS},${ZONE})`,
    );
    // Listener reports, router and neighbour solicitations, and advertisements that table 24 has checked.
    for (const type of [131, 132, 133, 135, 136, 143]) {
      lines.push(`table=${INT.BASE_EGRESS},priority=95,icmp6,${reg},icmp_type=${type},dl_src=${mac},ipv6_src=${ip} actions=resubmit(,${INT.ACCEPT_OR_INGRESS})`);
    }
  }
  lines.push(
    `table=${INT.BASE_EGRESS},priority=95,arp,${reg} actions=resubmit(,${INT.ACCEPT_OR_INGRESS})`,
    `table=${INT.BASE_EGRESS},priority=80,udp,${reg},tp_src=68,tp_dst=67 actions=resubmit(,${INT.ACCEPT_OR_INGRESS})`,
    `table=${INT.BASE_EGRESS},priority=80,udp6,${reg},tp_src=546,tp_dst=547 actions=resubmit(,${INT.ACCEPT_OR_INGRESS})`,
    // A guest is no DHCP server and no router (N-SG-3).
    `table=${INT.BASE_EGRESS},priority=96,udp,${reg},tp_src=67,tp_dst=68 actions=resubmit(,${INT.DROPPED})`,
    `table=${INT.BASE_EGRESS},priority=96,udp6,${reg},tp_src=547,tp_dst=546 actions=resubmit(,${INT.DROPPED})`,
    `table=${INT.BASE_EGRESS},priority=96,icmp6,${reg},icmp_type=134 actions=resubmit(,${INT.DROPPED})`,
  );
  // While an address is tentative its solicitations and reports come from the unspecified address (RFC 4862, RFC 3810).
  for (const type of [133, 135, 143]) lines.push(`table=${INT.BASE_EGRESS},priority=95,icmp6,${reg},icmp_type=${type},ipv6_src=:: actions=resubmit(,${INT.ACCEPT_OR_INGRESS})`);
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
  const linkLocal = (mac: string) => add(mac, formatIp(eui64(parseIp('fe80::')!, mac)));
  linkLocal(port.mac_address);
  for (const ip of port.ip_addresses) add(port.mac_address, ip);
  for (const pair of port.allowed_address_pairs) {
    add(pair.mac_address, pair.ip_address);
    linkLocal(pair.mac_address);
  }
  return [...found.values()];
}
