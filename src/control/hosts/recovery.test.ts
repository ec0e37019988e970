import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Agent, agent } from '#model/agents.ts';
import { port } from '#model/networks.ts';
import { type AgentMessage, type ControllerMessage, type Hello, PROTOCOL_VERSION, type Watermark } from '#protocol/messages.ts';
import type { Store, Tx } from '#store/store.ts';
import { Table } from '#store/table.ts';
import { config, contextOf, insertNetwork, insertSubnet } from '#testkit/network-rows.ts';
import { eachStore } from '#testkit/stores.ts';
import { agentsRule, heartbeat } from '../network/agents.ts';
import { setPortStatus, unbindPort } from '../network/binding.ts';
import { freeHostNumber } from '../network/host-numbers.ts';
import { createPorts } from '../network/port-create.ts';
import { deletePorts } from '../network/port-update.ts';
import { Hosts, type HostReports } from './hosts.ts';
import { KeptDeltas } from './kept-deltas.ts';
import type { Session } from './session.ts';
import { Unsaved } from './unsaved.ts';

const ports = new Table(port);
const context = contextOf('demo', { admin: true });

async function controller(store: Store, given: Partial<HostReports> = {}): Promise<Hosts> {
  const hosts = new Hosts({
    store, config, metadataInstance: async () => null, publicEndpoint: 'http://cloud.test', log: { info() {}, warning() {}, error() {} },
    reports: {
      heartbeat: (tx, hello, started) => heartbeat(tx, hello.host, [{ agent_type: 'Open vSwitch agent', configurations: { ...hello.configurations }, started }]),
      joined: async () => {}, instance: async () => {},
      portStatus: (tx, { port_id, status, reason, host }) => setPortStatus(tx, port_id, status, reason, host),
      objectStatus: async () => {}, localVlanFree: async (tx, host, networkId) => void (await freeHostNumber(tx, host, 'local_vlan', networkId)),
      ...given,
    },
  });
  await hosts.start();
  return hosts;
}

async function join(hosts: Hosts, watermark: Watermark | null = null, applied = 0): Promise<{ session: Session; told: ControllerMessage[]; say: (message: AgentMessage) => Promise<void> }> {
  const told: ControllerMessage[] = [];
  const hello: Hello = {
    type: 'hello', version: PROTOCOL_VERSION, host: 'h1', watermark, applied, resources: { vcpus: 1, memory_mb: 1, local_gb: 1 },
    configurations: { tunneling_ip: '192.168.2.1', bridge_mappings: {}, tunnel_types: ['vxlan'], datapath_type: 'netdev', integration_bridge: 'br-int', l2_population: true, roles: ['compute', 'network'] },
  };
  const session = (await hosts.join(hello, { send: (text) => void told.push(JSON.parse(text) as ControllerMessage), close: () => {}, bufferedAmount: 0 }))!;
  return { session, told, say: (message) => hosts.receive(session, message) };
}

const makePort = (store: Store) => store.write(async (tx) => {
  const home = await insertNetwork(tx);
  await insertSubnet(tx, home, '10.0.0.0/24', { enable_dhcp: false });
  return (await createPorts(tx, config, context, [{ project_id: 'demo', network_id: home.id, 'binding:host_id': 'h1', security_groups: [] }]))[0]!;
});
const numbers = async (store: Store) => (await store.reader.db.selectFrom('host_numbers').select('number').execute()).map(({ number }) => number);

async function caughtUp(hosts: Hosts, store: Store): Promise<number> {
  const { seq } = await store.feed.head();
  while (hosts.status().controller.revision < seq) await new Promise((resume) => setTimeout(resume, 5));
  return seq;
}

eachStore('a local VLAN whose removal nobody acknowledged is freed by the next agent’s acknowledgement', async (store) => {
  const hosts = await controller(store);
  const first = await join(hosts);
  const made = await makePort(store);
  await caughtUp(hosts, store);
  await hosts.leave(first.session);
  await store.write((tx) => deletePorts(tx, [made]));
  const seq = await caughtUp(hosts, store);
  const second = await join(hosts);
  assert.equal(second.told[0]!.type, 'snapshot');
  assert.deepEqual(await numbers(store), [1]);
  await second.say({ type: 'ack', seq });
  assert.deepEqual(await numbers(store), []);
  await hosts.stop();
});

eachStore('what an agent has received and not applied does not count as applied when it comes back', async (store) => {
  const hosts = await controller(store);
  const first = await join(hosts);
  await makePort(store);
  const seq = await caughtUp(hosts, store);
  const [snapshot] = first.told as [Extract<ControllerMessage, { type: 'snapshot' }>];
  const watermark = { ...snapshot.watermark, seq };
  await join(hosts, watermark, snapshot.watermark.seq);
  assert.ok(hosts.status().hosts[0]!.applied < seq);
  await join(hosts, watermark, seq);
  assert.equal(hosts.status().hosts[0]!.applied, seq);
  await hosts.stop();
});

