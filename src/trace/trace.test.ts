import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type HostState, type Item, keyOf } from '#hoststate/host-state.ts';
import type { FloatingIpItem, RouterItem, RouterPortItem } from '#hoststate/router.ts';
import { flood, forward, member, openPort, physnet, port, rule, segment, tunnel } from '#testkit/host-items.ts';
import { printTrace } from './print.ts';
import type { Probe } from './probe.ts';
import type { Topology } from './topology.ts';
import { trace } from './trace.ts';

const MAC = (n: number) => `fa:16:3e:00:00:0${n}`;
const state = (...items: Item[]): HostState => new Map(items.map((item) => [keyOf(item), item]));
const SUBNETS: Record<string, Topology['subnetsOf'] extends (id: string) => infer R ? R : never> = {
  red: [{ cidr: '10.0.0.0/24', gateway_ip: '10.0.0.1', host_routes: [] }],
  ext: [{ cidr: '172.16.0.0/24', gateway_ip: '172.16.0.1', host_routes: [] }],
};
const topology = (states: Record<string, HostState>): Topology => ({ states: new Map(Object.entries(states)), subnetsOf: (id) => SUBNETS[id] ?? [], nameOf: (_kind, id) => (id === 'g' ? 'web' : undefined) });

const egress = rule('g', 1, { direction: 'egress' });
const ssh = rule('g', 2, { protocol: 6, range: [22, 22], prefix: '10.0.0.0/24' });
const a = port('a', 'red', MAC(1), ['10.0.0.3'], { security_groups: ['g'] });
const b = port('b', 'red', MAC(2), ['10.0.0.4'], { security_groups: ['g'] });
/** a on h1 and b on h2, on one VXLAN network. */
const twoHosts = (...rules: Item[]) => topology({
  h1: state(segment('red', 1, 'vxlan', 7), tunnel('192.0.2.2'), { ...tunnel('192.0.2.2'), host: 'h2' }, flood('red', '192.0.2.2'), forward('red', 'b', '192.0.2.2', MAC(2), ['10.0.0.4']), a, egress, ...rules),
  h2: state(segment('red', 3, 'vxlan', 7), { ...tunnel('192.0.2.1'), host: 'h1' }, flood('red', '192.0.2.1'), forward('red', 'a', '192.0.2.1', MAC(1), ['10.0.0.3']), b, egress, ...rules),
});
const tcp = (from: string, destination_ip: string, destination_port: number, more: Partial<Probe> = {}): Probe => ({ from: { port_id: from }, destination_ip, protocol: 6, destination_port, ...more });

test('across hosts: the rule that admits it, the tunnel, and the answer that needs no rule', () => {
  assert.equal(printTrace(trace(twoHosts(ssh), tcp('a', '10.0.0.4', 22))), `
h1          port      port a sends it to its neighbour: tcp 10.0.0.3:40000 -> 10.0.0.4:22
h1          filter    egress rule r1 of security group web (g) admits it: egress any protocol to anywhere
h1          tunnel    vxlan tunnel 7 from h1 to h2 (192.0.2.2)
h2          switch    br-int of h2 sends it to port b
h2          filter    ingress rule r2 of security group web (g) admits it: ingress tcp/22 from 10.0.0.0/24
h2          deliver   delivered to port b: tcp 10.0.0.3:40000 -> 10.0.0.4:22
verdict: deliver

answer:
h2          port      port b sends it to its neighbour: tcp 10.0.0.4:22 -> 10.0.0.3:40000
h2          conntrack port b knows the connection: its answers pass by ingress rule r2 of security group web (g): ingress tcp/22 from 10.0.0.0/24
h2          tunnel    vxlan tunnel 7 from h2 to h1 (192.0.2.1)
h1          switch    br-int of h1 sends it to port a
h1          conntrack port a knows the connection: its answers pass by egress rule r1 of security group web (g): egress any protocol to anywhere
h1          deliver   delivered to port a: tcp 10.0.0.4:22 -> 10.0.0.3:40000
verdict: deliver`.trim());
});

test('no rule admits it: the nearest one, and the command that makes the missing one', () => {
  const { verdict, drops } = trace(twoHosts(ssh), tcp('a', '10.0.0.4', 80));
  assert.equal(verdict, 'drop');
  assert.deepEqual(drops.map(({ host, reason, text, repair }) => ({ host, reason, text, repair })), [{
    host: 'h2', reason: 'security-group',
    text: 'no ingress rule of security group web (g) admits tcp/80 from 10.0.0.3; the nearest is ingress tcp/22 from 10.0.0.0/24 (rule r2): the port differs',
    repair: ['openstack security group rule create --ingress --protocol tcp --dst-port 80 --remote-ip 10.0.0.3/32 g'],
  }]);
});

