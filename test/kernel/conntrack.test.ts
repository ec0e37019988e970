import assert from 'node:assert/strict';
import { symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { flushZones, limitZones } from '#agent/drivers/conntrack/apply.ts';
import { type PrivateOvs, startPrivateOvs } from '#testkit/private-ovs.ts';

let ovs: PrivateOvs;

before(async () => {
  ovs = await startPrivateOvs();
  // Where a vswitchd that was started with --pidfile has its control socket.
  await writeFile(join(ovs.rundir, 'ovs-vswitchd.pid'), '42\n');
  await symlink(join(ovs.rundir, 'vswitchd.ctl'), join(ovs.rundir, 'ovs-vswitchd.42.ctl'));
  await ovs.tool('ovs-vsctl', 'add-br', 'br-int', '--', 'set', 'Bridge', 'br-int', 'datapath_type=netdev', '--', 'add-port', 'br-int', 'p1', '--', 'set', 'Interface', 'p1', 'type=dummy');
});

after(async () => {
  await ovs?.stop();
});

/** Commits one connection in each of `zones`. */
async function connect(zones: readonly number[], sourcePort = '03e8'): Promise<void> {
  await ovs.tool('ovs-ofctl', 'del-flows', 'br-int');
  for (const zone of zones) {
    await ovs.tool('ovs-ofctl', 'add-flow', 'br-int', `udp,tp_dst=${1000 + zone} actions=ct(commit,zone=${zone})`);
    const frame = `020000000002020000000001080045000020000040004011b6c9c0000201c0000202${sourcePort}${(1000 + zone).toString(16).padStart(4, '0')}000c000061626364`;
    await ovs.tool('ovs-ofctl', 'packet-out', 'br-int', `in_port=LOCAL,packet=${frame},actions=table`);
  }
}

const zonesHeld = async (): Promise<number[]> =>
  [...(await ovs.tool('ovs-appctl', 'dpctl/dump-conntrack')).matchAll(/zone=(\d+)/g)].map((match) => Number(match[1])).sort((a, b) => a - b);

test('N-OVS-6: zones are emptied, and no other than those', async () => {
  await connect([5, 6, 7]);
  assert.deepEqual(await zonesHeld(), [5, 6, 7]);
  await flushZones(ovs.rundir, []);
  assert.deepEqual(await zonesHeld(), [5, 6, 7]);
  await flushZones(ovs.rundir, [5, 7]);
  assert.deepEqual(await zonesHeld(), [6]);
});

test('ATT-conntrack: no zone remembers more than it may; others are not concerned; a limit is set once', async () => {
  const said: string[] = [];
  const limit = (zones: number[], most: number): Promise<void> => limitZones(ovs.rundir, zones, most, (line) => said.push(line));
  await limit([], 1);
  await limit([5, 6], 1);
  await limit([5, 6, 7], 1);
  await limit([5, 6, 7], 1);
  assert.deepEqual(said.splice(0), ['ovs-appctl dpctl/ct-set-limits zone=5,limit=1 zone=6,limit=1', 'ovs-appctl dpctl/ct-set-limits zone=7,limit=1']);
  await flushZones(ovs.rundir, [5, 6, 7]);
  await connect([5]);
  await connect([5], '03e9');
  await connect([6]);
  assert.deepEqual(await zonesHeld(), [5, 6]);
  await limit([5], 0);
  await connect([5], '03e9');
  assert.deepEqual([await zonesHeld(), said], [[5, 5, 6], ['ovs-appctl dpctl/ct-del-limits zone=5']]);
});

test('a refusal of the switch and a switch that is dead are errors', async () => {
  await assert.rejects(flushZones(ovs.rundir, [5, Number.NaN]), /dpctl\/flush-conntrack/);
  await ovs.killVswitchd();
  await assert.rejects(flushZones(ovs.rundir, [5]), /ENOENT|ECONNREFUSED/);
});
