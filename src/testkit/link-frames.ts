/**
 * Frames that port security and the base tables judge before any rule is asked: neighbour discovery, listener reports, router
 * advertisements, DHCP, ARP, tags and foreign ethertypes, each from the sender's own addresses and from others. All carry a token.
 */
import { ipBytes, linkLocalOf, parseIp } from '#net/ip.ts';
import { arp, BROADCAST, ethernet, fragments, icmp, icmpv6, tagged, udp } from './frames.ts';
import { macBytes } from '#net/mac.ts';
import type { BuiltEndpoint } from './topology-build.ts';

export interface LinkFrame {
  readonly title: string;
  /** The neighbour that it goes to, if it is for one only. */
  readonly to?: string;
  /** Several: one packet in fragments. */
  frame(token: Buffer): Buffer | readonly Buffer[];
}

const ALL_NODES = { mac: '33:33:00:00:00:01', ip: 'ff02::1' };
const FRAGMENT = 1304;
const FOREIGN_MAC = '02:50:42:66:66:66';
/** Listener query, report and done, router and neighbour messages, redirect, listener report of version 2, and one that nobody may send unasked. */
const TYPES = [130, 131, 132, 133, 134, 135, 136, 137, 143, 1];
/** Neighbour messages and their link-layer address options (RFC 4861). */
const SOLICITATION = { type: 135, option: 1 };
const ADVERTISEMENT = { type: 136, option: 2 };
const DHCP_PORTS = { 4: [[68, 67], [67, 68], [68, 53], [67, 53], [5000, 67], [5000, 68], [68, 66], [67, 69]], 6: [[546, 547], [547, 546], [546, 53], [547, 53], [5000, 547], [5000, 546], [546, 546], [547, 547]] } as const;

