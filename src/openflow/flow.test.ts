import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FLOW_SAMPLES } from '#testkit/flow-samples.ts';
import { formatActions } from './action-format.ts';
import { flowKey, formatFlow, parseFlow, sameFlow } from './flow.ts';
import { FlowSyntaxError } from './flow-syntax-error.ts';

test('N-OVS-13: every sample line has one canonical key and actions', () => {
  for (const { line, key, actions } of FLOW_SAMPLES) {
    const flow = parseFlow(line);
    assert.equal(flowKey(flow), key);
    assert.equal(formatActions(flow.actions), actions);
  }
});

test('the canonical line parses to the same flow', () => {
  for (const { line } of FLOW_SAMPLES) {
    const flow = parseFlow(line);
    const again = parseFlow(formatFlow(flow));
    assert.deepEqual(again, flow);
    assert.ok(sameFlow(again, flow));
  }
});

test('cookie and timeouts are read and printed', () => {
  const flow = parseFlow('cookie=0xabc0000000000001, duration=3.2s, table=3, n_packets=5, n_bytes=6, idle_timeout=7, hard_timeout=8, idle_age=9, ip actions=drop');
  assert.equal(flow.cookie, 0xabc0000000000001n);
  assert.equal(formatFlow(flow), 'cookie=0xabc0000000000001,idle_timeout=7,hard_timeout=8,table=3,priority=32768,ip actions=drop');
});

test('flows that differ in cookie, timeout or actions are not the same, those that differ in spelling are', () => {
  const flow = parseFlow('cookie=1,table=1,tcp,tp_dst=80,actions=2');
  assert.ok(sameFlow(flow, parseFlow('cookie=0x1,table=1,eth_type=0x800,nw_proto=6,tcp_dst=0x50,actions=output:2')));
  for (const other of ['cookie=2,table=1,tcp,tp_dst=80,actions=2', 'cookie=1,table=1,idle_timeout=1,tcp,tp_dst=80,actions=2', 'cookie=1,table=1,tcp,tp_dst=80,actions=3']) {
    assert.ok(!sameFlow(flow, parseFlow(other)), other);
  }
});

test('equal action texts share one parsed list', () => {
  assert.equal(parseFlow('table=1,actions=resubmit(,2)').actions, parseFlow('table=5,actions=resubmit(,2)').actions);
});

test('mod_vlan_vid pushes a tag only onto packets that may have none', () => {
  const actions = (line: string): string => formatActions(parseFlow(line).actions);
  assert.equal(actions('in_port=1,actions=mod_vlan_vid:2'), 'push_vlan:0x8100,set_field:4098->vlan_vid');
  assert.equal(actions('dl_vlan=1,actions=mod_vlan_vid:2'), 'set_field:4098->vlan_vid');
  assert.equal(actions('dl_vlan=1,actions=strip_vlan,mod_vlan_vid:2'), 'strip_vlan,push_vlan:0x8100,set_field:4098->vlan_vid');
  assert.equal(actions('in_port=1,actions=mod_vlan_vid:2,mod_vlan_vid:3'), 'push_vlan:0x8100,set_field:4098->vlan_vid,set_field:4099->vlan_vid');
});

const WRONG: readonly [line: string, message: RegExp][] = [
  ['table=1,priority=2', /no actions=/],
  ['table=1,actions=', /no actions: write actions=drop/],
  ['table=256,actions=drop', /"256" is no value of table/],
  ['priority=65536,actions=drop', /"65536" is no value of priority/],
  ['tp_dst=80,actions=drop', /tp_dst needs tcp, udp or sctp/],
  ['ip,tp_dst=80,actions=drop', /tp_dst needs tcp, udp or sctp/],
  ['nw_src=10.0.0.1,actions=drop', /nw_src needs ip/],
  ['ipv6,nw_src=10.0.0.1,actions=drop', /nw_src needs ip/],
  ['arp_spa=10.0.0.1,actions=drop', /arp_spa needs arp/],
  ['icmp6,nd_target=fe80::1,actions=drop', /nd_target needs icmp_type=135 or 136/],
  ['icmp6,icmp_type=136,nd_sll=fa:16:3e:00:00:01,actions=drop', /nd_sll needs icmp_type=135/],
  ['ip,nw_src=10.0.0.256,actions=drop', /"10.0.0.256" is no value of nw_src/],
  ['ip,nw_src=10.0.0.1/33,actions=drop', /no value of nw_src/],
  ['dl_src=fa:16:3e:00:00,actions=drop', /no value of dl_src/],
  ['reg0=0x100000000,actions=drop', /no value of reg0/],
  ['reg16=1,actions=drop', /no field is called "reg16"/],
  ['ct_state=+tracked,actions=drop', /no value of ct_state/],
  ['dl_vlan=4096,actions=drop', /no value of dl_vlan/],
  ['bogus,actions=drop', /"bogus" is neither a protocol nor field=value/],
  ['actions=fly:1', /no action is called "fly"/],
  ['actions=output:1,drop', /no action is called "drop"/],
  ['actions=goto_table:1,output:2', /goto_table must come last/],
  ['actions=load:0x100->NXM_NX_REG0[0..7]', /does not fit 8 bits/],
  ['actions=load:1->NXM_NX_REG0[0..32]', /no field with bits/],
  ['actions=move:NXM_NX_REG0[0..7]->NXM_NX_REG1[]', /8 bits do not fit 32/],
  ['actions=set_field:5->vlan_vid', /needs 4096 added/],
  ['actions=conjunction(1,3/2)', /conjunction\(id,k\/n\)/],
  ['ip,actions=ct(force)', /ct\(force\) needs commit/],
  ['ip,actions=ct(table=1', /parentheses do not match/],
  ['ip,actions=ct(nat(src=10.0.0.1-fd00::1),commit)', /no range for nat/],
];

test('what is not in the language, or would match more than it says, is an error that names the line', () => {
  for (const [line, message] of WRONG) {
    assert.throws(() => parseFlow(line), (error) => error instanceof FlowSyntaxError && message.test(error.message) && error.message.endsWith(`in flow: ${line}`), line);
  }
});
