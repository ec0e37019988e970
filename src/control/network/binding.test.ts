import assert from 'node:assert/strict';
import { type Network, type Port, port } from '#model/networks.ts';
import { freeRanges } from '#store/number-pool.ts';
import { openStore } from '#store/open.ts';
import type { Store } from '#store/store.ts';
import { Table } from '#store/table.ts';
import { config, contextOf, insertAgent, insertNetwork, insertSubnet } from '#testkit/network-rows.ts';
import { eachStore } from '#testkit/stores.ts';
import { bindPort, setPortStatus, unbindPort } from './binding.ts';
import { freeHostNumber, hostNumber } from './host-numbers.ts';
import { createPorts } from './port-create.ts';
import { deletePorts } from './port-update.ts';
import { portsRule } from './ports.ts';

const ports = new Table(port);
const rule = portsRule({ config });
const demo = contextOf('demo');
const admin = contextOf('admin', { admin: true });

const setUp = (store: Store, given: Partial<Network> = {}, agent: Record<string, unknown> = {}) => store.write(async (tx) => {
  await insertAgent(tx, 'compute1', agent);
  const home = await insertNetwork(tx, given);
  await insertSubnet(tx, home, '10.0.0.0/24');
  return home;
});
const createOn = (store: Store, home: Network, host: string): Promise<Port> =>
  store.write(async (tx) => (await createPorts(tx, config, demo, [{ project_id: 'demo', network_id: home.id, 'binding:host_id': host }]))[0]!);
const numbers = async (store: Store) => (await store.reader.db.selectFrom('host_numbers').selectAll().orderBy('number').execute()).map((row) => [row.host, row.kind, row.key, row.number]);

eachStore('a bound port names what carries it, and its network gets a local VLAN on the host', async (store) => {
  const home = await setUp(store);
  const [one, two] = [await createOn(store, home, 'compute1'), await createOn(store, home, 'compute1')];
  assert.deepEqual([one['binding:host_id'], one['binding:vif_type'], one.status, one.status_reason], ['compute1', 'ovs', 'DOWN', null]);
  assert.deepEqual(one['binding:vif_details'], { port_filter: true, connectivity: 'l2', bridge_name: 'br-int', datapath_type: 'netdev', ovs_hybrid_plug: false });
  assert.equal(two['binding:vif_type'], 'ovs');
  assert.deepEqual(await numbers(store), [['compute1', 'local_vlan', home.id, 1]]);
});

eachStore('a port that no host can carry fails alone, with the reason on it, and is bound once it can be', async (store) => {
  const stale = '2020-01-01T00:00:00Z';
  const home = await setUp(store, {}, { heartbeat_timestamp: stale });
  const lost = await createOn(store, home, 'compute9');
  const down = await createOn(store, home, 'compute1');
  assert.deepEqual([lost, down].map((one) => [one['binding:vif_type'], one.status, one.status_reason]), [
    ['binding_failed', 'DOWN', 'host compute9 has no Open vSwitch agent'],
    ['binding_failed', 'DOWN', 'the Open vSwitch agent of host compute1 is down'],
  ]);
  assert.deepEqual(await numbers(store), []);
  await store.write((tx) => tx.db.updateTable('agents').set({ heartbeat_timestamp: tx.now }).execute());
  const bound = await store.write((tx) => rule.update(tx, admin, down, { 'binding:host_id': 'compute1' }));
  assert.deepEqual([bound['binding:vif_type'], bound.status_reason], ['ovs', null]);
});

eachStore('N-ML2-4, N-ML2-5, N-ML2-6, N-ML2-20: a host carries only the segments it has a way to', async (store) => {
  const home = await setUp(store);
  const on = async (given: Partial<Network>) => (await createOn(store, await store.write((tx) => insertNetwork(tx, given)), 'compute1'));
  const types = (['local', 'flat', 'vlan', 'vxlan', 'gre', 'geneve'] as const).map((type) => ({ 'provider:network_type': type, 'provider:physical_network': type === 'flat' || type === 'vlan' ? 'physnet' : null }));
  for (const given of types) assert.equal((await on(given))['binding:vif_type'], 'ovs', given['provider:network_type']);
  assert.equal((await on({ 'provider:network_type': 'vlan', 'provider:physical_network': 'other' })).status_reason, 'host compute1 has no bridge for physical network other');
  await store.write((tx) => tx.db.updateTable('agents').set({ configurations: '{"tunnel_types":[]}' }).execute());
  assert.equal((await createOn(store, home, 'compute1')).status_reason, 'host compute1 makes no vxlan tunnels');
});

