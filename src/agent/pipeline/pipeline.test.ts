/** The flows of representative hosts as `ovs-ofctl` lines, and what does not depend on the order of events. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type Item, keyOf } from '#hoststate/host-state.ts';
import { maskedPorts } from '#net/port-range.ts';
import {
  defaultGroup, flood, forward, mac, member, openPort, PEER_A, PEER_B, physnet, port, richHost, rule, segment, tunnel, VIRTUAL_MAC,
} from '#testkit/host-items.ts';
import { SimulatedAgent } from '#testkit/simulated-agent.ts';

/** What `more` adds to the flows of `items`, and takes away. */
async function difference(items: readonly Item[], more: readonly Item[], bridge = 'br-int'): Promise<{ more: string[]; less: string[] }> {
  const [before, after] = [await SimulatedAgent.of(items), await SimulatedAgent.of([...items, ...more])];
  const [a, b] = [before.flows(bridge), after.flows(bridge)];
  return { more: b.filter((line) => !a.includes(line)), less: a.filter((line) => !b.includes(line)) };
}

test('N-VX-2: without servers br-tun drops everything', async () => {
  const agent = await SimulatedAgent.of([tunnel(PEER_A)]);
  assert.deepEqual(agent.flows('br-tun', 3, 4, 6, 22), ['table=22,priority=0 actions=drop', 'table=3,priority=0 actions=drop', 'table=4,priority=0 actions=drop', 'table=6,priority=0 actions=drop']);
});

test('N-OVS-7 N-OVS-8 N-OVS-11 N-OVS-16: a flat network adds exactly its flows', async () => {
  assert.deepEqual(await difference([physnet()], [segment('flat', 3, 'flat')]), {
    more: [
      'table=0,priority=3,in_port=2,vlan_tci=0x0000/0x1fff actions=load:0x3->NXM_NX_REG6[],load:0x1->NXM_NX_REG7[],resubmit(,60)',
      'table=60,priority=90,reg6=0x3,in_port=2 actions=resubmit(,73)',
      'table=62,priority=10,reg6=0x3,reg7=0 actions=push_vlan:0x8100,set_field:4099->vlan_vid,output:2',
      'table=94,priority=10,reg6=0x3,reg7=0 actions=push_vlan:0x8100,set_field:4099->vlan_vid,output:2',
    ],
    less: [],
  });
  assert.deepEqual(await difference([physnet()], [segment('flat', 3, 'flat')], 'br-phys'), { more: ['table=0,priority=4,in_port=1,dl_vlan=3 actions=strip_vlan,NORMAL'], less: [] });
  const agent = await SimulatedAgent.of([physnet()]);
  assert.deepEqual(agent.flows('br-int', 0).filter((line) => line.includes('in_port')), ['table=0,priority=2,in_port=2 actions=drop']);
  assert.deepEqual(agent.flows('br-phys'), ['table=0,priority=0 actions=NORMAL', 'table=0,priority=2,in_port=1 actions=drop']);
});

test('N-OVS-9 N-OVS-10: a VLAN network translates between local and global id', async () => {
  const { more } = await difference([physnet()], [segment('tagged', 1, 'vlan', 100)]);
  assert.equal(more[0], 'table=0,priority=3,in_port=2,dl_vlan=100 actions=strip_vlan,load:0x1->NXM_NX_REG6[],load:0x1->NXM_NX_REG7[],resubmit(,60)');
  const phys = await difference([physnet()], [segment('tagged', 1, 'vlan', 100)], 'br-phys');
  assert.deepEqual(phys.more, ['table=0,priority=4,in_port=1,dl_vlan=1 actions=set_field:4196->vlan_vid,NORMAL']);
});

test('N-OVS-12 N-OVS-13: the frame of br-int', async () => {
  const agent = await SimulatedAgent.of([]);
  assert.deepEqual(agent.flows('br-int', 0, 23, 24, 25, 60, 94), [
    'table=0,priority=0 actions=drop', 'table=0,priority=65535,dl_vlan=4095 actions=drop', 'table=23,priority=0 actions=drop', 'table=24,priority=0 actions=drop',
    'table=25,priority=0 actions=drop', 'table=60,priority=0 actions=drop', 'table=94,priority=0 actions=drop',
  ]);
});

