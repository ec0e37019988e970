/** What becomes of connections when rules, members and groups change (decision X-6), and ports that keep no connections. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Item, keyOf } from '#hoststate/host-state.ts';
import type { PortItem } from '#hoststate/port.ts';
import { mac, member, openPort, PEER_A, flood, port, rule, segment, tunnel } from '#testkit/host-items.ts';
import { SimulatedAgent } from '#testkit/simulated-agent.ts';

const RED = segment('red', 1, 'vxlan', 2000);
const CLIENT = openPort('client', 'red', mac(1), ['10.0.0.1', 'fd00::1']);
const server = (given: Partial<PortItem> = {}): PortItem => port('server', 'red', mac(2), ['10.0.0.2', 'fd00::2'], { security_groups: ['g'], ...given });

/** A conversation of a protocol; what of it goes there and comes back. */
interface Talk {
  readonly open: string;
  readonly there: string;
  readonly back: string;
}

const between = (six: boolean, forth: boolean): string => {
  const [from, to] = forth ? [1, 2] : [2, 1];
  return `dl_src=${mac(from)},dl_dst=${mac(to)},${six ? `ipv6_src=fd00::${from},ipv6_dst=fd00::${to}` : `nw_src=10.0.0.${from},nw_dst=10.0.0.${to}`},nw_ttl=64`;
};
const TALKS: Readonly<Record<string, Talk>> = {
  tcp: { open: `tcp,tcp_flags=0x2,tp_src=1024,tp_dst=22,${between(false, true)}`, there: `tcp,tcp_flags=0x10,tp_src=1024,tp_dst=22,${between(false, true)}`, back: `tcp,tcp_flags=0x12,tp_src=22,tp_dst=1024,${between(false, false)}` },
  tcp6: { open: `tcp6,tcp_flags=0x2,tp_src=1024,tp_dst=22,${between(true, true)}`, there: `tcp6,tcp_flags=0x10,tp_src=1024,tp_dst=22,${between(true, true)}`, back: `tcp6,tcp_flags=0x12,tp_src=22,tp_dst=1024,${between(true, false)}` },
  udp: { open: `udp,tp_src=1024,tp_dst=53,${between(false, true)}`, there: `udp,tp_src=1024,tp_dst=53,${between(false, true)}`, back: `udp,tp_src=53,tp_dst=1024,${between(false, false)}` },
  icmp: { open: `icmp,icmp_type=8,${between(false, true)}`, there: `icmp,icmp_type=8,${between(false, true)}`, back: `icmp,icmp_type=0,${between(false, false)}` },
  icmp6: { open: `icmp6,icmp_type=128,${between(true, true)}`, there: `icmp6,icmp_type=128,${between(true, true)}`, back: `icmp6,icmp_type=129,${between(true, false)}` },
  gre: { open: `ip,nw_proto=47,${between(false, true)}`, there: `ip,nw_proto=47,${between(false, true)}`, back: `ip,nw_proto=47,${between(false, false)}` },
};

class Conversation {
  readonly agent: SimulatedAgent;
  readonly #talk: Talk;

  constructor(agent: SimulatedAgent, protocol: string) {
    this.agent = agent;
    this.#talk = TALKS[protocol]!;
  }

