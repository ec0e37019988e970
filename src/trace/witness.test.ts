/** The tracer against the pipeline: random small clouds of two hosts on fake switches, and packets between their ports. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type HostState, type Item, keyOf } from '#hoststate/host-state.ts';
import type { PortItem, RuleItem } from '#hoststate/port.ts';
import { flood, forward, mac, member, PEER_A, PEER_B, physnet, port, rule, segment, tunnel, VIRTUAL_MAC } from '#testkit/host-items.ts';
import { SimulatedAgent } from '#testkit/simulated-agent.ts';
import { answerTo, isMulticast, type Packet } from './packet.ts';
import { printTrace } from './print.ts';
import type { Probe } from './probe.ts';
import { wayTo } from './step.ts';
import type { Topology } from './topology.ts';
import { type Trace, trace } from './trace.ts';

const NETWORKS = [segment('vx', 1, 'vxlan', 2000), segment('tagged', 2, 'vlan', 100), segment('flat', 3, 'flat'), segment('alone', 4, 'local')];
const HOSTS = ['h1', 'h2'] as const;
type HostName = (typeof HOSTS)[number];
const ENDPOINT = { h1: PEER_A, h2: PEER_B };
const OTHER: Record<HostName, HostName> = { h1: 'h2', h2: 'h1' };
const GROUPS = ['g', 'h', 'stateless'];
const SET = 'address-group';

interface Cloud {
  readonly ports: readonly (PortItem & { readonly host: HostName })[];
  readonly rules: readonly RuleItem[];
}

const ruleArbitrary = (index: number): fc.Arbitrary<RuleItem> => fc.record({
  group: fc.constantFrom(...GROUPS), direction: fc.constantFrom('ingress' as const, 'egress' as const), six: fc.boolean(), protocol: fc.constantFrom(undefined, undefined, 1, 6, 17, 47, 132),
  range: fc.constantFrom(undefined, [80, 80] as const, [79, 81] as const, [81, 40_000] as const), remote: fc.constantFrom('', '', 'prefix', 'host', ...GROUPS, SET), type: fc.constantFrom(undefined, 8),
}).map(({ group, direction, six, protocol, range, remote, type }) => {
  const number = protocol === 1 && six ? 58 : protocol;
  const ported = protocol === 6 || protocol === 17 || protocol === 132;
  const made = rule(group, 10 + index, {
    direction, ethertype: six ? 'IPv6' : 'IPv4', ...(number !== undefined && { protocol: number }), ...(ported && range && { range }), ...(protocol === 1 && type && { range: [six ? 128 : 8] as const }),
    ...(remote === 'prefix' ? { prefix: six ? 'fd00::/126' : '10.0.0.0/30' } : remote === 'host' ? { prefix: six ? 'fd00::2/128' : '10.0.0.2/32' } : remote && remote !== SET ? { group: remote } : {}),
  });
  return remote === SET ? { ...made, remote_address_group_id: SET } : made;
});

/** Most groups let their members out, as Neutron's do. */
const EGRESS = GROUPS.flatMap((group, i) => [rule(group, 100 + 2 * i, { direction: 'egress' }), rule(group, 101 + 2 * i, { direction: 'egress', ethertype: 'IPv6' })]);

const portArbitrary = (index: number): fc.Arbitrary<Cloud['ports'][number]> => fc.record({
  host: fc.constantFrom(...HOSTS), network: fc.constantFrom(...NETWORKS, NETWORKS[0]!, NETWORKS[0]!, NETWORKS[0]!), secured: fc.constantFrom(true, true, true, false), groups: fc.subarray(['g', 'h'], { minLength: 1 }), stateless: fc.constantFrom(false, false, true), up: fc.constantFrom(true, true, true, true, false),
  pair: fc.constantFrom('', '', VIRTUAL_MAC, 'own'), dual: fc.boolean(), dhcp: fc.boolean(),
}).map(({ host, network, secured, groups, stateless, up, pair, dual, dhcp }) => ({
  host, ...port(`p${index}`, network.network_id, mac(index + 1), [`10.0.0.${index + 1}`, ...(dual ? [`fd00::${index + 1}`] : [])], secured
    ? { admin_state_up: up, stateful: !stateless, security_groups: stateless ? ['stateless'] : groups, allowed_address_pairs: pair ? [{ mac_address: pair === 'own' ? mac(index + 1) : pair, ip_address: '10.0.0.64/26' }] : [] }
    : { admin_state_up: up, port_security_enabled: false, device_owner: dhcp && index === 0 ? 'network:dhcp' : 'compute:nova' }),
}));