test('N-OVS-5 N-OVS-15: a port without port security has its flows in 0, 60 and 94, and none in 24 and 25', async () => {
  const { more, less } = await difference([segment('red', 1, 'local')], [openPort('a', 'red', mac(1), ['10.0.0.1'])]);
  assert.deepEqual(more, [
    'table=0,priority=9,in_port=11,vlan_tci=0x0000/0x1fff actions=resubmit(,60)',
    'table=60,priority=100,in_port=11 actions=load:0xb->NXM_NX_REG5[],load:0x1->NXM_NX_REG6[],resubmit(,73)',
    'table=62,priority=10,reg6=0x1,reg7=0 actions=output:11',
    'table=62,priority=10,reg6=0x1,reg7=0x1 actions=output:11',
    'table=94,priority=10,reg6=0x1,reg7=0 actions=output:11',
    'table=94,priority=10,reg6=0x1,reg7=0x1 actions=output:11',
    'table=94,priority=20,reg6=0x1,dl_dst=fa:16:3e:00:00:01 actions=output:11',
  ]);
  assert.deepEqual(less, ['table=62,priority=10,reg6=0x1,reg7=0 actions=drop']);
});

test('N-SG-3: who a port may claim to be, and what it may never send', async () => {
  const agent = await SimulatedAgent.of([segment('red', 1, 'local'), port('a', 'red', mac(1), ['10.0.0.1'])]);
  assert.deepEqual(agent.flows('br-int', 24, 25), [
    'table=24,priority=0 actions=drop',
    'table=24,priority=2,arp,in_port=11,arp_spa=0.0.0.0,arp_op=1,arp_sha=fa:16:3e:00:00:01 actions=resubmit(,25)',
    'table=24,priority=2,arp,in_port=11,arp_spa=10.0.0.1,arp_sha=fa:16:3e:00:00:01 actions=resubmit(,25)',
    'table=24,priority=2,icmp6,in_port=11,icmp_type=136,nd_target=fe80::f816:3eff:fe00:1,nd_tll=00:00:00:00:00:00 actions=resubmit(,25)',
    'table=24,priority=2,icmp6,in_port=11,icmp_type=136,nd_target=fe80::f816:3eff:fe00:1,nd_tll=fa:16:3e:00:00:01 actions=resubmit(,25)',
    'table=25,priority=0 actions=drop',
    'table=25,priority=2,in_port=11,dl_src=fa:16:3e:00:00:01 actions=resubmit(,60)',
  ]);
  assert.deepEqual(agent.flows('br-int', 71).filter((line) => /priority=(96|65)/.test(line)), [
    'table=71,priority=65,ip,reg5=0xb,nw_src=10.0.0.1 actions=ct(table=72,zone=NXM_NX_REG6[0..15])',
    'table=71,priority=65,ipv6,reg5=0xb,ipv6_src=fe80::f816:3eff:fe00:1 actions=ct(table=72,zone=NXM_NX_REG6[0..15])',
    'table=71,priority=96,icmp,icmp_type=5 actions=resubmit(,93)',
    'table=71,priority=96,icmp,icmp_type=9 actions=resubmit(,93)',
    'table=71,priority=96,icmp6,icmp_type=134 actions=resubmit(,93)',
    'table=71,priority=96,icmp6,icmp_type=137 actions=resubmit(,93)',
    'table=71,priority=96,udp,tp_src=67,tp_dst=68 actions=resubmit(,93)',
    'table=71,priority=96,udp6,tp_src=547,tp_dst=546 actions=resubmit(,93)',
  ]);
});

