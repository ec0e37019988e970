/** The `openstack` command as Debian ships it, against a whole controller whose hosts are rows: what Compute and Image answer it. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { reportInstance } from '#control/compute/server-report.ts';
import { insertAgent } from '#testkit/network-rows.ts';
import { ClientLab } from './client-lab.ts';

const lab = ClientLab.declare('agent_down_time: 3600', ({ store }) => store.write(async (tx) => {
  for (const host of ['compute1', 'compute2']) await insertAgent(tx, host);
}));
const { lines: openstack, text: one } = lab;

const report = (server_id: string, state: 'running' | 'stopped') => lab.controller.store.write(async (tx) => {
  const row = await tx.db.selectFrom('servers').select('host').where('id', '=', server_id).executeTakeFirstOrThrow();
  await reportInstance(tx, row['host'], { server_id, state });
});

test('G1: openstack flavor create, list, show, set and delete', async () => {
  const [made, listed, shown] = await openstack(lab.credentials.admin, 'flavor create --ram 256 --disk 2 --vcpus 1 --property hw:a=b m1.mine -f json', 'flavor list -f json', 'flavor show m1.mine -f json', 'flavor delete m1.mine');
  assert.deepEqual([made.name, made.ram, made.properties], ['m1.mine', 256, { 'hw:a': 'b' }]);
  assert.deepEqual(listed.map((each: any) => each.Name).sort(), ['m1.mine', 'm1.nano', 'm1.tiny']);
  assert.equal(shown.id, made.id);
  assert.equal((await openstack(lab.credentials.demo!, 'flavor list -f json'))[0].length, 2);
});

test('G1: openstack keypair create writes a private key that ssh-keygen reads; import, show and delete', async () => {
  const privateKey = await one(lab.credentials.demo!, 'keypair', 'create', 'made');
  writeFileSync(join(lab.folder, 'made'), privateKey, { mode: 0o600 });
  const { stdout } = await promisify(execFile)('ssh-keygen', ['-y', '-f', join(lab.folder, 'made')]);
  writeFileSync(join(lab.folder, 'made.pub'), stdout);
  const [imported, listed] = await openstack(lab.credentials.demo!, `keypair create --public-key ${lab.folder}/made.pub twin -f json`, 'keypair list -f json', 'keypair delete twin');
  assert.equal(imported.fingerprint, listed.find((each: any) => each.Name === 'made').Fingerprint);
  assert.equal((await one(lab.credentials.demo!, 'keypair', 'show', '--public-key', 'made')).trim(), stdout.trim());
});

test('G1: openstack image create uploads a file, save gives it back', async () => {
  writeFileSync(join(lab.folder, 'disk.img'), Buffer.alloc(2_000_000, 'image'));
  const [made] = await openstack(lab.credentials.demo!, `image create --disk-format raw --container-format bare --file ${lab.folder}/disk.img --property os_type=linux mine -f json`);
  assert.equal(made.status === 'active' || made.status === 'queued', true);
  const [shown, listed, set] = await openstack(lab.credentials.demo!, 'image show mine -f json', 'image list -f json', 'image set --min-ram 64 --tag blue mine', 'image show mine -f json', `image save --file ${lab.folder}/back.img mine`, 'image delete mine').then(([a, b, c]) => [a, b, c]);
  assert.deepEqual([shown.status, shown.size, shown.properties.os_type], ['active', 2_000_000, 'linux']);
  assert.deepEqual(listed.map((each: any) => each.Name).sort(), ['busybox', 'cirros', 'mine']);
  assert.deepEqual([set.min_ram, set.tags], [64, ['blue']]);
  assert.deepEqual(readFileSync(join(lab.folder, 'back.img')), readFileSync(join(lab.folder, 'disk.img')));
});

test('G1, G3: openstack server create, list, show, stop, start, reboot, add and remove port, addresses, groups, delete', async () => {
  const demo = lab.credentials.demo!;
  const [, , , port] = await openstack(demo, 'network create private -f json', 'subnet create --network private --subnet-range 10.0.0.0/24 sub -f json', 'security group create web -f json', 'port create --network private extra -f json');
  writeFileSync(join(lab.folder, 'script.sh'), '#!/bin/sh\necho hello\n');
  const [made, listed] = await openstack(demo, `server create --flavor m1.nano --image cirros --network private --security-group web --user-data ${lab.folder}/script.sh --property role=db --config-drive True vm -f json`, 'server list -f json');
  assert.deepEqual([made.status, made.name, made.security_groups], ['BUILD', 'vm', [{ name: 'web' }]]);
  assert.deepEqual(listed.map((each: any) => [each.Name, each.Status, each.Image, each.Flavor, Object.keys(each.Networks)]), [['vm', 'BUILD', 'cirros', 'm1.nano', ['private']]]);
  await report(made.id, 'running');
  const [shown] = await openstack(demo, 'server show vm -f json', 'server add port vm extra', 'server add security group vm default', 'server add fixed ip --fixed-ip-address 10.0.0.99 vm private');
  assert.deepEqual([shown.status, shown.properties, shown.config_drive], ['ACTIVE', { role: 'db' }, 'True']);
  const [wired] = await openstack(demo, 'server show vm -f json');
  assert.ok(wired.addresses.private.includes(port.fixed_ips[0].ip_address), JSON.stringify(wired.addresses));
  assert.ok(wired.addresses.private.length >= 3, JSON.stringify(wired.addresses));
  assert.deepEqual(wired.security_groups.map((each: any) => each.name).sort(), ['default', 'web']);
  await openstack(demo, 'server remove port vm extra', 'server remove security group vm web', 'server stop vm');
  await report(made.id, 'stopped');
  const [stopped] = await openstack(demo, 'server show vm -f json', 'server start vm');
  assert.deepEqual([stopped.status, stopped['OS-EXT-STS:power_state']], ['SHUTOFF', 4]);
  await report(made.id, 'running');
  const [rebooting] = await openstack(demo, 'server reboot vm', 'server show vm -f json');
  assert.equal(rebooting.status, 'REBOOT');
  await report(made.id, 'running');
  const [renamed, ports] = await openstack(demo, 'server set --name vm2 --property a=b vm', 'server unset --property role vm2', 'server show vm2 -f json', 'port list --server vm2 -f json');
  assert.deepEqual([renamed.properties, ports.length], [{ a: 'b' }, Object.values(renamed.addresses).length]);
  const pinned = JSON.parse(await one(lab.credentials.admin, '--os-compute-api-version', '2.37', 'server', 'create', '--flavor', 'm1.nano', '--image', 'busybox', '--nic', 'none', '--availability-zone', 'nova:compute2', 'pinned', '-f', 'json'));
  assert.deepEqual([pinned['OS-EXT-SRV-ATTR:host'], pinned.addresses, pinned.locked], ['compute2', {}, false]);
  assert.equal((await openstack(lab.credentials.admin, 'server list --all-projects -f json'))[0].length, 2);
  await one(demo, 'server', 'delete', '--wait', 'vm2');
  const [left, rest] = await openstack(demo, 'server list -f json', 'port list -f json');
  assert.deepEqual([left, rest.map((each: any) => each.Name).filter(Boolean)], [[], ['extra']]);
  await assert.rejects(one(demo, 'server', 'create', '--flavor', 'm1.nano', '--image', 'cirros', '--availability-zone', 'nova:compute1', '--network', 'private', 'vm'), /Policy doesn't allow os_compute_api:servers:create:forced_host/);
});

test('G3: openstack availability zone, compute service, hypervisor, quota and limits', async () => {
  const [zones] = await openstack(lab.credentials.demo!, 'availability zone list --compute -f json');
  assert.deepEqual(zones, [{ 'Zone Name': 'nova', 'Zone Status': 'available' }]);
  const [services, hypervisors, limits] = await openstack(lab.credentials.admin, 'compute service list -f json', 'hypervisor list -f json', 'limits show --absolute -f json');
  assert.deepEqual(services.map((each: any) => [each.Host, each.State]), [['compute1', 'up'], ['compute2', 'up']]);
  assert.deepEqual(hypervisors.map((each: any) => each['Hypervisor Hostname']), ['compute1', 'compute2']);
  assert.ok(limits.some((each: any) => each.Name === 'total_instances_used' || each.Name === 'totalInstancesUsed'));
});
