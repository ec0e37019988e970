/** What the log flows copy, what records say of it, and that nobody's packets go another way for it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Item } from '#hoststate/host-state.ts';
import type { PacketIn } from '#openflow/codec/packet-in.ts';
import { forward, log, mac, member, PEER_A, port, richHost, rule, segment, tunnel } from '#testkit/host-items.ts';
import { ownPacket, packetArbitrary, valuesOf } from '#testkit/packets.ts';
import { SimulatedAgent } from '#testkit/simulated-agent.ts';
import { recordOf } from '../flow-record.ts';

/** Two guests of a network, `web` with port 80 open to all and 22 to `ops`, where the far one is. */
const HOST: readonly Item[] = [
  segment('red', 1, 'vxlan', 7), tunnel(PEER_A), forward('red', 'far', PEER_A, mac(3), ['10.0.0.3']),
  port('a', 'red', mac(1), ['10.0.0.1'], { security_groups: ['web'] }), port('b', 'red', mac(2), ['10.0.0.2'], { security_groups: ['none'] }),
  rule('web', 10, { direction: 'egress', protocol: 6 }), rule('web', 11, { protocol: 6, range: [80, 80] }), rule('web', 12, { protocol: 6, range: [22, 22], group: 'ops' }), rule('none', 20, { direction: 'egress', protocol: 6 }),
  member('ops', '10.0.0.3'),
];
const tcp = (from: number, to: number, dport: number, given = '') => `tcp,dl_src=${mac(from)},dl_dst=${mac(to)},nw_src=10.0.0.${from},nw_dst=10.0.0.${to},tp_src=1000,tp_dst=${dport},tcp_flags=0x2${given}`;

/** `ACCEPT a egress r10 null l`: one for each copy that is written. */
function records(agent: SimulatedAgent, copies: readonly PacketIn[]): string[] {
  return copies.flatMap((copy) => {
    const portId = ['a', 'b', 'c'].filter((id) => agent.programs.view.get('port', id)).find((id) => agent.ofport(id) === Number(copy.fields.reg5?.value));
    const record = portId && recordOf(agent.programs.view, agent.programs.view.get('port', portId)!, copy, {});
    return record ? [`${record.action} ${record.port_id} ${record.direction} ${record.rule_id} ${record.reason} ${record.log_resource_ids.join(' ')}`] : [];
  });
}

test('an accepted packet names its rule, also one of a remote group, in each direction', async () => {
  const agent = await SimulatedAgent.of([...HOST, log('l', 'a')]);
  assert.deepEqual(records(agent, agent.copiesOf('a', tcp(1, 3, 443))), ['ACCEPT a egress r10 null l']);
  assert.deepEqual(records(agent, agent.copiesOf('b', tcp(2, 1, 80))), ['ACCEPT a ingress r11 null l'], 'b itself is not logged');
  assert.deepEqual(records(agent, agent.copiesFromTunnel('vxlan', PEER_A, 7, tcp(3, 1, 22))), ['ACCEPT a ingress r12 null l']);
  assert.deepEqual(agent.copiesOf('b', tcp(2, 3, 443)), [], 'unlogged ports copy nothing');
});

test('only the first packet of a connection is copied', async () => {
  const agent = await SimulatedAgent.of([...HOST, log('l', 'a', 'ACCEPT')]);
  assert.equal(agent.copiesOf('b', tcp(2, 1, 80)).length, 1);
  const answer = `tcp,dl_src=${mac(1)},dl_dst=${mac(2)},nw_src=10.0.0.1,nw_dst=10.0.0.2,tp_src=80,tp_dst=1000,tcp_flags=0x12`;
  assert.deepEqual(agent.copiesOf('a', answer), []);
  assert.deepEqual(agent.copiesOf('b', tcp(2, 1, 80).replace('0x2', '0x10')), []);
});

test('a dropped packet says why: no rule, or not the port’s own to send', async () => {
  const agent = await SimulatedAgent.of([...HOST, log('l', 'a', 'DROP')]);
  assert.deepEqual(records(agent, agent.copiesOf('b', tcp(2, 1, 443))), ['DROP a ingress null no rule l']);
  assert.deepEqual(records(agent, agent.copiesOf('a', `udp,dl_src=${mac(1)},dl_dst=${mac(2)},nw_src=10.0.0.1,nw_dst=10.0.0.2,tp_src=1,tp_dst=2`)), ['DROP a egress null no rule l']);
  const forged = {
    'its address': tcp(1, 2, 80).replace('nw_src=10.0.0.1', 'nw_src=10.0.0.9'), 'its MAC': tcp(1, 2, 80).replace(`dl_src=${mac(1)}`, `dl_src=${mac(9)}`), 'a VLAN': tcp(1, 2, 80, ',vlan_tci=0x1005'),
    'an ARP answer': `arp,arp_op=2,dl_src=${mac(1)},dl_dst=${mac(2)},arp_sha=${mac(1)},arp_spa=10.0.0.9`, 'a DHCP server': `udp,dl_src=${mac(1)},dl_dst=${mac(2)},nw_src=10.0.0.1,nw_dst=10.0.0.2,tp_src=67,tp_dst=68`,
  };
  for (const [what, packet] of Object.entries(forged)) assert.deepEqual(records(agent, agent.copiesOf('a', packet)), ['DROP a egress null port security l'], what);
});

