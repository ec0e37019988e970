/** The simulated data centre by itself, without controller and agents: what hosts, fabric and outside promise (DESIGN §8, law 7). */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, readlinkSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { downDataCentre, upDataCentre } from '#cli/datacentre/datacentre.ts';
import { hostInit, onHost, runOnHost } from '#cli/datacentre/host.ts';
import { planDataCentre, stateId } from '#cli/datacentre/plan.ts';
import { type ProcessId, endProcesses, isAlive, processId, processesWithEnvironment } from '#cli/datacentre/process.ts';
import { run } from '#cli/datacentre/run.ts';
import { readProcesses } from '#cli/datacentre/state-folder.ts';
import { machineNetwork } from './machine-network.ts';

const folder = mkdtempSync(join(tmpdir(), 'patchbay-datacentre-'));
const state = join(folder, 'first');
const second = join(folder, 'second');
const plan = planDataCentre({ state, hosts: 2 });
let machineBefore: string;

before(async () => {
  machineBefore = await machineNetwork();
  await upDataCentre(plan);
});

after(async () => {
  await downDataCentre(second, { purge: true });
  await downDataCentre(state, { purge: true });
  rmSync(folder, { recursive: true, force: true });
});

const compute1 = (...argv: string[]) => runOnHost(state, 'compute1', argv);
const compute2 = (...argv: string[]) => runOnHost(state, 'compute2', argv);
const outside = (...argv: string[]) => runOnHost(state, 'outside', argv);
const fabric = (...argv: string[]) => runOnHost(state, 'fabric', argv);

test('up changes nothing in the network namespace of the machine', async () => {
  assert.equal(await machineNetwork(), machineBefore);
});

test('up again starts nothing', async () => {
  assert.deepEqual(await upDataCentre(plan), []);
});

test('Open vSwitch of each host answers to plain commands there', async () => {
  for (const host of ['compute1', 'compute2']) {
    const on = (...argv: string[]) => runOnHost(state, host, argv);
    assert.equal((await on('hostname')).trim(), host);
    assert.equal((await on('ovs-vsctl', 'get', 'Open_vSwitch', '.', 'external_ids:system-id')).trim(), `${host}`);
    const local_ip = plan.hosts.find(({ name }) => name === host)!.local_ip;
    assert.equal((await on('ovs-vsctl', 'get', 'Open_vSwitch', '.', 'other_config:local_ip')).trim(), `"${local_ip}"`);
    assert.equal(await on('ovs-vsctl', 'list-br'), 'br-phys\nbr-underlay\n');
    assert.equal(await on('ovs-vsctl', 'list-ports', 'br-phys'), 'phys\n');
    assert.equal((await on('ovs-vsctl', 'get', 'Bridge', 'br-phys', 'datapath_type', 'fail_mode')).trim(), 'netdev\nsecure');
    assert.doesNotMatch(await on('ovs-ofctl', 'dump-flows', 'br-phys'), /actions/);
    assert.match(await on('ovs-appctl', 'dpif/show'), /br-underlay/);
  }
});

test('hosts have their own processes, mounts and named namespaces', async () => {
  await compute1('ip', 'netns', 'add', 'qdhcp-test');
  assert.match(await compute1('ip', 'netns', 'list'), /qdhcp-test/);
  assert.equal(await compute2('ip', 'netns', 'list'), '');
  await compute1('ip', 'netns', 'del', 'qdhcp-test');
  assert.equal((await compute1('cat', '/proc/1/comm')).trim(), 'sleep');
  assert.equal((await compute1('findmnt', '-no', 'FSTYPE,FSROOT', '/run/cgroup/unified')).trim(), 'cgroup2 /'); // its own root
});

test('the init of a host reaps orphans', async () => {
  await compute1('sh', '-c', '(sleep 0.05 & sleep 0.05 & sleep 0.05 &) >/dev/null 2>&1');
  await delay(200);
  assert.equal(await compute1('ps', '-eo', 'stat=,comm=').then((text) => text.split('\n').filter((line) => line.startsWith('Z')).join()), '');
});

