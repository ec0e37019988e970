/** What no host may ever do, whatever it holds: random small hosts on the fake switch, and packets that try. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Item } from '#hoststate/host-state.ts';
import type { PortItem, RuleItem } from '#hoststate/port.ts';
import { flood, forward, mac, member, PEER_A, PEER_B, physnet, port, rule, segment, tunnel, VIRTUAL_MAC } from '#testkit/host-items.ts';
import { ownPacket, packetArbitrary, valuesOf } from '#testkit/packets.ts';
import { SimulatedAgent } from '#testkit/simulated-agent.ts';

/** Networks with the same addresses, each of its own type. */
const NETWORKS = [segment('vx', 1, 'vxlan', 2000), segment('other-vx', 2, 'vxlan', 2001), segment('tagged', 3, 'vlan', 100), segment('flat', 4, 'flat'), segment('alone', 5, 'local')];
const GROUPS = ['g', 'h'];

interface Host {
  readonly items: readonly Item[];
  readonly ports: readonly PortItem[];
}

const ruleArbitrary = (index: number): fc.Arbitrary<RuleItem> => fc.record({
  group: fc.constantFrom(...GROUPS), direction: fc.constantFrom('ingress' as const, 'egress' as const), six: fc.boolean(), protocol: fc.constantFrom(undefined, 1, 6, 17, 47, 58, 132),
  range: fc.constantFrom(undefined, [80, 80] as const, [8001, 8100] as const), remote: fc.constantFrom('', 'prefix', 'g', 'h'),
}).map(({ group, direction, six, protocol, range, remote }) => rule(group, 10 + index, {
  direction, ethertype: six ? 'IPv6' : 'IPv4', ...(protocol === undefined ? {} : { protocol }), ...(range && (protocol === 6 || protocol === 17) ? { range } : {}),
  ...(remote === 'prefix' ? { prefix: six ? 'fd00::/64' : '10.0.0.0/29' } : remote ? { group: remote } : {}),
}));

const portArbitrary = (index: number): fc.Arbitrary<PortItem> => fc.record({
  network: fc.constantFrom(...NETWORKS), secured: fc.boolean(), groups: fc.subarray(GROUPS), pair: fc.constantFrom('', VIRTUAL_MAC, mac(1)), dual: fc.boolean(), dhcp: fc.boolean(),
}).map(({ network, secured, groups, pair, dual, dhcp }) => port(`p${index}`, network.network_id, mac(index + 1), [`10.0.0.${index + 1}`, ...(dual ? [`fd00::${index + 1}`] : [])], secured
  ? { security_groups: groups, allowed_address_pairs: pair ? [{ mac_address: pair, ip_address: '10.0.0.7' }] : [] }
  : { port_security_enabled: false, device_owner: dhcp ? 'network:dhcp' : 'compute:nova' }));

const hostArbitrary: fc.Arbitrary<Host> = fc.record({
  ports: fc.tuple(...Array.from({ length: 6 }, (_, i) => portArbitrary(i))), rules: fc.integer({ min: 0, max: 6 }).chain((n) => fc.tuple(...Array.from({ length: n }, (_, i) => ruleArbitrary(i)))),
}).map(({ ports, rules }) => {
  const members = ports.flatMap((each) => each.security_groups.flatMap((group) => each.ip_addresses.map((address) => member(group, address))));
  const tunnels = [tunnel(PEER_A), tunnel(PEER_B), flood('vx', PEER_A), flood('other-vx', PEER_B), forward('vx', 'far', PEER_A, mac(0x21), ['10.0.0.33'])];
  return { ports, items: [physnet(), ...NETWORKS, ...tunnels, ...ports, ...rules, ...members] };
});

/** Hosts with some packets from one of their ports: honest ones, or any. */
const withPackets = (honest: boolean): fc.Arbitrary<{ host: Host; from: PortItem; packets: readonly string[] }> => hostArbitrary.chain((host) => fc.constantFrom(...host.ports).chain((from) => {
  const values = valuesOf(host.items);
  return fc.array(fc.oneof(honest ? ownPacket(values, from) : packetArbitrary(values), ownPacket(values, from)), { minLength: 5, maxLength: 15 }).map((packets) => ({ host, from, packets }));
}));

/** Ports and uplinks of a network. */
function within(host: Host, networkId: string): Set<string> {
  const uplinks: Readonly<Record<string, string[]>> = { vx: [`vxlan ${PEER_A}`], 'other-vx': [`vxlan ${PEER_B}`], tagged: ['wire'], flat: ['wire'], alone: [] };
  return new Set([...uplinks[networkId]!, ...host.ports.filter((each) => each.network_id === networkId).map((each) => `port ${each.port_id}`)]);
}

