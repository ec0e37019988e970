/** Hosts without a common segment, joined by the external bridge around a network node that is the way to the world (lab 10), without controller and agents. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { downDataCentre, upDataCentre } from '#cli/datacentre/datacentre.ts';
import { onHost, runOnHost } from '#cli/datacentre/host.ts';
import { planDataCentre } from '#cli/datacentre/plan.ts';
import type { HostRole } from '#protocol/messages.ts';
import { machineNetwork } from './machine-network.ts';

const folder = mkdtempSync(join(tmpdir(), 'patchbay-external-'));
const state = join(folder, 's');
const HUB = '172.16.0.1';
const planOf = (...computes: string[]) => planDataCentre({
  state, hosts: [{ name: 'network', roles: ['network'] }, ...computes.map((name) => ({ name, roles: ['compute'] as HostRole[] }))],
  externalBridge: { name: 'br-ext', vni: 100, hub: 'network', address: `${HUB}/24`, mtu: 1450 },
});
let machineBefore: string;

before(async () => {
  machineBefore = await machineNetwork();
  await upDataCentre(planOf('compute1', 'compute2'));
  await Promise.all([station('compute1', '172.16.0.51'), station('compute2', '172.16.0.52')]);
});

after(async () => {
  await downDataCentre(state, { purge: true });
  rmSync(folder, { recursive: true, force: true });
});

const on = (host: string, ...argv: string[]) => runOnHost(state, host, argv);
const script = (host: string, text: string) => on(host, 'sh', '-c', text);
const succeeds = (host: string, ...argv: string[]) => on(host, ...argv).then(() => true, () => false);
/** In the station of a compute host. */
const at = (host: string, ...argv: string[]) => succeeds(host, 'ip', 'netns', 'exec', 'station', ...argv);
const PING = ['ping', '-c', '2', '-i', '0.2', '-W', '2'];
const connect = (address: string, port: number) => ['curl', '-s', '--max-time', '2', `http://${address}:${port}/`];

/** A machine on the physical network of a host, as an instance on a flat network is one. */
async function station(host: string, address: string): Promise<void> {
  await script(host, `set -e
    ip netns add station
    ip link add station type veth peer name eth0 mtu 1450 netns station
    ethtool -K station tx off >/dev/null; ip netns exec station ethtool -K eth0 tx off >/dev/null
    ip link set station up; ip -n station link set lo up; ip -n station link set eth0 up
    ip -n station address add ${address}/24 dev eth0; ip -n station route add default via ${HUB}
    ovs-vsctl add-port br-phys station; ovs-ofctl add-flow br-phys actions=NORMAL`);
  await on('network', 'ovs-ofctl', 'add-flow', 'br-phys', 'actions=NORMAL');
}

/** Listens on a device of a host (in its namespace, if named). */
async function capture(host: string, device: string, filter: string, namespace?: string): Promise<{ seen(pattern: RegExp): Promise<void>; stop(): string }> {
  const enter = namespace ? ['ip', 'netns', 'exec', namespace] : [];
  const [program = '', ...argv] = onHost(state, host, [...enter, 'tcpdump', '-l', '-n', '-e', '--immediate-mode', '-i', device, filter]);
  const child = spawn(program, argv, { stdio: ['ignore', 'pipe', 'pipe'] });
  let text = '';
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
  const seen = async (pattern: RegExp) => {
    for (let tries = 0; !pattern.test(text); tries++) {
      if (tries > 250) assert.match(text, pattern);
      await delay(20);
    }
  };
  await seen(/listening on/);
  return { seen, stop: () => (child.kill(), text) };
}

test('up changes nothing in the network namespace of the machine, and again starts nothing', async () => {
  assert.equal(await machineNetwork(), machineBefore);
  assert.deepEqual(await upDataCentre(planOf('compute1', 'compute2')), []);
});

