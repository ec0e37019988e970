/** Sets of addresses that rules refer to: who is let in when they overlap, and what one address more or less costs a host. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Compiler, type RowChange } from '#compile/compiler.ts';
import { type Delta, type Item, keyOf } from '#hoststate/host-state.ts';
import { remoteSet, type RuleItem } from '#hoststate/port.ts';
import { loadConfig } from '#model/config.ts';
import { cidrContains, parseCidr } from '#net/cidr.ts';
import { parseIp } from '#net/ip.ts';
import { mac, member, openPort, port, rule, segment } from '#testkit/host-items.ts';
import { SimulatedAgent } from '#testkit/simulated-agent.ts';

const VICTIM = port('v', 'n', mac(1), ['10.0.0.1', 'fd00::1'], { security_groups: ['g'] });
const BASE: readonly Item[] = [segment('n', 1, 'local'), VICTIM, openPort('s', 'n', mac(2), [])];
const SENDERS = ['10.0.0.5', '10.0.0.6', '10.0.0.9', '10.9.0.5', '192.0.2.1', 'fd00::5', 'fd00::9', 'fd09::5'];
const PORTS = [79, 80, 81, 100, 101];

let connections = 1024;
/** Whether a new connection from `address` to `port` of the victim gets in. */
function enters(agent: SimulatedAgent, address: string, tcpPort: number): boolean {
  const ends = address.includes(':') ? `tcp6,ipv6_src=${address},ipv6_dst=fd00::1` : `tcp,nw_src=${address},nw_dst=10.0.0.1`;
  return agent.sendFrom('s', `${ends},dl_src=${mac(2)},dl_dst=${mac(1)},tp_src=${connections++},tp_dst=${tcpPort},tcp_flags=0x2`).includes('port v');
}

/** What the rules say by themselves: no flow, no conjunction. */
function admitted(items: Iterable<Item>, address: string, tcpPort: number): boolean {
  const held = [...items];
  const holds = (prefix: string): boolean => cidrContains(parseCidr(prefix)!, parseIp(address)!);
  return held.some((each) => {
    if (each.type !== 'rule' || each.ethertype !== (address.includes(':') ? 'IPv6' : 'IPv4')) return false;
    if (each.port_range_min !== null && (tcpPort < each.port_range_min || tcpPort > each.port_range_max!)) return false;
    const set = remoteSet(each);
    if (set !== null) return held.some((one) => one.type === 'member' && one.set_id === set && holds(one.address));
    return each.remote_ip_prefix === null || holds(each.remote_ip_prefix);
  });
}

test('an address and a prefix that holds it, in one set and in two: each rule admits its own set and nothing else', async () => {
  const web = rule('g', 1, { protocol: 6, range: [80, 80], addressGroup: 'nets' });
  const ssh = rule('g', 2, { protocol: 6, range: [22, 22], group: 'admins' });
  const agent = await SimulatedAgent.of([...BASE, web, ssh, member('nets', '10.0.0.0/24'), member('nets', '10.0.0.5'), member('admins', '10.0.0.5'), member('admins', '10.0.0.4/30')]);
  const seen = () => ['10.0.0.5', '10.0.0.6', '10.0.0.9'].map((address) => [80, 22].map((each) => (enters(agent, address, each) ? each : '-')).join(' '));
  assert.deepEqual(seen(), ['80 22', '80 22', '80 -']);
  const gone = async (item: Item) => {
    agent.programs.update([], [keyOf(item)]);
    await agent.apply();
    return seen();
  };
  assert.deepEqual(await gone(member('nets', '10.0.0.5')), ['80 22', '80 22', '80 -'], 'its prefix is still there');
  assert.deepEqual(await gone(member('admins', '10.0.0.4/30')), ['80 22', '80 -', '80 -'], 'its address is still there');
  assert.deepEqual(await gone(member('nets', '10.0.0.0/24')), ['- 22', '- -', '- -']);
  assert.deepEqual(await gone(ssh), ['- -', '- -', '- -']);
});

test('rules whose port ranges share masked matches do not take them from each other when one goes', async () => {
  const wide = rule('g', 1, { protocol: 6, range: [1, 100] });
  const narrow = rule('g', 2, { protocol: 6, range: [64, 127] });
  const agent = await SimulatedAgent.of([...BASE, wide, narrow]);
  const shared = agent.flows('br-int', 82).filter((line) => line.includes(',tp_dst=0x40/0xffe0'));
  assert.equal(shared.length, 1, 'both ask for 64..95, and it is there once');
  agent.programs.update([], [keyOf(narrow)]);
  await agent.apply();
  assert.deepEqual([80, 100, 101].map((each) => enters(agent, '10.0.0.5', each)), [true, true, false]);
  agent.programs.update([narrow], [keyOf(wide)]);
  await agent.apply();
  assert.deepEqual([63, 80, 127].map((each) => enters(agent, '10.0.0.5', each)), [false, true, true]);
});

