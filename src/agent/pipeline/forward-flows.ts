/** Peers on br-tun: where to flood, where a MAC is, and answers to ARP (N-VX-3, N-VX-4, N-VX-9). */
import { macBytes } from '#net/mac.ts';
import { parseIp } from '#net/ip.ts';
import { hex } from './base-flows.ts';
import type { HostView, OfPorts } from './host-view.ts';
import { TUN } from './tables.ts';

/** One flow for the whole network: a copy to each peer that has ports of it. */
export function networkFloodFlows(view: HostView, ofports: OfPorts, networkId: string): string[] {
  const segment = view.get('segment', networkId);
  if (!segment) return [];
  const outputs = view.floodsOfNetwork(networkId).map((peer) => ofports.tunnel(peer.network_type, peer.remote_ip)).filter((ofport) => ofport !== undefined);
  if (outputs.length === 0) return [];
  return [`table=${TUN.FLOOD},priority=1,dl_vlan=${segment.local_vlan} actions=strip_vlan,set_tunnel:${hex(segment.segmentation_id ?? 0)},${outputs.map((ofport) => `output:${ofport}`).join(',')}`];
}

/** A port on another host. */
export function forwardFlows(view: HostView, ofports: OfPorts, networkId: string, portId: string): string[] {
  const item = view.get('forward', networkId, portId);
  const segment = view.get('segment', networkId);
  const ofport = item && ofports.tunnel(item.network_type, item.remote_ip);
  if (!item || !segment || ofport === undefined) return [];
  const vlan = `dl_vlan=${segment.local_vlan}`;
  const lines = [`table=${TUN.UNICAST},priority=2,${vlan},dl_dst=${item.mac_address} actions=strip_vlan,set_tunnel:${hex(segment.segmentation_id ?? 0)},output:${ofport}`];
  for (const address of item.ip_addresses) {
    const ip = parseIp(address);
    if (ip?.version !== 4) continue;
    const mac = `0x${Buffer.from(macBytes(item.mac_address)).toString('hex')}`;
    lines.push(
      `table=${TUN.ARP_RESPONDER},priority=1,arp,arp_op=1,${vlan},arp_tpa=${address} actions=move:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[],set_field:${item.mac_address}->eth_src,load:0x2->NXM_OF_ARP_OP[],move:NXM_NX_ARP_SHA[]->NXM_NX_ARP_THA[],move:NXM_OF_ARP_SPA[]->NXM_OF_ARP_TPA[],load:${mac}->NXM_NX_ARP_SHA[],load:0x${ip.value.toString(16)}->NXM_OF_ARP_SPA[],IN_PORT`,
    );
  }
  return lines;
}