test('N-SG-3: of a port with several MACs each speaks for its own addresses', async () => {
  const paired = port('a', 'red', mac(1), ['10.0.0.1'], { allowed_address_pairs: [{ mac_address: mac(2), ip_address: '10.0.0.77' }] });
  const agent = await SimulatedAgent.of([segment('red', 1, 'local'), paired]);
  assert.deepEqual(agent.flows('br-int', 24, 71).filter((line) => /arp_spa=10|priority=(80|65),(ip|udp),/.test(line)), [
    'table=24,priority=2,arp,in_port=11,dl_src=fa:16:3e:00:00:01,arp_spa=10.0.0.1,arp_sha=fa:16:3e:00:00:01 actions=resubmit(,25)',
    'table=24,priority=2,arp,in_port=11,dl_src=fa:16:3e:00:00:02,arp_spa=10.0.0.77,arp_sha=fa:16:3e:00:00:02 actions=resubmit(,25)',
    'table=71,priority=65,ip,reg5=0xb,dl_src=fa:16:3e:00:00:01,nw_src=10.0.0.1 actions=ct(table=72,zone=NXM_NX_REG6[0..15])',
    'table=71,priority=65,ip,reg5=0xb,dl_src=fa:16:3e:00:00:02,nw_src=10.0.0.77 actions=ct(table=72,zone=NXM_NX_REG6[0..15])',
    'table=71,priority=80,udp,reg5=0xb,dl_src=fa:16:3e:00:00:01,nw_src=0.0.0.0,tp_src=68,tp_dst=67 actions=resubmit(,73)',
    'table=71,priority=80,udp,reg5=0xb,dl_src=fa:16:3e:00:00:01,nw_src=10.0.0.1,tp_src=68,tp_dst=67 actions=resubmit(,73)',
    'table=71,priority=80,udp,reg5=0xb,dl_src=fa:16:3e:00:00:02,nw_src=10.0.0.77,tp_src=68,tp_dst=67 actions=resubmit(,73)',
  ]);
});

test('N-VX-3 N-VX-4 N-VX-6 N-VX-9: a port on another host', async () => {
  const here = [segment('red', 3, 'vxlan', 2000), tunnel(PEER_A), tunnel(PEER_B), flood('red', PEER_A)];
  const { more } = await difference(here, [flood('red', PEER_B), forward('red', 'far', PEER_B, mac(9), ['10.0.0.9', 'fd00::9'])], 'br-tun');
  assert.deepEqual(more, [
    'table=20,priority=2,dl_vlan=3,dl_dst=fa:16:3e:00:00:09 actions=strip_vlan,set_field:0x7d0->tun_id,output:22',
    'table=21,priority=1,arp,dl_vlan=3,arp_tpa=10.0.0.9,arp_op=1 actions=move:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[],set_field:fa:16:3e:00:00:09->eth_src,load:0x2->NXM_OF_ARP_OP[],move:NXM_NX_ARP_SHA[]->NXM_NX_ARP_THA[],move:NXM_OF_ARP_SPA[]->NXM_OF_ARP_TPA[],load:0xfa163e000009->NXM_NX_ARP_SHA[],load:0xa000009->NXM_OF_ARP_SPA[],IN_PORT',
    'table=22,priority=1,dl_vlan=3 actions=strip_vlan,set_field:0x7d0->tun_id,output:21,output:22',
  ]);
  assert.deepEqual((await SimulatedAgent.of(here)).flows('br-tun', 4), ['table=4,priority=0 actions=drop', 'table=4,priority=1,tun_id=0x7d0 actions=push_vlan:0x8100,set_field:4099->vlan_vid,resubmit(,10)']);
});

test('N-VX-5: an unknown local VLAN is dropped', async () => {
  const agent = await SimulatedAgent.of([segment('red', 1, 'vxlan', 2000), tunnel(PEER_A), flood('red', PEER_A)]);
  assert.deepEqual(agent.switch.inject('br-tun', 'in_port=1,dl_vlan=7,dl_dst=ff:ff:ff:ff:ff:ff').outputs, []);
});