test('whatever sets overlap and whatever comes and goes, exactly what a rule names gets in, and the flows are those of an agent without memory', async () => {
  const element = fc.constantFrom('10.0.0.0/24', '10.0.0.5', '10.0.0.4/30', '10.0.0.0/8', '0.0.0.0/0', '192.0.2.0/24', 'fd00::/64', 'fd00::5', '::/0');
  const remote = fc.constantFrom({}, { group: 'x' }, { addressGroup: 'y' }, { addressGroup: 'z' }, { prefix: 'short' }, { prefix: 'long' });
  const ruleItem = fc.record({ id: fc.integer({ min: 1, max: 4 }), six: fc.boolean(), range: fc.constantFrom(undefined, [80, 80], [79, 81], [1, 100]), remote }).map(({ id, six, range, remote: to }): RuleItem => {
    const prefix = 'prefix' in to ? { prefix: to.prefix === 'short' ? (six ? 'fd00::/16' : '10.0.0.0/8') : (six ? 'fd00::/64' : '10.0.0.0/29') } : {};
    return rule('g', id, { ethertype: six ? 'IPv6' : 'IPv4', protocol: 6, ...(range ? { range: range as [number, number] } : {}), ...to, ...prefix });
  });
  const step = fc.oneof({ weight: 3, arbitrary: fc.tuple(fc.constantFrom('x', 'y', 'z'), element).map(([set, address]): Item => member(set, address)) }, { weight: 2, arbitrary: ruleItem });
  await fc.assert(fc.asyncProperty(fc.array(fc.tuple(step, fc.boolean()), { minLength: 1, maxLength: 14 }), async (steps) => {
    const agent = await SimulatedAgent.of(BASE);
    for (const [item, comes] of steps) {
      if (comes) agent.programs.update([item], []);
      else agent.programs.update([], [keyOf(item)]);
    }
    await agent.apply();
    const held = [...agent.programs.view.items().values()];
    for (const address of SENDERS) for (const each of PORTS) assert.equal(enters(agent, address, each), admitted(held, address, each), `${address} to ${each}`);
    assert.deepEqual(agent.flows('br-int'), (await SimulatedAgent.of(held)).flows('br-int'));
    // One by one back to nothing: what is taken away never takes a neighbour along.
    for (const [item] of steps) {
      agent.programs.update([], [keyOf(item)]);
      await agent.apply();
      const rest = [...agent.programs.view.items().values()];
      for (const address of ['10.0.0.5', 'fd00::5']) for (const each of [80, 100]) assert.equal(enters(agent, address, each), admitted(rest, address, each), `${address} to ${each} after ${keyOf(item)} went`);
    }
  }), { numRuns: process.env['PATCHBAY_TEST_ALL'] ? 500 : 60 });
});

test('law 4: a rule with ports of a protocol that the switch reads no ports of admits nothing, says so, and hurts no other', async () => {
  for (const protocol of [33, 136]) {
    const poison = rule('g', 1, { protocol, range: [80, 80] });
    const agent = await SimulatedAgent.of([...BASE, poison, rule('g', 2, { protocol: 6, range: [80, 80] })]);
    assert.deepEqual([...agent.failures], [['rule/g/r1', `Open vSwitch matches no ports of protocol ${protocol}: the rule admits nothing`]]);
    assert.deepEqual(agent.flows('br-int').filter((line) => line.includes(`nw_proto=${protocol}`)), []);
    assert.equal(enters(agent, '10.0.0.5', 80), true);
    agent.programs.update([rule('g', 1, { protocol })], []);
    await agent.apply();
    assert.equal(agent.programs.failure('rule/g/r1'), undefined);
    assert.equal(agent.flows('br-int').filter((line) => line.includes(`nw_proto=${protocol}`)).length, 2, 'of packets and of answers');
  }
});

const MEMBERS = 10_000;
const CIDRS = 5_000;
const bytesOf = (delta: Delta | undefined): number => (delta ? JSON.stringify(delta).length : 0);
const addressOf = (i: number): string => `10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`;

