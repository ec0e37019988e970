import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import type { Meter } from '#openflow/codec/meter-codec.ts';
import type { PacketIn } from '#openflow/codec/packet-in.ts';
import { udp } from '#testkit/frames.ts';
import { log, mac, port, rule, segment } from '#testkit/host-items.ts';
import { FlowLog } from './flow-log.ts';
import { HostView } from './pipeline/host-view.ts';
import { INT, LOG_METER } from './pipeline/tables.ts';
import { RecentConnections } from './recent-connections.ts';

/** A switch with a meter, as a client shows it. */
class FakeMeters {
  held: Meter[] = [];
  drops = 0n;
  refusal: Error | undefined;
  hear: (packet: PacketIn) => void = () => {};
  async hearPackets(hear: (packet: PacketIn) => void): Promise<void> {
    this.hear = hear;
  }
  async meters(): Promise<Meter[]> {
    if (this.refusal) throw this.refusal;
    return this.held;
  }
  async addMeter(meter: Meter): Promise<void> {
    this.held.push(meter);
  }
  async modifyMeter(meter: Meter): Promise<void> {
    this.held = this.held.map((each) => (each.id === meter.id ? meter : each));
  }
  async meterDrops(): Promise<bigint> {
    return this.drops;
  }
}

const START = Date.parse('2026-11-28T12:00:00Z');
const frame = (dport: number) => udp(mac(1), mac(2), { from: '10.0.0.2', to: '10.0.0.1', sport: 1000, dport, data: '' });
const copy = (table: number, dport: number, ofport = 11n): PacketIn => ({ table, cookie: 0n, total_len: 60, fields: { in_port: { value: 12n }, reg5: { value: ofport }, reg8: { value: 10n }, ct_state: { value: 0x21n } }, data: frame(dport) });

async function lab(t: TestContext, disk = { full: false }) {
  t.mock.timers.enable({ apis: ['setTimeout', 'Date'], now: START });
  const view = new HostView();
  for (const item of [segment('red', 1, 'local'), port('a', 'red', mac(1), ['10.0.0.1'], { security_groups: ['web'] }), rule('web', 10), log('l', 'a')]) view.put(item);
  const written: any[] = [];
  const plans: string[] = [];
  const said: string[] = [];
  const meters = new FakeMeters();
  const flowLog = new FlowLog({
    rateLimit: 100, burstLimit: 25, view: () => view, portAt: (ofport) => ({ 11: 'a', 12: 'b' })[ofport],
    append: async (text) => {
      if (disk.full) throw new Error('ENOSPC');
      written.push(...text.trimEnd().split('\n').map((line) => JSON.parse(line)));
    },
    onPlan: (lines) => void plans.push(...lines), log: (message) => void said.push(message),
  });
  /** Time goes by in steps in which timers and what follows from them happen. */
  const pass = async (seconds: number) => {
    for (let i = 0; i < seconds; i++) {
      t.mock.timers.tick(1_000);
      for (let turn = 0; turn < 10; turn++) await Promise.resolve();
    }
  };
  return { view, written, plans, said, meters, flowLog, pass };
}

test('the meter is made once, and altered when the settings are', async (t) => {
  const { flowLog, meters, plans } = await lab(t);
  await flowLog.attach(meters);
  assert.deepEqual(meters.held, [{ id: LOG_METER, rate: 100, burst: 25 }]);
  await flowLog.attach(meters);
  assert.deepEqual(plans, ['add-meter br-int meter=1,pktps,burst,stats,bands=type=drop,rate=100,burst_size=25'], 'a restarted agent plans nothing');
  meters.held = [{ id: LOG_METER, rate: 500, burst: 25 }];
  await flowLog.attach(meters);
  assert.deepEqual([meters.held[0]?.rate, plans.length], [100, 2]);
});