/** What `endpoint` sends to everybody on its network, and to each of `neighbours`; also in their name and that of `others`. */
export function linkFrames({ part, mac, addresses, pair }: BuiltEndpoint, neighbours: readonly BuiltEndpoint[], others: readonly BuiltEndpoint[]): LinkFrame[] {
  const own4 = addresses.find((address) => !address.includes(':'))!;
  const own6 = addresses.find((address) => address.includes(':'));
  const frames: LinkFrame[] = [];
  const add = (title: string, frame: LinkFrame['frame'], to?: string): void => void frames.push({ title, frame, ...(to !== undefined && { to }) });

  const arpFrom = (op: 'request' | 'reply', source: string, sha: string, spa: string): void => add(`arp ${op} of ${source}: ${spa} is at ${sha}`, (token) => withTail(arp(BROADCAST, source, { op, sha, spa, tpa: '169.254.255.254' }), 42, token));
  for (const op of ['request', 'reply'] as const) {
    for (const spa of [own4, neighbouring(own4), '0.0.0.0', '0.0.0.1', ...(pair ? [pair.ip, neighbouring(pair.ip)] : [])]) arpFrom(op, mac, mac, spa);
    arpFrom(op, FOREIGN_MAC, mac, own4);
    arpFrom(op, mac, FOREIGN_MAC, own4);
    arpFrom(op, mac, FOREIGN_MAC, '0.0.0.0');
    arpFrom(op, FOREIGN_MAC, mac, '0.0.0.0');
    if (pair && pair.mac !== mac) for (const spa of [own4, pair.ip, '0.0.0.0']) arpFrom(op, pair.mac, pair.mac, spa);
  }

  const macs = [mac, FOREIGN_MAC, ...(pair && pair.mac !== mac ? [pair.mac] : [])];
  for (const source of macs) {
    const sources = [linkLocalOf(mac), neighbouring(linkLocalOf(mac)), '::', '::1', ...(own6 ? [own6, neighbouring(own6)] : []), ...(source === pair?.mac ? [linkLocalOf(source), neighbouring(linkLocalOf(source))] : pair ? [linkLocalOf(pair.mac)] : [])];
    for (const from of new Set(sources)) {
      for (const type of TYPES) {
        const targets = type === 136 && from !== '::' && from !== '::1' ? [from, neighbouring(from)] : [from === '::' ? linkLocalOf(mac) : from];
        for (const target of targets) add(`icmpv6 ${type} of ${source} from ${from}${type === 136 ? ` for ${target}` : ''}`, (token) => icmpv6(ALL_NODES.mac, source, from, ALL_NODES.ip, type, Buffer.concat([Buffer.alloc(4), addressBytes(target), nonce(token)])));
      }
    }
  }
  const own = [linkLocalOf(mac), ...(own6 ? [own6] : [])];
  const identities = [{ source: mac, addresses: own }, ...(pair && pair.mac !== mac ? [{ source: pair.mac, addresses: [linkLocalOf(pair.mac)] }] : [])];
  for (const { source, addresses } of identities) {
    const claims = addresses.flatMap((address) => [address, neighbouring(address)]);
    for (const from of claims) {
      for (const { type, option } of [SOLICITATION, ADVERTISEMENT]) {
        for (const target of claims) {
          for (const said of [source, FOREIGN_MAC]) {
            add(`icmpv6 ${type} of ${source} from ${from} for ${target} at ${said}`, (token) => icmpv6(ALL_NODES.mac, source, from, ALL_NODES.ip, type, Buffer.concat([Buffer.alloc(4), addressBytes(target), Buffer.from([option, 1]), Buffer.from(macBytes(said)), nonce(token)])));
          }
        }
      }
    }
  }
  for (const from of own) {
    for (const said of [mac, FOREIGN_MAC]) add(`icmpv6 133 of ${mac} from ${from} at ${said}`, (token) => icmpv6(ALL_NODES.mac, mac, from, ALL_NODES.ip, 133, Buffer.concat([Buffer.alloc(4), Buffer.from([1, 1]), Buffer.from(macBytes(said)), nonce(token)])));
  }
  // Redirects, router advertisements (RFC 1256), and what any host may send.
  for (const type of [5, 9, 13]) add(`icmp ${type} of ${mac} to all`, (token) => icmp(BROADCAST, mac, own4, '255.255.255.255', type, 0, Buffer.concat([Buffer.alloc(4), token])));
  for (const source of macs) {
    for (const from of [own4, neighbouring(own4), ...(pair ? [pair.ip, neighbouring(pair.ip)] : [])]) add(`udp 68 > 67 of ${source} from ${from} to all`, (data) => udp(BROADCAST, source, { from, to: '255.255.255.255', sport: 68, dport: 67, data }));
    for (const from of [neighbouring(linkLocalOf(mac)), ...(own6 ? [own6] : [])]) add(`udp6 546 > 547 of ${source} from ${from} to all`, (data) => udp('33:33:00:01:00:02', source, { from, to: 'ff02::1:2', sport: 546, dport: 547, data }));
    for (const [sport, dport] of DHCP_PORTS[4]) add(`udp ${sport} > ${dport} of ${source} to all`, (data) => udp(BROADCAST, source, { from: sport === 68 ? '0.0.0.0' : own4, to: '255.255.255.255', sport, dport, data }));
    for (const [sport, dport] of DHCP_PORTS[6]) add(`udp6 ${sport} > ${dport} of ${source} to all`, (data) => udp('33:33:00:01:00:02', source, { from: linkLocalOf(mac), to: 'ff02::1:2', sport, dport, data }));
  }
  /** All is the other's but the MAC of the frame; and all is its own but that. */
  const inNameOf = (other: BuiltEndpoint): void => {
    for (const op of ['request', 'reply'] as const) arpFrom(op, mac, other.mac, other.addresses[0]!);
    arpFrom('request', mac, other.mac, '0.0.0.0');
    // From a port that may send it, it would teach switches a wrong way.
    if (part.groups !== null) arpFrom('reply', other.mac, mac, own4);
    const linkLocal = linkLocalOf(other.mac);
    for (const from of [linkLocal, ...other.addresses.filter((address) => address.includes(':'))]) {
      const message = (title: string, type: number, source: string, option: readonly number[]): void => add(`icmpv6 ${type} of ${mac} ${title} ${from}`, (token) => icmpv6(ALL_NODES.mac, mac, source, ALL_NODES.ip, type, Buffer.concat([Buffer.alloc(4), addressBytes(from), Buffer.from(option), nonce(token)])));
      for (const type of [131, 132, 136, 143]) message('as', type, from, []);
      for (const option of [[], [1, 1, ...macBytes(other.mac)]]) message(`as ${option.length > 0 ? `${other.mac} and` : 'nobody at'}`, 135, from, option);
      for (const option of [[], [2, 1, ...macBytes(other.mac)]]) message(`for ${option.length > 0 ? `${other.mac} and` : 'nobody at'}`, 136, linkLocalOf(mac), option);
      add(`udp6 546 > 547 of ${mac} as ${from} to all`, (data) => udp('33:33:00:01:00:02', mac, { from, to: 'ff02::1:2', sport: 546, dport: 547, data }));
      add(`udp6 5000 > 53 of ${mac} as ${from} to all`, (data) => udp(ALL_NODES.mac, mac, { from, to: ALL_NODES.ip, sport: 5000, dport: 53, data }));
    }
    for (const from of [other.addresses[0]!, ...(other.pair ? [other.pair.ip] : [])]) {
      for (const [sport, dport] of [[68, 67], [5000, 53]] as const) add(`udp ${sport} > ${dport} of ${mac} as ${from} to all`, (data) => udp(BROADCAST, mac, { from, to: '255.255.255.255', sport, dport, data }));
    }
  };
  for (const neighbour of neighbours) {
    const toIt = (title: string, frame: LinkFrame['frame']): void => add(title, frame, neighbour.name);
    const to4 = neighbour.addresses[0]!;
    // What a tunnel bridge answers by itself goes to no peer.
    add(`arp request of ${mac} asking for ${neighbour.name}`, (token) => withTail(arp(BROADCAST, mac, { op: 'request', sha: mac, spa: own4, tpa: to4 }), 42, token));
    // Nobody asks in a reply: what answers requests must not answer it.
    add(`arp reply of ${mac} asking for ${neighbour.name}`, (token) => withTail(arp(BROADCAST, mac, { op: 'reply', sha: mac, spa: own4, tpa: to4 }), 42, token));
    for (const [sport, dport] of DHCP_PORTS[4]) toIt(`udp ${sport} > ${dport} to ${neighbour.name}`, (data) => udp(neighbour.mac, mac, { from: own4, to: to4, sport, dport, data }));
    for (const [sport, dport] of DHCP_PORTS[6]) toIt(`udp6 ${sport} > ${dport} to ${neighbour.name}`, (data) => udp(neighbour.mac, mac, { from: linkLocalOf(mac), to: linkLocalOf(neighbour.mac), sport, dport, data }));
    for (const from of [linkLocalOf(mac), neighbouring(linkLocalOf(mac))]) toIt(`udp6 of ${from} to ${neighbour.name}`, (data) => udp(neighbour.mac, mac, { from, to: linkLocalOf(neighbour.mac), sport: 5000, dport: 5000, data }));
    for (const [sport, dport] of [[67, 68], [5000, 53]] as const) toIt(`udp ${sport} > ${dport} in fragments to ${neighbour.name}`, (token) => inFragments(udp(neighbour.mac, mac, { from: own4, to: to4, sport, dport, data: long(token) })));
    toIt(`udp6 547 > 546 in fragments to ${neighbour.name}`, (token) => inFragments(udp(neighbour.mac, mac, { from: linkLocalOf(mac), to: linkLocalOf(neighbour.mac), sport: 547, dport: 546, data: long(token) })));
    // To an address that is not quite its own: what a match too wide lets pass.
    toIt(`udp 5000 > 53 to ${neighbour.name} for the address beside it`, (data) => udp(neighbour.mac, mac, { from: own4, to: neighbouring(to4), sport: 5000, dport: 53, data }));
    const to6 = neighbour.addresses.find((address) => address.includes(':'));
    if (own6 && to6) toIt(`udp6 5000 > 53 to ${neighbour.name} for the address beside it`, (data) => udp(neighbour.mac, mac, { from: own6, to: neighbouring(to6), sport: 5000, dport: 53, data }));
    toIt(`ethertype 88b5 to ${neighbour.name}`, (token) => ethernet(neighbour.mac, mac, 0x88b5, token));
    for (const vlan of [1, 2, 3]) toIt(`vlan ${vlan} to ${neighbour.name}`, (data) => tagged(vlan, udp(neighbour.mac, mac, { from: own4, to: to4, sport: 5000, dport: 5000, data })));
  }
  for (const other of [...neighbours, ...others]) inNameOf(other);
  for (const vlan of [1, 2, 3]) {
    add(`vlan ${vlan} arp to all`, (token) => tagged(vlan, withTail(arp(BROADCAST, mac, { op: 'request', sha: mac, spa: own4, tpa: '169.254.255.254' }), 42, token)));
    add(`vlan ${vlan} icmpv6 136 to all`, (token) => tagged(vlan, icmpv6(ALL_NODES.mac, mac, linkLocalOf(mac), ALL_NODES.ip, 136, Buffer.concat([Buffer.alloc(4), addressBytes(linkLocalOf(mac)), nonce(token)]))));
  }
  add('ethertype 88b5 to all', (token) => ethernet(BROADCAST, mac, 0x88b5, token));
  return frames;
}