test('N-ML2-1: no packet of one network reaches a port of another, or a wire that is not its own', async () => {
  await fc.assert(fc.asyncProperty(withPackets(false), async ({ host, from, packets }) => {
    const agent = await SimulatedAgent.of(host.items);
    const allowed = within(host, from.network_id);
    for (const packet of packets) for (const receiver of agent.sendFrom(from.port_id, packet)) assert.ok(allowed.has(receiver), `${packet} from ${from.network_id} reached ${receiver}`);
    for (const packet of packets.slice(0, 5)) {
      for (const receiver of agent.sendFromTunnel('vxlan', PEER_A, 2000, packet)) assert.ok(within(host, 'vx').has(receiver), `${packet} of VNI 2000 reached ${receiver}`);
      for (const receiver of agent.sendFromTunnel('vxlan', PEER_A, 4000, packet)) assert.fail(`${packet} of an unknown VNI reached ${receiver}`);
      for (const receiver of agent.sendFromWire(`dl_vlan=100,${packet}`)) assert.ok(within(host, 'tagged').has(receiver), `${packet} of VLAN 100 reached ${receiver}`);
      for (const receiver of agent.sendFromWire(packet)) assert.ok(within(host, 'flat').has(receiver), `untagged ${packet} reached ${receiver}`);
      for (const receiver of agent.sendFromWire(`dl_vlan=1,${packet}`)) assert.fail(`${packet} with the local VLAN of vx on the wire reached ${receiver}`);
    }
  }), { numRuns: 100 });
});

test('N-ML2-1: a frame leaves with the id of its own network', async () => {
  await fc.assert(fc.asyncProperty(withPackets(true), async ({ host, from, packets }) => {
    const agent = await SimulatedAgent.of(host.items);
    for (const packet of packets) {
      for (const copy of agent.switch.inject('br-int', `in_port=${agent.ofport(from.port_id)},${packet}`).outputs) {
        const id = { tun: copy.packet['tun_id'] ?? 0n, tci: copy.packet['vlan_tci'] ?? 0n };
        const expected = { vx: { tun: 2000n, tci: 0n }, 'other-vx': { tun: 2001n, tci: 0n }, tagged: { tun: 0n, tci: 0x1064n }, flat: { tun: 0n, tci: 0n }, alone: { tun: 0n, tci: 0n } }[from.network_id];
        assert.deepEqual(id, copy.bridge === 'br-int' ? { tun: 0n, tci: 0n } : expected, `${packet} on ${agent.nameOf(copy)}`);
      }
    }
  }), { numRuns: 50 });
});

/** True when a filtered port may send the packet: MAC, ARP, NA and IP source are its own or a pair's, and it plays no server or router. */
function isHonest(from: PortItem, packet: string): boolean {
  const field = (name: string): string | undefined => new RegExp(`(?:^|,)${name}=([^,]*)`).exec(packet)?.[1];
  const linkLocal = (address: string): string => `fe80::f816:3eff:fe00:${Number.parseInt(address.slice(-2), 16).toString(16)}`;
  const identities = [from.mac_address, ...from.allowed_address_pairs.map((pair) => pair.mac_address)].map((address) => ({
    mac: address,
    ips: [...(address === from.mac_address ? from.ip_addresses : []), ...from.allowed_address_pairs.filter((pair) => pair.mac_address === address).map((pair) => pair.ip_address), ...(address.startsWith('fa:16') ? [linkLocal(address)] : [])],
  }));
  const claims = identities.filter(({ mac: own }) => own === field('dl_src'));
  const mayUse = (ip: string | undefined): boolean => claims.some(({ ips }) => ips.includes(ip!));
  if (claims.length === 0 || packet.startsWith('dl_type')) return false;
  if (packet.startsWith('arp')) return claims.some(({ mac: own }) => own === field('arp_sha')) && (mayUse(field('arp_spa')) || (field('arp_spa') === '0.0.0.0' && field('arp_op') === '1'));
  const [sport, dport] = [field('tp_src'), field('tp_dst')];
  if (packet.startsWith('udp,') && sport === '67' && dport === '68') return false;
  if (packet.startsWith('udp6,') && sport === '547' && dport === '546') return false;
  if (packet.startsWith('udp,') && sport === '68' && dport === '67' && field('nw_src') === '0.0.0.0') return field('dl_src') === from.mac_address;
  const type = field('icmp_type');
  if (packet.startsWith('icmp6') && ['130', '134', '137'].includes(type!)) return false;
  if (packet.startsWith('icmp,') && ['5', '9'].includes(type!)) return false;
  const option = field('nd_sll') ?? field('nd_tll');
  if (option !== undefined && (option !== field('dl_src') || field('ipv6_src') === '::')) return false;
  if (packet.startsWith('icmp6') && type === '136' && !mayUse(field('nd_target'))) return false;
  if (packet.startsWith('icmp6') && field('ipv6_src') === '::' && ['131', '133', '135', '143'].includes(type!)) return true;
  return mayUse(field('nw_src') ?? field('ipv6_src'));
}