const cloudArbitrary: fc.Arbitrary<Cloud> = fc.record({
  ports: fc.tuple(...Array.from({ length: 6 }, (_, i) => portArbitrary(i))), rules: fc.tuple(fc.subarray(EGRESS, { minLength: 3 }), fc.integer({ min: 0, max: 9 }).chain((n) => fc.tuple(...Array.from({ length: n }, (_, i) => ruleArbitrary(i))))).map(([out, others]) => [...out, ...others]),
});
const probeArbitrary = ({ ports }: Cloud): fc.Arbitrary<Probe> => fc.constantFrom(...ports).chain((from) => fc.record({
  from: fc.constant(from), to: fc.constantFrom(...ports.filter((each) => each.network_id === from.network_id)), six: fc.boolean(), protocol: fc.constantFrom(1, 6, 17, 47, 132), destination_port: fc.constantFrom(79, 80, 81, 82, 67), source_port: fc.constantFrom(40_000, 68, 80),
  everybody: fc.constantFrom('', '', '', '', '', '255.255.255.255', '10.0.0.255', '224.0.0.18', 'ff02::1'),
  spoofed: fc.constantFrom({}, {}, {}, {}, { source_ip: '10.0.0.66' }, { source_ip: '10.0.0.200' }, { source_mac: VIRTUAL_MAC }, { source_mac: mac(0x77) }),
})).map(({ from, to, six, protocol, everybody, spoofed, ...ends }) => ({
  from: { port_id: from.port_id }, protocol, ...ends, ...(Object.keys(spoofed).length > 0 && !(everybody ? everybody.includes(':') : six) && { spoofed }),
  destination_ip: everybody || (to.ip_addresses.find((address) => address.includes(':') === six) ?? to.ip_addresses[0]!),
}));

function statesOf({ ports, rules }: Cloud): Map<HostName, HostState> {
  const members = ports.flatMap((each) => each.security_groups.flatMap((group) => [...each.ip_addresses, ...each.allowed_address_pairs.map((pair) => pair.ip_address)].map((address) => member(group, address))));
  return new Map(HOSTS.map((host) => {
    const peer = ENDPOINT[OTHER[host]];
    const far = ports.filter((each) => each.host !== host && each.network_id === 'vx').map((each) => forward('vx', each.port_id, peer, each.mac_address, each.ip_addresses));
    const here = ports.filter((each) => each.host === host).map(({ host: _, ...each }): PortItem => each);
    const dhcp = here.filter((each) => each.device_owner === 'network:dhcp').map((each) => ({ type: 'dhcp-server', network_id: each.network_id, port_id: each.port_id, subnets: [] }) as unknown as Item);
    const items: Item[] = [physnet(), ...NETWORKS, { ...tunnel(peer), host: OTHER[host] }, flood('vx', peer), ...far, ...here, ...dhcp, ...rules, ...members, member(SET, '10.0.0.4'), member(SET, 'fd00::/125')];
    return [host, new Map(items.map((item) => [keyOf(item), item]))];
  }));
}

/** Everybody on one link, without a way out. */
const SUBNETS = [{ cidr: '10.0.0.0/24', gateway_ip: null, host_routes: [] }, { cidr: 'fd00::/64', gateway_ip: null, host_routes: [] }];

/** The hosts' switches, joined by a tunnel and a wire. */
class Fabric {
  readonly #agents: Record<HostName, SimulatedAgent>;

  private constructor(agents: Record<HostName, SimulatedAgent>) {
    this.#agents = agents;
  }

  static async of(states: ReadonlyMap<HostName, HostState>): Promise<Fabric> {
    const [h1, h2] = await Promise.all(HOSTS.map((host) => SimulatedAgent.of([...states.get(host)!.values()])));
    return new Fabric({ h1: h1!, h2: h2! });
  }

  /** Connections end. */
  forget(): void {
    for (const host of HOSTS) this.#agents[host].switch.conntrack.flush();
  }