eachStore('a host out of local VLANs is an error on the port that needed one', async (store) => {
  const home = await setUp(store);
  await store.write(async (tx) => {
    const rows = Array.from({ length: 4094 }, (_, i) => ({ host: 'compute1', kind: 'local_vlan', key: `other-${i}`, number: i + 1 }));
    for (let i = 0; i < rows.length; i += 1000) await tx.db.insertInto('host_numbers').values(rows.slice(i, i + 1000)).execute();
  });
  assert.equal((await createOn(store, home, 'compute1')).status_reason, `host compute1 has no free local VLAN for network ${home.id}`);
});

eachStore('a local VLAN is freed by the host’s acknowledgement alone, and not when the network is back by then', async (store) => {
  const home = await setUp(store);
  const made = await createOn(store, home, 'compute1');
  const free = () => store.write((tx) => freeHostNumber(tx, 'compute1', 'local_vlan', home.id));
  assert.equal(await free(), false);
  await store.write((tx) => deletePorts(tx, [made]));
  assert.equal((await numbers(store)).length, 1);
  const back = await createOn(store, home, 'compute1');
  assert.equal(await free(), false);
  assert.equal((await numbers(store))[0]![3], 1);
  await store.write((tx) => unbindPort(tx, back));
  assert.equal(await free(), true);
  assert.equal(await free(), false);
  assert.deepEqual(await numbers(store), []);
  assert.deepEqual(await store.write((tx) => freeRanges(tx, 'host:compute1:local_vlan')), [{ first: 1n, last: 4094n }]);
});

eachStore('two controllers number one host’s networks at once: no number twice', async (store, connection) => {
  await setUp(store);
  const second = await openStore(connection);
  try {
    const given = await Promise.all(Array.from({ length: 30 }, (_, i) => (i % 2 ? store : second).write((tx) => hostNumber(tx, 'compute1', 'local_vlan', `n${i % 15}`))));
    assert.equal(new Set(given).size, 15);
    assert.deepEqual((await numbers(store)).map((row) => row[3]), Array.from({ length: 15 }, (_, i) => i + 1));
  } finally {
    await second.close();
  }
});

eachStore('moving, unbinding and reporting change a port’s status, and saying the same again changes nothing', async (store) => {
  const home = await setUp(store);
  await store.write((tx) => insertAgent(tx, 'compute2'));
  const made = await createOn(store, home, 'compute1');
  await store.write((tx) => setPortStatus(tx, made.id, 'ACTIVE'));
  const active = (await ports.get(store.reader, made.id))!;
  assert.equal(active.status, 'ACTIVE');
  await store.write((tx) => setPortStatus(tx, made.id, 'ACTIVE'));
  await store.write((tx) => setPortStatus(tx, crypto.randomUUID(), 'ACTIVE'));
  assert.equal((await ports.get(store.reader, made.id))!.revision_number, active.revision_number);
  const moved = await store.write((tx) => bindPort(tx, config, home, active, 'compute2'));
  assert.deepEqual([moved['binding:host_id'], moved.status], ['compute2', 'DOWN']);
  const gone = await store.write((tx) => unbindPort(tx, moved));
  assert.deepEqual([gone['binding:host_id'], gone['binding:vif_type'], gone['binding:vif_details'], gone.status], ['', 'unbound', {}, 'DOWN']);
  await store.write((tx) => setPortStatus(tx, made.id, 'DOWN', 'no answer from compute2 within 10 s'));
  assert.equal((await ports.get(store.reader, made.id))!.status_reason, 'no answer from compute2 within 10 s');
});
