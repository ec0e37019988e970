/** Metadata proxies as real HAProxies in namespaces, before the host's metadata agent: who is asked about, and what guests cannot say. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { createServer, type IncomingMessage } from 'node:http';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Daemons } from '#agent/drivers/daemon/daemons.ts';
import { findProcesses } from '#agent/drivers/daemon/owned.ts';
import { HAPROXY_USER } from '#agent/drivers/haproxy/desired.ts';
import { MetadataAgent } from '#agent/metadata-agent.ts';
import { MetadataProxies } from '#agent/metadata-proxies.ts';
import { macOfEui64, parseIp } from '#net/ip.ts';
import type { MetadataQuestion } from '#protocol/messages.ts';
import { sh } from './dhcp-lab.ts';
import { insideSimulatedHost } from './simulated-host.ts';

const NETWORK = 'aaaaaaaa-0000-4000-8000-000000000001';
const ROUTER = 'bbbbbbbb-0000-4000-8000-000000000002';
const DHCP = `qdhcp-${NETWORK}`;
const QROUTER = `qrouter-${ROUTER}`;

if (await insideSimulatedHost(import.meta.filename)) {
  const state = mkdtempSync('/tmp/patchbay-metadata-');
  const socket = '/run/patchbay/metadata_proxy';
  const asked: MetadataQuestion[] = [];
  const heard: IncomingMessage['headersDistinct'][] = [];
  const plans: string[] = [];
  const newProxies = (path = socket): MetadataProxies => new MetadataProxies({ root: `${state}/metadata`, socket: path, onPlan: (namespace, lines) => plans.push(...lines.map((line) => `${namespace}: ${line}`)) });
  let proxies = newProxies();
  const api = createServer((request, response) => {
    heard.push(request.headersDistinct);
    response.end(request.url === '/big' ? 'x'.repeat(200_000) : request.url);
  });
  const agent = new MetadataAgent({
    socket, group: HAPROXY_USER, api: { socketPath: `${state}/api` }, log: () => {},
    ask: async (question) => (asked.push(question), { instance_id: `vm of ${question.address}`, project_id: 'p', signature: 'ab' }),
  });
  const pidOf = (namespace: string): number => Number(readFileSync(`${state}/metadata/${namespace}/pid`, 'utf8'));
  const guest = (name: string, script: string): Promise<string> => sh('ip netns exec "$1" sh -c "$2"', name, script);
  /** Status and body of a request from inside a guest. */
  const curl = (name: string, ...args: string[]): Promise<string> => guest(name, `curl -s -m 5 -w ' %{http_code}' ${args.map((arg) => `'${arg}'`).join(' ')}`);
  const haproxies = (): number[] => [...findProcesses('haproxy', `${state}/metadata`).values()].flat().map(({ pid }) => pid);

  before(async () => {
    await sh('chmod 755 "$1"', state);
    await new Promise<void>((resolve) => api.listen(`${state}/api`, resolve));
    await agent.start();
    await sh(`ip link add br0 type bridge forward_delay 0; ip link set br0 up
      for ns in "$1" "$2" one two; do ip netns add $ns; ip netns exec $ns sysctl -qw net.ipv6.conf.default.accept_dad=0 net.ipv6.conf.all.accept_dad=0; ip -n $ns link set lo up; done
      plug() { ip link add $1 type veth peer name eth0 netns $2; ip link set $1 master br0 up; ip -n $2 link set eth0 up; }
      plug dhcp "$1"; plug router "$2"; plug one one; plug two two
      ip -n "$1" address add 10.0.0.2/24 dev eth0; ip -n "$1" address add 169.254.169.254/32 dev eth0; ip -n "$1" address add fe80::a9fe:a9fe/64 dev eth0 nodad
      ip -n "$2" address add 10.0.0.1/24 dev eth0; ip -n "$2" address add 2001:db8::1/64 dev eth0 nodad
      ip -n one address add 10.0.0.5/24 dev eth0; ip -n one route add 169.254.169.254 via 10.0.0.2; ip -n one address add 2001:db8::5/64 dev eth0 nodad
      ip -n two address add 10.0.0.6/24 dev eth0; ip -n two route add 169.254.169.254 via 10.0.0.2`, DHCP, QROUTER);
  });

  after(async () => {
    agent.stop();
    api.closeAllConnections();
    api.close();
    for (const namespace of [DHCP, QROUTER]) await proxies.remove(namespace);
    rmSync(state, { recursive: true });
  });

  test('N-MD-5, N-MD-6, N-MD-12: a guest reaches the API by the DHCP side, and is known by its address', async () => {
    await proxies.ensure(DHCP, { network_id: NETWORK });
    assert.deepEqual(plans, [`${DHCP}: write ${state}/metadata/${DHCP}/config`, `${DHCP}: start haproxy`]);
    assert.equal(await curl('one', 'http://169.254.169.254/latest/meta-data/'), '/latest/meta-data/ 200');
    assert.equal(await curl('two', 'http://169.254.169.254/'), '/ 200');
    assert.deepEqual(asked, [{ network_id: NETWORK, address: '10.0.0.5' }, { network_id: NETWORK, address: '10.0.0.6' }]);
    assert.deepEqual(heard[0]!['x-instance-id'], ['vm of 10.0.0.5']);
    assert.equal((await curl('one', 'http://169.254.169.254/big')).length, 200_004);
    assert.equal((await curl('one', 'http://10.0.0.2/').catch(() => 'refused')), 'refused', 'on no other address');
  });

  test('N-MD-7: by IPv6 at fe80::a9fe:a9fe the guest is known by its link-local address', async () => {
    asked.length = 0;
    assert.equal(await curl('one', '-g', 'http://[fe80::a9fe:a9fe%25eth0]/openstack'), '/openstack 200');
    const own = /inet6 (fe80:\S+)\//.exec(await guest('one', 'ip -6 address show dev eth0 scope link'))![1]!;
    assert.deepEqual(asked, [{ network_id: NETWORK, address: own }]);
    assert.ok(macOfEui64(parseIp(own)!), 'which leads to its MAC');
  });

  test('N-MD-5: the router side listens on port 9697 for both versions', async () => {
    asked.length = 0;
    await proxies.ensure(QROUTER, { router_id: ROUTER });
    assert.equal(await curl('one', 'http://10.0.0.1:9697/a'), '/a 200');
    assert.equal(await curl('one', '-g', 'http://[2001:db8::1]:9697/b'), '/b 200');
    assert.deepEqual(asked, [{ router_id: ROUTER, address: '10.0.0.5' }, { router_id: ROUTER, address: '2001:db8::5' }]);
  });

  test('LP 1865036: whatever headers a guest sends, it is asked about as itself', async () => {
    asked.length = heard.length = 0;
    const forged = [
      'X-Forwarded-For: 10.0.0.6', 'x-forwarded-for: 10.0.0.6', 'X-Forwarded-For : 10.0.0.6', 'X-Neutron-Router-ID: r', 'x-NEUTRON-network-id: n', 'X-Neutron-Network-ID: m', 'X-Instance-ID: victim', 'X-Tenant-ID: theirs',
      'X-Instance-ID-Signature: forged', 'X-Metadata-Provider: lb', 'X-Metadata-Provider-Signature: forged', 'Forwarded: for=10.0.0.6', 'X_Instance_ID: victim', 'X_Forwarded_For: 10.0.0.6',
    ];
    for (const header of forged) assert.match(await curl('one', '-H', header, 'http://169.254.169.254/'), /(200|400)$/, header);
    await curl('one', ...forged.filter((header) => !header.includes(' :')).flatMap((header) => ['-H', header]), 'http://169.254.169.254/');
    await curl('one', '-H', 'Connection: X-Forwarded-For, X-Neutron-Network-ID', 'http://169.254.169.254/');
    assert.ok(asked.length >= forged.length, String(asked.length));
    for (const question of asked) assert.deepEqual(question, { network_id: NETWORK, address: '10.0.0.5' });
    for (const headers of heard) {
      assert.deepEqual([headers['x-instance-id'], headers['x-tenant-id'], headers['x-instance-id-signature'], headers['x-forwarded-for']], [['vm of 10.0.0.5'], ['p'], ['ab'], ['10.0.0.5']]);
      assert.deepEqual(Object.keys(headers).filter((name) => /neutron|provider|forwarded$|_/.test(name)), []);
    }
  });

  test('a guest that opens many connections and says nothing keeps nobody else waiting', async () => {
    const script = `import socket,sys
held=[]
for i in range(300):
  try: s=socket.create_connection(("169.254.169.254",80),2); held.append(s); s.send(b"GET / HTTP/1.1\\r\\nHost: x\\r\\n")
  except OSError: pass
print("held",flush=True); sys.stdin.read()`;
    const holding = spawn('ip', ['netns', 'exec', 'one', 'python3', '-c', script], { stdio: ['pipe', 'pipe', 'inherit'] });
    await once(holding.stdout, 'data', { signal: AbortSignal.timeout(20_000) });
    assert.equal(await curl('two', 'http://169.254.169.254/'), '/ 200');
    assert.ok(!/ 200$/.test(await curl('one', 'http://169.254.169.254/').catch(() => '')), 'the one that holds them waits itself');
    holding.stdin.end();
    await once(holding, 'exit');
    assert.equal(await curl('one', 'http://169.254.169.254/'), '/ 200');
  });

  test('law 3: an agent with empty memory plans nothing; a proxy that runs costs one look', async () => {
    const before = [DHCP, QROUTER].map((namespace) => [pidOf(namespace), statSync(`${state}/metadata/${namespace}/config`).mtimeMs]);
    plans.length = 0;
    proxies = newProxies();
    for (let round = 0; round < 3; round++) {
      await proxies.ensure(DHCP, { network_id: NETWORK });
      await proxies.ensure(QROUTER, { router_id: ROUTER });
      if (round === 1) for (const namespace of [DHCP, QROUTER]) proxies.distrust(namespace);
    }
    assert.deepEqual(plans, []);
    assert.deepEqual([DHCP, QROUTER].map((namespace) => [pidOf(namespace), statSync(`${state}/metadata/${namespace}/config`).mtimeMs]), before);
    assert.deepEqual(proxies.namespaces().sort(), [DHCP, QROUTER]);
  });

  test('a proxy that died, one without its pid file and one in a dead namespace come back', async () => {
    const folder = `${state}/metadata/${DHCP}`;
    process.kill(pidOf(DHCP), 'SIGKILL');
    await sleep(50);
    await proxies.ensure(DHCP, { network_id: NETWORK });
    assert.equal(await curl('one', 'http://169.254.169.254/'), '/ 200');

    const pid = pidOf(DHCP);
    plans.length = 0;
    rmSync(`${folder}/pid`);
    proxies.distrust(DHCP);
    proxies.lookAgain();
    await proxies.ensure(DHCP, { network_id: NETWORK });
    assert.deepEqual(plans, [], 'it is found by its command line');
    await proxies.remove(DHCP);
    assert.deepEqual([haproxies().includes(pid), existsSync(folder), plans], [false, false, [`${DHCP}: stop haproxy ${pid}`, `${DHCP}: rm -r ${folder}`]]);
    await proxies.remove(DHCP);
    assert.equal(plans.length, 2);

    await proxies.ensure(DHCP, { network_id: NETWORK });
    plans.length = 0;
    await sh(`ip netns exec "$1" true; umount /run/netns/$1; rm /run/netns/$1; ip netns add "$1"; ip -n "$1" address add 169.254.169.254/32 dev lo`, DHCP);
    proxies.distrust(DHCP);
    await proxies.ensure(DHCP, { network_id: NETWORK });
    assert.deepEqual(plans, [`${DHCP}: restart haproxy`]);
    assert.equal(await sh('ip netns pids "$1"', DHCP), `${pidOf(DHCP)}\n`);
  });

  test('another config comes by a successor: it serves before the first one ends, and a change that was cut short is finished', async () => {
    const first = pidOf(QROUTER);
    const asking = guest('one', 'for i in $(seq 40); do curl -s -m 5 -o /dev/null -w "%{http_code} " http://10.0.0.1:9697/; done');
    await sh('ln -sf metadata_proxy /run/patchbay/other');
    const changed = newProxies('/run/patchbay/other');
    plans.length = 0;
    await changed.ensure(QROUTER, { router_id: ROUTER });
    assert.deepEqual(plans, [`${QROUTER}: write ${state}/metadata/${QROUTER}/config`, `${QROUTER}: restart haproxy`]);
    // Who waits in the first one's queue when that closes it is cut off: of one client at a time, one.
    const answers = (await asking).trim().split(' ');
    assert.ok(answers.filter((status) => status !== '200').length <= 1, answers.join(' '));
    assert.ok(!haproxies().includes(first));
    assert.equal(haproxies().length, 2);

    // The agent died when the file was written and nobody had been told.
    rmSync(`${state}/metadata/${QROUTER}/loaded`);
    plans.length = 0;
    await newProxies('/run/patchbay/other').ensure(QROUTER, { router_id: ROUTER });
    assert.deepEqual(plans, [`${QROUTER}: restart haproxy`]);
    assert.equal(haproxies().length, 2);
  });

  test('a proxy that cannot start says why, and the one before goes on', async () => {
    const pid = pidOf(QROUTER);
    await assert.rejects(newProxies('/run/no such place').ensure(QROUTER, { router_id: ROUTER }), /haproxy/);
    assert.equal(pidOf(QROUTER), pid);
    assert.equal(await curl('one', 'http://10.0.0.1:9697/'), '/ 200');
  });

  test('a program that reads its config again is told, and replaced only for other arguments', async () => {
    const said: string[] = [];
    const daemons = new Daemons({ program: 'dnsmasq', root: `${state}/dns`, onPlan: (_, lines) => said.push(...lines) });
    const folder = daemons.folder('x');
    const ensure = (config: string, ...args: string[]) => daemons.ensure('x', { namespace: QROUTER, config, change: 'SIGHUP', args: [`--conf-file=${folder}/config`, `--pid-file=${folder}/pid`, ...args] });
    const pid = () => Number(readFileSync(`${folder}/pid`, 'utf8'));
    await ensure('port=5353\n');
    const first = pid();
    await ensure('port=5354\n');
    assert.deepEqual([pid(), said.splice(0)], [first, [`write ${folder}/config`, 'start dnsmasq', `write ${folder}/config`, 'kill -HUP dnsmasq']]);
    await ensure('port=5354\n', '--no-hosts');
    assert.deepEqual([pid() === first, said.splice(0)], [false, ['restart dnsmasq']]);
    await daemons.remove('x');
    assert.deepEqual(daemons.names(), []);
  });

  test('what a proxy costs', async () => {
    await proxies.ensure(QROUTER, { router_id: ROUTER });
    const started = performance.now();
    await proxies.remove(QROUTER);
    const removed = performance.now();
    await proxies.ensure(QROUTER, { router_id: ROUTER });
    const ms = performance.now() - removed;
    const status = readFileSync(`/proc/${pidOf(QROUTER)}/status`, 'utf8');
    console.log(`# proxy: start ${ms.toFixed(0)} ms, stop ${(removed - started).toFixed(0)} ms, ${/VmRSS:\s+(\d+)/.exec(status)![1]} kB resident, ${/RssAnon:\s+(\d+)/.exec(status)![1]} kB of its own`);
    assert.match(status, /Threads:\t1\n/);
    assert.match(status, new RegExp(`Uid:\t${(await sh('id -u haproxy')).trim()}\t`), 'not root');
  });
}
