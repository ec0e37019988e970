import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, test } from 'node:test';
import { OvsdbError } from '#openflow/ovsdb-client.ts';
import { Vswitch } from '#openflow/vswitch.ts';
import {
  addBridgeOps, addPortOps, delBridgeOps, delPortOps, setBridgeOps, setInterfaceOps, setOpenVswitchOps, setPortOps, setPortTagOps,
} from '#openflow/vswitch-operations.ts';
import type { VswitchChange } from '#openflow/vswitch-row.ts';
import { type PrivateOvs, startPrivateOvs } from '#testkit/private-ovs.ts';

let ovs: PrivateOvs;
let vswitch: Vswitch;
let changes: VswitchChange[];

before(async () => {
  ovs = await startPrivateOvs();
});

after(async () => {
  await ovs?.stop();
});

beforeEach(async () => {
  changes = [];
  vswitch = await Vswitch.connect(ovs.dbSocket, (more) => changes.push(...more));
  await vswitch.transactAndWait(addBridgeOps({ name: 'br-int', datapath_type: 'netdev', fail_mode: 'secure', external_ids: { a: 'b' }, other_config: { 'mac-table-size': '50000' } }));
});

afterEach(async () => {
  vswitch.close();
  for (const bridge of (await ovs.tool('ovs-vsctl', 'list-br')).split('\n').filter(Boolean)) await ovs.tool('ovs-vsctl', 'del-br', bridge);
});

const vsctl = async (...args: string[]): Promise<string> => (await ovs.tool('ovs-vsctl', ...args)).trim();

test('N-OVS-3: a bridge is made as ovs-vsctl would make it', async () => {
  assert.equal(await vsctl('get-fail-mode', 'br-int'), 'secure');
  assert.equal(await vsctl('get', 'Bridge', 'br-int', 'datapath_type', 'external_ids', 'other_config'), 'netdev\n{a=b}\n{mac-table-size="50000"}');
  assert.deepEqual(vswitch.find('Bridge', 'br-int')?.external_ids, { a: 'b' });
  const local = vswitch.find('Interface', 'br-int');
  assert.deepEqual([local?.type, local?.ofport, local?.error], ['internal', 65534, undefined]);
  await vswitch.transactAndWait(delBridgeOps(vswitch.find('Bridge', 'br-int')!));
  assert.equal(await vsctl('list-br'), '');
  assert.equal(vswitch.rows('Interface').size, 0);
});

test('N-OVS-5: a port comes with its tag in one transaction, and the monitor sees its ofport', async () => {
  await vswitch.transactAndWait([
    ...addPortOps({ bridge: 'br-int', name: 'vm1', type: 'internal', tag: 4095, external_ids: { 'iface-id': 'p1', 'attached-mac': 'fa:16:3e:00:00:01' } }),
    ...addPortOps({ bridge: 'br-int', name: 'vm2', type: 'internal', tag: 7, ofport_request: 42 }),
  ]);
  assert.equal(vswitch.find('Port', 'vm1')?.tag, 4095);
  assert.equal(vswitch.find('Interface', 'vm2')?.ofport, 42);
  const vm1 = vswitch.find('Interface', 'vm1')!;
  assert.deepEqual(vm1.external_ids, { 'iface-id': 'p1', 'attached-mac': 'fa:16:3e:00:00:01' });
  assert.equal(String(vm1.ofport), await vsctl('get', 'Interface', 'vm1', 'ofport'));
  assert.equal(String(vm1.ifindex), (await ovs.inNamespace('ip', '-o', 'link', 'show', 'vm1')).split(':')[0]);
  const tags = changes.flatMap((change) => (change.table === 'Port' && change.after?.name === 'vm1' ? [change.after.tag] : []));
  assert.deepEqual([...new Set(tags)], [4095]);
});

test('N-OVS-5: a tag is changed and cleared, keys of maps too', async () => {
  await vswitch.transact(addPortOps({ bridge: 'br-int', name: 'vm1', type: 'internal', external_ids: { keep: '1', drop: '2', change: '3' } }));
  await vswitch.transact(setPortTagOps('vm1', 5));
  assert.equal(await vsctl('get', 'Port', 'vm1', 'tag'), '5');
  await vswitch.transact([
    ...setPortOps('vm1', { tag: null, trunks: [7, 8], vlan_mode: 'trunk', other_config: { x: 'y' } }),
    ...setInterfaceOps('vm1', { external_ids: { drop: null, change: '4', add: '5' } }),
    ...setBridgeOps('br-int', { fail_mode: 'standalone', external_ids: { a: null } }),
    ...setOpenVswitchOps({ external_ids: { host: 'h1' } }),
  ]);
  assert.equal(await vsctl('get', 'Port', 'vm1', 'tag', 'trunks', 'vlan_mode', 'other_config'), '[]\n[7, 8]\ntrunk\n{x=y}');
  assert.equal(await vsctl('get', 'Interface', 'vm1', 'external_ids'), '{add="5", change="4", keep="1"}');
  assert.equal(await vsctl('get-fail-mode', 'br-int'), 'standalone');
  assert.equal(await vsctl('get', 'Open_vSwitch', '.', 'external_ids:host'), 'h1');
  const port = vswitch.find('Port', 'vm1')!;
  assert.deepEqual([port.tag, port.trunks, port.other_config], [undefined, [7, 8], { x: 'y' }]);
  assert.deepEqual(vswitch.find('Interface', 'vm1')!.external_ids, { keep: '1', change: '4', add: '5' });
});