test('what port security drops: a foreign address, a foreign MAC, an allowed pair not', () => {
  const drops = (probe: Probe, cloud = twoHosts(ssh)) => trace(cloud, probe).drops.map(({ reason }) => reason);
  assert.deepEqual(drops(tcp('a', '10.0.0.4', 22, { spoofed: { source_ip: '10.0.0.9' } })), ['port-security']);
  assert.deepEqual(drops(tcp('a', '10.0.0.4', 22, { spoofed: { source_mac: MAC(9) } })), ['port-security']);
  const paired = { ...a, allowed_address_pairs: [{ mac_address: MAC(1), ip_address: '10.0.0.8/29' }] };
  const cloud = topology({ h1: state(segment('red', 1, 'local'), paired, b, egress, ssh) });
  assert.deepEqual(drops(tcp('a', '10.0.0.4', 22, { spoofed: { source_ip: '10.0.0.9' } }), cloud), []);
});

test('members of a remote group and of an address group, by address and by prefix', () => {
  const remote = (set: string, ...members: Item[]) => trace(twoHosts(rule('g', 5, { group: set }), ...members), tcp('a', '10.0.0.4', 80)).verdict;
  assert.equal(remote('g', member('g', '10.0.0.3')), 'deliver');
  assert.equal(remote('g', member('g', '10.0.0.5')), 'drop');
  assert.equal(remote('g', member('g', '10.0.0.0/29')), 'deliver');
  assert.equal(trace(twoHosts({ ...rule('g', 5), remote_address_group_id: 'ag' }, member('ag', '10.0.0.3')), tcp('a', '10.0.0.4', 80)).verdict, 'deliver');
});