test('N-NN-3: the underlay is routed, carries tunnel-size packets and shares no segment', async () => {
  const { local_ip: peer } = plan.hosts[1]!;
  const text = await compute1('ping', '-c', '2', '-i', '0.2', '-M', 'do', '-s', '1572', peer);
  assert.match(text, / 0% packet loss/);
  assert.match(text, /ttl=63/); // one router between
  assert.doesNotMatch(await compute1('ip', 'neigh', 'show', 'dev', 'br-underlay'), new RegExp(`^${peer.replaceAll('.', '\\.')} `, 'm'));
  await assert.rejects(compute1('ping', '-c', '1', '-W', '1', '-M', 'do', '-s', '1573', peer), /./);
});

test('N-OVS-19: br-phys is closed without flows; with NORMAL a port on it reaches the outside, TCP included', async () => {
  for (const [on, address] of [[compute1, '172.16.0.51/24'], [compute2, '172.16.0.52/24']] as const) {
    await on('ip', 'address', 'add', address, 'dev', 'br-phys');
    await on('ip', 'link', 'set', 'br-phys', 'up');
  }
  await assert.rejects(outside('ping', '-c', '1', '-W', '1', '172.16.0.51'));
  for (const on of [compute1, compute2]) await on('ovs-ofctl', 'add-flow', 'br-phys', 'actions=NORMAL');
  assert.match(await outside('ping', '-c', '1', '-W', '5', '172.16.0.51'), / 0% packet loss/);
  assert.match(await compute1('ping', '-c', '1', '-W', '5', '172.16.0.52'), /ttl=64/); // one segment, no router
  assert.equal(await compute1('curl', '-sS', '--max-time', '5', 'http://172.16.0.1/'), 'This is the world outside of the cloud.\n');
  await compute1('ip', 'route', 'add', '203.0.113.0/24', 'via', '172.16.0.1');
  assert.equal(await compute1('curl', '-sS', '--max-time', '5', 'http://203.0.113.1/'), 'This is the world outside of the cloud.\n');
});

test('the outside speaks IPv6 on physnet and to the Internet, announces nothing and believes nothing', async () => {
  await compute1('sh', '-ec', 'echo 0 >/proc/sys/net/ipv6/conf/br-phys/disable_ipv6; ip address add 2001:db8:16::51/64 dev br-phys nodad; ip route add 2001:db8:ffff::/64 via 2001:db8:16::1');
  assert.match(await compute1('ping', '-c', '2', '-i', '0.2', '-W', '5', '2001:db8:16::1'), /[12] received/);
  assert.equal(await compute1('curl', '-sS', '--max-time', '5', 'http://[2001:db8:ffff::1]/'), 'This is the world outside of the cloud.\n');
  assert.equal(await compute1('ip', '-6', 'route', 'show', 'default'), '');
  assert.deepEqual((await outside('sh', '-c', 'cd /proc/sys/net/ipv6/conf; cat phys/accept_ra phys/forwarding internet/accept_ra')).split('\n'), ['0', '0', '0', '']);
});

test('ATT-vtep: a station on physnet that sends to a tunnel endpoint through the wire itself reaches nothing', async () => {
  const bridgeMac = JSON.parse(await fabric('ip', '-j', 'link', 'show', 'physnet')) as { address: string }[];
  await outside('ip', 'route', 'add', '192.168.2.0/24', 'via', '172.16.0.254', 'dev', 'phys');
  await outside('ip', 'neigh', 'replace', '172.16.0.254', 'lladdr', bridgeMac[0]!.address, 'dev', 'phys');
  const capture = onHostCapture('compute1', ['tcpdump', '-lnni', 'br-underlay', '-c', '1', 'icmp[icmptype] = icmp-echo or udp port 4789']);
  await capture.ready;
  await outside('sh', '-c', 'ping -c 3 -i 0.05 -W 1 192.168.2.21; echo x | busybox nc -u -w1 192.168.2.21 4789; true');
  await compute2('ping', '-c', '1', '192.168.2.21'); // the sentinel
  assert.match(await capture.first, /IP 192\.168\.2\.22 > 192\.168\.2\.21: ICMP echo request/);
});

