import assert from 'node:assert/strict';
import { after, before, beforeEach, afterEach, test } from 'node:test';
import { SwitchManager } from '#agent/switch-manager.ts';
import type { Item } from '#hoststate/host-state.ts';
import type { PortItem } from '#hoststate/port.ts';
import type { SegmentItem } from '#hoststate/switching.ts';
import { type PrivateOvs, startPrivateOvs } from '#testkit/private-ovs.ts';

let ovs: PrivateOvs;
let manager: SwitchManager;
let flushed: number[][];
/** Called at the next plan that names this. */
let during: { what: string; then: () => void } | undefined;

const newManager = (): SwitchManager => new SwitchManager({
  runDir: ovs.rundir, datapathType: 'netdev', localIp: null, wake: () => {}, resolvePeer: async () => {}, flushZones: async (zones) => void flushed.push([...zones]), ifindexOf: () => undefined, quieten: () => {},
  onPlan: (what) => {
    if (during?.what !== what) return;
    const { then } = during;
    during = undefined;
    then();
  },
  log: () => {},
});

const segment = (network_id: string, local_vlan: number, physical_network: string | null = null): SegmentItem => ({
  type: 'segment', network_id, local_vlan, network_type: physical_network ? 'flat' : 'local', physical_network, segmentation_id: null, mtu: 1500, connections_of_removed_rules: 'cut',
});
const port = (port_id: string, network_id: string, given: Partial<PortItem> = {}): PortItem => ({
  type: 'port', port_id, network_id, project_id: 'p', device: `tap${port_id}`, device_owner: 'compute:nova', mac_address: 'fa:16:3e:00:00:01', ip_addresses: ['10.0.0.3'], admin_state_up: true,
  port_security_enabled: true, allowed_address_pairs: [], security_groups: [], stateful: true, ...given,
});
const plug = (portId: string): Promise<string> => ovs.tool('ovs-vsctl', 'add-port', 'br-int', `t-${portId}`, 'tag=4095', '--', 'set', 'Interface', `t-${portId}`, 'type=internal', `external_ids:iface-id=${portId}`);
const tagOf = async (portId: string): Promise<number> => Number(await ovs.tool('ovs-vsctl', 'get', 'Port', `t-${portId}`, 'tag'));

async function start(...items: Item[]): Promise<void> {
  manager = newManager();
  manager.update(items, []);
  manager.inSync();
  await manager.apply();
}

before(async () => {
  ovs = await startPrivateOvs();
});

after(async () => {
  await ovs?.stop();
});

beforeEach(() => {
  flushed = [];
  during = undefined;
});

afterEach(async () => {
  manager.stop();
  for (const bridge of (await ovs.tool('ovs-vsctl', 'list-br')).split('\n').filter(Boolean)) await ovs.tool('ovs-vsctl', 'del-br', bridge);
});

for (const what of ['br-int', 'tags']) {
  test(`a port that is told of while the switch takes ${what} is not called wired before its own flows and tag are there`, async () => {
    await start(segment('n', 1));
    for (const id of ['a', 'b']) await plug(id);
    await manager.vswitch.waitApplied();
    manager.update([port('a', 'n')], []);
    during = { what, then: () => manager.update([port('b', 'n', { mac_address: 'fa:16:3e:00:00:02' })], []) };
    const first = await manager.apply();
    assert.equal(during, undefined);
    assert.deepEqual(first, [{ key: 'port/a', ok: true }]);
    assert.equal(await tagOf('b'), 4095);
    assert.deepEqual(await manager.apply(), [{ key: 'port/b', ok: true }]);
    assert.deepEqual([await tagOf('a'), await tagOf('b')], [1, 1]);
  });
}

test('law 4: a physical bridge that is missing, or dead, is the reason on its own ports, and goes when it comes', async () => {
  const items: Item[] = [{ type: 'physnet', physical_network: 'physnet', bridge: 'br-phys' }, segment('flat', 1, 'physnet'), segment('local', 2), port('a', 'flat'), port('b', 'local')];
  await start(...items);
  for (const id of ['a', 'b']) await plug(id);
  await manager.vswitch.waitApplied();
  assert.deepEqual(await manager.apply(), [{ key: 'port/a', ok: false, reason: 'this host has no bridge br-phys for physical network physnet' }, { key: 'port/b', ok: true }]);
  await ovs.tool('ovs-vsctl', 'add-br', 'br-phys', '--', 'set', 'Bridge', 'br-phys', 'datapath_type=netdev');
  await manager.vswitch.waitApplied();
  assert.deepEqual(await manager.apply(), [{ key: 'port/a', ok: true }]);
});

test('a port that nobody has plugged, or that is down by its owner’s wish, waits: the host is well', async () => {
  await start(segment('n', 1), port('a', 'n'), port('b', 'n', { admin_state_up: false }));
  await plug('b');
  await manager.vswitch.waitApplied();
  manager.update([port('a', 'n')], []);
  assert.deepEqual((await manager.apply()).map(({ key, ok, waits, reason }) => [key, ok, waits, reason]).sort(), [
    ['port/a', false, true, 'not plugged into br-int'], ['port/b', false, true, 'admin_state_up is false'],
  ]);
});

test('a port without its network’s local VLAN is not called wired', async () => {
  await start(port('a', 'n'));
  await plug('a');
  await manager.vswitch.waitApplied();
  assert.deepEqual(await manager.apply(), [{ key: 'port/a', ok: false, reason: 'its network has no local VLAN on this host' }]);
});

test('N-OVS-6 law 3: a zone is emptied for a new network; an agent without memory empties none that is in use', async () => {
  await start(segment('n', 1));
  assert.deepEqual(flushed, [[1]]);
  manager.stop();
  await start(segment('n', 1), segment('m', 2));
  assert.deepEqual(flushed, [[1], [2]]);
  manager.update([segment('k', 2)], ['segment/m']);
  await manager.apply();
  assert.deepEqual(flushed, [[1], [2], [2]]);
});