eachStore('ATT-replay: a port that has left its host is not made ACTIVE by what the host said before it knew', async (store) => {
  const hosts = await controller(store);
  const { say } = await join(hosts);
  const made = await makePort(store);
  await caughtUp(hosts, store);
  const status = async () => (await ports.get(store.reader, made.id))!.status;
  await say({ type: 'report', items: [{ key: `port/${made.id}`, ok: true }], instances: [] });
  assert.equal(await status(), 'ACTIVE');
  await store.write(async (tx) => void (await unbindPort(tx, (await ports.get(tx, made.id))!)));
  // Before and after the controller has read that it went.
  await say({ type: 'report', items: [{ key: `port/${made.id}`, ok: true }], instances: [] });
  await caughtUp(hosts, store);
  await say({ type: 'report', items: [{ key: `port/${made.id}`, ok: true }], instances: [] });
  assert.equal(await status(), 'DOWN');
  await hosts.stop();
});

eachStore('a report that the store cannot take is stored once it can, and status says so meanwhile', async (store) => {
  let down = true;
  const hosts = await controller(store, {
    async portStatus(tx, { port_id, status }) {
      if (down) throw new Error('disk full');
      await setPortStatus(tx, port_id, status);
    },
  });
  const { say } = await join(hosts);
  const made = await makePort(store);
  await caughtUp(hosts, store);
  await say({ type: 'report', items: [{ key: `port/${made.id}`, ok: true }], instances: [] });
  assert.deepEqual(hosts.status().controller.errors, ['the store is in trouble: disk full']);
  down = false;
  while ((await ports.get(store.reader, made.id))!.status !== 'ACTIVE') await new Promise((resume) => setTimeout(resume, 20));
  assert.deepEqual(hosts.status().controller.errors, []);
  await hosts.stop();
});

eachStore('a deleted agent’s host leaves the world; a wrong tunnel address is none', async (store) => {
  const hosts = await controller(store);
  const { session } = await join(hosts);
  await hosts.leave(session);
  const found = () => [...hosts.compiler.world.all('hosts')].map(({ id, tunneling_ip }) => [id, tunneling_ip]);
  const rule = agentsRule({ config });
  const agents = new Table(agent);
  const edit = async (change: (tx: Tx, row: Agent) => Promise<unknown>): Promise<void> => {
    await store.write(async (tx) => void (await change(tx, (await agents.list(tx))[0]!)));
    await caughtUp(hosts, store);
  };
  assert.deepEqual(found(), [['h1', '192.168.2.1']]);
  await edit((tx, row) => agents.update(tx, row, { configurations: { tunneling_ip: 'none of your business' } }));
  assert.deepEqual(found(), [['h1', null]]);
  await edit((tx, row) => rule.delete(tx, context, row));
  assert.deepEqual(found(), []);
  await hosts.stop();
});

eachStore('a wait does not overlook a host whose agent has just gone', async (store) => {
  const hosts = await controller(store);
  const { session } = await join(hosts);
  await hosts.leave(session);
  assert.deepEqual((await hosts.waitApplied(10)).waiting, [{ host: 'h1', applied: 0 }]);
  await hosts.stop();
});

eachStore('law 4: a word that the store never takes is dropped, the others are stored', async (store) => {
  const unsaved = new Unsaved(store);
  const said: string[] = [];
  unsaved.add('a', async () => { throw new Error('poison'); });
  unsaved.add('b', async () => void said.push('b'));
  assert.deepEqual((await unsaved.save()).map(({ message }) => message), ['poison']);
  assert.deepEqual([said.at(-1), unsaved.size], ['b', 0]);
});

test('deltas are kept for an agent that comes back, as many as there is room for', () => {
  const kept = new KeptDeltas(10);
  const add = (seq: number, items: number) => kept.add({ seq, delta: { upserts: [], removals: Array<string>(items).fill('k') }, requestIds: [] });
  const since = (seq: number) => kept.since(seq)?.map((sent) => sent.seq);
  add(11, 1);
  add(15, 10_000);
  assert.deepEqual([since(9), since(10), since(11), since(15)], [undefined, [11, 15], [15], []]);
  add(16, 10_000);
  assert.deepEqual([since(10), since(11), since(15)], [undefined, [15, 16], [16]]);
  for (let seq = 17; seq < 1_000; seq++) add(seq, 0);
  assert.equal(since(16), undefined);
});