test('N-OVS-16: removing what came brings the flows back to what they were', async () => {
  const agent = await SimulatedAgent.of(richHost());
  const full = agent.programs.print();
  const more = [segment('new', 9, 'vxlan', 3000), flood('new', PEER_A), port('n', 'new', mac(0x77), ['10.9.0.1'], { security_groups: ['default'] }), member('default', '10.9.0.1')];
  agent.plug('n');
  agent.programs.update(more, []);
  await agent.apply();
  assert.notEqual(agent.programs.print(), full);
  agent.programs.update([], more.map(keyOf));
  agent.unplug('n');
  await agent.apply();
  assert.equal(agent.programs.print(), full);
  assert.equal(agent.programs.pending(), 0);
});

const PORTS = (count: number): Item[] => Array.from({ length: count }, (_, i) => port(`p${String(i).padStart(3, '0')}`, 'red', mac(i + 1), [`10.0.${i >> 8}.${i & 255}`], { security_groups: ['web'] }));
const REMOTE = [...defaultGroup('web', 10), rule('web', 20, { protocol: 6, range: [22, 22], group: 'web' }), rule('web', 21, { direction: 'egress', protocol: 17, group: 'web' })];

test('DESIGN law 5, OSSA-2013-020: member 101 of a remote group adds as many flows as member 2, one a table', async () => {
  const added = async (before: number): Promise<string[]> => {
    const members = Array.from({ length: before }, (_, i) => member('web', `10.1.0.${i}`));
    const agent = await SimulatedAgent.of([segment('red', 1, 'local'), ...PORTS(3), ...REMOTE, ...members]);
    agent.plans.length = 0;
    agent.programs.update([member('web', '10.1.1.1')], []);
    await agent.apply();
    return agent.plans.flat();
  };
  const [second, hundredFirst] = [await added(1), await added(100)];
  assert.deepEqual(hundredFirst, second);
  assert.deepEqual(second.map((line) => line.replace('add cookie=0x5061746368626179,', '')), [
    'table=72,priority=70,ip,nw_dst=10.1.1.1 actions=conjunction(12,1/2),conjunction(20,1/2),conjunction(21,1/2)',
    'table=82,priority=70,ip,nw_src=10.1.1.1 actions=conjunction(12,1/2),conjunction(20,1/2),conjunction(21,1/2)',
  ]);
});

test('DESIGN law 5: a rule on a group of many local ports is as many flows for each port, and two for itself if it has a remote group', async () => {
  const added = async (ports: number, more: Item): Promise<number> => {
    const agent = await SimulatedAgent.of([segment('red', 1, 'local'), ...PORTS(ports), ...REMOTE, ...Array.from({ length: ports }, (_, i) => member('web', `10.0.0.${i}`))]);
    agent.plans.length = 0;
    agent.programs.update([more], []);
    await agent.apply();
    return agent.plans.flat().length;
  };
  const plain = rule('web', 30, { protocol: 6, range: [80, 80] });
  const remote = rule('web', 31, { protocol: 6, range: [443, 443], group: 'others' });
  // Questions and answers.
  assert.deepEqual([await added(10, plain), await added(100, plain)], [20, 200]);
  assert.deepEqual([await added(10, remote), await added(100, remote)], [22, 202]);
  // A rule on the group itself also names its conjunction in the flow of each member: linear all the same.
  assert.equal(await added(100, rule('web', 32, { protocol: 6, range: [443, 443], group: 'web' })), 402);
});

test('the masks of a port range match its ports and no other', () => {
  fc.assert(fc.property(fc.nat(65535), fc.nat(65535), (a, b) => {
    const [first, last] = [Math.min(a, b), Math.max(a, b)];
    const masks = maskedPorts(first, last);
    assert.ok(masks.length <= 30);
    const matches = (value: number): number => masks.filter((each) => (value & each.mask) === each.value).length;
    for (const inside of [first, last, (first + last) >> 1]) assert.equal(matches(inside), 1);
    for (const outside of [first - 1, last + 1]) if (outside >= 0 && outside <= 65535) assert.equal(matches(outside), 0);
    assert.equal(masks.reduce((sum, { mask }) => sum + 0x10000 - mask, 0), last - first + 1);
  }));
});