test('N-OVS-2: a patch pair and tunnels', async () => {
  await vswitch.transactAndWait([
    ...addBridgeOps({ name: 'br-phys', datapath_type: 'netdev' }),
    ...addPortOps({ bridge: 'br-int', name: 'int-br-phys', type: 'patch', options: { peer: 'phy-br-phys' } }),
    ...addPortOps({ bridge: 'br-phys', name: 'phy-br-phys', type: 'patch', options: { peer: 'int-br-phys' } }),
    ...addPortOps({ bridge: 'br-int', name: 'vxlan-c0000202', type: 'vxlan', options: { remote_ip: '192.0.2.2', local_ip: '192.0.2.1', in_key: 'flow', out_key: 'flow' } }),
  ]);
  for (const name of ['int-br-phys', 'phy-br-phys', 'vxlan-c0000202']) {
    assert.ok(vswitch.find('Interface', name)!.ofport! > 0, name);
    assert.equal(vswitch.find('Interface', name)!.error, undefined);
  }
  await vswitch.transact(setInterfaceOps('vxlan-c0000202', { options: { remote_ip: '192.0.2.3', key: 'flow' } }));
  assert.deepEqual(vswitch.find('Interface', 'vxlan-c0000202')!.options, { remote_ip: '192.0.2.3', key: 'flow' });
});

test('N-OVS-4: a port that somebody else plugs is told with its external_ids', async () => {
  await vsctl('add-port', 'br-int', 'tap1', '--', 'set', 'Interface', 'tap1', 'type=internal', 'external_ids:iface-id=p9');
  await vswitch.waitApplied();
  assert.equal(vswitch.find('Interface', 'tap1')?.external_ids['iface-id'], 'p9');
  assert.ok(changes.some((change) => change.table === 'Interface' && !change.before && change.after?.name === 'tap1'));
  await vsctl('del-port', 'tap1');
  await vswitch.waitApplied();
  assert.equal(vswitch.find('Interface', 'tap1'), undefined);
  assert.ok(changes.some((change) => change.table === 'Port' && change.before?.name === 'tap1' && !change.after));
});

test('a device that does not exist is in error, with the reason on its row', async () => {
  await vswitch.transactAndWait(addPortOps({ bridge: 'br-int', name: 'no-such-tap' }));
  const row = vswitch.find('Interface', 'no-such-tap')!;
  assert.equal(row.ofport, -1);
  assert.match(row.error!, /no-such-tap/);
});

test('a port deleted and added again in one transaction is found under its name', async () => {
  await vswitch.transact(addPortOps({ bridge: 'br-int', name: 'vm1', type: 'internal' }));
  const before = vswitch.find('Port', 'vm1')!;
  await vswitch.transactAndWait([...delPortOps(before), ...addPortOps({ bridge: 'br-int', name: 'vm1', type: 'internal', tag: 3 })]);
  const now = vswitch.find('Port', 'vm1')!;
  assert.notEqual(now._uuid, before._uuid);
  assert.equal(now.tag, 3);
  await vswitch.transact([...delPortOps(now), ...delPortOps(before)]);
  assert.equal(vswitch.find('Port', 'vm1'), undefined);
});

test('a transaction with one wrong operation changes nothing and says why', async () => {
  const good = addPortOps({ bridge: 'br-int', name: 'vm1', type: 'internal' });
  await assert.rejects(vswitch.transact([...good, ...addPortOps({ bridge: 'br-none', name: 'vm2' })]), { name: 'OvsdbError', message: 'no row: there is no Bridge called br-none' });
  await assert.rejects(vswitch.transact([...good, ...setPortTagOps('vm3', 1)]), { message: 'no row: there is no Port called vm3' });
  await assert.rejects(vswitch.transact([...good, ...addPortOps({ bridge: 'br-int', name: 'vm2', tag: 4096 })]), (error) => error instanceof OvsdbError && error.error === 'constraint violation' && error.operation?.['table'] === 'Port');
  await assert.rejects(vswitch.transact([...good, ...addPortOps({ bridge: 'br-int', name: 'br-int' })]), (error) => error instanceof OvsdbError && error.error === 'constraint violation' && error.operation === undefined);
  await assert.rejects(vswitch.transact([...good, { op: 'fly' }]), OvsdbError);
  assert.equal(vswitch.find('Port', 'vm1'), undefined);
  assert.equal(await vsctl('list-ports', 'br-int'), '');
});

test('two hundred ports in one transaction', async () => {
  const names = Array.from({ length: 200 }, (_, i) => `p${i}`);
  await vswitch.transact(names.flatMap((name) => addPortOps({ bridge: 'br-int', name, type: 'patch', options: { peer: `q${name}` } })));
  assert.equal(vswitch.find('Bridge', 'br-int')?.ports.length, 201);
  await vswitch.transact(names.flatMap((name) => delPortOps(vswitch.find('Port', name)!)));
  assert.equal(vswitch.find('Bridge', 'br-int')?.ports.length, 1);
});

test('waiting for a switch that is dead ends with an error', async () => {
  await ovs.killVswitchd();
  try {
    await assert.rejects(vswitch.waitApplied(100), { error: 'timed out' });
    const waiting = vswitch.waitApplied(60_000);
    // The transaction must be through, so that it is the wait that ends.
    await vswitch.transact([]);
    vswitch.close();
    await assert.rejects(waiting, { error: 'connection closed' });
    assert.equal(await vswitch.closed, undefined);
    await assert.rejects(vswitch.transact([]), { error: 'connection closed' });
  } finally {
    await ovs.startVswitchd();
  }
});
