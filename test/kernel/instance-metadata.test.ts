/** What container instances do with keys and user data, from the config drive and from a metadata service at 169.254.169.254. */

import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { after, afterEach, before, test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import type { InstanceItem } from '#hoststate/instance.ts';
import { ContainerDriver } from '#instances/container/container-driver.ts';
import { FakeMetadata } from './fakes/metadata.ts';
import { item, mac, plug, shell, startBridge, untilConsole } from './instance-lab.ts';
import { insideSimulatedHost } from './simulated-host.ts';

const KEY = 'ssh-ed25519 AAAA"me"\\';
const META_DATA = JSON.stringify({ uuid: 'u', meta: { public_keys: 'no key' }, public_keys: { 'my "key"': `${KEY}\n`, other: 'ssh-rsa BBBB' }, keys: [{ name: 'my', type: 'ssh', data: KEY }], devices: [] })
  // As some libraries write it.
  .replace('BBBB', 'B\\u0042B\\u0042').replaceAll('uuid', 'uu\\u0069d');
const SCRIPT = Buffer.from('#!/bin/sh\necho "script on $(hostname)"\nexit 3\n# \0\xff no newline at the end', 'latin1');
const CLOUD_CONFIG = `#cloud-config
hostname: db-1
ssh_authorized_keys: [ssh-ed25519 CCCC cloud, ssh-rsa BBBB]
write_files:
- {path: /etc/app/app.conf, content: "a: 1\\n", owner: 'cirros:cirros', permissions: '0640'}
- {path: /etc/passwd, content: "x:x:5000:5000::/:/bin/false\\n", append: true}
- {path: /etc/hostname/no-folder, content: x}
- {path: "/root/a file", encoding: b64, content: AAH/}
runcmd:
- echo "as $(id -un) on $(hostname)" >> /root/ran
- [sh, -c, 'ip route get 10.0.0.1 | grep -q eth0 && echo "$0" >> /root/ran', "it's"]
- exit 4
packages: [nginx]
`;

if (await insideSimulatedHost(import.meta.filename)) {
  const work = mkdtempSync('/tmp/patchbay-metadata-');
  const driver = new ContainerDriver({ stateDir: join(work, 'instances'), layersDir: join(work, 'layers'), imagePath: async (image) => join(work, image) });
  let dnsmasq: ChildProcess;
  let service = new FakeMetadata({});

  before(async () => {
    mkdirSync(join(work, 'instances'), { mode: 0o700 });
    dnsmasq = await startBridge(work, ['--dhcp-option=option:classless-static-route,169.254.169.254/32,10.0.0.1']);
    await shell('ip addr add 169.254.169.254/32 dev br0; ip -6 addr add fe80::a9fe:a9fe/64 dev br0 nodad');
    await driver.warmUp();
  });

  afterEach(async () => {
    await service.close();
    service = new FakeMetadata({});
    for (const { server_id } of await driver.list()) await driver.remove(server_id);
  });

  after(() => {
    dnsmasq.kill();
    rmSync(work, { recursive: true });
  });

  test('#cloud-config from the config drive: files, keys, commands and the name, once; the console tells (N-MD-20)', async () => {
    const guest = item(5, { user_data: CLOUD_CONFIG, public_keys: { mine: KEY } });
    await boot(guest);
    const log = await untilConsole(driver, guest.server_id, 'runcmd ended with');
    assert.deepEqual(initLines(log), [
      'init: hostname db-1',
      'init: keys and user data from the config drive',
      'init: cloud-config: ignored, not known here: packages',
      'init: 3 ssh key(s) authorised',
      'init: cloud-config: /etc/app/app.conf: 5 bytes, cirros:cirros 0640',
      'init: cloud-config: /etc/passwd: 28 bytes, root:root 0644',
      'init: cloud-config: /etc/hostname/no-folder could not be written',
      'init: cloud-config: /root/a file: 3 bytes, root:root 0644',
      'init: runcmd starts',
      'init: runcmd ended with 4',
    ]);
    assert.equal(await inside(guest, 'hostname; cat /root/ran /root/.ssh/authorized_keys; cd /etc/app; stat -c "%U:%G %a" app.conf; cat app.conf; tail -n 2 /etc/passwd; od -An -tx1 "/root/a file"'), `db-1
as root on db-1
it's
${KEY}
ssh-ed25519 CCCC cloud
ssh-rsa BBBB
cirros:cirros 640
a: 1
cirros:x:1000:1000:CirrOS:/home/cirros:/bin/bash
x:x:5000:5000::/:/bin/false
 00 01 ff
`);
    await boot({ ...guest, generation: 2 });
    await untilConsole(driver, guest.server_id, 'login:', 2);
    await setTimeout(1500);
    assert.equal(await inside(guest, 'wc -l < /root/ran; grep -c 5000 /etc/passwd; hostname'), '2\n1\ndb-1\n');
  });

  test('without a config drive keys and a script come from openstack/latest of the metadata service, byte for byte and once', async () => {
    service = new FakeMetadata({ '/openstack/latest/meta_data.json': META_DATA, '/openstack/latest/user_data': SCRIPT });
    await service.listen('169.254.169.254');
    const guest = bare(5, 'the host does not give this one');
    await boot(guest);
    const log = await untilConsole(driver, guest.server_id, 'user data ended with 3');
    assert.match(log, /init: keys and user data from the metadata service, http:\/\/169\.254\.169\.254\/openstack\/latest\ninit: 2 ssh key\(s\) authorised\ninit: user data starts\nscript on guest5\n/);
    assert.deepEqual(service.asked, ['GET /openstack/latest/meta_data.json', 'GET /openstack/latest/user_data']);
    assert.equal(await inside(guest, 'ls -A /config; cat /root/.ssh/authorized_keys /home/cirros/.ssh/authorized_keys'), `.patchbay\n${`${KEY}\nssh-rsa BBBB\n`.repeat(2)}`);
    assert.equal(await inside(guest, 'base64 -w0 /var/lib/patchbay/user-data'), SCRIPT.toString('base64'));
    await boot({ ...guest, generation: 2 });
    await untilConsole(driver, guest.server_id, 'login:', 2);
    await setTimeout(1500);
    assert.equal(service.asked.length, 2, 'a second boot asks nobody');
  });

  test('#cloud-config from the metadata service is applied as its host has read it, and not when the bytes are others', async () => {
    service = new FakeMetadata({ '/openstack/latest/meta_data.json': META_DATA, '/openstack/latest/user_data': CLOUD_CONFIG });
    await service.listen('169.254.169.254');
    const guest = bare(5, CLOUD_CONFIG);
    await boot(guest);
    await untilConsole(driver, guest.server_id, 'runcmd ended with 4');
    assert.equal(await inside(guest, 'cat /root/ran; wc -l < /root/.ssh/authorized_keys; cat /etc/app/app.conf'), 'as root on db-1\nit\'s\n3\na: 1\n');
    const other = bare(6, CLOUD_CONFIG.replace('exit 4', 'exit 5'));
    await boot(other);
    await untilConsole(driver, other.server_id, 'init: user data ignored: it is no script, and not what the host of this instance has read');
    assert.equal(await inside(other, 'ls /root/ran /etc/app 2> /dev/null; wc -l < /root/.ssh/authorized_keys'), '2\n');
  });

  test('a service that knows only the EC2 tree, that has no user data, or that asks for tokens', async () => {
    service = new FakeMetadata({ '/2009-04-04/meta-data/public-keys/': '0=mine\n1=other', '/2009-04-04/meta-data/public-keys/0/openssh-key': KEY, '/2009-04-04/meta-data/public-keys/1/openssh-key': 'ssh-rsa BBBB\n' });
    service.tokens = true;
    await service.listen('169.254.169.254');
    const guest = bare(5);
    await boot(guest);
    await untilConsole(driver, guest.server_id, 'init: 2 ssh key(s) authorised');
    assert.match(await driver.consoleLog(guest.server_id), /from the metadata service, http:\/\/169\.254\.169\.254\/2009-04-04\n/);
    assert.equal(await inside(guest, 'cat /root/.ssh/authorized_keys'), `${KEY}\nssh-rsa BBBB\n`);
    assert.equal(service.asked.filter((line) => line.startsWith('PUT')).length, 1);
    service.tree['/2009-04-04/user-data'] = SCRIPT;
    await boot(bare(6));
    await untilConsole(driver, item(6).server_id, 'user data ended with 3');
  });

  test('a service that comes late is waited for; the guest is up meanwhile', async () => {
    service = new FakeMetadata({ '/openstack/latest/meta_data.json': '{}', '/openstack/latest/user_data': SCRIPT });
    const guest = bare(5);
    await boot(guest);
    await untilConsole(driver, guest.server_id, 'login:');
    await setTimeout(2000);
    assert.equal(await inside(guest, 'hostname; cat /var/lib/patchbay/instance-id 2> /dev/null || echo unsettled'), 'guest5\nunsettled\n');
    await service.listen('169.254.169.254');
    await untilConsole(driver, guest.server_id, 'user data ended with 3');
    assert.equal(await inside(guest, 'cat /var/lib/patchbay/instance-id'), `${guest.server_id}\n`);
  });

  test('the wait has an end, and says so', async () => {
    const guest = bare(5);
    await boot(guest);
    await untilConsole(driver, guest.server_id, 'login:');
    const { code, stdout } = await driver.exec(guest.server_id, ['/.patchbay/busybox', 'sh', '/.patchbay/metadata', '/tmp', '2']);
    assert.deepEqual([code, stdout], [1, 'init: no metadata service answers for /openstack/latest/meta_data.json: no keys and no user data\n']);
    // What is cut short is no answer either.
    let asked = 0;
    const liar = createServer((socket) => {
      asked++;
      socket.resume().end('HTTP/1.0 200 OK\r\nContent-Length: 100\r\n\r\n{}');
    }).listen(80, '169.254.169.254');
    assert.equal((await driver.exec(guest.server_id, ['/.patchbay/busybox', 'sh', '/.patchbay/metadata', '/tmp', '1'])).code, 1);
    await new Promise((resolve) => liar.close(resolve));
    assert.ok(asked > 1);
  });

  test('a guest without IPv4 asks fe80::a9fe:a9fe', async () => {
    service = new FakeMetadata({ '/openstack/latest/meta_data.json': META_DATA, '/openstack/latest/user_data': SCRIPT });
    await service.listen('fe80::a9fe:a9fe%br0');
    const guest = { ...bare(5), config_drive: { ...bare(5).config_drive, 'openstack/latest/network_data.json': Buffer.from(JSON.stringify({ links: [{ id: 'l', ethernet_mac_address: mac(5) }], networks: [{ link: 'l', type: 'ipv6_slaac' }] })).toString('base64') } };
    await boot(guest);
    await untilConsole(driver, guest.server_id, 'user data ended with 3');
    assert.match(await driver.consoleLog(guest.server_id), /from the metadata service, http:\/\/\[fe80::a9fe:a9fe%eth0\]\/openstack\/latest\n/);
  });

  test('an image without a shell, users or any tool comes up all the same', async () => {
    await shell(`mkdir -p ${work}/bare/bin ${work}/bare/etc; tar -C ${work}/bare -cf ${work}/tiny .`);
    const guest = { ...item(5, { user_data: CLOUD_CONFIG }), image: 'tiny' };
    await boot(guest);
    const log = await untilConsole(driver, guest.server_id, 'runcmd ended with 127');
    assert.match(log, /init: cloud-config: \/etc\/app\/app\.conf could not be written\n/, 'there is no user cirros');
    assert.match(log, /init: eth0: lease 10\.0\.0\.5\/24/);
    assert.equal((await driver.list())[0]!.state, 'running');
  });

  /** Without a config drive; its host knows `userData` of it. */
  function bare(number: number, userData?: string): InstanceItem {
    return { ...item(number, userData === undefined ? {} : { user_data: userData }), has_config_drive: false };
  }

  async function boot(instance: InstanceItem): Promise<void> {
    await driver.create(instance);
    await plug(instance);
    await driver.start(instance.server_id);
  }

  async function inside({ server_id }: InstanceItem, script: string): Promise<string> {
    return (await driver.exec(server_id, ['sh', '-c', script])).stdout;
  }

  function initLines(log: string): string[] {
    return log.split('\n').filter((line) => line.startsWith('init: ') && !line.startsWith('init: eth'));
  }
}