const RED = [segment('red', 1, 'local'), openPort('from', 'red', mac(1), ['10.0.0.1'])];
const connect = (tail: string): string => `dl_src=${mac(1)},dl_dst=${mac(2)},nw_ttl=64,${tail}`;

/** What of `packets` a port with `rules` in its group g, and in h, lets in. */
async function admitted(rules: readonly Item[], packets: readonly string[]): Promise<string[]> {
  const agent = await SimulatedAgent.of([...RED, port('to', 'red', mac(2), ['10.0.0.2', 'fd00::2'], { security_groups: ['g', 'h'] }), ...rules]);
  assert.deepEqual([...agent.failures], []);
  return packets.filter((packet) => agent.sendFrom('from', connect(packet)).includes('port to'));
}

test('OSSA-2019-002: overlapping port ranges of two groups admit their union', async () => {
  const tcp = (dport: number, src = '10.0.0.1'): string => `tcp,tcp_flags=0x2,nw_src=${src},nw_dst=10.0.0.2,tp_src=1024,tp_dst=${dport}`;
  const packets = [79, 80, 85, 90, 91, 100, 101].map((dport) => tcp(dport));
  const range = { protocol: 6, range: [80, 90] as const };
  const wide = { protocol: 6, range: [85, 100] as const };
  const expected = packets.slice(1, 6);
  assert.deepEqual(await admitted([rule('g', 1, range), rule('h', 2, wide)], packets), expected);
  const members = [member('friends', '10.0.0.1'), member('others', '10.0.0.3')];
  assert.deepEqual(await admitted([rule('g', 1, { ...range, group: 'friends' }), rule('h', 2, { ...wide, group: 'friends' }), ...members], packets), expected);
  assert.deepEqual(await admitted([rule('g', 1, { ...range, group: 'others' }), rule('h', 2, { ...wide, group: 'friends' }), ...members], packets), [tcp(85), tcp(90), tcp(91), tcp(100)]);
});

test('two groups of a port that admit one service from different members admit both', async () => {
  const packets = ['10.0.0.1', '10.0.0.3', '10.0.0.4'].map((src) => `tcp,tcp_flags=0x2,nw_src=${src},nw_dst=10.0.0.2,tp_src=1024,tp_dst=22`);
  const rules = [rule('g', 1, { group: 'friends' }), rule('h', 2, { group: 'others' }), member('friends', '10.0.0.1'), member('others', '10.0.0.3')];
  assert.deepEqual(await admitted(rules, packets), packets.slice(0, 2));
  assert.deepEqual(await admitted(rules.toReversed(), packets), packets.slice(0, 2));
});

test('a rule without ports admits all of its protocol; one without protocol admits everything', async () => {
  const packets = [
    'tcp,tcp_flags=0x2,nw_src=10.0.0.1,nw_dst=10.0.0.2,tp_src=1,tp_dst=65535', 'udp,nw_src=10.0.0.1,nw_dst=10.0.0.2,tp_src=1,tp_dst=1', 'sctp,nw_src=10.0.0.1,nw_dst=10.0.0.2,tp_src=1,tp_dst=1',
    'icmp,icmp_type=8,nw_src=10.0.0.1,nw_dst=10.0.0.2', 'tcp6,tcp_flags=0x2,ipv6_src=fd00::1,ipv6_dst=fd00::2,tp_src=1,tp_dst=1',
  ];
  const only = (...indexes: number[]): string[] => indexes.map((index) => packets[index]!);
  assert.deepEqual(await admitted([rule('g', 1, { protocol: 6 })], packets), only(0));
  assert.deepEqual(await admitted([rule('g', 1, { protocol: 17 })], packets), only(1));
  assert.deepEqual(await admitted([rule('g', 1, { protocol: 132 })], packets), only(2));
  assert.deepEqual(await admitted([rule('g', 1, { protocol: 1 })], packets), only(3));
  assert.deepEqual(await admitted([rule('g', 1)], packets), only(0, 1, 2, 3));
  assert.deepEqual(await admitted([rule('g', 1, { ethertype: 'IPv6' })], packets), only(4));
  assert.deepEqual(await admitted([rule('g', 1, { protocol: 6, range: [1, 65535] })], packets), only(0));
});