test('N-NN-3: hosts have management and underlay, and no NIC on a common segment', async () => {
  const nics = async (host: string) => (await script(host, "ls /sys/class/net | grep -vE '^(lo|br-|ovs-|tap|station)' | tr '\\n' ' '")).trim();
  assert.deepEqual([await nics('compute1'), await nics('network')], ['mgmt underlay', 'mgmt public underlay']);
  assert.match(await on('network', 'ip', '-br', 'address', 'show', 'dev', 'br-underlay'), /192\.168\.2\.12\/24/);
});

test('N-NN-4, N-NN-5: the stations reach each other and the hub through VXLAN 100 around the hub, each bridge an ordinary switch', async () => {
  const wire = await capture('fabric', 'compute1-ul', 'udp port 4789');
  assert.ok(await at('compute1', ...PING, '172.16.0.52'));
  await wire.seen(/192\.168\.2\.21\.\d+ > 192\.168\.2\.12\.4789: VXLAN, flags \[I\] \(0x08\), vni 100\n.*172\.16\.0\.51 > 172\.16\.0\.52: ICMP echo request/);
  assert.doesNotMatch(wire.stop(), /192\.168\.2\.22/, 'spokes have no tunnel to each other');
  assert.ok(await at('compute2', ...PING, HUB));
  for (const host of ['network', 'compute1', 'compute2']) {
    assert.match(await on(host, 'ovs-ofctl', 'dump-flows', '--no-stats', 'br-ext'), /^ *priority=0 actions=NORMAL$/m);
    assert.equal(await on(host, 'ovs-vsctl', 'list-ports', 'br-phys'), host === 'network' ? 'patch-br-ext\n' : 'patch-br-ext\nstation\n');
  }
});

test('N-NN-6: the bridge is the gateway 172.16.0.1 with MTU 1450; a full packet makes an outer one of 1500 bytes', async () => {
  assert.match(await on('network', 'ip', 'link', 'show', 'br-ext'), / mtu 1450 /);
  const ping = (size: number) => at('compute1', 'ping', '-c', '1', '-W', '2', '-M', 'do', '-s', String(size - 28), HUB);
  const wire = await capture('fabric', 'compute1-ul', 'udp port 4789');
  assert.ok(await ping(1450));
  await wire.seen(/length 1514: 192\.168\.2\.21\.\d+ > 192\.168\.2\.12\.4789/);
  wire.stop();
  assert.equal(await ping(1451), false);
});

test('N-NN-7, N-NN-11: what leaves is masqueraded by the hub, and once more by the lab host; TCP passes', async () => {
  const [publicly, home] = await Promise.all([capture('fabric', 'network-pub', 'icmp'), capture('outside', 'home', 'icmp', 'modem')]);
  assert.ok(await at('compute1', ...PING, '192.168.178.1'));
  await publicly.seen(/10\.0\.2\.15 > 192\.168\.178\.1: ICMP echo request/);
  await home.seen(/192\.168\.178\.20 > 192\.168\.178\.1: ICMP echo request/);
  for (const each of [publicly, home]) assert.doesNotMatch(each.stop(), /172\.16\./);
  assert.ok(await at('compute2', 'curl', '-sSf', '--max-time', '5', 'http://203.0.113.1/'));
  assert.equal((await on('network', 'cat', '/proc/sys/net/ipv4/ip_forward')).trim(), '1');
  assert.match(await on('network', 'nft', 'list', 'table', 'ip', 'nat'), /oifname "public" masquerade/);
});

test('N-NN-8: nobody outside opens a way in: the hub forwards only what comes from br-ext, and answers', async () => {
  await on('outside', 'ip', 'route', 'add', '172.16.0.0/24', 'via', '10.0.2.15');
  const wire = await capture('network', 'public', 'icmp');
  assert.equal(await succeeds('outside', ...PING, '172.16.0.51'), false);
  // As far as the hub.
  await wire.seen(/10\.0\.2\.2 > 172\.16\.0\.51: ICMP echo request/);
  wire.stop();
  assert.match(await on('network', 'nft', 'list', 'chain', 'ip', 'filter', 'FORWARD'), /policy drop;\s+iifname "br-ext" accept\s+iifname "public" ct state established,related accept\s+\}/);
});