  /** Ports that get a copy, as `h1 p3`. */
  send(host: HostName, from: PortItem, packet: string): string[] {
    return this.#agents[host].sendFrom(from.port_id, packet).flatMap((name) => {
      if (name.startsWith('port ')) return [`${host} ${name.slice(5)}`];
      const far = this.#agents[OTHER[host]];
      const copies = name === 'wire' ? far.sendFromWire(from.network_id === 'tagged' ? `dl_vlan=100,${packet}` : packet) : far.sendFromTunnel('vxlan', ENDPOINT[host], 2000, packet);
      return copies.filter((copy) => copy.startsWith('port ')).map((copy) => `${OTHER[host]} ${copy.slice(5)}`);
    }).sort();
  }
}

/** In the words of `ofproto/trace`. */
function frameText(packet: Packet, answer = false): string {
  const six = packet.source_ip.includes(':');
  const names: Readonly<Record<number, string>> = { 1: 'icmp', 58: 'icmp6', 6: six ? 'tcp6' : 'tcp', 17: six ? 'udp6' : 'udp', 132: six ? 'sctp6' : 'sctp' };
  const head = names[packet.protocol] ?? `${six ? 'ipv6' : 'ip'},nw_proto=${packet.protocol}`;
  const ends = packet.icmp_type !== null ? `,icmp_type=${packet.icmp_type},icmp_code=${packet.icmp_code}` : packet.source_port !== null ? `,tp_src=${packet.source_port},tp_dst=${packet.destination_port}${packet.protocol === 6 ? `,tcp_flags=${answer ? '0x12' : '0x2'}` : ''}` : '';
  const [source, destination] = six ? ['ipv6_src', 'ipv6_dst'] : ['nw_src', 'nw_dst'];
  return `${head}${ends},${source}=${packet.source_ip},${destination}=${packet.destination_ip},nw_ttl=64,dl_src=${packet.source_mac},dl_dst=${packet.destination_mac}`;
}

const receivers = ({ deliveries }: Trace): string[] => deliveries.filter((end) => end.to !== 'outside').map((end) => `${end.host} ${end.port_id}`).sort();

test('the tracer says of each packet exactly who gets it, copies included, and whether it is answered', async () => {
  const seen = { delivered: 0, dropped: 0, answered: 0, unanswered: 0, flooded: 0 };
  await fc.assert(fc.asyncProperty(cloudArbitrary.chain((cloud) => fc.array(probeArbitrary(cloud), { minLength: 12, maxLength: 12 }).map((probes) => ({ cloud, probes }))), async ({ cloud, probes }) => {
    const states = statesOf(cloud);
    const topology: Topology = { states, subnetsOf: () => SUBNETS, nameOf: () => undefined };
    const fabric = await Fabric.of(states);
    for (const probe of probes) {
      const found = trace(topology, probe);
      const first = found.path[0]!;
      // Nobody answers for the address, several might, or the guest is not there to ask.
      if (first.type !== 'port' || first.packet.destination_mac === null) continue;
      const from = cloud.ports.find((each) => 'port_id' in probe.from && each.port_id === probe.from.port_id)!;
      fabric.forget();
      assert.deepEqual(receivers(found), fabric.send(from.host, from, frameText(first.packet)), `${JSON.stringify(probe)}\n${printTrace(found)}`);
      // Nobody answers for everybody.
      if (isMulticast(first.packet)) {
        seen.flooded++;
        continue;
      }
      if (found.verdict === 'drop') {
        seen.dropped++;
        continue;
      }
      seen.delivered++;
      const arrived = found.deliveries.find((end) => end.addressed)!;
      if (wayTo(found.path, arrived).length === 0 || arrived.to === 'outside' || probe.spoofed) continue;
      const receiver = cloud.ports.find((each) => each.port_id === arrived.port_id)!;
      const answer = { ...answerTo(arrived.packet), source_mac: receiver.mac_address, destination_mac: arrived.packet.source_mac };
      const back = fabric.send(receiver.host, receiver, frameText(answer, true));
      assert.deepEqual(receivers(found.reply!), back, `answer to ${JSON.stringify(probe)}\n${printTrace(found)}`);
      seen[back.includes(`${from.host} ${from.port_id}`) ? 'answered' : 'unanswered']++;
    }
  }), { numRuns: 150 });
  assert.ok(seen.delivered > 20 && seen.dropped > 20 && seen.answered > 20 && seen.unanswered > 0 && seen.flooded > 20, JSON.stringify(seen));
});