test('a copy becomes a record, and one connection is one record until it has been quiet for a minute', async (t) => {
  const { flowLog, meters, written, pass } = await lab(t);
  await flowLog.attach(meters);
  meters.hear(copy(INT.ACCEPTED_INGRESS, 53));
  await pass(1);
  assert.deepEqual(written, [{
    time: '2026-11-28T12:00:00.000Z', action: 'ACCEPT', log_resource_ids: ['l'], project_id: 'demo', port_id: 'a', network_id: 'red', direction: 'ingress', rule_id: 'r10', security_group_id: 'web', reason: null,
    eth_dst: mac(1), eth_src: mac(2), ethertype: '0x0800', ip_src: '10.0.0.2', ip_dst: '10.0.0.1', protocol: 17, port_src: 1000, port_dst: 53,
  }]);
  for (let i = 0; i < 3; i++) {
    meters.hear(copy(INT.ACCEPTED_INGRESS, 53));
    await pass(40);
  }
  meters.hear(copy(INT.ACCEPTED_INGRESS, 54));
  await pass(21);
  assert.equal(written.length, 2, 'packets that follow within a minute are the same connection');
  await pass(40);
  meters.hear(copy(INT.ACCEPTED_INGRESS, 53));
  for (let i = 0; i < 2; i++) meters.hear(copy(INT.DROPPED, 53));
  await pass(1);
  assert.deepEqual(written.slice(2).map(({ action }) => action), ['ACCEPT', 'DROP', 'DROP'], 'each dropped packet is a record');
});

test('what is of no logged port, or of a log that is gone, is not written', async (t) => {
  const { flowLog, meters, written, view, pass } = await lab(t);
  await flowLog.attach(meters);
  for (const ofport of [0n, 12n, 13n]) meters.hear(copy(INT.DROPPED, 53, ofport));
  view.put(log('l', 'a', 'ACCEPT'));
  meters.hear(copy(INT.DROPPED, 53));
  view.remove('log/a/l');
  meters.hear(copy(INT.ACCEPTED_INGRESS, 53));
  await pass(2);
  assert.deepEqual(written, []);
});

test('what the meter held back is told once it holds back no more, and of a flood without end every minute', async (t) => {
  const { flowLog, meters, written, pass } = await lab(t);
  meters.drops = 7n;
  await flowLog.attach(meters);
  const left = () => written.filter((each) => 'records_left_out' in each);
  meters.hear(copy(INT.DROPPED, 53));
  await pass(3);
  assert.deepEqual(left(), [], 'what was held back before the agent was there is not its affair');
  meters.hear(copy(INT.DROPPED, 53));
  meters.drops += 10n;
  await pass(1);
  meters.drops += 5n;
  await pass(1);
  assert.deepEqual(left(), []);
  await pass(1);
  assert.deepEqual(left(), [{ time: '2026-11-28T12:00:06.000Z', records_left_out: 15, since: '2026-11-28T12:00:04.000Z' }]);
  meters.hear(copy(INT.DROPPED, 53));
  for (let i = 0; i < 70; i++) {
    meters.drops += 1n;
    await pass(1);
  }
  assert.deepEqual(left().slice(1).map(({ records_left_out }) => records_left_out), [61]);
  await pass(2);
  assert.deepEqual(left().slice(2).map(({ records_left_out }) => records_left_out), [9]);
});

test('a restarted switch counts from nothing', async (t) => {
  const { flowLog, meters, written, pass } = await lab(t);
  meters.drops = 100n;
  await flowLog.attach(meters);
  meters.drops = 3n;
  meters.hear(copy(INT.DROPPED, 53));
  await pass(2);
  assert.deepEqual(written.flatMap(({ records_left_out }) => records_left_out ?? []), [3]);
});

test('of a switch without meters nothing is heard, and the agent says so', async (t) => {
  const { flowLog, meters, written, said, pass } = await lab(t);
  meters.refusal = new Error('OFPET_METER_MOD_FAILED OUT_OF_METERS');
  await flowLog.attach(meters);
  assert.deepEqual(said, ['no flow logs: the switch has no meter for them']);
  meters.hear(copy(INT.DROPPED, 53));
  await pass(1);
  assert.deepEqual(written, []);
});

test('a full disk is told of once, and what comes when there is room again is written', async (t) => {
  const disk = { full: true };
  const { flowLog, meters, written, said, pass } = await lab(t, disk);
  await flowLog.attach(meters);
  for (let i = 0; i < 3; i++) {
    meters.hear(copy(INT.DROPPED, 53));
    await pass(1);
  }
  assert.deepEqual(said, ['the flow log cannot be written']);
  disk.full = false;
  meters.hear(copy(INT.DROPPED, 54));
  await pass(1);
  assert.deepEqual(written.map(({ port_dst }) => port_dst), [54]);
});

test('connections that are over are forgotten', () => {
  let now = 0;
  const recent = new RecentConnections(() => now);
  for (let i = 0; i < 1_000; i++) recent.isFirst(`c${i}`);
  assert.equal(recent.size, 1_000);
  now = 60_001;
  assert.equal(recent.isFirst('new'), true);
  assert.equal(recent.size, 1);
});