test('ICMP rules name a type, or a type and a code', async () => {
  const packets = [[8, 0], [8, 1], [13, 0]].map(([type, code]) => `icmp,icmp_type=${type},icmp_code=${code},nw_src=10.0.0.1,nw_dst=10.0.0.2`);
  assert.deepEqual(await admitted([rule('g', 1, { protocol: 1, range: [8] })], packets), packets.slice(0, 2));
  assert.deepEqual(await admitted([rule('g', 1, { protocol: 1, range: [8, 0] })], packets), packets.slice(0, 1));
});

test('every protocol by its number makes flows that the switch takes, in both families and directions', async () => {
  const rules = Array.from({ length: 256 }, (_, protocol) => (['IPv4', 'IPv6'] as const).flatMap((ethertype) => (['ingress', 'egress'] as const).flatMap((direction) => [
    rule('g', 1000 + protocol * 8 + (ethertype === 'IPv6' ? 4 : 0) + (direction === 'egress' ? 2 : 0), { protocol, ethertype, direction }),
    rule('g', 1001 + protocol * 8 + (ethertype === 'IPv6' ? 4 : 0) + (direction === 'egress' ? 2 : 0), { protocol, ethertype, direction, group: 'friends' }),
  ]))).flat();
  const agent = await SimulatedAgent.of([...RED, port('to', 'red', mac(2), ['10.0.0.2'], { security_groups: ['g'] }), ...rules]);
  // Of IPv6 Open vSwitch passes over extension headers: the rules that name one say that they admit nothing.
  const extensions = rules.filter(({ ethertype, protocol }) => ethertype === 'IPv6' && [0, 43, 51, 60].includes(protocol!));
  assert.deepEqual([...agent.failures], extensions.map(({ rule_id, protocol }): [string, string] => [`rule/g/${rule_id}`, `Open vSwitch matches no IPv6 extension header ${protocol}: the rule admits nothing`]));
  assert.equal(agent.flows('br-int', 82).filter((line) => line.includes('priority=77')).length, 1024 - extensions.length / 2);
});

test('law 4: a rule that is no flow is reported with its port, closes nothing else and opens nothing', async () => {
  const poison = rule('bad', 66, { ethertype: 'IPv6', protocol: 6, prefix: '10.0.0.0/8' });
  const agent = await SimulatedAgent.of([...RED, rule('g', 1, { protocol: 6 }), poison, port('to', 'red', mac(2), ['10.0.0.2'], { security_groups: ['g'] }), port('sick', 'red', mac(3), ['10.0.0.3'], { security_groups: ['g', 'bad'] })]);
  assert.deepEqual([...agent.failures.keys()], ['port/sick']);
  assert.match(agent.failures.get('port/sick')!, /"10\.0\.0\.0\/8" is no value of ipv6_src/);
  const tcp = (to: number): string => `tcp,tcp_flags=0x2,nw_src=10.0.0.1,nw_dst=10.0.0.${to},tp_src=1,tp_dst=1,dl_src=${mac(1)},dl_dst=${mac(to)}`;
  assert.deepEqual([agent.sendFrom('from', tcp(2)), agent.sendFrom('from', tcp(3))], [['port to'], ['port sick']]);
  agent.programs.update([], [keyOf(poison)]);
  await agent.apply();
  assert.equal(agent.programs.failure('port/sick'), undefined);
});