test('of a broadcast each receiver is written, and its sender’s own copy is not', async () => {
  const agent = await SimulatedAgent.of([...HOST, port('c', 'red', mac(4), ['10.0.0.4'], { security_groups: ['web'] }), log('l', 'a'), log('m', 'b'), log('n', 'c')]);
  const broadcast = (dport: number) => tcp(1, 2, dport).replace(`dl_dst=${mac(2)}`, 'dl_dst=ff:ff:ff:ff:ff:ff');
  assert.deepEqual(records(agent, agent.copiesOf('a', broadcast(443))), ['ACCEPT a egress r10 null l', 'DROP b ingress null no rule m', 'DROP c ingress null no rule n']);
  assert.deepEqual(records(agent, agent.copiesOf('a', broadcast(80))), ['ACCEPT a egress r10 null l', 'DROP b ingress null no rule m', 'ACCEPT c ingress r11 null n']);
  assert.deepEqual(records(agent, agent.copiesOf('b', broadcast(80).replace(`dl_src=${mac(1)}`, `dl_src=${mac(2)}`).replace('nw_src=10.0.0.1', 'nw_src=10.0.0.2'))), ['ACCEPT b egress r20 null m', 'ACCEPT a ingress r11 null l', 'ACCEPT c ingress r11 null n']);
  assert.deepEqual(records(agent, agent.copiesOf('a', broadcast(80).replace('10.0.0.1', '10.0.0.9'))), ['DROP a egress null port security l']);
});

test('a log asks for events, and for the rules of its group', async () => {
  const agent = await SimulatedAgent.of([...HOST, log('other', 'a', 'ACCEPT', 'none'), log('own', 'a', 'ALL', 'web'), log('drops', 'a', 'DROP')]);
  assert.deepEqual(records(agent, agent.copiesOf('b', tcp(2, 1, 80))), ['ACCEPT a ingress r11 null own']);
  assert.deepEqual(records(agent, agent.copiesOf('b', tcp(2, 1, 443))), ['DROP a ingress null no rule drops own']);
});

test('the flows of a log stand for its port alone, and are gone with it', async () => {
  const agent = await SimulatedAgent.of(HOST);
  const before = agent.flows('br-int');
  const change = async (upserts: readonly Item[], removals: readonly string[] = []) => {
    agent.programs.update(upserts, removals);
    await agent.apply();
  };
  await change([log('l', 'a')]);
  const after = agent.flows('br-int');
  const rest = before.filter((line) => !after.includes(line));
  const named = (line: string) => /conj_id=\d+|tp_dst=\d+|table=72.*ct_state=-rel-rpl-inv\+trk,tcp,reg5=0xb/.exec(line)?.[0];
  assert.deepEqual([...new Set(rest.map(named))], ['table=72,priority=77,ct_state=-rel-rpl-inv+trk,tcp,reg5=0xb', 'conj_id=12', 'tp_dst=80'], 'the rules that may admit to it say so, and no way of answers');
  assert.ok(after.every((line) => !/reg5=0xc/.test(line) || before.includes(line)), 'nothing of b changes');
  await change([port('a', 'red', mac(1), ['10.0.0.1'], { security_groups: ['none'] })]);
  assert.ok(!agent.flows('br-int').some((line) => /conj_id=12.*REG8/.test(line)), 'the group that it left is not logged any more');
  await change([port('a', 'red', mac(1), ['10.0.0.1'], { security_groups: ['web'] })], ['log/a/l']);
  assert.deepEqual(agent.flows('br-int'), before);
});

test('logged or not, packets go the same ways', async () => {
  const items = richHost();
  const ports = items.filter((item) => item.type === 'port' && item.admin_state_up);
  const logs = ports.map((item) => log(`l-${(item as { port_id: string }).port_id}`, (item as { port_id: string }).port_id));
  const values = valuesOf(items);
  const packets = fc.constantFrom(...ports).chain((item) => fc.oneof(packetArbitrary(values), ownPacket(values, item as never)).map((packet) => ({ from: (item as { port_id: string }).port_id, packet })));
  await fc.assert(fc.asyncProperty(fc.array(packets, { minLength: 20, maxLength: 40 }), async (sent) => {
    const [plain, logged] = [await SimulatedAgent.of(items), await SimulatedAgent.of([...items, ...logs])];
    for (const { from, packet } of sent) assert.deepEqual(logged.sendFrom(from, packet), plain.sendFrom(from, packet), `${packet} from ${from}`);
  }), { numRuns: 15 });
});
