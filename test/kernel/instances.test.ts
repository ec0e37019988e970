/** Container instances on a real kernel: a host of its own, a bridge with a DHCP server on it, guests plugged into it. */

import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test, type TestContext } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import type { InstanceItem } from '#hoststate/instance.ts';
import { ContainerDriver } from '#instances/container/container-driver.ts';
import { run, runOk } from '#instances/run.ts';
import { devices, item, mac, nic, plug, serverId, shell, startBridge, untilConsole } from './instance-lab.ts';
import { insideSimulatedHost } from './simulated-host.ts';

if (await insideSimulatedHost(import.meta.filename)) {
  const work = mkdtempSync('/tmp/patchbay-instances-');
  const stateDir = join(work, 'instances');
  const images = join(work, 'images');
  const layersDir = join(work, 'layers');
  const driver = newDriver();
  let dnsmasq: ChildProcess;

  before(async () => {
    mkdirSync(images);
    mkdirSync(stateDir, { mode: 0o700 });
    dnsmasq = await startBridge(work, [
      '--dhcp-option=option:mtu,1400', '--dhcp-option=option:router,10.0.0.1', '--dhcp-option=option:dns-server,10.0.0.2',
      '--dhcp-option=option:domain-search,example.org',
      // Without the default route in it option 3 must be ignored (RFC 3442).
      '--dhcp-option=option:classless-static-route,169.254.169.254/32,10.0.0.2,10.9.0.0/16,10.0.0.3',
    ]);
    await shell('ip addr add 192.0.2.1/32 dev lo');
    await driver.warmUp();
  });

  after(async () => {
    for (const { server_id } of await driver.list()) await driver.remove(server_id);
    dnsmasq.kill();
    rmSync(work, { recursive: true });
  });

  test('create makes the taps and runs nothing; start runs; the lease is applied with MTU and routes (N-OVS-4, N-DH)', async () => {
    const web = item(5, { user_data: '#!/bin/sh\necho "user data: $(hostname)" | tee -a /root/ran\n', public_keys: { mine: await sshKey() } });
    await driver.create(web);
    assert.deepEqual(await states(), [[web.server_id, 'created', 1, ['tap00000000005']]]);
    assert.equal(await driver.consoleLog(web.server_id), '');
    await assert.rejects(driver.exec(web.server_id, ['true']), { code: 'not_running' });
    const { pid } = await state(web.server_id);
    await driver.create(web);
    assert.equal((await state(web.server_id)).pid, pid, 'twice is once');

    await plug(web);
    await driver.start(web.server_id);
    await driver.start(web.server_id);
    await console_(web.server_id, 'eth0: lease 10.0.0.5/24');
    assert.deepEqual(await states(), [[web.server_id, 'running', 1, ['tap00000000005']]]);
    await driver.create(web);
    assert.equal((await state(web.server_id)).pid, pid, 'a running one of that generation stays');

    assert.equal(
      await inside(web, 'ip -br address show eth0 | tr -s " " | cut -d" " -f3; ip route; cat /sys/class/net/eth0/mtu /sys/class/net/eth0/address /etc/resolv.conf; hostname'),
      `10.0.0.5/24
10.0.0.0/24 dev eth0 proto kernel scope link src 10.0.0.5 
10.9.0.0/16 via 10.0.0.3 dev eth0 
169.254.169.254 via 10.0.0.2 dev eth0 
1400
${mac(5)}
search example.org
nameserver 10.0.0.2
guest5
`,
    );
    assert.match(await inside(web, 'ethtool -k eth0'), /^tx-checksumming: off$/m);
    assert.equal((await run('ping', ['-c1', '-W2', '-M', 'do', '-s', '1372', '10.0.0.5'])).code, 0);
    await console_(web.server_id, 'user data ended with 0');
  });

  test('a key of the config drive opens root and cirros by ssh, and nothing else does', async () => {
    const id = serverId(5);
    await console_(id, 'login:');
    for (const user of ['root', 'cirros']) {
      const { code, stdout, stderr } = await ssh(user, ['-i', join(work, 'key')], 'id -un; pwd; hostname');
      assert.equal(code, 0, stderr);
      assert.equal(stdout, `${user}\n${user === 'root' ? '/root' : '/home/cirros'}\nguest5\n`);
    }
    await runOk('dropbearkey', ['-t', 'ed25519', '-f', join(work, 'other')]);
    assert.notEqual((await ssh('root', ['-i', join(work, 'other')], 'id')).code, 0);
  });

  test('exec hands over input, output and the exit code', async () => {
    const id = serverId(5);
    assert.deepEqual(await driver.exec(id, ['sh', '-c', 'cat; echo oops >&2; exit 7'], { input: 'hello\n' }), {
      code: 7,
      stdout: 'hello\n',
      stderr: 'oops\n',
    });
    assert.equal((await driver.exec(id, ['no-such-program'])).code, 127);
    assert.deepEqual(await driver.exec(id, ['printf', '%s|', 'a b', '', '$HOME', "it's"]), { code: 0, stdout: "a b||$HOME|it's|", stderr: '' });
    const [command, ...args] = await driver.execCommand(id, ['echo', 'by command line']);
    assert.equal(await runOk(command!, args), 'by command line\n');
  });

  test('a driver with empty memory knows all', async () => {
    assert.deepEqual(await newDriver().list(), await driver.list());
  });

  test('a NIC is plugged into a running guest, gets its lease, and is taken away', async () => {
    const web = item(5);
    const second = nic(6);
    await driver.addNic(web.server_id, second);
    await driver.addNic(web.server_id, second);
    await runOk('ip', ['link', 'set', second.device, 'master', 'br0']);
    await console_(web.server_id, 'eth1: lease 10.0.0.6/24');
    assert.deepEqual((await state(web.server_id)).nics.map((each) => each.port_id), [web.nics[0]!.port_id, second.port_id]);
    await driver.removeNic(web.server_id, second.port_id);
    await driver.removeNic(web.server_id, second.port_id);
    assert.deepEqual((await state(web.server_id)).nics.map((each) => each.port_id), [web.nics[0]!.port_id]);
    assert.equal(await inside(web, 'ls -d /sys/class/net/eth*; ps | grep -c "[u]dhcpc.*eth1"'), '/sys/class/net/eth0\n0\n');
  });

  test('stop takes the taps and keeps the files; user data runs once; a tap comes back and passes packets', async () => {
    const web = item(5, { user_data: '#!/bin/sh\necho "user data: $(hostname)" | tee -a /root/ran\n' });
    await inside(web, 'echo kept > /root/file');
    await driver.stop(web.server_id);
    await driver.stop(web.server_id);
    assert.deepEqual(await states(), [[web.server_id, 'stopped', 1, []]]);
    assert.ok(!devices().includes('tap00000000005'));
    await assert.rejects(driver.start(web.server_id), { code: 'not_created' });
    assert.match(await driver.consoleLog(web.server_id), /guest5 goes down\n$/, 'the guest had time to say goodbye');

    await driver.create({ ...web, generation: 2 });
    await plug(web);
    await driver.start(web.server_id);
    await console_(web.server_id, 'eth0: lease 10.0.0.5/24', 2);
    assert.deepEqual(await states(), [[web.server_id, 'running', 2, ['tap00000000005']]]);
    assert.equal(await inside(web, 'cat /root/file /root/ran'), 'kept\nuser data: guest5\n');
    assert.equal((await run('ping', ['-c1', '-W2', '10.0.0.5'])).code, 0);
    assert.equal((await driver.consoleLog(web.server_id)).split('user data starts').length - 1, 1);
    assert.match(await driver.consoleLog(web.server_id, 2), /^.+\n.+\n$/);
  });

  test('a higher generation starts a running guest anew', async () => {
    const web = item(5);
    const { pid } = await state(web.server_id);
    await driver.create({ ...web, generation: 3 });
    const now = await state(web.server_id);
    assert.deepEqual([now.state, now.generation], ['created', 3]);
    assert.notEqual(now.pid, pid);
  });

  test('DHCPv6 when the network data asks for it (N-DH)', async (t) => {
    const six = passing(t, item(6, { networks: ['ipv4_dhcp', 'ipv6_dhcp'] }));
    await driver.create(six);
    await plug(six);
    await driver.start(six.server_id);
    await console_(six.server_id, 'eth0: lease fd00:6::6/64');
    assert.equal((await run('ping', ['-6', '-c1', '-W2', 'fd00:6::6'])).code, 0);
    await driver.remove(six.server_id);
  });

  test('the host’s own network stack does not answer on a tap', async (t) => {
    const web = passing(t, item(5));
    await driver.start(web.server_id);
    await runOk('ip', ['link', 'set', 'tap00000000005', 'nomaster']);
    await inside(web, 'ip addr replace 10.0.0.5/24 dev eth0; ip link set eth0 up; ip route replace 192.0.2.1 dev eth0');
    const answered = async () => (await driver.exec(web.server_id, ['ping', '-c1', '-W1', '192.0.2.1'])).code === 0;
    assert.equal(await answered(), false);
    await inside(web, 'ip addr add fd00:6::5/64 dev eth0 nodad');
    assert.notEqual((await driver.exec(web.server_id, ['ping', '-c1', '-W1', 'fd00:6::1'])).code, 0);
    assert.equal(await shell('ip -6 address show dev tap00000000005'), '');
    // The same packet is answered as soon as the guard is off: the probe is a true one.
    await shell('cd /proc/sys/net/ipv4/conf; echo 0 > all/rp_filter; echo 0 > tap00000000005/rp_filter; echo 0 > tap00000000005/arp_ignore; ip route add 10.0.0.5/32 dev tap00000000005');
    await inside(web, 'ip neigh flush dev eth0'); // else it waits for the answer to its earlier questions
    assert.equal(await answered(), true);
  });

  test('what a killed driver left half made is made whole by the next, or removed', async (t) => {
    const guest = passing(t, item(7));
    const program = `import { ContainerDriver } from '#instances/container/container-driver.ts';
      await new ContainerDriver(${JSON.stringify({ stateDir, layersDir })}).create(${JSON.stringify(guest)}); process.stdout.write('made');`;
    for (const delay of [2, 15, 30, 45, 60, 80]) {
      const child = spawn(process.execPath, ['--input-type=module', '--eval', `process.stdout.write('go');${program}`], { cwd: import.meta.dirname, stdio: ['ignore', 'pipe', 'inherit'] });
      await new Promise((resolve) => child.stdout.once('data', resolve));
      await setTimeout(delay + 40);
      child.kill('SIGKILL');
      const next = newDriver();
      await next.create(guest);
      assert.deepEqual((await next.list()).map((each) => [each.state, each.nics.length]), [['created', 1]], `after ${delay} ms`);
      await next.start(guest.server_id);
      await plug(guest);
      await console_(guest.server_id, 'eth0: lease 10.0.0.7/24');
      await next.remove(guest.server_id);
      assert.deepEqual(await next.list(), []);
    }
  });

  test('an instance outlives the process of its driver', async (t) => {
    const guest = passing(t, item(7));
    const program = `import { ContainerDriver } from '#instances/container/container-driver.ts';
      const driver = new ContainerDriver(${JSON.stringify({ stateDir, layersDir })});
      await driver.create(${JSON.stringify(guest)}); await driver.start('${guest.server_id}'); process.kill(process.pid, 'SIGKILL');`;
    await run(process.execPath, ['--input-type=module', '--eval', program], { cwd: import.meta.dirname });
    await plug(guest);
    await console_(guest.server_id, 'eth0: lease 10.0.0.7/24');
    assert.equal((await driver.exec(guest.server_id, ['true'])).code, 0);
    await driver.remove(guest.server_id);
  });

  test('limits of memory and processes hold', async (t) => {
    // Room for all its processes, so that it is their number which ends the bomb and not the memory.
    const guest = passing(t, { ...item(7), ram: 512 });
    await driver.create(guest);
    await driver.start(guest.server_id);
    const hog = await driver.exec(guest.server_id, ['dd', 'if=/dev/zero', 'of=/dev/null', 'bs=700M', 'count=1']);
    assert.notEqual(hog.code, 0);
    assert.equal((await driver.exec(guest.server_id, ['dd', 'if=/dev/zero', 'of=/dev/null', 'bs=8M', 'count=1'])).code, 0);
    const bomb = await driver.exec(guest.server_id, ['sh', '-c', 'i=0; while [ $i -lt 700 ]; do sleep 100 < /dev/null > /dev/null 2>&1 & i=$((i + 1)); done']);
    assert.match(bomb.stderr, /fork/i);
    await driver.remove(guest.server_id);
  });

  test('an uploaded tar is a root file system; anything else is refused with a clear reason', async (t) => {
    const root = join(work, 'rootfs');
    await shell(`mkdir -p ${root}/bin ${root}/etc ${root}/root; cp /bin/busybox ${root}/bin/; ln -s busybox ${root}/bin/sh; ln -s busybox ${root}/bin/cat; ln -s busybox ${root}/bin/stat
      echo tiny > ${root}/etc/name; chown 7:8 ${root}/etc/name; tar -C ${root} -czf ${images}/tiny .; printf 'QFI\\373 a disk' > ${images}/disk`);
    const tiny = passing(t, { ...item(7), image: 'tiny' });
    await driver.create(tiny);
    await plug(tiny);
    await driver.start(tiny.server_id);
    await console_(tiny.server_id, 'eth0: lease 10.0.0.7/24');
    assert.equal((await driver.exec(tiny.server_id, ['/bin/busybox', 'stat', '-c', '%u:%g', '/etc/name'])).stdout, '7:8\n');
    await driver.remove(tiny.server_id);

    await assert.rejects(driver.create({ ...item(7), image: 'disk' }), {
      code: 'image_format',
      message: /^image format not supported by the container driver: image disk /,
    });
    await assert.rejects(driver.create({ ...item(7), image: 'none' }), { code: 'image_not_found' });
    assert.deepEqual(await driver.list(), []);
  });

  test('root inside a guest, from user data', async (t) => {
    const marker = spawn('sleep', ['98765'], { stdio: 'ignore' });
    t.after(() => marker.kill());
    writeFileSync(join(stateDir, 'secret'), 'the state folder');
    const attacker = passing(t, item(7, { user_data: attackScript() }));
    await driver.create(attacker);
    await plug(attacker);
    await driver.start(attacker.server_id);
    const log = await console_(attacker.server_id, 'user data ended with');
    const verdicts = new Map([...log.matchAll(/^attack (.*): (SUCCEEDED|refused)/gm)].map(([, name, verdict]) => [name!, verdict!]));
    for (const name of Object.keys(CONTROLS)) await t.test(`control: ${name}`, () => assert.equal(verdicts.get(name), 'SUCCEEDED', log));
    for (const name of Object.keys(ATTACKS)) await t.test(`cannot ${name}`, () => assert.equal(verdicts.get(name), 'refused', log));
    await t.test('and not by exec either, which has the same filter', async (t) => {
      for (const attack of ['mount -t tmpfs none /mnt', 'unshare -U true', 'mknod /tmp/x b 7 0', 'insmod /bin/busybox'])
        assert.notEqual((await driver.exec(attacker.server_id, ['sh', '-c', attack])).code, 0, attack);
      assert.match(await inside(attacker, 'grep -E "NoNewPrivs|Seccomp:" /proc/self/status'), /^NoNewPrivs:\t1\nSeccomp:\t2\n$/);
    });
    await t.test('the clock of the machine is right', () => assert.ok(new Date().getFullYear() > 2020));
    await driver.remove(attacker.server_id);
  });

  test('after remove nothing is left: no tap, mount, cgroup, container, file', async (t) => {
    const guest = passing(t, item(7));
    await driver.create(guest);
    await driver.start(guest.server_id);
    await driver.remove(guest.server_id);
    await driver.remove(guest.server_id);
    assert.deepEqual(await driver.list(), []);
    assert.deepEqual(devices().filter((name) => name.startsWith('tap')), []);
    assert.doesNotMatch(readFileSync('/proc/self/mountinfo', 'utf8'), /overlay|\/run\/patchbay\/instances\/root/);
    assert.equal(await runOk('find', ['/run/patchbay', '-maxdepth', '4', '-name', `*${guest.server_id}*`]), '');
    assert.deepEqual(readdirSync(stateDir).filter((name) => name !== 'secret'), []);
  });

  /** An instance that goes when the test ends, however it ends. */
  function passing(t: TestContext, instance: InstanceItem): InstanceItem {
    t.after(() => driver.remove(instance.server_id));
    return instance;
  }

  function newDriver(): ContainerDriver {
    return new ContainerDriver({ stateDir, layersDir, imagePath: async (image) => join(images, image) });
  }

  async function state(server_id: string) {
    return (await driver.list()).find((each) => each.server_id === server_id)!;
  }

  async function states() {
    return (await driver.list()).map((each) => [each.server_id, each.state, each.generation, each.nics.map(({ device }) => device)]);
  }

  async function inside(instance: InstanceItem, script: string): Promise<string> {
    const { code, stdout, stderr } = await driver.exec(instance.server_id, ['sh', '-c', script]);
    assert.equal(stderr, '', `exit code ${code}`);
    return stdout;
  }

  function console_(server_id: string, text: string, times = 1): Promise<string> {
    return untilConsole(driver, server_id, text, times);
  }

  /** Makes the key pair that `ssh` uses; its public line. */
  async function sshKey(): Promise<string> {
    const said = await runOk('dropbearkey', ['-t', 'ed25519', '-f', join(work, 'key')]);
    return said.split('\n').find((line) => line.startsWith('ssh-ed25519 '))!;
  }

  function ssh(user: string, options: string[], command: string) {
    return run('dbclient', ['-y', '-y', '-o', 'BatchMode=yes', ...options, `${user}@10.0.0.5`, command], { env: { HOME: work }, timeout: 10_000 });
  }

  /** Everything that a guest's root must not be able to do, by name. Exit code 0 means that it could. */
  function attackScript(): string {
    const calls = Object.entries({ ...CONTROLS, ...ATTACKS }).map(
      ([name, script]) => `attack '${name}' '${script.replaceAll('STATE_DIR', stateDir).replaceAll("'", "'\\''")}'`,
    );
    return `#!/bin/sh\nattack() { if timeout 10 sh -c "$2" > /tmp/said 2>&1; then echo "attack $1: SUCCEEDED"; else echo "attack $1: refused"; fi; }\n${calls.join('\n')}\n`;
  }
}

