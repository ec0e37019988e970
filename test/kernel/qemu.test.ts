/** A guest with a kernel of its own in a whole cloud: images, flavor and server by the unmodified `openstack` command, packets between hosts. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { endProcesses } from '#cli/datacentre/process.ts';
import { runningProcess, statePath } from '#cli/datacentre/state-folder.ts';
import { agentName, startAgent } from '#cli/services.ts';
import { readSettings } from '#cli/settings.ts';
import { up } from '#cli/up.ts';
import { scenario, until } from '#testkit/cloud.ts';
import { buildSmallGuest } from './small-guest.ts';

scenario('a virtual machine gets its address, MTU and metadata, speaks with a container on another host, and outlives its agent', {}, async (cloud, t) => {
  const admin = await cloud.api();
  const openstack = async (...argv: string[]) => (await cloud.openstack('admin', ...argv)).trim();
  const folder = mkdtempSync('/var/tmp/patchbay-test/guest-');
  t.after(() => rmSync(folder, { recursive: true }));
  const { kernel, ramdisk } = await buildSmallGuest(folder);
  writeFileSync(join(folder, 'disk'), Buffer.alloc(1024 * 1024, 'uploaded by hand '));

  const network = await admin.network({ name: 'net' });
  await admin.subnet({ network_id: network.id, cidr: '10.7.0.0/24' });
  const small = await admin.post('/compute/v2.1/flavors', { flavor: { name: 'small', ram: 128, vcpus: 1, disk: 1 } }, 'flavor');
  const container = await admin.server({ name: 'container', flavorRef: small.id, networks: [{ uuid: network.id }], availability_zone: 'nova:compute2' });
  const peer = container.addresses.net[0].addr;

  await openstack('flavor', 'create', '--ram', '192', '--disk', '1', '--vcpus', '1', '--property', 'patchbay:driver=qemu', 'vm');
  const upload = (name: string, format: string, file: string, ...more: string[]) => openstack('image', 'create', '--disk-format', format, '--container-format', format, '--file', file, '-f', 'value', '-c', 'id', ...more, name);
  const kernelId = await upload('kernel', 'aki', kernel);
  const ramdiskId = await upload('ramdisk', 'ari', ramdisk);
  await upload('guest', 'ami', join(folder, 'disk'), '--property', `kernel_id=${kernelId}`, '--property', `ramdisk_id=${ramdiskId}`, '--property', 'os_command_line=console=ttyS0 quiet metadata');
  writeFileSync(join(folder, 'script'), `#!/bin/sh\nping -c 3 -W 2 ${peer} > /dev/null && echo "pinged the container"\n`);
  const create = (name: string, ...more: string[]) => openstack('server', 'create', '--flavor', 'vm', '--image', 'guest', '--network', 'net', '--availability-zone', 'nova:compute1', '--user-data', join(folder, 'script'), '-f', 'value', '-c', 'id', ...more, name);

  const programs = '/usr/bin/qemu-system-x86_64';
  // It stays until the end, so that the oracles see a machine too.
  await t.test('on a host without qemu the server is in ERROR and names the package; with it, the server comes up', async () => {
    await cloud.host('compute1', 'mount', '--bind', '/dev/null', programs);
    const id = await create('early');
    await until(30, 'the server is in ERROR', async () => (await admin.get(`/compute/v2.1/servers/${id}`)).server.status === 'ERROR');
    assert.equal((await admin.get(`/compute/v2.1/servers/${id}`)).server.fault.message, `server ${id} needs qemu-system-x86_64, which is not on this host: apt-get install qemu-system-x86`);
    await cloud.host('compute1', 'umount', programs);
    await until(60, 'the server is ACTIVE', async () => (await admin.get(`/compute/v2.1/servers/${id}`)).server.status === 'ACTIVE');
  });

  const id = (await create('machine', '--wait')).split('\n').at(-1)!;
  const { server } = await admin.get(`/compute/v2.1/servers/${id}`);
  const address = server.addresses.net[0].addr;
  const [port] = (await admin.get(`/network/v2.0/ports?device_id=${id}`)).ports;
  const console_ = async () => (await openstack('console', 'log', 'show', id)).replaceAll('\r', '');
  const says = (text: string, times = 1) => until(90, `the console says ${text} ${times} times`, async () => (await console_()).split(text).length > times);
  const qemu = async () => (await cloud.host('compute1', 'sh', '-c', `pgrep -f '[q]emu-system.*${id}' || true`)).trim();

  await t.test('DHCP gives its address and MTU, metadata comes over TCP, and the console log shows it (N-OVS-4)', async () => {
    await says('guest: pinged the container');
    const log = await console_();
    for (const line of [
      `guest: uuid ${id}`, 'guest: disk 2097152 sectors, begins with uploaded by hand', 'guest: boot 1', `guest: eth0 has ${port.mac_address} and mtu 1450`,
      `guest: eth0: lease ${address}/24 mtu 1450`, 'guest: config drive config-2', 'guest: ready',
    ]) assert.ok(log.includes(`${line}\n`), `${line}\n${log}`);
    assert.match(log, new RegExp(`^guest: metadata \\d+ bytes: \\{.*"${id}"`, 'm'));
    assert.equal(server.config_drive, 'True');
    const tap = `tap${port.id.slice(0, 11)}`;
    assert.equal((await cloud.host('compute1', 'ovs-vsctl', 'get', 'Interface', tap, 'external_ids:iface-id')).trim(), `"${port.id}"`);
    assert.equal((await admin.get(`/network/v2.0/ports/${port.id}`)).port.status, 'ACTIVE');
  });

  await t.test('packets as large as the MTU and TCP pass between machine and container across hosts', async () => {
    assert.equal((await cloud.exec('container', 'ping', '-c', '2', '-W', '2', '-M', 'do', '-s', '1422', address)).code, 0);
    assert.equal((await cloud.exec('container', 'curl', '-s', '-m', '20', `http://${address}/large`)).stdout.length, 256 * 1024);
  });

  await t.test('patchbay exec says that nothing inside listens', async () => {
    const { code, stderr } = await cloud.exec('machine', 'true');
    assert.equal(code, 1);
    assert.match(stderr, /^patchbay exec: server \S+ runs in qemu, and nothing inside it takes commands from its host: use ssh/);
  });

  await t.test('the agent is killed and comes back: the machine has not noticed', async () => {
    const before = [await qemu(), cloud.log('compute1').length] as const;
    await endProcesses([runningProcess(cloud.state, agentName('compute1'))!], 'SIGKILL');
    await cloud.ping('container', address);
    await startAgent(cloud.state, cloud.plan.hosts[0]!);
    await until(20, 'both hosts are alive', async () => (await cloud.patchbay('status')).code === 0);
    await cloud.settle();
    assert.equal(await qemu(), before[0]);
    assert.deepEqual(cloud.log('compute1').slice(before[1]).filter(({ msg }) => msg === 'plan'), []);
    assert.equal((await admin.get(`/compute/v2.1/servers/${id}`)).server.status, 'ACTIVE');
  });

  await t.test('reboot, stop, start, and power off from inside; the disk is kept', async () => {
    await openstack('server', 'reboot', '--hard', '--wait', id);
    await says('guest: boot 2');
    await says('guest: ready', 2);
    await openstack('server', 'stop', id);
    await admin.serverStatus(id, 'SHUTOFF');
    await until(10, 'the port is DOWN', async () => (await admin.get(`/network/v2.0/ports/${port.id}`)).port.status === 'DOWN');
    assert.match(await console_(), /guest: power button/);
    assert.equal(await qemu(), '');
    await openstack('server', 'start', id);
    await says('guest: boot 3');
    await says('guest: ready', 3);
    await cloud.exec('container', 'curl', '-s', '-m', '5', `http://${address}/cgi-bin/off`);
    await admin.serverStatus(id, 'SHUTOFF');
    await until(10, 'its tap is gone', async () => !(await cloud.host('compute1', 'ovs-vsctl', 'list-ports', 'br-int')).includes(port.id.slice(0, 11)));
    await openstack('server', 'start', id);
    await says('guest: ready', 4);
    await cloud.ping('container', address);
  });

  await t.test('a NIC waits for the next start; a port that is deleted leaves the running machine', async () => {
    await assert.rejects(openstack('server', 'add', 'network', id, 'net'), /Attaching interfaces is not supported for instance/);
    await admin.delete(`/network/v2.0/ports/${port.id}`);
    await until(10, 'its tap is gone', async () => !(await cloud.host('compute1', 'ip', '-o', 'link')).includes(port.id.slice(0, 11)));
    assert.notEqual(await qemu(), '');
    await openstack('server', 'stop', id);
    await admin.serverStatus(id, 'SHUTOFF');
    const other = await admin.port({ network_id: network.id });
    await openstack('server', 'add', 'port', id, other.id);
    await openstack('server', 'start', id);
    await says('guest: ready', 5);
    await cloud.ping('container', other.fixed_ips[0].ip_address);
  });

  await t.test('after the crash of its host the machine comes back as it was', async () => {
    await endProcesses(['compute1', agentName('compute1')].map((name) => runningProcess(cloud.state, name)!), 'SIGKILL');
    await up(readSettings({ state: cloud.state }));
    await says('guest: boot 6');
    await says('guest: ready', 6);
  });

  await t.test('delete leaves nothing', async () => {
    await openstack('server', 'delete', '--wait', id);
    await until(10, 'qemu is gone', async () => (await qemu()) === '');
    assert.equal(await cloud.host('compute1', 'sh', '-c', `ls ${statePath.hostFolder(cloud.state, 'compute1')}/machines /run/patchbay/machines | grep ${id} || true`), '');
    for (const name of ['guest', 'ramdisk', 'kernel']) await openstack('image', 'delete', name);
  });
});
