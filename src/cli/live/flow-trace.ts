/** What `ovs-appctl ofproto/trace` is asked, and where its answer says that the frame leaves. Pure. */
import { readTrace } from '#openflow/trace-output.ts';
import type { Crossing, Gate } from '#trace/crossing.ts';
import { hasPorts, isIcmp, type Packet, TCP, versionOf } from '#trace/packet.ts';
import type { SwitchPort } from './switch-ports.ts';

/** What stands around the switches of a host. */
export interface Surroundings {
  readonly ports: readonly SwitchPort[];
  /** Addresses that hosts tunnel to (`local_ip`), by host. */
  readonly addresses: ReadonlyMap<string, string>;
  /** The bridge that encapsulated frames leave by. */
  readonly underlay: string;
  /** By physical network: its bridge, and that bridge's port to the wire. */
  readonly uplinks: ReadonlyMap<string, { readonly bridge: string; readonly port: string }>;
}

/** The bridge and the flow for a frame of `crossing`; text that says why there is none when what it would come in by is not there. */
export function questionOf({ host, entry, packet }: Crossing, { ports, addresses, uplinks }: Surroundings): { bridge: string; flow: string } | string {
  if ('port_id' in entry) {
    const port = ports.find((one) => one.port_id === entry.port_id);
    return port ? { bridge: port.bridge, flow: flowText(port.ofport, packet) } : `port ${entry.port_id} is not plugged on ${host}`;
  }
  if ('peer' in entry) {
    const remote = addresses.get(entry.peer);
    const port = ports.find((one) => one.type === entry.network_type && one.remote_ip === remote);
    if (!port || remote === undefined) return `${host} has no ${entry.network_type} port to ${entry.peer}`;
    return { bridge: port.bridge, flow: `tun_id=${entry.segmentation_id ?? 0},tun_src=${remote},tun_dst=${addresses.get(host)},${flowText(port.ofport, packet)}` };
  }
  const uplink = uplinks.get(entry.physical_network);
  const port = ports.find((one) => one.bridge === uplink?.bridge && one.name === uplink.port);
  if (!port) return `${host} has no port to ${entry.physical_network}`;
  return { bridge: port.bridge, flow: `${entry.segmentation_id === null ? '' : `dl_vlan=${entry.segmentation_id},`}${flowText(port.ofport, packet)}` };
}

/** Where copies leave, by what `ofproto/trace` printed; copies to a bridge's own device are nobody's. */
export function readEnds(text: string, { entry, packet }: Crossing, { ports, addresses, underlay, uplinks }: Surroundings): Gate[] {
  const tags = 'physical_network' in entry && entry.segmentation_id !== null ? [entry.segmentation_id] : [];
  const byNumber = new Map(ports.flatMap((port) => (port.dpPort === undefined ? [] : [[port.dpPort, port] as const])));
  const nameOf = (dpPort: string): string => (byNumber.get(dpPort)?.bridge === underlay ? `${underlay}:${dpPort}` : dpPort);
  const hosts = new Map([...addresses].map(([host, address]) => [address, host]));
  return readTrace(text, { tags, src: packet.source_mac, dst: packet.destination_mac ?? '', arp: undefined }, nameOf, underlay).outputs.flatMap(({ port: where, frame }): Gate[] => {
    const [network_type = '', remote, key] = where.split(' ');
    if (remote !== undefined) return [{ peer: hosts.get(remote) ?? remote, network_type, segmentation_id: Number(key) }];
    const port = byNumber.get(where);
    if (port?.port_id !== undefined) return [{ port_id: port.port_id }];
    const physical = port && [...uplinks].find(([, uplink]) => uplink.bridge === port.bridge && uplink.port === port.name)?.[0];
    return physical === undefined ? [] : [{ physical_network: physical, segmentation_id: frame.tags[0] ?? null }];
  });
}

function flowText(inPort: number, packet: Packet): string {
  const six = versionOf(packet.source_ip) === 6;
  return [
    `in_port=${inPort}`, `dl_src=${packet.source_mac}`, `dl_dst=${packet.destination_mac}`, ...protocolFields(packet, six),
    six ? `ipv6_src=${packet.source_ip},ipv6_dst=${packet.destination_ip}` : `nw_src=${packet.source_ip},nw_dst=${packet.destination_ip}`, 'nw_ttl=64',
  ].join(',');
}

/** The first packet of a connection: SYN for TCP. Fields by the name of their own protocol: for `ofproto/trace` a `tp_src` is TCP's. */
function protocolFields({ protocol, source_port, destination_port, icmp_type, icmp_code }: Packet, six: boolean): string[] {
  if (isIcmp(protocol)) return six ? ['icmp6', `icmpv6_type=${icmp_type}`, `icmpv6_code=${icmp_code}`] : ['icmp', `icmp_type=${icmp_type}`, `icmp_code=${icmp_code}`];
  if (!hasPorts(protocol)) return [six ? 'ipv6' : 'ip', `nw_proto=${protocol}`];
  const name = { 6: 'tcp', 17: 'udp', 132: 'sctp' }[protocol]!;
  return [six ? `${name}6` : name, `${name}_src=${source_port ?? 0}`, `${name}_dst=${destination_port ?? 0}`, ...(protocol === TCP ? ['tcp_flags=0x2'] : [])];
}
