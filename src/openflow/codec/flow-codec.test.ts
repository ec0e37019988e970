import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FLOW_SAMPLES } from '#testkit/flow-samples.ts';
import { type Flow, flowKey, formatFlow, parseFlow } from '../flow.ts';
import { decodeFlowStats, encodeFlowMod, formatFlowMod } from './flow-codec.ts';

/** What the switch answers for a flow: the head of ofp_flow_stats, then match and instructions of the flow_mod. */
function flowStats(flow: Flow): Buffer {
  const rest = encodeFlowMod({ command: 'add', flow }).subarray(40);
  const head = Buffer.alloc(48);
  head.writeUInt16BE(48 + rest.length, 0);
  head[2] = flow.table;
  head.writeUInt32BE(3, 4);
  head.writeUInt32BE(500_000_000, 8);
  head.writeUInt16BE(flow.priority, 12);
  head.writeUInt16BE(flow.idle_timeout ?? 0, 14);
  head.writeUInt16BE(flow.hard_timeout ?? 0, 16);
  head.writeBigUInt64BE(flow.cookie, 24);
  head.writeBigUInt64BE(7n, 32);
  head.writeBigUInt64BE(640n, 40);
  return Buffer.concat([head, rest]);
}

test('every sample survives encoding and decoding', () => {
  const flows = FLOW_SAMPLES.map(({ line }, i) => ({ ...parseFlow(line), cookie: BigInt(i), idle_timeout: 5, hard_timeout: 6 }));
  const decoded = decodeFlowStats(Buffer.concat(flows.map(flowStats)));
  assert.deepEqual(decoded.map(formatFlow), flows.map(formatFlow));
  assert.deepEqual(decoded[0] && [decoded[0].n_packets, decoded[0].n_bytes, decoded[0].duration], [7n, 640n, 3.5]);
});

test('messages are padded to 8 bytes as the switch demands', () => {
  for (const { line } of FLOW_SAMPLES) assert.equal(encodeFlowMod({ command: 'add', flow: parseFlow(line) }).length % 8, 0, line);
});

test('a flow_mod is the bytes of the specification', () => {
  const bytes = encodeFlowMod({ command: 'add', flow: parseFlow('cookie=0x1,table=2,priority=3,idle_timeout=4,hard_timeout=5,in_port=6,actions=output:7') });
  assert.equal(
    bytes.toString('hex'),
    '0000000000000001' + '0000000000000000' + '02' + '00' + '0004' + '0005' + '0003' + 'ffffffff' + 'ffffffff' + 'ffffffff' + '0000' + '0000' +
      '0001' + '000c' + '80000004' + '00000006' + '00000000' + '0004' + '0018' + '00000000' + '0000' + '0010' + '00000007' + '0000' + '000000000000',
  );
});

test('matches and actions of others that are unknown here are kept byte by byte', () => {
  const known = parseFlow('table=1,priority=2,actions=output:1');
  // Match on recirc_id (NXM_NX 36), action note (Nicira 8), instruction write_metadata (2).
  const oxm = '00014804' + '00000005';
  const note = 'ffff' + '0010' + '00002320' + '0008' + '010203040506';
  const writeMetadata = '0002' + '0018' + '00000000' + '00000000000000ff' + '00000000000000ff';
  const flow: Flow = {
    ...known,
    match: { unknown: [oxm] },
    actions: [{ type: 'unknown', instruction: false, hex: note }, { type: 'unknown', instruction: true, hex: writeMetadata }],
  };
  const [decoded] = decodeFlowStats(flowStats(flow));
  assert.deepEqual(decoded?.match, flow.match);
  assert.deepEqual(decoded?.actions, flow.actions);
  assert.equal(flowKey(flow), `table=1,priority=2,oxm(${oxm})`);
});

test('modifications print as lines of ovs-ofctl bundle', () => {
  const flow = parseFlow('cookie=0x7,table=1,priority=2,in_port=3,actions=4');
  assert.equal(formatFlowMod({ command: 'add', flow }), 'add cookie=0x7,table=1,priority=2,in_port=3 actions=output:4');
  assert.equal(formatFlowMod({ command: 'delete_strict', flow }), 'delete_strict table=1,priority=2,in_port=3');
  assert.equal(formatFlowMod({ command: 'delete', cookie: 0x70n, cookieMask: 0xf0n, table: 4 }), 'delete table=4,cookie=0x70/0xf0');
  assert.equal(formatFlowMod({ command: 'delete' }), 'delete');
});
