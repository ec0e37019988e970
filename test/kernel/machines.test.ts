/** Instances in qemu on a real kernel: a host of its own, a bridge with a DHCP server on it, guests plugged into it. */

import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test, type TestContext } from 'node:test';
import type { InstanceItem, Machine } from '#hoststate/instance.ts';
import { InstanceDrivers } from '#instances/instance-drivers.ts';
import { QEMU_USER } from '#instances/qemu/qemu-arguments.ts';
import { QemuDriver, type QemuDriverOptions } from '#instances/qemu/qemu-driver.ts';
import { run, runOk } from '#instances/run.ts';
import { FakeMetadata } from './fakes/metadata.ts';
import { devices, item, mac, nic, plug, shell, startBridge, untilConsole } from './instance-lab.ts';
import { insideSimulatedHost } from './simulated-host.ts';
import { buildSmallGuest, kernelParts } from './small-guest.ts';

// Out here, for a host of its own has no way to Debian's archive.
await kernelParts();

if (await insideSimulatedHost(import.meta.filename)) {
  const work = mkdtempSync('/tmp/patchbay-machines-');
  const images = join(work, 'images');
  const stateDir = join(work, 'machines');
  const driver = newDriver();
  let dnsmasq: ChildProcess;

  before(async () => {
    for (const folder of [images, stateDir]) mkdirSync(folder, { mode: 0o700 });
    dnsmasq = await startBridge(work, ['--dhcp-option=option:mtu,1400', '--dhcp-option=option:classless-static-route,169.254.169.254/32,10.0.0.1']);
    const guest = await buildSmallGuest(work);
    await shell('ip addr add 169.254.169.254/32 dev br0');
    copyFileSync(guest.kernel, join(images, 'kernel'));
    copyFileSync(guest.ramdisk, join(images, 'ramdisk'));
    writeFileSync(join(images, 'disk'), Buffer.alloc(1024 * 1024, 'the disk of a test.', 'latin1'));
  });

  after(async () => {
    for (const { server_id } of await driver.list()) await driver.remove(server_id);
    dnsmasq.kill();
    rmSync(work, { recursive: true });
  });

  test('create makes taps and files and runs nothing; start boots the kernel; lease, MTU, disk, config drive and TCP are right (N-OVS-4, N-MD-20)', async (t) => {
    const service = new FakeMetadata({ '/openstack/latest/meta_data.json': JSON.stringify({ uuid: 'asked', padding: 'y'.repeat(20_000 - 29) }) });
    await service.listen('169.254.169.254');
    const web = machine(5, { user_data: '#!/bin/sh\necho "user data of $(cut -d\\" -f4 /tmp/meta_data.json)"\nping -c 1 -W 2 10.0.0.1 > /dev/null && echo pinged\n', os_command_line: 'console=ttyS0 quiet metadata' });
    await driver.create(web);
    assert.deepEqual(await states(), [[web.server_id, 'created', 1, ['tap00000000005']]]);
    assert.equal(await driver.consoleLog(web.server_id), '');
    await driver.create(web);
    await plug(web);
    await driver.start(web.server_id);
    const { pid } = await state(web.server_id);
    await driver.start(web.server_id);
    await driver.create(web);
    assert.equal((await state(web.server_id)).pid, pid, 'twice is once');
    const log = await says(web, 'pinged');
    for (const line of [
      /^guest: kernel 6\.1\S*-cloud-amd64, 2 processor\(s\), 1[0-9]{2} MiB$/m,
      new RegExp(`^guest: uuid ${web.server_id}$`, 'm'),
      // As large as the flavor says, and the image's bytes.
      /^guest: disk 2097152 sectors, begins with the disk of a te$/m,
      /^guest: boot 1$/m,
      new RegExp(`^guest: eth0 has ${mac(5)} and mtu 1400$`, 'm'),
      /^guest: eth0: lease 10\.0\.0\.5\/24 mtu 1400$/m,
      /^guest: config drive config-2$/m,
      /^guest: metadata 20000 bytes: \{"uuid":"asked","padding":"y+$/m,
      new RegExp(`^guest: user data of ${web.server_id}$`, 'm'),
    ]) assert.match(log, line);
    assert.equal((await run('ping', ['-c1', '-W2', '-M', 'do', '-s', '1372', '10.0.0.5'])).code, 0);
    assert.equal((await runOk('curl', ['-s', '-m', '10', 'http://10.0.0.5/large'])).length, 256 * 1024);
    await service.close();

    await t.test('qemu is nobody on the host, in the guest\'s cgroup, and its taps are quiet', () => {
      const status = readFileSync(`/proc/${pid}/status`, 'utf8');
      for (const line of [`Uid:\t${Array(4).fill(QEMU_USER).join('\t')}`, 'CapEff:\t0000000000000000', 'NoNewPrivs:\t1', 'Seccomp:\t2']) assert.ok(status.includes(`${line}\n`), line);
      assert.match(readFileSync(`/proc/${pid}/cgroup`, 'utf8'), new RegExp(`memory.*patchbay-${web.server_id}|^0::.*patchbay-${web.server_id}`, 'm'));
      assert.equal(readFileSync('/proc/sys/net/ipv6/conf/tap00000000005/disable_ipv6', 'utf8'), '1\n');
    });

    await t.test('a driver with empty memory knows all, and nothing inside takes commands', async () => {
      assert.deepEqual(await newDriver().list(), await driver.list());
      const both = new InstanceDrivers({ hostDir: work });
      assert.deepEqual(await both.list(), await driver.list());
      await assert.rejects(both.execCommand(web.server_id, ['true']), { code: 'not_supported', message: /^server \S+ runs in qemu, and nothing inside it takes commands from its host: use ssh/ });
      assert.equal(await both.consoleLog(web.server_id, 1), 'guest: pinged\r\n');
    });

    await t.test('a NIC is taken out of a running guest; none is added while it runs', async () => {
      await assert.rejects(driver.addNic(web.server_id, nic(6)), { code: 'not_supported', message: /takes no NIC while it runs/ });
      await driver.removeNic(web.server_id, web.nics[0]!.port_id);
      await driver.removeNic(web.server_id, web.nics[0]!.port_id);
      assert.deepEqual(await states(), [[web.server_id, 'running', 1, []]]);
      assert.ok(!devices().includes('tap00000000005'));
    });

    await t.test('stop presses the power button; the disk is kept; a higher generation has its new NICs', async () => {
      const ended = driver.stop(web.server_id);
      await says(web, 'guest: power button');
      await ended;
      await driver.stop(web.server_id);
      assert.deepEqual(await states(), [[web.server_id, 'stopped', 1, []]]);
      await assert.rejects(driver.start(web.server_id), { code: 'not_created' });
      const again = { ...web, generation: 2, nics: [web.nics[0]!, nic(6)], machine: { ...web.machine!, disk: 1 } };
      await driver.create(again);
      await plug(again);
      await driver.start(web.server_id);
      await says(web, 'guest: eth1: lease 10.0.0.6/24');
      assert.match(await driver.consoleLog(web.server_id), /^guest: boot 2$/m);
      assert.deepEqual(await states(), [[web.server_id, 'running', 2, ['tap00000000005', 'tap00000000006']]]);
    });

    await t.test('a machine that ends by itself is stopped; its taps go with the stop; remove leaves nothing', async () => {
      process.kill((await state(web.server_id)).pid!, 'SIGTERM');
      while ((await state(web.server_id)).state === 'running') await new Promise((resume) => setTimeout(resume, 10));
      assert.deepEqual((await states())[0]![3], ['tap00000000005', 'tap00000000006']);
      await driver.stop(web.server_id);
      assert.deepEqual((await states())[0]![3], []);
      await driver.remove(web.server_id);
      await driver.remove(web.server_id);
      nothingLeft();
    });
  });

  test('without a kernel the disk boots: raw, and qcow2 unpacked to what it says', async (t) => {
    writeFileSync(join(images, 'sector'), bootSector('boot sector speaking'));
    await runOk('qemu-img', ['convert', '-f', 'raw', '-O', 'qcow2', join(images, 'sector'), join(images, 'cow')]);
    for (const [image, disk_format] of [['sector', 'raw'], ['cow', 'qcow2']] as const) {
      const plain = passing(t, { ...machine(6, { disk_format, kernel_id: null, ramdisk_id: null, os_command_line: null }), image });
      await driver.create(plain);
      assert.equal(readFileSync(join(stateDir, plain.server_id, 'disk')).toString('latin1', 22, 42), 'boot sector speaking');
      await driver.start(plain.server_id);
      await says(plain, 'boot sector speaking');
      await driver.remove(plain.server_id);
    }
  });

  test('what cannot be booted is refused with its reason, and leaves nothing', async () => {
    await runOk('qemu-img', ['create', '-q', '-f', 'qcow2', '-b', '/etc/shadow', '-F', 'raw', join(images, 'thief')]);
    const refusal = async (image: string, given: Partial<Machine> = {}, with_: Partial<QemuDriverOptions> = {}) => {
      const error = await newDriver(with_).create({ ...machine(7, given), image }).then(() => assert.fail('created'), (reason: Error & { code: string }) => reason);
      nothingLeft();
      return `${error.code}: ${error.message}`;
    };
    const id = item(7).server_id;
    assert.equal(await refusal('none'), 'image_not_found: image none is not on this host');
    assert.equal(await refusal('disk', { kernel_id: 'none' }), 'image_not_found: image none is not on this host');
    assert.equal(await refusal('thief', { disk_format: 'qcow2' }), 'image_format: image thief is a qcow2 that refers to another file');
    assert.match(await refusal('disk', { disk_format: 'qcow2' }), /^image_format: image disk: .*Image is not in qcow2 format/);
    const missing = (program: string) => ({ findProgram: async (name: string) => (name === program ? undefined : name) });
    assert.equal(await refusal('disk', {}, missing('qemu-system-x86_64')), `not_installed: server ${id} needs qemu-system-x86_64, which is not on this host: apt-get install qemu-system-x86`);
    assert.equal(await refusal('disk', {}, missing('genisoimage')), `not_installed: server ${id} needs genisoimage, which is not on this host: apt-get install genisoimage`);
    assert.equal(await refusal('disk', { disk_format: 'qcow2' }, missing('qemu-img')), `not_installed: server ${id} needs qemu-img, which is not on this host: apt-get install qemu-utils`);
  });

  test('a raw disk that looks like a qcow2 with a backing file is a raw disk', async (t) => {
    const thief = passing(t, { ...machine(7), image: 'thief' });
    await driver.create(thief);
    const bytes = readFileSync(join(images, 'thief'));
    assert.deepEqual(readFileSync(join(stateDir, thief.server_id, 'disk')).subarray(0, bytes.length), bytes);
    await driver.remove(thief.server_id);
  });

  test('qemu that cannot start says why, and can start later', async (t) => {
    const broken = passing(t, machine(7));
    await driver.create(broken);
    await shell('ip link delete tap00000000007; ip link add tap00000000007 type bridge');
    await assert.rejects(driver.start(broken.server_id), { code: 'create_failed', message: /^qemu could not start server \S+: .*tap00000000007/ });
    await shell('ip link delete tap00000000007; ip tuntap add dev tap00000000007 mode tap');
    await driver.start(broken.server_id);
    assert.equal((await state(broken.server_id)).state, 'running');
    await driver.remove(broken.server_id);
    nothingLeft();
  });

  test('what a killed driver left half made is made whole by the next; a running machine outlives it', async (t) => {
    const passenger = passing(t, machine(7));
    for (const delay of [5, 40, 80, 160]) {
      const program = `import { QemuDriver } from '#instances/qemu/qemu-driver.ts';
        const driver = new QemuDriver({ stateDir: ${JSON.stringify(stateDir)}, imagePath: async (image) => ${JSON.stringify(images)} + '/' + image });
        process.stdout.write('go'); await driver.create(${JSON.stringify(passenger)}); await driver.start('${passenger.server_id}'); process.stdout.write('on'); setInterval(() => {}, 1000);`;
      const child = spawn(process.execPath, ['--input-type=module', '--eval', program], { cwd: import.meta.dirname, stdio: ['ignore', 'pipe', 'inherit'] });
      await new Promise((resolve) => child.stdout.once('data', resolve));
      await new Promise((resume) => setTimeout(resume, delay));
      child.kill('SIGKILL');
      const next = newDriver();
      await next.create(passenger);
      await next.start(passenger.server_id);
      assert.deepEqual((await next.list()).map((each) => [each.state, each.nics.length]), [['running', 1]], `after ${delay} ms`);
      await next.remove(passenger.server_id);
      nothingLeft();
    }
  });

  function newDriver(given: Partial<QemuDriverOptions> = {}): QemuDriver {
    return new QemuDriver({ stateDir, imagePath: async (image) => join(images, image), ...given });
  }

  /** With two processors, 192 MiB, 1 GiB of disk and the small guest's kernel. */
  function machine(number: number, { user_data, ...given }: Partial<Machine> & { user_data?: string } = {}): InstanceItem {
    return {
      ...item(number, user_data === undefined ? {} : { user_data }), image: 'disk', vcpus: 2, ram: 192, nics: [{ ...nic(number), mtu: 1400 }],
      machine: { disk_format: 'raw', disk: 1, kernel_id: 'kernel', ramdisk_id: 'ramdisk', os_command_line: 'console=ttyS0 quiet', ...given },
    };
  }

  /** An instance that goes when the test ends, however it ends. */
  function passing(t: TestContext, instance: InstanceItem): InstanceItem {
    t.after(() => driver.remove(instance.server_id));
    return instance;
  }

  /** An emulated machine takes its time. */
  function says({ server_id }: InstanceItem, text: string): Promise<string> {
    return untilConsole(driver, server_id, text, 1, 60).then((log) => log.replaceAll('\r\n', '\n'));
  }

  async function state(server_id: string) {
    return (await driver.list()).find((each) => each.server_id === server_id)!;
  }

  async function states() {
    return (await driver.list()).map((each) => [each.server_id, each.state, each.generation, each.nics.map(({ device }) => device)]);
  }

  function nothingLeft(): void {
    assert.deepEqual(devices().filter((name) => name.startsWith('tap')), []);
    assert.deepEqual(readdirSync(stateDir), []);
    assert.deepEqual(existsSync('/run/patchbay/machines') ? readdirSync('/run/patchbay/machines').filter((name) => !name.startsWith('cgroup')) : [], []);
    assert.equal(readdirSync('/proc').filter((pid) => /^\d+$/.test(pid) && existsSync(`/proc/${pid}/cmdline`) && readFileSync(`/proc/${pid}/cmdline`, 'utf8').startsWith('qemu')).length, 0);
  }
}

/** 512 bytes that write a text to the serial port and halt. */
function bootSector(text: string): Buffer {
  const sector = Buffer.alloc(512);
  // xor ax,ax; mov ds,ax; cld; mov si,0x7c16; mov dx,0x3f8; next: lodsb; test al,al; jz halt; out dx,al; jmp next; halt: hlt; jmp halt
  sector.write('31c08ed8fcbe167cbaf803ac84c07403eeebf8f4ebfd', 'hex');
  sector.write(`${text}\r\n\0`, 22, 'latin1');
  sector.writeUInt16LE(0xaa55, 510);
  return sector;
}