test('law 4: a flow that the switch refuses takes only itself out; what stood in its place is swept, and all others go in', async () => {
  const crowd = Array.from({ length: 4200 }, (_, i) => openPort(`q${i}`, 'crowd', mac(0x100 + i), []));
  const agent = await SimulatedAgent.of([...RED, segment('crowd', 2, 'local'), ...crowd.slice(0, 10)]);
  assert.equal(agent.flows('br-int', 62).filter((line) => line.includes('reg6=0x2')).length, 2);
  for (const each of [...crowd.slice(10), port('also', 'red', mac(4), [])]) agent.plug(each.port_id);
  agent.programs.update([...crowd, port('also', 'red', mac(4), ['10.0.0.4'])], []);
  await agent.apply();
  assert.deepEqual([...agent.failures.keys()], ['segment/crowd']);
  assert.deepEqual(agent.flows('br-int', 62).filter((line) => line.includes('reg6=0x2')), []);
  assert.ok(agent.flows('br-int', 60).some((line) => line.includes(`in_port=${agent.ofport('also')} `)));
  assert.equal(agent.programs.pending(), 0);
});

test('a port may not take the frames of a neighbour by an allowed address pair; a virtual MAC reaches all who may use it, and the uplink', async () => {
  const pair = (mac_address: string): { allowed_address_pairs: { mac_address: string; ip_address: string }[]; security_groups: string[] } => ({ allowed_address_pairs: [{ mac_address, ip_address: '10.0.0.7' }], security_groups: ['g'] });
  const items = [
    segment('red', 1, 'vxlan', 2000), tunnel(PEER_A), flood('red', PEER_A), openPort('from', 'red', mac(1), ['10.0.0.1']), rule('g', 1),
    port('thief', 'red', mac(2), [], pair(mac(4))), port('b', 'red', mac(3), [], pair(VIRTUAL_MAC)), port('victim', 'red', mac(4), [], { security_groups: ['g'] }), port('c', 'red', mac(5), [], pair(VIRTUAL_MAC)),
  ];
  const to = (dst: string): string => `udp,dl_src=${mac(1)},dl_dst=${dst},nw_src=10.0.0.1,nw_dst=10.0.0.7,tp_src=1,tp_dst=1`;
  for (const order of [items, items.toReversed()]) {
    const agent = await SimulatedAgent.of(order);
    assert.deepEqual(agent.sendFrom('from', to(mac(4))), ['port victim']);
    assert.deepEqual(agent.sendFrom('from', to(VIRTUAL_MAC)), ['port b', 'port c', 'vxlan 192.0.2.2']);
    assert.deepEqual(agent.sendFromTunnel('vxlan', PEER_A, 2000, to(VIRTUAL_MAC)), ['port b', 'port c', 'port from'], 'and ports without filter, as any address that no port has');
  }
});

test('N-VX-7, OSSA-2019-004: one frame from a peer is enough to send the answer there only; the entry is not the plan\'s to sweep', async () => {
  const agent = await SimulatedAgent.of([segment('red', 1, 'vxlan', 2000), tunnel(PEER_A), tunnel(PEER_B), flood('red', PEER_A), flood('red', PEER_B), openPort('from', 'red', mac(1), ['10.0.0.1'])]);
  const request = `arp,arp_op=1,arp_spa=10.0.0.77,arp_tpa=10.0.0.1,arp_sha=${mac(0x77)},dl_src=${mac(0x77)},dl_dst=ff:ff:ff:ff:ff:ff`;
  const answer = `arp,arp_op=2,arp_spa=10.0.0.1,arp_tpa=10.0.0.77,arp_sha=${mac(1)},arp_tha=${mac(0x77)},dl_src=${mac(1)},dl_dst=${mac(0x77)}`;
  assert.deepEqual(agent.sendFrom('from', answer), [`vxlan ${PEER_A}`, `vxlan ${PEER_B}`]);
  assert.deepEqual(agent.sendFromTunnel('vxlan', PEER_B, 2000, request), ['port from']);
  assert.deepEqual(agent.sendFrom('from', answer), [`vxlan ${PEER_B}`]);
  const table = agent.programs.tableOf('br-tun', true);
  table.verify(await agent.switch.bridge('br-tun').dumpFlows());
  assert.deepEqual(table.plan(true), []);
});