/** Two hosts with a port each of a group of MEMBERS, whose rules name it and an address group of CIDRS prefixes. */
function largeCloud(): { compiler: Compiler; member(id: string, address: string, host?: string): RowChange; prefix(i: number, held: boolean): RowChange; rule(id: string, remote: object | undefined): RowChange } {
  const compiler = new Compiler(loadConfig(''));
  const portRow = (id: string, address: string, host = ''): RowChange => ({ table: 'ports', id, row: {
    id, network_id: 'n', project_id: 'p', name: '', admin_state_up: true, status: 'DOWN', mac_address: mac(1), fixed_ips: [{ subnet_id: 's', ip_address: address }], device_id: '', device_owner: 'compute:nova', security_groups: ['g'],
    port_security_enabled: true, allowed_address_pairs: [], extra_dhcp_opts: [], dns_name: '', 'binding:host_id': host, 'binding:vif_type': host ? 'ovs' : 'unbound',
  } as never });
  const prefixRow = (i: number, held: boolean): RowChange => {
    const address = `172.${16 + (i >> 8)}.${i & 255}.0/24`;
    return { table: 'address_associations', id: `a/${address}`, row: held ? { id: `a/${address}`, address_group_id: 'a', address } : undefined };
  };
  const ruleRow = (id: string, remote: object | undefined): RowChange => ({ table: 'security_group_rules', id, row: remote && {
    id, security_group_id: 'g', direction: 'ingress', ethertype: 'IPv4', protocol: 'tcp', port_range_min: 80, port_range_max: 80, remote_ip_prefix: null, normalized_cidr: null, remote_group_id: null, remote_address_group_id: null,
    conj_id: Number(id.slice(1)), ...remote,
  } as never });
  compiler.apply([
    ...['h1', 'h2'].map((id, i): RowChange => ({ table: 'hosts', id, row: { id, tunneling_ip: `192.0.2.${i + 1}`, bridge_mappings: {} } })),
    { table: 'networks', id: 'n', row: { id: 'n', 'provider:network_type': 'vxlan', 'provider:segmentation_id': 7, mtu: 1450, admin_state_up: true, dns_domain: '' } as never },
    ...['h1', 'h2'].map((id): RowChange => ({ table: 'local_vlans', id: `${id}/n`, row: { id: `${id}/n`, number: 1 } })),
    ruleRow('r1', { remote_group_id: 'g' }), ruleRow('r2', { remote_address_group_id: 'a' }),
    ...Array.from({ length: CIDRS }, (_, i) => prefixRow(i, true)),
    ...Array.from({ length: MEMBERS }, (_, i) => portRow(`m${i}`, addressOf(i))),
    portRow('v1', '10.200.0.1', 'h1'), portRow('v2', '10.200.0.2', 'h2'),
  ]);
  for (const host of ['h1', 'h2']) compiler.follow(host);
  return { compiler, member: portRow, prefix: prefixRow, rule: ruleRow };
}

test('law 5: one member more in a group of 10,000, one prefix more in 5,000, one rule more or less: its own items, flows and bytes on each host', async (t) => {
  const cloud = largeCloud();
  const agents = new Map<string, SimulatedAgent>();
  for (const host of ['h1', 'h2']) agents.set(host, await SimulatedAgent.of([...cloud.compiler.stateOf(host).values()]));
  assert.equal(agents.get('h1')!.flows('br-int', 82).filter((line) => line.includes('priority=70')).length, MEMBERS + 2 + CIDRS + 2 + 1, 'a flow for each element, a conj_id for each rule, and the service of both');
  const cost = async (what: string, change: RowChange, items: number, flows: number) => {
    const deltas = cloud.compiler.apply([change]);
    for (const [host, agent] of agents) {
      const delta = deltas.get(host);
      agent.plans.length = 0;
      agent.programs.update(delta?.upserts ?? [], delta?.removals ?? []);
      await agent.apply();
      const lines = agent.plans.flat();
      t.diagnostic(`${what}: ${host}: ${(delta?.upserts.length ?? 0) + (delta?.removals.length ?? 0)} items, ${bytesOf(delta)} bytes of delta, ${lines.length} flows, ${lines.join('\n').length} bytes of ovs-ofctl lines`);
      assert.deepEqual([(delta?.upserts.length ?? 0) + (delta?.removals.length ?? 0), lines.length], [items, flows], `${what} on ${host}`);
      assert.ok(bytesOf(delta) < 700 && lines.join('\n').length < 700);
    }
  };
  await cost('a member more', cloud.member('new', '10.201.0.1'), 1, 2);
  await cost('a member less', { table: 'ports', id: 'new', row: undefined }, 1, 2);
  await cost('a prefix more', cloud.prefix(CIDRS, true), 1, 2);
  await cost('a prefix less', cloud.prefix(CIDRS, false), 1, 2);
  await cost('a rule without a set more', cloud.rule('r3', { port_range_min: 22, port_range_max: 22 }), 1, 2);
  await cost('a rule without a set less', cloud.rule('r3', undefined), 1, 2);
});

test('law 5: a rule more or less of a set that the host uses already is one item to it; the members come and go with the first and the last', () => {
  const cloud = largeCloud();
  const items = (change: RowChange) => {
    const delta = cloud.compiler.apply([change]).get('h1')!;
    return delta.upserts.length + delta.removals.length;
  };
  assert.equal(items(cloud.rule('r3', { remote_group_id: 'g' })), 1);
  assert.equal(items(cloud.rule('r3', undefined)), 1);
  assert.equal(items(cloud.rule('r2', undefined)), 1 + CIDRS);
  assert.equal(items(cloud.rule('r2', { remote_address_group_id: 'a' })), 1 + CIDRS);
});