test('stateless groups: the answer needs rules of its own', () => {
  const stateless = (...rules: Item[]) => topology({ h1: state(segment('red', 1, 'local'), { ...a, stateful: false }, { ...b, stateful: false }, egress, ...rules) });
  const there = trace(stateless(ssh), tcp('a', '10.0.0.4', 22));
  assert.equal(there.verdict, 'deliver');
  assert.equal(there.reply?.verdict, 'drop');
  assert.match(there.reply!.drops[0]!.text, /no ingress rule of security group web \(g\) admits tcp\/40000 from 10\.0\.0\.4 \(an answer: its groups are stateless/);
  assert.equal(trace(stateless(rule('g', 3, { protocol: 6, prefix: '10.0.0.0/24' })), tcp('a', '10.0.0.4', 22)).reply?.verdict, 'deliver');
});

test('an unknown MAC reaches guests without filter as copies, which do not make the verdict', () => {
  const cloud = topology({ h1: state(segment('red', 1, 'local'), a, openPort('spy', 'red', MAC(5), ['10.0.0.5']), { ...b, admin_state_up: false }, egress, ssh) });
  const { verdict, drops } = trace(cloud, tcp('a', '10.0.0.4', 22));
  assert.equal(verdict, 'drop');
  assert.deepEqual(drops.map(({ reason, text }) => ({ reason, text })), [{ reason: 'down', text: 'port b, which has 10.0.0.4, is down' }]);
  assert.deepEqual(trace(cloud, tcp('a', '10.0.0.99', 22)).drops.map(({ reason }) => reason), ['no-neighbour']);
});

const leg = (port_id: string, role: 'gateway' | 'interface', mac_address: string, address: string): RouterPortItem => ({
  type: 'router-port', router_id: 'r', port_id, role, device: `${role === 'gateway' ? 'qg' : 'qr'}-${port_id}`, mac_address, mtu: 1450, addresses: [address],
  gateway_ips: role === 'gateway' ? ['172.16.0.1'] : [], onlink: [], address_scopes: { ipv4: null, ipv6: null }, advertisements: [],
});
const router: RouterItem = { type: 'router', router_id: 'r', project_id: 'demo', routes: [], enable_snat: true, metadata: true };
const floating: FloatingIpItem = { type: 'floating-ip', router_id: 'r', floatingip_id: 'f', floating_ip_address: '172.16.0.9', fixed_ip_address: '10.0.0.3' };
/** a behind a router to a flat external network. */
const routed = (...more: Item[]) => topology({
  h1: state(
    physnet(), segment('red', 1, 'vxlan', 7), segment('ext', 2, 'flat'), a, egress, router, leg('in', 'interface', MAC(6), '10.0.0.1/24'), leg('out', 'gateway', MAC(7), '172.16.0.5/24'),
    openPort('in', 'red', MAC(6), ['10.0.0.1'], 'network:router_interface'), openPort('out', 'ext', MAC(7), ['172.16.0.5'], 'network:router_gateway'), ...more,
  ),
});
const outside = { physical_network: 'physnet', segmentation_id: null, source_ip: '172.16.0.1' };

test('N-L3-10: to the world under the router’s address, and back', () => {
  const found = trace(routed(), tcp('a', '203.0.113.1', 80));
  assert.deepEqual(found.deliveries.map(({ to, packet }) => [to, packet.source_ip, packet.destination_ip]), [['outside', '172.16.0.5', '203.0.113.1']]);
  assert.deepEqual(found.reply?.deliveries.map(({ port_id, packet }) => [port_id, packet.source_ip, packet.destination_ip]), [['a', '203.0.113.1', '10.0.0.3']]);
});

test('N-L3-17: a floating IP both ways; its guest’s group decides', () => {
  assert.deepEqual(trace(routed(floating), tcp('a', '203.0.113.1', 80)).deliveries.map(({ packet }) => packet.source_ip), ['172.16.0.9']);
  const refused = trace(routed(floating), { from: outside, destination_ip: '172.16.0.9', protocol: 6, destination_port: 22 });
  assert.deepEqual(refused.drops.map(({ reason }) => reason), ['security-group']);
  const admitted = trace(routed(floating, rule('g', 4, { protocol: 6, range: [22, 22] })), { from: outside, destination_ip: '172.16.0.9', protocol: 6, destination_port: 22 });
  assert.deepEqual(admitted.deliveries.map(({ port_id, packet }) => [port_id, packet.destination_ip]), [['a', '10.0.0.3']]);
  assert.deepEqual(admitted.reply?.deliveries.map(({ to, packet }) => [to, packet.source_ip]), [['outside', '172.16.0.9']]);
});

test('an answer from another address than the one that was asked: a neighbour by its floating IP, without source NAT', () => {
  // b asks a's floating IP, and a answers its neighbour directly, past the router that would have to translate back.
  const admitted = [floating, { ...router, enable_snat: false }, rule('g', 4, { protocol: 6, range: [22, 22] })];
  const here = trace(routed(...admitted, b), tcp('b', '172.16.0.9', 22));
  assert.deepEqual(here.deliveries.map(({ port_id, packet }) => [port_id, packet.source_ip]), [['a', '10.0.0.4']]);
  // Both are on one host, which remembers what a let in.
  assert.equal(here.reply?.verdict, 'deliver');
  const narrow = trace(routed(...admitted, { ...b, security_groups: ['to-f'] }, rule('to-f', 5, { direction: 'egress', prefix: '172.16.0.9/32' })), tcp('b', '172.16.0.9', 22));
  assert.deepEqual(narrow.reply?.drops.map(({ reason, text }) => [reason, text]), [['no-connection', 'tcp/40000 from 10.0.0.3 answers a connection that no egress rule of port b admits']]);
  const h1 = routed(...admitted, tunnel('192.0.2.2'), { ...tunnel('192.0.2.2'), host: 'h2' }, flood('red', '192.0.2.2'), forward('red', 'b', '192.0.2.2', MAC(2), ['10.0.0.4'])).states.get('h1')!;
  const h2 = state(segment('red', 3, 'vxlan', 7), { ...tunnel('192.0.2.1'), host: 'h1' }, flood('red', '192.0.2.1'), b, egress, rule('g', 4, { protocol: 6 }));
  const apart = trace(topology({ h1, h2 }), tcp('b', '172.16.0.9', 22));
  assert.equal(apart.verdict, 'deliver');
  // Its own rule for TCP does not help: the answer is no beginning.
  assert.deepEqual(apart.reply?.drops.map(({ host, reason }) => [host, reason]), [['h2', 'no-connection']]);
});

test('ICMP that is no question belongs to a known connection or passes no stateful port', () => {
  const reply = { from: { port_id: 'a' }, destination_ip: '10.0.0.4', protocol: 1, icmp_type: 0 } as const;
  const cloud = (stateful: boolean) => topology({ h1: state(segment('red', 1, 'local'), { ...a, stateful }, { ...b, stateful }, egress, rule('g', 2, { protocol: 1 })) });
  assert.deepEqual(trace(cloud(true), reply).drops.map(({ reason, text }) => [reason, text]), [['no-connection', 'port a knows no connection that icmp type 0 from 10.0.0.3 could be part of, and nothing begins with it: no rule is asked']]);
  assert.equal(trace(cloud(false), reply).verdict, 'deliver');
});

test('a network that is local to each host: nobody answers from another one, and no copy goes to a neighbour', () => {
  const inside = (...more: Item[]) => state(segment('red', 1, 'local'), egress, ssh, ...more);
  const cloud = topology({ h1: inside(a, openPort('spy', 'red', MAC(5), ['10.0.0.5'])), h2: inside(b) });
  const { deliveries, drops } = trace(cloud, tcp('a', '10.0.0.4', 22));
  assert.deepEqual(deliveries, []);
  assert.deepEqual(drops.map(({ reason, text }) => [reason, text]), [['no-neighbour', 'nobody on network red answers for 10.0.0.4: the network is local to each host, and ports of it on other hosts are out of reach']]);
});

test('N-L3-6: nothing new comes in behind source NAT, and no route is no way', () => {
  const by = (destination_ip: string) => trace(routed(), { from: outside, destination_ip, protocol: 6, destination_port: 22 }).drops.map(({ reason }) => reason);
  assert.deepEqual(by('10.0.0.3'), ['no-neighbour']);
  const noGateway = topology({ h1: state(segment('red', 1, 'vxlan', 7), a, egress, router, leg('in', 'interface', MAC(6), '10.0.0.1/24'), openPort('in', 'red', MAC(6), ['10.0.0.1'], 'network:router_interface')) });
  const { drops } = trace(noGateway, tcp('a', '203.0.113.1', 80));
  assert.deepEqual(drops.map(({ reason, text }) => [reason, text]), [['no-route', 'router r has no route to 203.0.113.1']]);
});

test('the router itself answers, and a packet larger than the way is refused', () => {
  const ping = trace(routed(), { from: { port_id: 'a' }, destination_ip: '172.16.0.5', protocol: 1 });
  assert.deepEqual([ping.deliveries.map(({ to }) => to), ping.reply?.verdict], [['router'], 'deliver']);
  assert.deepEqual(trace(routed(), tcp('a', '203.0.113.1', 80, { size: 1500 })).drops.map(({ reason }) => reason), ['mtu']);
});

test('to everybody: a copy for each port and peer, whose group judges its own; no router sends it on', () => {
  const cloud = twoHosts(rule('g', 2, { protocol: 17, range: [5000, 5000] }));
  for (const [everybody, mac] of [['10.0.0.255', 'ff:ff:ff:ff:ff:ff'], ['255.255.255.255', 'ff:ff:ff:ff:ff:ff'], ['224.0.0.18', '01:00:5e:00:00:12']] as const) {
    const probe = { from: { port_id: 'a' }, destination_ip: everybody, protocol: 17, destination_port: 5000 };
    assert.deepEqual(trace(cloud, probe).deliveries.map(({ port_id, packet }) => [port_id, packet.destination_mac]), [['b', mac]], everybody);
    assert.deepEqual(trace(cloud, { ...probe, destination_port: 5001 }).drops.map(({ host, reason }) => [host, reason]), [['h2', 'security-group']], everybody);
  }
  assert.deepEqual(trace(routed(), tcp('a', '172.16.0.255', 80)).drops.map(({ reason, text }) => [reason, text]), [['no-route', '172.16.0.255 is everybody of a subnet: no router sends it on']]);
});

test('each drop says what would have to change', () => {
  const gone = topology({ h1: state(a, egress) });
  const alone = topology({ h1: state(segment('red', 1, 'vxlan', 7), a, b, egress), h2: state(segment('red', 3, 'vxlan', 7)) });
  const cases: [Topology, Probe][] = [
    [gone, tcp('a', '203.0.113.1', 80)], [gone, tcp('nowhere', '10.0.0.4', 80)], [alone, tcp('a', '10.0.0.4', 80)], [alone, tcp('a', '10.0.0.99', 80)],
    [routed(), { from: outside, destination_ip: '10.0.0.3', protocol: 6, destination_port: 22 }], [routed(), tcp('a', '172.16.0.255', 80)], [twoHosts(), { from: { port_id: 'a' }, destination_ip: '10.0.0.4', protocol: 1, icmp_type: 0 }],
  ];
  for (const [cloud, probe] of cases) {
    const { drops } = trace(cloud, probe);
    assert.ok(drops.length > 0 && drops.every(({ repair }) => repair.length > 0 && repair.every((line) => line !== '')), JSON.stringify(drops));
  }
});

test('a port that no host holds', () => {
  assert.match(trace(twoHosts(), tcp('nowhere', '10.0.0.4', 22)).drops[0]!.text, /port nowhere is not bound to a host/);
});