/** The address whose lowest bit differs: the nearest one that a match too wide lets pass. */
export function neighbouring(address: string): string {
  const at = Math.max(address.lastIndexOf(':'), address.lastIndexOf('.')) + 1;
  const radix = address.includes(':') ? 16 : 10;
  return address.slice(0, at) + (Number.parseInt(address.slice(at) || '0', radix) ^ 1).toString(radix);
}

/** More than one fragment holds: Open vSwitch takes no first one below 1,200 bytes, below 1,280 with IPv6. */
function long(token: Buffer): Buffer {
  return Buffer.concat([token, Buffer.alloc(FRAGMENT)]);
}

function inFragments(frame: Buffer): Buffer[] {
  return fragments(frame, frame.readUInt16BE(frame.length - FRAGMENT - 2), [{ at: 0, length: FRAGMENT }, { at: FRAGMENT, length: 200 }]);
}

/** The token as an option (RFC 3971 §5.3.2): a switch forgets target and addresses of a message with bytes behind it that are none. */
function nonce(token: Buffer): Buffer {
  const option = Buffer.alloc(16);
  option.set([14, 2]);
  token.copy(option, 2);
  return option;
}

function withTail(frame: Buffer, at: number, token: Buffer): Buffer {
  const out = Buffer.from(frame);
  token.copy(out, at);
  return out;
}

function addressBytes(address: string): Buffer {
  return Buffer.from(ipBytes(parseIp(address)!));
}