  there(): boolean {
    return this.agent.sendFrom('client', this.#talk.there).includes('port server');
  }
  back(): boolean {
    return this.agent.sendFrom('server', this.#talk.back).includes('port client');
  }
  /** Opens it; both directions must pass. */
  open(): this {
    assert.deepEqual([this.agent.sendFrom('client', this.#talk.open), this.agent.sendFrom('server', this.#talk.back)], [['port server'], ['port client']]);
    assert.deepEqual([this.there(), this.back()], [true, true]);
    return this;
  }
}

const RULES: Readonly<Record<string, Item>> = {
  tcp: rule('g', 1, { protocol: 6, range: [22, 22] }), tcp6: rule('g', 1, { ethertype: 'IPv6', protocol: 6, range: [20, 25] }), udp: rule('g', 1, { protocol: 17, prefix: '10.0.0.0/24' }),
  icmp: rule('g', 1, { protocol: 1, range: [8, 0] }), icmp6: rule('g', 1, { ethertype: 'IPv6', protocol: 58, range: [128] }), gre: rule('g', 1, { protocol: 47 }),
};

async function change(agent: SimulatedAgent, upserts: readonly Item[], removals: readonly Item[] = []): Promise<void> {
  agent.programs.update(upserts, removals.map(keyOf));
  await agent.apply();
}

test('X-6: a connection that no rule admits any more ends at once, its answers too, though nothing is asked; a rule put back admits it again', async () => {
  for (const [protocol, admits] of Object.entries(RULES)) {
    const talk = new Conversation(await SimulatedAgent.of([RED, CLIENT, server(), admits]), protocol).open();
    await change(talk.agent, [], [admits]);
    assert.deepEqual([talk.back(), talk.there(), talk.back()], [false, false, false], protocol);
    await change(talk.agent, [admits]);
    assert.deepEqual([talk.back(), talk.there()], [true, true], `${protocol}: the rule is back`);
  }
});

test('X-6: a connection that two rules admit lives on when one goes, and ends with the other; by prefix, by member, by protocol', async () => {
  for (const [protocol, admits] of Object.entries(RULES)) {
    const ethertype = protocol.endsWith('6') ? 'IPv6' as const : 'IPv4' as const;
    const others: readonly Item[][] = [[rule('g', 2, { ethertype })], [rule('g', 2, { ethertype, prefix: ethertype === 'IPv6' ? 'fd00::/64' : '10.0.0.1/32' })], [rule('g', 2, { ethertype, group: 'friends' }), member('friends', '10.0.0.1'), member('friends', 'fd00::1')]];
    for (const other of others) {
      const talk = new Conversation(await SimulatedAgent.of([RED, CLIENT, server(), admits, ...other]), protocol).open();
      await change(talk.agent, [], [admits]);
      assert.deepEqual([talk.back(), talk.there()], [true, true], `${protocol}: ${JSON.stringify(other[0])}`);
      await change(talk.agent, [], [other[0]!]);
      assert.deepEqual([talk.back(), talk.there()], [false, false], protocol);
    }
  }
});

test('X-6: a group taken from a port, a port that changes its groups, a member that leaves: each ends what it admitted', async () => {
  const friends = [rule('g', 1, { group: 'friends' }), member('friends', '10.0.0.1')];
  for (const [title, upserts, removals] of [
    ['group taken away', [server({ security_groups: [] })], []], ['other group', [server({ security_groups: ['h'] })], []], ['member left', [], [member('friends', '10.0.0.1')]],
  ] as const) {
    const talk = new Conversation(await SimulatedAgent.of([RED, CLIENT, server(), ...friends, rule('h', 2, { protocol: 17 })]), 'tcp').open();
    await change(talk.agent, upserts, removals);
    assert.deepEqual([talk.back(), talk.there()], [false, false], title);
  }
  const talk = new Conversation(await SimulatedAgent.of([RED, CLIENT, server(), ...friends, rule('h', 2, { protocol: 6 })]), 'tcp').open();
  await change(talk.agent, [server({ security_groups: ['h'] })]);
  assert.deepEqual([talk.back(), talk.there()], [true, true], 'the new group admits it');
});

test('X-6: an egress rule that goes ends what its own port had opened, on the port of the answers too', async () => {
  const egress = rule('out', 5, { direction: 'egress', protocol: 17 });
  const client = port('client', 'red', mac(1), ['10.0.0.1'], { security_groups: ['out'] });
  const talk = new Conversation(await SimulatedAgent.of([RED, client, server(), egress, RULES['udp']!]), 'udp').open();
  await change(talk.agent, [], [egress]);
  assert.deepEqual([talk.back(), talk.there()], [false, false]);
});

test('X-6: with connections_of_removed_rules = keep all live on, and nothing new comes in; the setting changes live', async () => {
  const keep = { ...RED, connections_of_removed_rules: 'keep' as const };
  for (const [protocol, admits] of Object.entries(RULES)) {
    const talk = new Conversation(await SimulatedAgent.of([keep, CLIENT, server(), admits]), protocol).open();
    await change(talk.agent, [server({ security_groups: ['empty'] })], [admits]);
    assert.deepEqual([talk.back(), talk.there()], [true, true], protocol);
    assert.deepEqual(talk.agent.sendFrom('client', `tcp,tcp_flags=0x2,tp_src=4444,tp_dst=22,${between(false, true)}`), []);
    await change(talk.agent, [RED]);
    assert.deepEqual([talk.back(), talk.there()], [false, false], protocol);
    await change(talk.agent, [keep]);
    assert.deepEqual([talk.back(), talk.there()], [true, true], protocol);
  }
});

test('X-6: with keep, what goes on as a connection that began elsewhere is new here: a neighbour on the host is no way round', async () => {
  const nobody = mac(0x66);
  const towards = (to: string): string => `tcp,tcp_flags=0x10,tp_src=1024,tp_dst=22,dl_src=${mac(1)},dl_dst=${to},nw_src=10.0.0.1,nw_dst=10.0.0.2,nw_ttl=64`;
  const client = port('client', 'red', mac(1), ['10.0.0.1'], { security_groups: ['out'] });
  const agent = await SimulatedAgent.of([{ ...RED, connections_of_removed_rules: 'keep' }, client, rule('out', 5, { direction: 'egress' }), server(), openPort('accomplice', 'red', nobody, ['10.0.0.9'])]);
  // The client may send, and nothing admits it to the server. Conntrack takes what it sends to another MAC for a connection that is under way.
  assert.deepEqual([agent.sendFrom('client', towards(nobody)), agent.sendFrom('client', towards(nobody))], [['port accomplice'], ['port accomplice']]);
  assert.deepEqual(agent.sendFrom('client', towards(mac(2))), []);
});

test('an answer is no question: who is only answered may not be asked, and a rule for questions admits no answer', async () => {
  const agent = await SimulatedAgent.of([RED, CLIENT, server(), rule('g', 1, { protocol: 6, range: [22, 22] })]);
  // From the server's port 22 to the client, unasked.
  assert.deepEqual(agent.sendFrom('server', `udp,tp_src=22,tp_dst=1024,${between(false, false)}`), []);
  assert.deepEqual(agent.sendFrom('server', `tcp,tcp_flags=0x2,tp_src=22,tp_dst=1024,${between(false, false)}`), []);
});

test('fragments show no ports and no type: rules without them admit fragments, others none; a DHCP server is none in fragments either', async () => {
  const agent = await SimulatedAgent.of([RED, CLIENT, server(), rule('g', 1, { protocol: 17, range: [50, 60] }), rule('g', 2, { direction: 'egress' }), rule('g', 3, { protocol: 1, range: [0] })]);
  const piece = (each: string, ports: string, forth = true): string => `udp,nw_frag=${each},${ports},${between(false, forth)}`;
  for (const each of ['first', 'later']) {
    assert.deepEqual(agent.sendFrom('client', piece(each, 'tp_src=1024,tp_dst=53')), []);
    assert.deepEqual(agent.sendFrom('server', piece(each, 'tp_src=1,tp_dst=68', false)), ['port client']);
    assert.deepEqual(agent.sendFrom('server', piece(each, 'tp_src=67,tp_dst=68', false)), []);
    assert.deepEqual(agent.sendFrom('client', `icmp,nw_frag=${each},icmp_type=8,${between(false, true)}`), [], 'a rule for type 0, which every fragment shows');
  }
});

const stateless = (...groups: string[]): Partial<PortItem> => ({ stateful: false, security_groups: groups });

test('N-SG-1: a stateless port is judged packet by packet: an answer needs a rule of its own, and nothing is asked of conntrack', async () => {
  for (const [protocol, admits] of Object.entries(RULES)) {
    const agent = await SimulatedAgent.of([RED, CLIENT, server(stateless('g')), admits]);
    const { open, there, back } = TALKS[protocol]!;
    assert.deepEqual([agent.sendFrom('client', open), agent.sendFrom('client', there), agent.sendFrom('server', back)], [['port server'], ['port server'], []], protocol);
    await change(agent, [rule('g', 2, { direction: 'egress' }), rule('g', 3, { direction: 'egress', ethertype: 'IPv6' })]);
    assert.deepEqual(agent.sendFrom('server', back), ['port client'], protocol);
    assert.equal(agent.switch.conntrack.size, 0, protocol);
    await change(agent, [], [admits]);
    assert.deepEqual([agent.sendFrom('client', there), agent.sendFrom('server', back)], [[], ['port client']], protocol);
  }
});

test('a stateless port and its remote group: members only', async () => {
  const agent = await SimulatedAgent.of([RED, CLIENT, server(stateless('g')), rule('g', 1, { protocol: 6, range: [22, 22], group: 'friends' }), member('friends', '10.0.0.9')]);
  assert.deepEqual(agent.sendFrom('client', TALKS['tcp']!.open), []);
  await change(agent, [member('friends', '10.0.0.1')]);
  assert.deepEqual([agent.sendFrom('client', TALKS['tcp']!.open), agent.sendFrom('client', TALKS['udp']!.open)], [['port server'], []]);
});

test('N-SG-3: a stateless port may what every port always may, and forges as little', async () => {
  const agent = await SimulatedAgent.of([RED, tunnel(PEER_A), flood('red', PEER_A), CLIENT, server(stateless('g')), rule('g', 1, { direction: 'egress' }), rule('g', 2, { direction: 'egress', ethertype: 'IPv6' })]);
  const from = (packet: string): boolean => agent.sendFrom('server', `dl_src=${mac(2)},dl_dst=ff:ff:ff:ff:ff:ff,${packet}`).length > 0;
  const allowed = [`arp,arp_op=1,arp_sha=${mac(2)},arp_spa=10.0.0.2,arp_tpa=10.0.0.1`, 'udp,nw_src=0.0.0.0,nw_dst=255.255.255.255,tp_src=68,tp_dst=67', `icmp6,icmp_type=135,ipv6_src=fd00::2,ipv6_dst=ff02::1,nd_target=fd00::1,nd_sll=${mac(2)}`];
  const forbidden = [
    `arp,arp_op=1,arp_sha=${mac(2)},arp_spa=10.0.0.9,arp_tpa=10.0.0.1`, 'udp,nw_src=10.0.0.2,nw_dst=255.255.255.255,tp_src=67,tp_dst=68', 'udp,nw_src=10.0.0.9,nw_dst=10.0.0.1,tp_src=1,tp_dst=1',
    `icmp6,icmp_type=135,ipv6_src=fd00::2,ipv6_dst=ff02::1,nd_target=fd00::1,nd_sll=${mac(9)}`, `icmp6,icmp_type=136,ipv6_src=fd00::2,ipv6_dst=ff02::1,nd_target=fd00::2,nd_tll=${mac(9)}`,
    'icmp6,icmp_type=134,ipv6_src=fd00::2,ipv6_dst=ff02::1', 'icmp6,icmp_type=137,ipv6_src=fd00::2,ipv6_dst=ff02::1', 'icmp6,icmp_type=130,ipv6_src=fd00::2,ipv6_dst=ff02::1', 'icmp,icmp_type=5,nw_src=10.0.0.2,nw_dst=10.0.0.1', 'icmp,icmp_type=9,nw_src=10.0.0.2,nw_dst=10.0.0.1',
  ];
  assert.deepEqual(allowed.map(from), allowed.map(() => true));
  assert.deepEqual(forbidden.map(from), forbidden.map(() => false));
  // A DHCP server's answer comes in though no rule admits it; other UDP does not.
  const into = (ports: string): string[] => agent.sendFrom('client', `udp,dl_src=${mac(1)},dl_dst=${mac(2)},nw_src=10.0.0.1,nw_dst=10.0.0.2,${ports}`);
  assert.deepEqual([into('tp_src=67,tp_dst=68'), into('tp_src=67,tp_dst=69')], [['port server'], []]);
});

test('a stateful port beside a stateless one keeps its connections, whoever opens them', async () => {
  for (const protocol of Object.keys(RULES)) {
    const six = protocol.endsWith('6') ? 'IPv6' as const : 'IPv4' as const;
    const all = (group: string, conj: number): Item[] => [rule(group, conj, { ethertype: six }), rule(group, conj + 1, { direction: 'egress', ethertype: six })];
    const filtered = port('client', 'red', mac(1), ['10.0.0.1', 'fd00::1'], { security_groups: ['out'] });
    // The stateful one asks: it is answered though no ingress rule of its own admits the answer.
    const asks = new Conversation(await SimulatedAgent.of([RED, filtered, server(stateless('g')), rule('out', 1, { direction: 'egress', ethertype: six }), ...all('g', 3)]), protocol).open();
    assert.equal(asks.agent.switch.conntrack.size, 1);
    // The stateless one asks: the stateful one's answers need no rule.
    const asked = new Conversation(await SimulatedAgent.of([RED, { ...filtered, stateful: false }, server(), ...all('out', 1), RULES[protocol]!]), protocol).open();
    assert.equal(asked.agent.switch.conntrack.size, 1);
  }
});

test('law 3: port security, groups and state of a port change in one bundle of the bridge, so there is no moment between', async () => {
  const agent = await SimulatedAgent.of([RED, CLIENT, server(), rule('g', 1), rule('h', 2, { protocol: 6 })]);
  for (const next of [server({ security_groups: ['h'] }), server({ stateful: false }), openPort('server', 'red', mac(2), ['10.0.0.2']), server(), server({ allowed_address_pairs: [{ mac_address: mac(9), ip_address: '10.0.0.9' }] }), server({ admin_state_up: false })]) {
    agent.plans.length = 0;
    await change(agent, [next]);
    assert.equal(agent.plans.length, 1, JSON.stringify(agent.plans));
  }
});