/** Changes that may come in any order: items come, change and go; ports and tunnels are plugged, renumbered, unplugged. */
type Step = { readonly put: Item } | { readonly remove: Item } | { readonly plug: string; readonly ofport: number } | { readonly unplug: string } | { readonly apply: true };

const rich = richHost();
const ports = rich.filter((item) => item.type === 'port');
/** Other forms of items: what an update through the API may change. */
const variants: Item[] = rich.flatMap((item): Item[] => {
  if (item.type === 'port') return [item, { ...item, security_groups: ['ops'] }, { ...item, admin_state_up: !item.admin_state_up }, { ...item, port_security_enabled: !item.port_security_enabled }, { ...item, network_id: 'flat' }];
  if (item.type === 'segment') return [item, { ...item, local_vlan: item.local_vlan + 20 }, { ...item, network_type: 'local', segmentation_id: null, physical_network: null }];
  if (item.type === 'rule') return [item, { ...item, remote_group_id: 'ops', remote_ip_prefix: null }, { ...item, protocol: null, port_range_min: null, port_range_max: null }];
  if (item.type === 'forward') return [item, { ...item, ip_addresses: ['10.0.0.99'] }, { ...item, remote_ip: PEER_B }];
  return [item];
});
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 8, arbitrary: fc.constantFrom(...variants).map((put) => ({ put })) },
  { weight: 3, arbitrary: fc.constantFrom(...rich).map((remove) => ({ remove })) },
  { weight: 3, arbitrary: fc.record({ plug: fc.constantFrom(...ports).map(({ port_id }) => port_id), ofport: fc.integer({ min: 11, max: 40 }) }) },
  { weight: 1, arbitrary: fc.constantFrom(...ports).map(({ port_id }) => ({ unplug: port_id })) },
  { weight: 2, arbitrary: fc.constant({ apply: true as const }) },
);

test('any order and batching of events ends in the flows of an agent that starts now, and owes nothing', async () => {
  await fc.assert(fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 120 }), fc.boolean(), async (steps, startFull) => {
    const agent = startFull ? await SimulatedAgent.of(rich) : new SimulatedAgent();
    const held = new Map<string, Item>(startFull ? rich.map((item) => [keyOf(item), item]) : []);
    const plugged = new Map<string, number>(startFull ? ports.map(({ port_id }) => [port_id, agent.ofport(port_id)]) : []);
    if (!startFull) for (const item of rich) if (item.type === 'tunnel') agent.connect(item.network_type, item.remote_ip);
    for (const each of steps) {
      if ('put' in each) {
        held.set(keyOf(each.put), each.put);
        agent.programs.update([each.put], []);
      } else if ('remove' in each) {
        held.delete(keyOf(each.remove));
        agent.programs.update([], [keyOf(each.remove)]);
      } else if ('plug' in each) {
        const other = [...plugged].find(([, ofport]) => ofport === each.ofport)?.[0];
        if (other !== undefined) {
          plugged.delete(other);
          agent.unplug(other);
        }
        plugged.set(each.plug, agent.plug(each.plug, each.ofport));
      } else if ('unplug' in each) {
        plugged.delete(each.unplug);
        agent.unplug(each.unplug);
      } else await agent.apply();
    }
    await agent.apply();
    const fresh = new SimulatedAgent();
    for (const item of rich) if (item.type === 'tunnel') fresh.connect(item.network_type, item.remote_ip);
    for (const [portId, ofport] of plugged) fresh.plug(portId, ofport);
    fresh.programs.update([...held.values()], []);
    await fresh.apply();
    assert.equal(agent.programs.print(), fresh.programs.print());
    for (const bridge of ['br-int', 'br-tun', 'br-phys']) assert.equal(agent.switch.bridge(bridge).print(), fresh.switch.bridge(bridge).print());
    assert.equal(agent.programs.pending(), 0);
    agent.programs.allMoved();
    agent.programs.render();
    assert.equal(agent.programs.pending(), 0, 'rendered twice = once');
  }), { numRuns: 60 });
});