/** A tcpdump on a host: `ready` when it listens, `first` its output when it ended. */
function onHostCapture(host: string, argv: string[]): { ready: Promise<void>; first: Promise<string> } {
  const [command, ...args] = onHost(state, host, argv);
  const child: ChildProcess = spawn(command!, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  child.stdout!.setEncoding('utf8').on('data', (text: string) => (output += text));
  const ready = new Promise<void>((resolve) => child.stderr!.setEncoding('utf8').on('data', (text: string) => text.includes('listening on') && resolve()));
  return { ready, first: once(child, 'close').then(() => output) };
}

test('the management network joins the hosts by kernel links', async () => {
  assert.match(await compute1('ping', '-c', '1', plan.hosts[1]!.mgmt_ip), / 0% packet loss/);
});

test('ovs-vswitchd killed: it starts again, and the tunnel endpoint keeps its address and answers', async () => {
  const pidOf = async () => (await compute1('cat', '/run/openvswitch/ovs-vswitchd.pid')).trim();
  const before = await pidOf();
  await compute1('kill', '-9', before);
  while ((await pidOf()) === before) await delay(20);
  await compute1('ovs-vsctl', '--timeout=20', 'set', 'Open_vSwitch', '.', 'external_ids:after=kill');
  assert.match(await compute1('ip', '-br', 'address', 'show', 'dev', 'br-underlay'), /192\.168\.2\.21\/24/);
  assert.match(await compute2('ping', '-c', '3', '-i', '0.2', '-W', '5', plan.hosts[0]!.local_ip), /[1-3] received/);
});

test('a second state beside the first has the same addresses and neither sees the other', async () => {
  await upDataCentre(planDataCentre({ state: second, hosts: 1, listen: '127.0.0.1:8771' }));
  const onSecond = (...argv: string[]) => runOnHost(second, 'compute1', argv);
  await onSecond('ip', 'link', 'add', 'mark', 'type', 'bridge');
  assert.doesNotMatch(await compute1('ip', '-br', 'link'), /^mark/m);
  assert.match(await onSecond('ip', '-br', 'address', 'show', 'dev', 'br-underlay'), /192\.168\.2\.21\/24/);
  await assert.rejects(onSecond('ping', '-c', '1', '-W', '1', plan.hosts[1]!.local_ip)); // compute2 is the first's only
  assert.notEqual(stateId(state), stateId(second));
  await downDataCentre(second, { purge: true });
  assert.match(await compute1('ping', '-c', '1', plan.hosts[1]!.local_ip), / 0% packet loss/);
});

test('killing the init of a host is its crash: processes, namespaces and wires go, the neighbour stays', async () => {
  const { pid } = hostInit(state, 'compute1');
  await compute1('sh', '-c', 'ip netns add inner; ip -n inner link set lo up; setsid ip netns exec inner sleep 1000 >/dev/null 2>&1 &');
  // The last of them enters its namespace by itself.
  await until(() => networkNamespacesOf(processesOfPidNamespace(pid)).size === 2);
  const doomed = processesOfPidNamespace(pid);
  const namespaces = networkNamespacesOf(doomed);
  assert.ok(doomed.length >= 6, `${doomed.length} processes`);
  process.kill(pid, 'SIGKILL');
  await until(() => processesOfNamespaces(namespaces).length === 0);
  await until(async () => !/compute1-/.test(await fabric('ip', '-br', 'link')));
  await assert.rejects(async () => compute1('true'), /host compute1 is not running/);
  assert.equal((await compute2('ovs-vsctl', 'list-br')).trim(), 'br-phys\nbr-underlay');
});

test('a crashed host comes back with its switch configuration, without the rows of taps', async () => {
  await compute2('ovs-vsctl', '--may-exist', 'add-br', 'br-int', '--', 'set', 'Bridge', 'br-int', 'datapath_type=netdev');
  await compute2('ovs-vsctl', '--no-wait', 'add-port', 'br-int', 'tap1', '--', 'set', 'Interface', 'tap1', 'external_ids:iface-id=port-1');
  process.kill(hostInit(state, 'compute2').pid, 'SIGKILL');
  await until(() => !isAlive(readProcesses(state).get('compute2')));
  assert.deepEqual(await upDataCentre(plan), ['compute1', 'compute2']);
  assert.equal(await compute2('ovs-vsctl', 'list-br'), 'br-int\nbr-phys\nbr-underlay\n');
  assert.equal(await compute2('ovs-vsctl', 'list-ports', 'br-int'), '');
  assert.match(await compute1('ping', '-c', '2', '-i', '0.2', '-W', '5', plan.hosts[1]!.local_ip), /[12] received/);
});

test('after kill -9 of everything up builds it anew', async () => {
  await endProcesses(processesWithEnvironment(`PATCHBAY_PROCESS_OF=${state}`), 'SIGKILL');
  const said: string[] = [];
  const started = await upDataCentre(plan, (step) => said.push(step));
  assert.deepEqual(started, ['fabric', 'outside', 'compute1', 'compute2']);
  assert.match(await compute1('ping', '-c', '2', '-i', '0.2', '-W', '5', plan.hosts[1]!.local_ip), /[12] received/);
});

test('down leaves no process, namespace, cgroup or file; the machine is as it was', async () => {
  const all = [...readProcesses(state).values()].flatMap(({ pid }) => processesOfPidNamespace(pid));
  const namespaces = networkNamespacesOf(all);
  assert.ok(namespaces.size >= 4);
  assert.equal(await downDataCentre(state, { purge: true }), true);
  assert.deepEqual(all.filter(isAlive), []);
  assert.deepEqual(processesWithEnvironment(`PATCHBAY_PROCESS_OF=${state}`), []);
  assert.deepEqual(processesOfNamespaces(namespaces), []);
  assert.equal((await run(['find', '/sys/fs/cgroup', '-maxdepth', '2', '-name', `patchbay-${stateId(state)}`])).trim(), '');
  assert.deepEqual(readdirSync(folder).filter((name) => !name.endsWith('.lock')), []);
  assert.equal(existsSync(state), false);
  assert.equal(await machineNetwork(), machineBefore);
  assert.equal(await downDataCentre(state, { purge: true }), false);
});

function processesOfPidNamespace(init: number): ProcessId[] {
  const namespace = readlinkSync(`/proc/${init}/ns/pid`);
  return allProcesses().filter(({ pid }) => linkOf(pid, 'pid') === namespace);
}

function processesOfNamespaces(namespaces: ReadonlySet<string>): number[] {
  return allProcesses().map(({ pid }) => pid).filter((pid) => namespaces.has(linkOf(pid, 'net') ?? ''));
}

function networkNamespacesOf(processes: readonly ProcessId[]): Set<string> {
  return new Set(processes.flatMap(({ pid }) => linkOf(pid, 'net') ?? []));
}

function allProcesses(): ProcessId[] {
  return readdirSync('/proc').filter((name) => /^[0-9]+$/.test(name)).flatMap((name) => processId(Number(name)) ?? []);
}

function linkOf(pid: number, kind: 'net' | 'pid'): string | undefined {
  try {
    return readlinkSync(`/proc/${pid}/ns/${kind}`);
  } catch {
    return undefined;
  }
}

async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  for (let tries = 0; tries < 500; tries++) {
    if (await condition()) return;
    await delay(20);
  }
  assert.fail('it did not become true');
}