test('N-SG-3: a forged source, a DHCP server or a router never leaves a filtered port', async () => {
  const count = { forged: 0, left: 0 };
  await fc.assert(fc.asyncProperty(withPackets(false), async ({ host, from, packets }) => {
    fc.pre(from.port_security_enabled);
    const agent = await SimulatedAgent.of(host.items);
    for (const packet of packets) {
      const receivers = agent.sendFrom(from.port_id, packet);
      if (!isHonest(from, packet)) {
        count.forged++;
        assert.deepEqual(receivers, [], `${packet} from ${JSON.stringify(from)}`);
      } else if (receivers.length > 0) count.left++;
      assert.deepEqual(agent.sendFrom(from.port_id, `dl_vlan=${1 + (count.forged % 5)},${packet}`), [], `tagged ${packet}`);
    }
  }), { numRuns: 150 });
  assert.ok(count.forged > 100 && count.left > 20, JSON.stringify(count));
});

/** What needs a rule, or has none that could admit it: not ARP and neighbour discovery, not what a DHCP server answers. */
function isJudged(packet: string): boolean {
  if (/^arp/.test(packet) || /^icmp6,icmp_type=(130|134|135|136),/.test(packet)) return false;
  return !/^udp,tp_src=67,tp_dst=68,/.test(packet) && !/^udp6,tp_src=547,tp_dst=546,/.test(packet);
}

test('N-SG-1: without an ingress rule no new connection enters a filtered port, by unicast, broadcast or multicast, from here or from a wire', async () => {
  await fc.assert(fc.asyncProperty(withPackets(true), async ({ host, from, packets }) => {
    const closed = host.items.filter((item) => !(item.type === 'rule' && item.direction === 'ingress'));
    const agent = await SimulatedAgent.of(closed);
    const filtered = new Set(host.ports.filter((each) => each.port_security_enabled).map((each) => `port ${each.port_id}`));
    for (const packet of packets.filter(isJudged)) {
      const receivers = [...agent.sendFrom(from.port_id, packet), ...agent.sendFromWire(packet), ...agent.sendFromWire(`dl_vlan=100,${packet}`), ...agent.sendFromTunnel('vxlan', PEER_A, 2000, packet)];
      const entered = receivers.filter((name) => filtered.has(name));
      // The answer of an earlier packet of this run is no new connection.
      agent.switch.conntrack.flush();
      assert.deepEqual(entered, [], packet);
    }
  }), { numRuns: 100 });
});

/** The packet that answers, or undefined. */
function replyTo(packet: string): string | undefined {
  const swap = (text: string, a: string, b: string): string => text.replace(new RegExp(`\\b${a}=`), '§=').replace(new RegExp(`\\b${b}=`), `${a}=`).replace('§=', `${b}=`);
  let reply = packet;
  for (const [a, b] of [['dl_src', 'dl_dst'], ['nw_src', 'nw_dst'], ['ipv6_src', 'ipv6_dst'], ['tp_src', 'tp_dst']] as const) reply = swap(reply, a, b);
  if (/^icmp,icmp_type=8,/.test(packet)) return reply.replace('icmp_type=8', 'icmp_type=0');
  if (/^icmp6,icmp_type=128,/.test(packet)) return reply.replace('icmp_type=128', 'icmp_type=129');
  if (/^(tcp|udp)/.test(packet)) return reply.replace('tcp_flags=0x2', 'tcp_flags=0x12');
  return undefined;
}

test('N-SG-1: what an egress rule lets out is answered, though no ingress rule admits it; and without the question there is no answer', async () => {
  let answered = 0;
  await fc.assert(fc.asyncProperty(withPackets(true), async ({ host, from, packets }) => {
    fc.pre(from.port_security_enabled && from.network_id !== 'alone');
    const items = [...host.items.filter((item) => item.type !== 'rule'), rule('x', 1, { direction: 'egress' }), rule('x', 2, { direction: 'egress', ethertype: 'IPv6' })]
      .map((item): Item => (item === from ? { ...from, security_groups: ['x'] } : item));
    const agent = await SimulatedAgent.of(items);
    const into = (packet: string): string[] => ({
      vx: () => agent.sendFromTunnel('vxlan', PEER_A, 2000, packet), 'other-vx': () => agent.sendFromTunnel('vxlan', PEER_B, 2001, packet),
      tagged: () => agent.sendFromWire(`dl_vlan=100,${packet}`), flat: () => agent.sendFromWire(packet),
    })[from.network_id]!();
    for (const packet of packets.filter((each) => isJudged(each) && isHonest(from, each))) {
      const reply = replyTo(packet);
      // A port that asks itself, from the port it asks, cannot be told from its answer.
      if (reply === undefined || /(?:nw|ipv6)_src=([^,]*),(?:nw|ipv6)_dst=\1,/.test(packet) || /dl_dst=(ff|01|33)/.test(packet) || /tp_(src|dst)=(67|68|546|547)\b/.test(packet)) continue;
      agent.switch.conntrack.flush();
      assert.equal(into(reply).includes(`port ${from.port_id}`), false, `unasked ${reply}`);
      const out = agent.sendFrom(from.port_id, packet);
      const back = into(reply).includes(`port ${from.port_id}`);
      if (out.some((name) => !name.startsWith('port '))) {
        answered++;
        assert.ok(back, `${reply} answers ${packet}, which reached ${out.join(', ')}`);
      }
    }
  }), { numRuns: 60 });
  assert.ok(answered > 5, `only ${answered} were answered`);
});
