import assert from 'node:assert/strict';
import { after, before, beforeEach, afterEach, test } from 'node:test';
import { SwitchManager } from '#agent/switch-manager.ts';
import { type Item, keyOf } from '#hoststate/host-state.ts';
import type { PortItem } from '#hoststate/port.ts';
import type { SegmentItem } from '#hoststate/switching.ts';
import { member, openPort, port as portItem, rule } from '#testkit/host-items.ts';
import { type PrivateOvs, startPrivateOvs } from '#testkit/private-ovs.ts';

let ovs: PrivateOvs;
let manager: SwitchManager;
let flushed: number[][];
/** Called at the next plan that names this. */
let during: { what: string; then: () => void } | undefined;

const newManager = (): SwitchManager => new SwitchManager({
  runDir: ovs.rundir, datapathType: 'netdev', localIp: null, wake: () => {}, resolvePeer: async () => {}, flushZones: async (zones) => void flushed.push([...zones]), limitZones: async () => {}, ifindexOf: () => undefined, quieten: () => {},
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

test('a real switch admits by sets that overlap what each rule names: an address and its prefix in one set and in two, and everybody', async () => {
  const [web, ssh, all] = [rule('g', 1, { protocol: 6, range: [80, 80], addressGroup: 'nets' }), rule('g', 2, { protocol: 6, range: [22, 22], group: 'admins' }), rule('g', 3, { protocol: 6, range: [25, 25], addressGroup: 'all' })];
  const nets = ['10.0.0.0/24', '10.0.0.5'].map((address) => member('nets', address));
  const admins = ['10.0.0.5', '10.0.0.4/30'].map((address) => member('admins', address));
  await start(segment('n', 1), portItem('v', 'n', 'fa:16:3e:00:00:01', ['10.0.0.1'], { security_groups: ['g'] }), openPort('s', 'n', 'fa:16:3e:00:00:02', []), web, ssh, all, ...nets, ...admins, member('all', '0.0.0.0/0'));
  for (const id of ['v', 's']) await plug(id);
  await manager.vswitch.waitApplied();
  assert.deepEqual((await manager.apply()).filter(({ ok }) => !ok), []);
  const enters = async (address: string, tcpPort: number): Promise<boolean> => {
    const packet = `in_port=${manager.ofports.port('s')},tcp,dl_src=fa:16:3e:00:00:02,dl_dst=fa:16:3e:00:00:01,nw_src=${address},nw_dst=10.0.0.1,tcp_src=1025,tcp_dst=${tcpPort}`;
    return (await ovs.tool('ovs-appctl', 'ofproto/trace', 'br-int', packet, '--ct-next', 'trk,new')).includes(`output port is ${manager.ofports.port('v')}\n`);
  };
  const seen = async (): Promise<string[]> => {
    const lines: string[] = [];
    for (const address of ['10.0.0.5', '10.0.0.6', '10.0.0.9', '192.0.2.1']) {
      const ports: (number | '-')[] = [];
      for (const each of [80, 22, 25]) ports.push((await enters(address, each)) ? each : '-');
      lines.push(ports.join(' '));
    }
    return lines;
  };
  assert.deepEqual(await seen(), ['80 22 25', '80 22 25', '80 - 25', '- - 25']);
  for (const [gone, left] of [
    [nets[1]!, ['80 22 25', '80 22 25', '80 - 25', '- - 25']], [admins[1]!, ['80 22 25', '80 - 25', '80 - 25', '- - 25']], [nets[0]!, ['- 22 25', '- - 25', '- - 25', '- - 25']], [all, ['- 22 -', '- - -', '- - -', '- - -']],
  ] as const) {
    manager.update([], [keyOf(gone)]);
    await manager.apply();
    assert.deepEqual(await seen(), left, `after ${keyOf(gone)} went`);
  }
});
