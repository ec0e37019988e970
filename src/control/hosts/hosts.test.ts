import assert from 'node:assert/strict';
import { type Item, keyOf, printState } from '#hoststate/host-state.ts';
import { type ControllerMessage, type Hello, PROTOCOL_VERSION, type Watermark } from '#protocol/messages.ts';
import { jsonLog } from '#protocol/log.ts';
import type { Store } from '#store/store.ts';
import { config, contextOf, insertNetwork, insertSubnet } from '#testkit/network-rows.ts';
import { eachStore } from '#testkit/stores.ts';
import { heartbeat } from '../network/agents.ts';
import { createPorts } from '../network/port-create.ts';
import { deletePorts } from '../network/port-update.ts';
import { Hosts, type HostsOptions } from './hosts.ts';
import type { Session } from './session.ts';

const context = contextOf('demo', { admin: true });

/** An agent that keeps what it is told and acknowledges when asked to. */
class Agent {
  readonly messages: ControllerMessage[] = [];
  readonly state = new Map<string, Item>();
  watermark: Watermark | null = null;
  session: Session | undefined;
  closed = false;
  readonly host: string;

  constructor(host: string) {
    this.host = host;
  }

  async join(hosts: Hosts, version = PROTOCOL_VERSION): Promise<void> {
    this.messages.length = 0;
    this.closed = false;
    const hello: Hello = {
      type: 'hello', version, host: this.host, watermark: this.watermark, resources: { vcpus: 1, memory_mb: 1, local_gb: 1 },
      configurations: { tunneling_ip: `192.168.2.${this.host.slice(1)}`, bridge_mappings: {}, tunnel_types: ['vxlan'], datapath_type: 'netdev', integration_bridge: 'br-int', l2_population: true, roles: ['compute', 'network'] },
    };
    this.session = await hosts.join(hello, { send: (text) => this.#take(JSON.parse(text)), close: () => void (this.closed = true), bufferedAmount: 0 });
  }

  #take(message: ControllerMessage): void {
    this.messages.push(message);
    if (message.type === 'snapshot') {
      this.state.clear();
      for (const item of message.items) this.state.set(keyOf(item), item);
      this.watermark = message.watermark;
    } else if (message.type === 'delta') {
      for (const key of message.removals) this.state.delete(key);
      for (const item of message.upserts) this.state.set(keyOf(item), item);
      this.watermark = { ...this.watermark!, seq: message.seq };
    }
  }

  types(): string[] {
    return this.messages.map(({ type }) => type);
  }
}

async function controller(store: Store, metadataInstance: HostsOptions['metadataInstance'] = async () => null): Promise<Hosts> {
  const hosts = new Hosts({
    store, config, metadataInstance, publicEndpoint: 'http://cloud.test', log: jsonLog('test', () => {}),
    reports: {
      heartbeat: (tx, hello, started) => heartbeat(tx, hello.host, [{ agent_type: 'Open vSwitch agent', configurations: { ...hello.configurations }, started }]),
      joined: async () => {}, portStatus: async () => {}, instance: async () => {}, objectStatus: async () => {}, localVlanFree: async () => {},
    },
  });
  await hosts.start();
  return hosts;
}

const makeNetwork = (store: Store) => store.write(async (tx) => {
  const made = await insertNetwork(tx);
  await insertSubnet(tx, made, '10.0.0.0/24', { enable_dhcp: false });
  return made.id;
});

const makePort = (store: Store, networkId: string, host: string) => store.write(async (tx) => (await createPorts(tx, config, context, [{ network_id: networkId, project_id: 'demo', 'binding:host_id': host, security_groups: [] }]))[0]!);

const agree = (hosts: Hosts, agent: Agent) => assert.equal(printState(agent.state), printState(hosts.compiler.fromScratch(agent.host)));

/** Returns when the controller has taken everything the store holds: an acknowledgement is not needed for that. */
async function caughtUp(hosts: Hosts, store: Store): Promise<void> {
  const { seq } = await store.feed.head();
  for (let tries = 0; hosts.status().controller.revision < seq && tries < 500; tries++) await new Promise((resume) => setTimeout(resume, 10));
  assert.ok(hosts.status().controller.revision >= seq);
}

eachStore('hello, snapshot, live deltas to the hosts concerned only, and a resume that sends what was missed', async (store) => {
  const networkId = await makeNetwork(store);
  const hosts = await controller(store);
  const [one, two] = [new Agent('h1'), new Agent('h2')];
  await one.join(hosts);
  await two.join(hosts);
  assert.deepEqual(one.types(), ['snapshot']);
  await makePort(store, networkId, 'h1');
  await caughtUp(hosts, store);
  assert.deepEqual([one.types(), two.types()], [['snapshot', 'delta'], ['snapshot']]);
  agree(hosts, one);

  await hosts.leave(one.session!);
  const gone = await makePort(store, networkId, 'h1');
  await makePort(store, networkId, 'h2');
  await store.write((tx) => deletePorts(tx, [gone]));
  await caughtUp(hosts, store);
  await one.join(hosts);
  assert.ok(one.types().every((type) => type === 'delta') && one.messages.length > 0, 'what was missed, and no snapshot');
  for (const agent of [one, two]) agree(hosts, agent);
  await hosts.stop();
});

eachStore('ATT-replay: a watermark of another controller\'s life, and one of another store, get a snapshot', async (store) => {
  const networkId = await makeNetwork(store);
  const first = await controller(store);
  const agent = new Agent('h1');
  await agent.join(first);
  await first.stop();
  const second = await controller(store);
  await makePort(store, networkId, 'h1');
  await caughtUp(second, store);
  await agent.join(second);
  assert.deepEqual(agent.types(), ['snapshot']);
  agree(second, agent);
  agent.watermark = { ...agent.watermark!, store_id: 'another' };
  await agent.join(second);
  assert.deepEqual(agent.types(), ['snapshot']);
  await second.stop();
});

eachStore('a store that was restored or purged under a running controller is noticed: everything is read again', async (store) => {
  const networkId = await makeNetwork(store);
  const hosts = await controller(store);
  const agent = new Agent('h1');
  await agent.join(hosts);
  const port = await makePort(store, networkId, 'h1');
  await caughtUp(hosts, store);
  assert.ok(agent.state.has(`port/${port.id}`));
  // A restore takes the newest changes away with their rows, and then other ones take their numbers.
  await store.write(async (tx) => {
    await tx.db.deleteFrom('ports').where('id', '=', port.id).execute();
    await tx.db.updateTable('changes').set({ token: 'another life' }).execute();
  });
  await makePort(store, networkId, 'h1');
  await caughtUp(hosts, store);
  assert.ok(!agent.state.has(`port/${port.id}`));
  agree(hosts, agent);
  await hosts.stop();
});

eachStore('wait: true only when every connected host has acknowledged what the store held', async (store) => {
  const networkId = await makeNetwork(store);
  const hosts = await controller(store);
  const agent = new Agent('h1');
  await agent.join(hosts);
  await hosts.receive(agent.session!, { type: 'ack', seq: agent.watermark!.seq });
  await makePort(store, networkId, 'h1');
  const early = await hosts.waitApplied(200);
  assert.deepEqual(early.waiting.map(({ host }) => host), ['h1']);
  const waiting = hosts.waitApplied(5_000);
  await caughtUp(hosts, store);
  await hosts.receive(agent.session!, { type: 'ack', seq: agent.watermark!.seq });
  assert.deepEqual((await waiting).waiting, []);
  assert.ok((await waiting).revision >= early.revision);
  await hosts.stop();
});

eachStore('an agent of another protocol version is refused with a reason', async (store) => {
  const hosts = await controller(store);
  const agent = new Agent('h1');
  await agent.join(hosts, PROTOCOL_VERSION + 1);
  assert.equal(agent.session, undefined);
  assert.match(JSON.stringify(agent.messages), /refused.*install the same version on both/);
  assert.ok(agent.closed);
  await hosts.stop();
});

eachStore('N-MD-7: a host that asks is told, by its own name, while its other words go on', async (store) => {
  const asked: unknown[] = [];
  const hosts = await controller(store, async (world, host, question) => {
    asked.push([world === hosts.compiler.world, host, question]);
    if (question.address === 'broken') throw new Error('disk full');
    return question.address === '10.0.0.5' ? { instance_id: 'vm', project_id: 'demo', signature: 'ab' } : null;
  });
  const agent = new Agent('h1');
  await agent.join(hosts);
  for (const [id, address] of ['10.0.0.5', '10.0.0.6', 'broken'].entries()) {
    await hosts.receive(agent.session!, { type: 'ask', id, method: 'metadata_instance', params: { network_id: 'n', address } });
  }
  while (agent.messages.filter(({ type }) => type === 'told').length < 3) await new Promise((resume) => setTimeout(resume, 5));
  assert.deepEqual(agent.messages.slice(-3), [
    { type: 'told', id: 0, result: { instance_id: 'vm', project_id: 'demo', signature: 'ab' } }, { type: 'told', id: 1, result: null }, { type: 'told', id: 2, error: 'the controller cannot read its store' },
  ]);
  assert.deepEqual(asked[0], [true, 'h1', { network_id: 'n', address: '10.0.0.5' }]);
  await hosts.stop();
});