test('N-NN-9, N-NN-10: the hub itself: from the world ssh only, from the bridge ping only, from management all', async () => {
  await script('network', 'mkdir -p /run/www; for port in 22 8080; do busybox httpd -p $port -h /run/www; done');
  const world = await Promise.all([succeeds('outside', ...connect('10.0.2.15', 22)), succeeds('outside', ...connect('10.0.2.15', 8080)), succeeds('outside', ...PING, '10.0.2.15')]);
  assert.deepEqual(world, [true, false, false]);
  assert.ok(await succeeds('network', 'curl', '-sSf', '--max-time', '5', 'http://203.0.113.1/'), 'what it asks itself is answered');
  const bridge = await Promise.all([at('compute1', ...PING, HUB), ...[HUB, '10.0.2.15', '192.168.1.12', '192.168.2.12'].map((address) => at('compute1', ...connect(address, 22)))]);
  assert.deepEqual(bridge, [true, false, false, false, false]);
  assert.ok(await succeeds('compute2', ...connect('192.168.1.12', 8080)));
});

test('what a station sends to the hosts\' own networks ends at the hub, forged sources too', async () => {
  const wires = await Promise.all([capture('fabric', 'compute2-ul', 'ip'), capture('fabric', 'compute2-mgmt', 'ip')]);
  await at('compute1', 'sh', '-c', `ip address add 192.168.2.99/32 dev lo
    for source in 172.16.0.51 192.168.2.99; do
      for target in 192.168.2.22 192.168.1.22; do ping -c 2 -i 0.2 -W 1 -I $source $target; done
    done
    ping -c 1 -W 1 -I 192.168.2.99 203.0.113.1
    ip address del 192.168.2.99/32 dev lo
    echo x | busybox nc -u -w1 192.168.2.22 4789`);
  for (const [wire, sentinel] of [[wires[0], '192.168.2.22'], [wires[1], '192.168.1.22']] as const) {
    assert.ok(await succeeds('network', ...PING, sentinel));
    await wire.seen(new RegExp(`> ${sentinel}: ICMP echo request`));
    assert.doesNotMatch(wire.stop(), /172\.16\.0\.51|192\.168\.2\.99/);
  }
});

test('ovs-vswitchd of the hub killed: the gateway keeps its address and forwards again', async () => {
  const pidOf = async () => (await on('network', 'cat', '/run/openvswitch/ovs-vswitchd.pid')).trim();
  const before = await pidOf();
  await on('network', 'kill', '-9', before);
  while ((await pidOf()) === before) await delay(20);
  await on('network', 'ovs-vsctl', '--timeout=20', 'set', 'Open_vSwitch', '.', 'external_ids:after=kill');
  assert.match(await on('network', 'ip', '-br', 'address', 'show', 'dev', 'br-ext'), /172\.16\.0\.1\/24/);
  assert.ok(await at('compute1', 'ping', '-c', '5', '-i', '0.2', '-W', '2', '192.168.178.1'));
});

test('a host more: the running hub learns of it', async () => {
  assert.deepEqual(await upDataCentre(planOf('compute1', 'compute2', 'compute3')), ['compute3']);
  await station('compute3', '172.16.0.53');
  assert.ok(await at('compute3', ...PING, '172.16.0.51'));
});

test('the next up may have wires again: nothing of the bridge is left on the hosts\' switches', async () => {
  await downDataCentre(state);
  await upDataCentre(planDataCentre({ state, hosts: 1 }));
  assert.equal(await on('compute1', 'ovs-vsctl', 'list-br'), 'br-phys\nbr-underlay\n');
  assert.match(await on('compute1', 'ovs-vsctl', 'list-ports', 'br-phys'), /^phys$/m);
  assert.doesNotMatch(await on('compute1', 'ovs-vsctl', 'list-ports', 'br-phys'), /patch/);
  await downDataCentre(state);
  await upDataCentre(planOf('compute1'));
  assert.doesNotMatch(await on('compute1', 'ovs-vsctl', 'list-ports', 'br-phys'), /^phys$/m);
  assert.equal(await on('compute1', 'ovs-vsctl', 'list-ports', 'br-ext'), 'patch-br-phys\nvxlan-192.168.2.12\n');
});