/** What root may do: that the attacks fail must not be because everything fails. */
const CONTROLS = {
  'write its own files': 'echo x > /root/x',
  'change its own network': 'echo 1 > /proc/sys/net/ipv4/ip_forward && ip link add type veth',
  'capture on its own NIC': '(sleep 0.3; ping -c1 10.0.0.1) & timeout 5 tcpdump -n -i eth0 -c1 icmp | grep -q "ICMP echo request"',
  'make a fifo': 'mkfifo /tmp/fifo',
  'see its own processes': 'ps | grep -q "[/].patchbay/init"',
};

const ATTACKS = {
  'make a block device': `mknod /tmp/disk b ${rootDisk()}`,
  'make a character device': 'mknod /tmp/mem c 1 1',
  'mount a block device': `mknod /dev/disk b ${rootDisk()}; mount -t ext4 /dev/disk /mnt`,
  'mount a loop device': 'dd if=/dev/zero of=/tmp/image bs=1M count=1; mount -o loop /tmp/image /mnt',
  'mount a file system of its own': 'mount -t tmpfs none /mnt',
  'mount proc again': 'mount -t proc none /mnt',
  'mount cgroups': 'mount -t cgroup2 none /mnt || mount -t cgroup -o memory none /mnt',
  'bind a mount': 'mount --bind /proc/sys/net /proc/sys/kernel',
  'open the config drive for writing': 'mount -o remount,rw /config || touch /config/x',
  'uncover a masked path': 'umount /proc/kcore || umount /proc/sys/kernel || [ "$(head -c1 /proc/kcore | wc -c)" = 1 ]',
  'write to /sys': 'mount -o remount,rw /sys || echo 1 > /sys/class/net/lo/ifalias',
  'load a module': 'printf "\\177ELF not a module" > /tmp/x.ko; insmod /tmp/x.ko',
  'unload a module': 'rmmod veth',
  'set the clock': 'date -s 2001-01-01; [ "$(date +%Y)" = 2001 ]',
  'set the clock by adjtimex': 'adjtimex -t 10001',
  'set the host name of the kernel': 'echo x > /proc/sys/kernel/hostname',
  'set a core pattern': 'echo "|/bin/sh" > /proc/sys/kernel/core_pattern',
  'write /proc/sys/vm': 'echo 3 > /proc/sys/vm/drop_caches',
  'write /proc/sys/fs': 'echo 1 > /proc/sys/fs/file-max',
  'write /proc/sys/user': 'echo 9999 > /proc/sys/user/max_user_namespaces',
  'press SysRq': 'echo h > /proc/sysrq-trigger',
  'read the kernel log': 'dmesg',
  'reboot the machine': 'reboot -f',
  'make a user namespace': 'unshare -U true',
  'make a mount namespace': 'unshare -m true',
  'read the state folder': 'cat STATE_DIR/secret || ls STATE_DIR || cat /proc/1/root/STATE_DIR/secret',
  'learn where the state folder is': 'grep -r STATE_DIR /proc/self/mountinfo /proc/self/mounts /proc/1/cmdline /proc/1/environ',
  'see a process of the host': 'cat /proc/[0-9]*/cmdline | tr "\\0" " " | grep "98[7]65"',
  'see more than its own init as pid 1': '! grep -q init /proc/1/cmdline',
  'open a device of memory': 'cat /dev/mem || cat /dev/kmem || cat /dev/port || ls /dev/vda',
  'give a file to a user of the host': 'touch /tmp/f && chown 1000000000 /tmp/f',
  'gain privileges by a set-id program': 'cp /bin/busybox /tmp/bb; chmod 4755 /tmp/bb; su cirros -c "/tmp/bb id -u" | grep -qx 0',
  'find files of the host open': 'ls -l /proc/1/fd /proc/self/fd | grep -e "-> /" | grep -v -e /dev/null -e /.patchbay/init -e console.log -e /proc/ -e /tmp/said -e /var/lib/patchbay/user-data',
  'leave by chroot': 'chroot /proc/1/root/../../.. cat STATE_DIR/secret',
};

/** Major and minor number of what / lies on. */
function rootDisk(): string {
  const line = readFileSync('/proc/self/mountinfo', 'utf8').split('\n').find((each) => each.split(' ')[4] === '/')!;
  return line.split(' ')[2]!.replace(':', ' ');
}
