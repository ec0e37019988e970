import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { type WebSocket, WebSocketServer } from 'ws';
import type { Item } from '#hoststate/host-state.ts';
import { type AgentMessage, type ControllerMessage, type ItemReport } from '#protocol/messages.ts';
import { Agent } from './agent.ts';
import { InstanceManager } from './instance-manager.ts';

const item = (port_id: string): Item => ({ type: 'forward', network_id: 'n', network_type: 'vxlan', port_id, mac_address: 'm', ip_addresses: [], remote_ip: 'r' });
const mark = (seq: number, epoch = 'e') => ({ store_id: 's', epoch, seq });

/** An agent with one manager that does what the test says, and a controller's end to talk to it. */
async function begun(t: TestContext) {
  const folder = mkdtempSync('/tmp/pb-agent-');
  const server = createServer();
  const sockets = new WebSocketServer({ server });
  await new Promise<void>((resolve) => server.listen(join(folder, 's'), resolve));
  const heard: AgentMessage[] = [];
  let socket: WebSocket | undefined;
  sockets.on('connection', (each) => {
    socket = each;
    each.on('message', (data) => heard.push(JSON.parse(String(data)) as AgentMessage));
  });
  const manager = { results: [] as (() => Promise<ItemReport[]>)[] };
  const agent = new Agent({
    host: 'h', controller: `unix:${join(folder, 's')}`, resources: { vcpus: 1, memory_mb: 1, local_gb: 1 },
    configurations: { tunneling_ip: null, bridge_mappings: {}, tunnel_types: [], datapath_type: 'netdev', integration_bridge: 'br-int', l2_population: true, roles: ['compute', 'network'] },
    managers: [{ update() {}, inSync() {}, check: async () => {}, apply: () => manager.results.shift()?.() ?? Promise.resolve([]) }],
    instances: (report) => new InstanceManager({
      report, log: () => {}, plugger: { plug: async () => {}, unplug: async () => {} },
      driver: { list: async () => [], create: async () => {}, start: async () => {}, stop: async () => {}, remove: async () => {}, addNic: async () => {}, removeNic: async () => {} },
    }),
    consoleOutput: async () => '', idlePorts: () => 0, reportInterval: 3_600, log: () => {},
  });
  t.after(async () => {
    await agent.stop();
    sockets.close();
    server.close();
    rmSync(folder, { recursive: true });
  });
  const until = async <T extends AgentMessage['type']>(type: T, test: (message: Extract<AgentMessage, { type: T }>) => boolean = () => true): Promise<Extract<AgentMessage, { type: T }>> => {
    for (;;) {
      const found = heard.find((message) => message.type === type && test(message as Extract<AgentMessage, { type: T }>));
      if (found) return found as Extract<AgentMessage, { type: T }>;
      await delay(2);
    }
  };
  await until('hello');
  return {
    heard, until, manager,
    say: (message: ControllerMessage) => socket!.send(JSON.stringify(message)),
    /** Ends the connection and waits for the next hello. */
    async lose() {
      heard.length = 0;
      socket!.terminate();
      return until('hello');
    },
  };
}

test('an ack covers what was applied, not what came while it was applied', { timeout: 10_000 }, async (t) => {
  const { say, until, heard, manager } = await begun(t);
  say({ type: 'snapshot', watermark: mark(5), items: [item('a')] });
  await until('ack', ({ seq }) => seq === 5);
  heard.length = 0;
  const gate = Promise.withResolvers<ItemReport[]>();
  manager.results.push(() => gate.promise);
  say({ type: 'delta', seq: 6, upserts: [item('b')], removals: [], request_ids: [] });
  while (manager.results.length > 0) await delay(2);
  say({ type: 'delta', seq: 7, upserts: [item('c')], removals: [], request_ids: [] });
  await delay(20);
  gate.resolve([]);
  await until('ack', ({ seq }) => seq === 7);
  assert.deepEqual(heard.filter(({ type }) => type === 'ack').map((ack) => (ack as { seq: number }).seq), [6, 7]);
});

test('what is received and not applied is not said to be applied, and the host says what is wrong', { timeout: 10_000 }, async (t) => {
  const { say, until, manager, lose } = await begun(t);
  say({ type: 'snapshot', watermark: mark(5), items: [] });
  await until('ack');
  for (let i = 0; i < 3; i++) manager.results.push(() => Promise.reject(new Error('Open vSwitch does not answer')));
  say({ type: 'delta', seq: 6, upserts: [item('a')], removals: [], request_ids: [] });
  await delay(20);
  const hello = await lose();
  assert.deepEqual([hello.watermark?.seq, hello.applied], [6, 5]);
  const { errors } = await until('heartbeat');
  assert.deepEqual(errors, [{ object: 'host', reason: 'Open vSwitch does not answer' }]);
  await until('ack', ({ seq }) => seq === 6);
});

test('a report that was lost with the connection is told again after the next hello', { timeout: 10_000 }, async (t) => {
  const { say, until, manager, lose } = await begun(t);
  manager.results.push(async () => [{ key: 'forward/n/a', ok: true }, { key: 'member/x', ok: true }]);
  say({ type: 'snapshot', watermark: mark(5), items: [item('a')] });
  await until('ack');
  await lose();
  assert.deepEqual((await until('report')).items, [{ key: 'forward/n/a', ok: true }]);
});

test('law 4: what fails, and that it is mended, is told at once and not with the next heartbeat', { timeout: 10_000 }, async (t) => {
  const { say, until, manager } = await begun(t);
  say({ type: 'snapshot', watermark: mark(5), items: [item('a')] });
  await until('ack');
  manager.results.push(async () => [{ key: 'forward/n/a', ok: false, reason: 'no way' }], async () => [{ key: 'forward/n/a', ok: true }]);
  say({ type: 'delta', seq: 6, upserts: [item('a')], removals: [], request_ids: [] });
  await until('heartbeat', ({ errors }) => errors.length === 1 && errors[0]!.reason === 'no way');
  say({ type: 'delta', seq: 7, upserts: [item('a')], removals: [], request_ids: [] });
  await until('heartbeat', ({ errors }) => errors.length === 0);
});
