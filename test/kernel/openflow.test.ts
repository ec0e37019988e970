import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { after, before, beforeEach, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { formatActions } from '#openflow/action-format.ts';
import type { FlowMod } from '#openflow/codec/flow-codec.ts';
import type { PacketIn } from '#openflow/codec/packet-in.ts';
import { type Flow, flowKey, formatFlow, parseFlow } from '#openflow/flow.ts';
import { OpenFlowClient, OpenFlowError } from '#openflow/openflow-client.ts';
import { PORT } from '#openflow/port-number.ts';
import { udp } from '#testkit/frames.ts';
import { FLOW_SAMPLES } from '#testkit/flow-samples.ts';
import { type PrivateOvs, startPrivateOvs } from '#testkit/private-ovs.ts';

let ovs: PrivateOvs;
let client: OpenFlowClient;

before(async () => {
  ovs = await startPrivateOvs();
  await ovs.tool('ovs-vsctl', 'add-br', 'br-int', '--', 'set', 'Bridge', 'br-int', 'datapath_type=netdev', 'fail_mode=secure');
  client = await OpenFlowClient.connect(ovs.mgmtSocket('br-int'));
});

after(async () => {
  client?.close();
  await ovs?.stop();
});

beforeEach(() => client.bundle([{ command: 'delete' }]));

function adds(...lines: string[]): FlowMod[] {
  return lines.map((line) => ({ command: 'add', flow: parseFlow(line) }));
}

const text = (flow: Flow): string => `${flowKey(flow)} actions=${formatActions(flow.actions)}`;

/** `dump-flows` puts table and priority elsewhere, omits the default of both, and calls strip_vlan by OpenFlow's name. */
function canonical(dumped: string): string {
  const [head, actions] = dumped.trim().split(/\s*actions=/) as [string, string];
  const parts = head.split(/,\s*/).filter((part) => part !== '' && !part.startsWith('cookie='));
  const take = (name: string, initial: string): string => {
    const at = parts.findIndex((part) => part.startsWith(`${name}=`));
    return at < 0 ? initial : parts.splice(at, 1)[0]!.slice(name.length + 1);
  };
  const table = take('table', '0');
  const priority = take('priority', '32768');
  return `${[`table=${table}`, `priority=${priority}`, ...parts].join(',')} actions=${actions.replaceAll('pop_vlan', 'strip_vlan')}`;
}

async function ofctlDump(...options: string[]): Promise<string[]> {
  const dumped = await ovs.tool('ovs-ofctl', ...options, 'dump-flows', '--no-stats', 'br-int');
  return dumped.split('\n').filter((line) => line.includes('actions=')).map(canonical);
}

test('N-OVS-13: a full dump gives back exactly the flows that were written', async () => {
  const flows = FLOW_SAMPLES.map(({ line }, i) => ({ ...parseFlow(line), cookie: BigInt(i) << 40n, hard_timeout: 3000, idle_timeout: i + 1000 }));
  await client.bundle(flows.map((flow) => ({ command: 'add', flow })));
  const dumped = await client.dumpFlows();
  assert.deepEqual(dumped.map(formatFlow).sort(), flows.map(formatFlow).sort());
  assert.ok(dumped.every((flow) => flow.n_packets === 0n && flow.n_bytes === 0n && flow.duration >= 0));
});

test('N-OVS-13: ovs-ofctl prints the flows as we do', async () => {
  const flows = FLOW_SAMPLES.map(({ line }) => parseFlow(line));
  await client.bundle(flows.map((flow) => ({ command: 'add', flow })));
  assert.deepEqual((await ofctlDump('-O', 'OpenFlow14')).sort(), flows.map(text).sort());
});

test('N-OVS-13: flows that ovs-ofctl writes from our lines are the flows we would write', async () => {
  const flows = FLOW_SAMPLES.map(({ line }) => parseFlow(line));
  const file = `${ovs.rundir}/flows`;
  await writeFile(file, flows.map((flow) => `${formatFlow(flow)}\n`).join(''));
  await ovs.tool('ovs-ofctl', '-O', 'OpenFlow14', 'add-flows', 'br-int', file);
  assert.deepEqual((await client.dumpFlows()).map(formatFlow).sort(), flows.map(formatFlow).sort());
});

test('N-OVS-13: what an operator reads with plain dump-flows names the same tables and actions', async () => {
  await client.bundle(adds('table=60,priority=90,dl_vlan=1,dl_dst=fa:16:3e:00:00:01,actions=load:0xb->NXM_NX_REG5[],strip_vlan,goto_table:81', 'table=1,actions=drop'));
  assert.deepEqual(await ofctlDump(), [
    'table=1,priority=32768 actions=drop',
    'table=60,priority=90,dl_vlan=1,dl_dst=fa:16:3e:00:00:01 actions=load:0xb->NXM_NX_REG5[],strip_vlan,resubmit(,81)',
  ]);
});

test('a bundle with a flow that the switch does not take leaves nothing and names the flow', async () => {
  const bad = 'table=5,priority=2,in_port=1,actions=ct(table=6)';
  await assert.rejects(client.bundle(adds('table=5,priority=1,actions=output:1', bad, 'table=5,priority=3,actions=output:3')), (error) => {
    assert.ok(error instanceof OpenFlowError);
    assert.equal(error.message, 'OFPET_BAD_ACTION MATCH_INCONSISTENT: add cookie=0x0,table=5,priority=2,in_port=1 actions=ct(table=6)');
    assert.deepEqual(error.refused.map(({ mod }) => mod), adds(bad));
    return true;
  });
  assert.deepEqual(await client.dumpFlows(), []);
});

test('a bundle that fails only at its commit leaves nothing, not even its deletes', async () => {
  await client.bundle(adds('table=5,priority=1,actions=output:1'));
  await assert.rejects(client.bundle([{ command: 'delete' }, ...adds('table=5,priority=2,actions=group:77')]), (error) => {
    assert.ok(error instanceof OpenFlowError);
    assert.match(error.message, /^OFPET_BAD_ACTION BAD_OUT_GROUP: add cookie=0x0,table=5,priority=2 actions=group:77$/);
    return true;
  });
  assert.deepEqual((await client.dumpFlows()).map(text), ['table=5,priority=1 actions=output:1']);
});

test('a flow that is too long for OpenFlow is refused by name, and the client goes on', async () => {
  const ports = Array.from({ length: 5000 }, (_, i) => `output:${i + 1}`).join(',');
  await assert.rejects(client.bundle(adds('table=1,actions=drop', `table=2,actions=${ports}`)), (error) => error instanceof OpenFlowError && error.refused.length === 1 && error.refused[0]!.mod.command === 'add');
  assert.deepEqual(await client.dumpFlows(), []);
  await client.bundle(adds('table=1,actions=drop'));
  assert.equal((await client.dumpFlows()).length, 1);
});

test('N-VX-6: what table 10 learns into table 20 reads as ovs-ofctl prints it', async () => {
  await client.bundle(adds(
    'table=4,priority=1,tun_id=0x7d0,actions=mod_vlan_vid:1,resubmit(,10)',
    'table=10,priority=1,actions=learn(table=20,hard_timeout=300,priority=1,cookie=0x1ea4,NXM_OF_VLAN_TCI[0..11],NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],load:0->NXM_OF_VLAN_TCI[],load:NXM_NX_TUN_ID[]->NXM_NX_TUN_ID[],output:NXM_OF_IN_PORT[])',
    'table=0,actions=load:0x7d0->NXM_NX_TUN_ID[],resubmit(,4)',
  ));
  await ovs.tool('ovs-appctl', 'ofproto/trace', 'br-int', 'in_port=LOCAL,dl_src=fa:16:3e:00:00:07,dl_dst=fa:16:3e:00:00:08', '-generate');
  const learned = await client.dumpFlows({ table: 20 });
  assert.deepEqual(learned.map((flow) => [flow.cookie, flow.hard_timeout, text(flow)]), [
    [0x1ea4n, 300, 'table=20,priority=1,vlan_tci=0x0001/0x0fff,dl_dst=fa:16:3e:00:00:07 actions=load:0->NXM_OF_VLAN_TCI[],load:0x7d0->NXM_NX_TUN_ID[],LOCAL'],
  ]);
  assert.deepEqual(text(parseFlow(formatFlow(learned[0]!))), text(learned[0]!));
});

test('bundles that are called at once are applied in that order, and one that fails does not hinder the next', async () => {
  const results = await Promise.allSettled([
    client.bundle(adds('table=1,actions=output:1')),
    client.bundle(adds('table=1,actions=ct(table=2)')),
    client.bundle(adds('table=1,actions=output:3')),
    client.bundle([]),
  ]);
  assert.deepEqual(results.map(({ status }) => status), ['fulfilled', 'rejected', 'fulfilled', 'fulfilled']);
  assert.deepEqual((await client.dumpFlows()).map(text), ['table=1,priority=32768 actions=output:3']);
});

test('strict deletes take one flow, deletes by cookie their own, modifications keep the cookie', async () => {
  await client.bundle(adds(
    'cookie=0x100,table=1,priority=1,ip,actions=output:1', 'cookie=0x200,table=1,priority=2,ip,actions=output:2',
    'cookie=0x101,table=2,priority=1,tcp,actions=output:3', 'cookie=0x300,table=2,priority=1,udp,actions=output:4',
  ));
  await client.bundle([{ command: 'delete_strict', flow: parseFlow('table=1,priority=2,ip,actions=drop') }, { command: 'delete_strict', flow: parseFlow('table=1,priority=3,ip,actions=drop') }]);
  assert.deepEqual((await client.dumpFlows()).map((flow) => flow.cookie).sort(), [0x100n, 0x101n, 0x300n]);
  await client.bundle([{ command: 'modify_strict', flow: parseFlow('cookie=0x999,table=2,priority=1,udp,actions=output:5') }]);
  assert.deepEqual((await client.dumpFlows({ cookie: 0x300n, cookieMask: 0xffffn })).map(formatFlow), ['cookie=0x300,table=2,priority=1,udp actions=output:5']);
  assert.deepEqual((await client.dumpFlows({ table: 1 })).length, 1);
  await client.bundle([{ command: 'delete', cookie: 0x100n, cookieMask: 0xff00n }]);
  assert.deepEqual((await client.dumpFlows()).map((flow) => flow.cookie), [0x300n]);
});

test('an add of the same key replaces the flow', async () => {
  await client.bundle(adds('cookie=0x1,table=1,tcp,tp_dst=80,actions=output:1'));
  await client.bundle(adds('cookie=0x2,table=1,tcp,tcp_dst=0x50,actions=output:2'));
  assert.deepEqual((await client.dumpFlows()).map(formatFlow), ['cookie=0x2,table=1,priority=32768,tcp,tp_dst=80 actions=output:2']);
});

test('ten thousand flows go into one bundle and come back unchanged', async () => {
  const flows = Array.from({ length: 10_000 }, (_, i) =>
    parseFlow(`cookie=0x7,table=82,priority=77,ct_state=+est-rel-rpl,tcp,reg5=${i % 200},nw_src=10.${i >> 8}.${i & 255}.1,tp_dst=${i},actions=conjunction(${i},1/2)`),
  );
  await client.bundle(flows.map((flow) => ({ command: 'add', flow })));
  const dumped = await client.dumpFlows();
  assert.deepEqual(dumped.map(formatFlow).sort(), flows.map(formatFlow).sort());
  await client.bundle([{ command: 'delete', cookie: 7n, cookieMask: 0xffffffffffffffffn }]);
  assert.equal((await client.dumpFlows()).length, 0);
});

test('ports are known by name', async () => {
  await ovs.tool('ovs-vsctl', 'add-port', 'br-int', 'vm1', '--', 'set', 'Interface', 'vm1', 'type=internal', 'ofport_request=77');
  assert.deepEqual(await client.portDesc(), new Map([['br-int', PORT.LOCAL], ['vm1', 77]]));
});

test('there is no client without a switch', async () => {
  await assert.rejects(OpenFlowClient.connect(ovs.mgmtSocket('br-none')), { code: 'ENOENT' });
});

test('close ends the calls under way', async () => {
  const other = await OpenFlowClient.connect(ovs.mgmtSocket('br-int'));
  const dump = other.dumpFlows();
  other.close();
  await assert.rejects(dump, /the client was closed/);
  assert.equal(await other.closed, undefined);
  await assert.rejects(other.bundle(adds('actions=drop')), /the client was closed/);
});

test('packets that a flow sends to the controller are heard, and a meter holds a flood of them back', async () => {
  const meter = { id: 9, rate: 100, burst: 25 };
  await client.addMeter(meter);
  await assert.rejects(client.addMeter(meter), /METER_EXISTS/);
  await client.modifyMeter({ ...meter, rate: 50 });
  await client.modifyMeter(meter);
  assert.deepEqual(await client.meters(), [meter]);
  await ovs.tool('ovs-vsctl', 'add-port', 'br-int', 'guest', '--', 'set', 'Interface', 'guest', 'type=internal', 'ofport_request=4');
  await ovs.inNamespace('ip', 'link', 'set', 'guest', 'up');
  await client.bundle(adds(
    'cookie=0x1,table=0,priority=1,ip,in_port=4,actions=load:0x5->NXM_NX_REG5[],load:0x7->NXM_NX_REG9[],ct(table=7,zone=3)',
    'cookie=0x2,table=7,priority=1,actions=controller(meter_id=9),load:0->NXM_NX_REG9[],resubmit(,8)',
    'cookie=0x3,table=8,actions=drop',
  ));
  assert.match(await ovs.tool('ovs-ofctl', '-O', 'OpenFlow14', 'dump-flows', 'br-int', 'table=7'), /actions=controller\(meter_id=9\),load:0->NXM_NX_REG9\[\],resubmit\(,8\)/);
  const heard: PacketIn[] = [];
  await client.hearPackets((packet) => heard.push(packet));
  const frame = udp('fa:16:3e:00:00:02', 'fa:16:3e:00:00:01', { from: '10.0.0.1', to: '10.0.0.2', sport: 1000, dport: 53, data: 'hello' });
  const flood = async (count: number): Promise<void> => {
    await ovs.inNamespace('python3', '-c', 'import socket,sys\ns=socket.socket(socket.AF_PACKET,socket.SOCK_RAW)\ns.bind(("guest",0))\nfor i in range(int(sys.argv[2])): s.send(bytes.fromhex(sys.argv[1]))', frame.toString('hex'), String(count));
    await delay(300);
  };
  await flood(1);
  const [first] = heard;
  assert.deepEqual([heard.length, first?.table, first?.cookie, first?.total_len, first?.data.toString('hex')], [1, 7, 2n, frame.length, frame.toString('hex')]);
  const { in_port, reg5, reg9, ct_state } = first!.fields;
  assert.deepEqual([in_port?.value, reg5?.value, reg9?.value, ct_state!.value & 0x3fn], [4n, 5n, 7n, 0x21n], 'registers as they were then, and what conntrack said: new, tracked');
  assert.equal(await client.meterDrops(9), 0n);
  await flood(5_000);
  // What the datapath itself had no time for is in neither.
  assert.ok(heard.length > 20 && heard.length < 400, `${heard.length} of 5001 came`);
  assert.ok((await client.meterDrops(9)) > 1_000n, `${await client.meterDrops(9)} were held back`);
});

test('N-OVS-14: a crash of the switch is told, and a new client finds the bridge empty', async () => {
  await client.bundle(adds('table=23,actions=drop'));
  await ovs.killVswitchd();
  const told = await client.closed;
  assert.ok(told instanceof Error);
  await assert.rejects(client.dumpFlows(), told);
  await ovs.startVswitchd();
  client = await OpenFlowClient.connect(ovs.mgmtSocket('br-int'));
  assert.deepEqual(await client.dumpFlows(), []);
});
