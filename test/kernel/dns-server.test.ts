/** What dnsmasq answers a network's guests, and whom it asks itself, by real questions through real namespaces. */
import assert from 'node:assert/strict';
import { mkdtemp, readFile, readdir, readlink, rm, writeFile } from 'node:fs/promises';
import { test } from 'node:test';
import { DhcpManager } from '#agent/dhcp-manager.ts';
import { MetadataProxies } from '#agent/metadata-proxies.ts';
import type { DhcpHostItem, DhcpServerItem } from '#hoststate/dhcp.ts';
import type { Item } from '#hoststate/host-state.ts';
import { BridgePlugger, Client, host, makeBridge, server, sh, subnet } from './dhcp-lab.ts';
import { insideSimulatedHost } from './simulated-host.ts';

const NETWORK = 'aaaaaaaa-0000-4000-8000-000000000001';
const SERVER_PORT = 'd1111111-1111-4000-8000-000000000001';
const MAC1 = 'fa:16:3e:00:00:11';
const MAC2 = 'fa:16:3e:00:00:12';
const UPSTREAM = '203.0.113.53';

if (await insideSimulatedHost(import.meta.filename)) {
  await makeBridge('br-a');
  const folder = await mkdtemp('/tmp/patchbay-dns-');
  await sh('chmod 755 "$1"', folder);
  // The node's own files, for this test's mount namespace alone.
  await writeFile(`${folder}/hosts`, '127.0.0.1 localhost\n10.99.0.1 node-secret\n');
  await writeFile(`${folder}/resolv.conf`, `nameserver ${UPSTREAM}\n`);
  await sh('mount --bind "$1/hosts" /etc/hosts; mount --bind "$1/resolv.conf" /etc/resolv.conf', folder);
  // The network's gateway 172.16.0.1 leads to a resolver outside.
  await sh(`for ns in gateway world; do ip netns add $ns; ip -n $ns link set lo up; done
    ip link add vgw type veth peer name eth0 netns gateway; ip link set vgw master br-a up
    ip -n gateway link add eth1 type veth peer name eth0 netns world
    ip -n gateway address add 172.16.0.1/24 dev eth0; ip -n gateway address add 203.0.113.1/24 dev eth1; ip -n world address add ${UPSTREAM}/24 dev eth0
    for link in 'gateway eth0' 'gateway eth1' 'world eth0'; do set -- $link; ip -n $1 link set $2 up; done
    ip netns exec gateway sysctl -qw net.ipv4.ip_forward=1; ip -n world route add default via 203.0.113.1`);
  const resolver = '--conf-file=/dev/null --no-hosts --no-resolv --user=root --bind-interfaces --address=/#/ --address=/www.example.com/203.0.113.80';
  await sh(`ip netns exec world dnsmasq ${resolver} --listen-address=${UPSTREAM} --pid-file="$1/upstream.pid" --log-queries --log-facility="$1/upstream.log"`, folder);
  const asked = async (): Promise<string[]> => (await readFile(`${folder}/upstream.log`, 'utf8')).match(/query\[\w+\] \S+ from \S+/g) ?? [];

  const manager = new DhcpManager({ stateDir: folder, plugger: new BridgePlugger(() => 'br-a'), proxies: new MetadataProxies({ root: `${folder}/metadata`, socket: '/run/metadata_proxy' }) });
  const change = async (upserts: Item[], removals: string[] = []): Promise<void> => {
    manager.update(upserts, removals);
    assert.deepEqual((await manager.apply()).filter(({ ok }) => !ok), []);
  };
  const subnet4 = subnet('s4', '172.16.0.0/24', { gateway_ip: '172.16.0.1', dhcp_servers: ['172.16.0.2'] });
  const subnet6 = subnet('s6', 'fd00:6::/64', { ipv6_address_mode: 'dhcpv6-stateful', dhcp_servers: ['fd00:6::2'] });
  const fixed = subnet('fixed', '172.18.0.0/24', { enable_dhcp: false });
  const serverWith = (more: Partial<DhcpServerItem>): DhcpServerItem => server(NETWORK, SERVER_PORT, ['172.16.0.2/24', 'fd00:6::2/64'], [subnet4, subnet6, fixed], { dns_domain: 'openstacklocal', ...more });
  const vm = (n: 1 | 2, more: Partial<DhcpHostItem> = {}): DhcpHostItem => host(NETWORK, `p${n}`, n === 1 ? MAC1 : MAC2, [['s4', `172.16.0.1${n}`], ['s6', `fd00:6::1${n}`]], { hostname: `vm${n}`, ...more });
  const v4only = host(NETWORK, 'p3', 'fa:16:3e:00:00:13', [['s4', '172.16.0.13'], ['fixed', '172.18.0.13']], { hostname: 'vm3', names: ['vm3.net.example'] });
  const unnamed = host(NETWORK, 'p4', 'fa:16:3e:00:00:14', [['s4', '172.16.0.14'], ['s6', 'fd00:6::14']]);
  await change([serverWith({}), vm(1), vm(2), v4only, unnamed]);

  const guest = await Client.create('guest', 'br-a', MAC1, `${folder}/guests`);
  const other = await Client.create('other', 'br-a', MAC2, `${folder}/guests`);
  const ask = (...questions: string[]): Promise<string[]> => guest.resolve('172.16.0.2', ...questions);
  await guest.exec('ip address add 172.16.0.11/24 dev eth0; ip address add fd00:6::11/64 dev eth0; ip route add default via 172.16.0.1');

  test('names of the network resolve short and full, in both families, and back', async () => {
    assert.deepEqual(await ask('vm2/A', 'vm2/AAAA', 'vm2.openstacklocal/A', 'VM2.openstacklocal/AAAA'), ['172.16.0.12', 'fd00:6::12', '172.16.0.12', 'fd00:6::12']);
    assert.deepEqual(await ask('172.16.0.12/PTR', 'fd00:6::12/PTR', '172.18.0.13/PTR'), ['vm2.openstacklocal', 'vm2.openstacklocal', 'vm3.openstacklocal']);
    assert.deepEqual(await ask('vm3/A', 'vm3.net.example/A'), ['172.16.0.13 172.18.0.13', '172.16.0.13 172.18.0.13'], 'addresses on subnets without DHCP too');
    assert.deepEqual(await ask('host-172-16-0-14/A', 'host-fd00-6--14.openstacklocal/AAAA', '172.16.0.14/PTR'), ['172.16.0.14', 'fd00:6::14', 'host-172-16-0-14.openstacklocal']);
    assert.deepEqual(await guest.resolve('fd00:6::2', 'vm2/A', 'vm2/AAAA'), ['172.16.0.12', 'fd00:6::12'], 'asked over IPv6');
  });

  test('a name that has no address of the family asked for is not a name unknown', async () => {
    assert.deepEqual(await ask('vm3/AAAA', 'vm3.openstacklocal/AAAA', 'vm3.net.example/AAAA', 'vm3.openstacklocal/MX'), ['ENODATA', 'ENODATA', 'ENODATA', 'ENODATA']);
    assert.deepEqual(await ask('vm9.openstacklocal/A', 'www.example.com/A', 'vm9/A'), ['EREFUSED', 'EREFUSED', 'ENOTFOUND']);
  });

  test('N-DH-10 N-DH-11: neither /etc/hosts nor the resolver of the node answers a guest', async () => {
    assert.match(await sh('getent hosts node-secret'), /^10\.99\.0\.1\s/);
    assert.deepEqual(await ask('node-secret/A', 'node-secret.openstacklocal/A', '10.99.0.1/PTR', 'test-host/A'), ['ENOTFOUND', 'EREFUSED', 'EREFUSED', 'ENOTFOUND']);
    assert.deepEqual(await asked(), []);
  });

  test('a rename counts at once, for addresses with leases too; what a guest calls itself counts for nothing', async () => {
    assert.deepEqual([(await other.dhcp(2, '-x', 'hostname:wpad'))['ip'], (await other.dhcp6())['address']], ['172.16.0.12', 'fd00:6::12']);
    assert.deepEqual(await ask('wpad/A', 'wpad.openstacklocal/A'), ['ENOTFOUND', 'EREFUSED']);
    await change([vm(2, { hostname: 'db' })]);
    assert.deepEqual(await ask('vm2/A', 'vm2/AAAA', 'vm2.openstacklocal/A', 'vm2.openstacklocal/AAAA'), ['ENOTFOUND', 'ENOTFOUND', 'EREFUSED', 'EREFUSED']);
    assert.deepEqual(await ask('db/A', 'db/AAAA', '172.16.0.12/PTR', 'fd00:6::12/PTR'), ['172.16.0.12', 'fd00:6::12', 'db.openstacklocal', 'db.openstacklocal']);
    const offer = await other.dhcp(2);
    assert.deepEqual([offer['ip'], offer['hostname'], offer['domain']], ['172.16.0.12', 'db', 'openstacklocal']);
    await change([], [`dhcp-host/${NETWORK}/p2`]);
    assert.deepEqual(await ask('db/A', 'db.openstacklocal/AAAA', '172.16.0.12/PTR', 'fd00:6::12/PTR'), ['ENOTFOUND', 'EREFUSED', 'EREFUSED', 'EREFUSED']);
    await change([vm(2)]);
  });

  test('N-DNS-2: dnsmasq_dns_servers are asked from inside the network, through its gateway, and not about its own names', async () => {
    await change([serverWith({ dns_servers: [UPSTREAM] })]);
    assert.equal((await other.dhcp(2))['dns'], '172.16.0.2', 'the guests ask the DHCP server');
    assert.deepEqual(await ask('www.example.com/A', 'nowhere.example.com/A'), ['203.0.113.80', 'ENOTFOUND']);
    assert.deepEqual(await ask('vm3/AAAA', 'vm3.openstacklocal/AAAA', 'vm3.net.example/AAAA', 'vm9/A'), ['ENODATA', 'ENODATA', 'ENODATA', 'ENOTFOUND']);
    assert.deepEqual(await asked(), ['query[A] www.example.com from 172.16.0.2', 'query[A] nowhere.example.com from 172.16.0.2']);
  });

  test('DNSpooq CVE-2020-25684: each forwarded question has an id and a port that nobody can guess from the last', async () => {
    await sh('(timeout 20 ip netns exec world tcpdump --immediate-mode -n -U -i eth0 -w - udp dst port 53 >"$1/queries.pcap" 2>"$1/tcpdump.log" & echo $! >"$1/tcpdump.pid"); until grep -q listening "$1/tcpdump.log"; do sleep 0.02; done', folder);
    await ask(...Array.from({ length: 12 }, (_, i) => `n${i}.example.org/A`));
    await sh('kill "$(cat "$1/tcpdump.pid")"; while kill -0 "$(cat "$1/tcpdump.pid")" 2>/dev/null; do sleep 0.02; done', folder);
    const queries = [...(await sh('tcpdump -n -r "$1/queries.pcap" 2>/dev/null', folder)).matchAll(/172\.16\.0\.2\.(\d+) > \S+ (\d+)\+/g)];
    assert.equal(queries.length, 12);
    for (const field of [1, 2]) assert.ok(new Set(queries.map((query) => query[field])).size > 10, queries.map((query) => query[field]).join(' '));
  });

  test('N-DNS-3: a subnet’s own servers go to its guests directly, and to no other subnet’s', async () => {
    const second = subnet('s5', '172.17.0.0/24', { dns_nameservers: [UPSTREAM, '9.9.9.9'] });
    const third = await Client.create('third', 'br-a', 'fa:16:3e:00:00:15', `${folder}/guests`);
    await change([serverWith({ dns_servers: [UPSTREAM], addresses: ['172.16.0.2/24', 'fd00:6::2/64', '172.17.0.2/24'], subnets: [subnet4, subnet6, second, fixed] }), host(NETWORK, 'p5', 'fa:16:3e:00:00:15', [['s5', '172.17.0.15']])]);
    assert.deepEqual([(await third.dhcp(2))['dns'], (await other.dhcp(2))['dns']], [`${UPSTREAM} 9.9.9.9`, '172.16.0.2']);
    assert.deepEqual(await guest.resolve(UPSTREAM, 'www.example.com/A', 'vm2.openstacklocal/A'), ['203.0.113.80', 'ENOTFOUND'], 'who asks elsewhere is not told the network’s names');
    await third.remove();
    await change([serverWith({ dns_servers: [UPSTREAM] })], [`dhcp-host/${NETWORK}/p5`]);
  });

  test('a network whose gateway leads nowhere still answers for its own names, at once', async () => {
    await change([serverWith({ dns_servers: ['198.51.100.53'] })]);
    assert.deepEqual(await ask('vm3/A', 'vm3/AAAA', 'vm3.openstacklocal/AAAA', 'www.example.com/A'), ['172.16.0.13 172.18.0.13', 'ENODATA', 'ENODATA', 'ETIMEOUT']);
  });

  test('N-DNS-1: dnsmasq_local_resolv forwards by the node’s resolv.conf', async () => {
    const before = (await asked()).length;
    await change([serverWith({ local_resolv: true })]);
    assert.equal((await other.dhcp(2))['dns'], '172.16.0.2');
    assert.deepEqual(await ask('www.example.com/A', 'vm2/A'), ['203.0.113.80', '172.16.0.12']);
    assert.deepEqual((await asked()).slice(before), ['query[A] www.example.com from 172.16.0.2']);
  });

  test('N-DNS-5: a resolver on a loopback address of the node is not reached from the network', async () => {
    await sh(`dnsmasq ${resolver} --listen-address=127.0.0.53 --pid-file="$1/node.pid"`, folder);
    await writeFile(`${folder}/resolv.conf`, 'nameserver 127.0.0.53\n');
    assert.match(await sh('busybox nslookup www.example.com 127.0.0.53 || true'), /203\.0\.113\.80/, 'the node itself reaches it');
    await change([serverWith({})]);
    await change([serverWith({ local_resolv: true })]);
    const [own, world = ''] = await ask('vm2/A', 'www.example.com/A');
    assert.equal(own, '172.16.0.12');
    assert.match(world, /^E(REFUSED|SERVFAIL|TIMEOUT)$/);
    await change([serverWith({})]);
  });

  test('bug 1501206: who asks through a router is no client; the server is no resolver for the world', async () => {
    const outside = `ip netns exec world ${process.execPath} -e "const r = new (require('node:dns/promises').Resolver)({ timeout: 500, tries: 1 }); r.setServers(['172.16.0.2']); r.resolve('vm2').then(console.log, (e) => console.log(e.code))"`;
    await sh('ip netns exec world ping -qc 1 -W 1 172.16.0.2');
    assert.equal((await sh(outside)).trim(), 'ETIMEOUT', 'not even refused');
    assert.deepEqual(await ask('vm2/A'), ['172.16.0.12']);
  });

  test('trap 9: no inotify instance, of which all networks of a machine share 128', async () => {
    const pid = (await readFile(`${folder}/dhcp/${NETWORK}/pid`, 'utf8')).trim();
    const links = await Promise.all((await readdir(`/proc/${pid}/fd`)).map((fd) => readlink(`/proc/${pid}/fd/${fd}`)));
    assert.deepEqual(links.filter((link) => link.includes('inotify')), []);
    await change([], ['p1', 'p2', 'p3', 'p4'].map((port) => `dhcp-host/${NETWORK}/${port}`).concat(`dhcp-server/${NETWORK}`));
    await sh('kill "$(cat "$1/upstream.pid")" "$(cat "$1/node.pid")"', folder);
    await rm(folder, { recursive: true, force: true });
  });
}
