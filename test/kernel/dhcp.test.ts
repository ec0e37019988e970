/** The DHCP servers of a host against the real kernel, dnsmasq and clients. */
import assert from 'node:assert/strict';
import { existsSync, statSync } from 'node:fs';
import { mkdtemp, readFile, readdir, rm } from 'node:fs/promises';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { DhcpManager } from '#agent/dhcp-manager.ts';
import { MetadataProxies } from '#agent/metadata-proxies.ts';
import type { Item } from '#hoststate/host-state.ts';
import { BridgePlugger, Client, host, makeBridge, server, sh, subnet } from './dhcp-lab.ts';
import { insideSimulatedHost } from './simulated-host.ts';

const NETWORK = 'aaaaaaaa-0000-4000-8000-000000000001';
const OTHER = 'bbbbbbbb-0000-4000-8000-000000000002';
const SERVER_PORT = 'd1111111-1111-4000-8000-000000000001';
const OTHER_PORT = 'd2222222-2222-4000-8000-000000000002';
const TAP = 'tapd1111111-11';
const MAC1 = 'fa:16:3e:00:00:11';
const MAC2 = 'fa:16:3e:00:00:12';

if (await insideSimulatedHost(import.meta.filename)) {
  await makeBridge('br-a');
  await makeBridge('br-b');
  const stateDir = await mkdtemp('/tmp/patchbay-dhcp-');
  await sh('chmod 755 "$1"', stateDir);
  const guests = `${stateDir}/guests`;
  const folder = `${stateDir}/dhcp/${NETWORK}`;
  const plugger = new BridgePlugger((portId) => (portId === OTHER_PORT ? 'br-b' : 'br-a'));
  const plans: string[] = [];
  const newManager = (): DhcpManager => new DhcpManager({
    stateDir, plugger, onPlan: (_, lines) => plans.push(...lines),
    proxies: new MetadataProxies({ root: `${stateDir}/metadata`, socket: '/run/metadata_proxy', onPlan: (_, lines) => plans.push(...lines) }),
  });
  const pidOf = async (networkId: string): Promise<number> => Number(await readFile(`${stateDir}/dhcp/${networkId}/pid`, 'utf8'));
  const failures = (reports: readonly { ok: boolean }[]): unknown[] => reports.filter((report) => !report.ok);

  const subnet4 = subnet('s4', '172.16.0.0/24', {
    gateway_ip: '172.16.0.1', dns_nameservers: ['9.9.9.9'], host_routes: [{ destination: '10.5.0.0/16', nexthop: '172.16.0.9' }],
  });
  const subnet6 = subnet('s6', 'fd00:6::/64', { gateway_ip: 'fd00:6::1', ipv6_address_mode: 'dhcpv6-stateful' });
  const theServer = server(NETWORK, SERVER_PORT, ['172.16.0.2/24', 'fd00:6::2/64'], [subnet4, subnet6]);
  const vm1 = host(NETWORK, 'p1', MAC1, [['s4', '172.16.0.11'], ['s6', 'fd00:6::11']], { hostname: 'vm1' });
  const vm2 = host(NETWORK, 'p2', MAC2, [['s4', '172.16.0.12'], ['s6', 'fd00:6::12']], { hostname: 'vm2' });
  const state = new Map<string, Item>();
  let manager = newManager();
  /** Feeds a change and keeps what a new agent would be told. */
  const change = async (upserts: Item[], removals: string[] = []): ReturnType<DhcpManager['apply']> => {
    for (const item of upserts) state.set('port_id' in item && item.type === 'dhcp-host' ? `dhcp-host/${item.network_id}/${item.port_id}` : `dhcp-server/${(item as typeof theServer).network_id}`, item);
    for (const key of removals) state.delete(key);
    plans.length = 0;
    manager.update(upserts, removals);
    return manager.apply();
  };
  let one: Client;
  let two: Client;

  test('N-DH-1 N-DH-2 N-DH-7 N-DH-8: a client gets its address and options 1, 3, 6, 12, 15, 26, 28 and 121', async () => {
    assert.deepEqual(await change([theServer, vm1]), [
      { key: `dhcp-server/${NETWORK}`, ok: true },
      { key: `dhcp-host/${NETWORK}/p1`, ok: true },
    ]);
    one = await Client.create('one', 'br-a', MAC1, guests);
    two = await Client.create('two', 'br-a', MAC2, guests);
    assert.deepEqual(await one.dhcp(), {
      ip: '172.16.0.11', subnet: '255.255.255.0', broadcast: '172.16.0.255', router: '172.16.0.1', dns: '9.9.9.9', domain: 'openstacklocal',
      hostname: 'vm1', mtu: '1450', staticroutes: '10.5.0.0/16 172.16.0.9 0.0.0.0/0 172.16.0.1', lease: '86400', serverid: '172.16.0.2',
    });
    assert.match(await sh(`ip -n qdhcp-${NETWORK} address show ${TAP}`), /mtu 1450[^]*fa:16:3e:00:00:02[^]*172\.16\.0\.2\/24[^]*fd00:6::2\/64/);
    assert.match(await sh(`ip netns exec qdhcp-${NETWORK} ethtool -k ${TAP}`), /^tx-checksumming: off$/m);
    assert.equal(await sh(`ip -n qdhcp-${NETWORK} route show default`), `default via 172.16.0.1 dev ${TAP} \n`);
  });

  test('N-DH-6: an unknown MAC gets nothing, not even a refusal', async () => {
    const [stranger, known] = await Promise.all([two.dhcp(2, '-r', '172.16.0.50'), one.dhcp()]);
    assert.deepEqual(stranger, {});
    assert.equal(known['ip'], '172.16.0.11');
  });

  test('N-DH-8: a port more is one reload, in effect before the client asks', async () => {
    const pid = await pidOf(NETWORK);
    assert.deepEqual(await change([vm2]), [{ key: `dhcp-host/${NETWORK}/p2`, ok: true }]);
    assert.deepEqual(plans, [`write ${folder}/host`, `write ${folder}/addn_hosts`, `write ${folder}/servers`, 'kill -HUP dnsmasq']);
    assert.equal((await two.dhcp(1))['ip'], '172.16.0.12');
    assert.equal(await pidOf(NETWORK), pid);
  });

  test('DHCPv6 stateful: each client its own address', async () => {
    assert.deepEqual(await one.dhcp6(), { address: 'fd00:6::11', dns: 'fd00:6::2' });
    assert.deepEqual(await two.dhcp6(), { address: 'fd00:6::12', dns: 'fd00:6::2' });
  });

  test('N-DH-10 N-DH-11 N-DNS-3: names of the network resolve, names of the node do not', async () => {
    await one.exec('ip address replace 172.16.0.11/24 dev eth0');
    const lookup = (name: string): Promise<string> => one.exec(`busybox nslookup ${name} 172.16.0.2 2>&1 || true`);
    assert.match(await lookup('vm2.openstacklocal'), /Address: 172\.16\.0\.12/);
    assert.match(await lookup('host-172-16-0-12.openstacklocal'), /NXDOMAIN|REFUSED|can't/);
    assert.doesNotMatch(await lookup((await sh('hostname')).trim()), /Address: [^1]*127\./);
  });

  test('law 3: an agent with empty memory plans nothing and touches neither process nor files', async () => {
    const before = [await pidOf(NETWORK), ...['host', 'addn_hosts', 'opts', 'pid'].map((name) => statSync(`${folder}/${name}`).mtimeMs)];
    plans.length = 0;
    manager = newManager();
    manager.update([...state.values()], []);
    manager.inSync();
    assert.deepEqual(failures(await manager.apply()), []);
    await manager.check();
    assert.deepEqual(await manager.apply(), []);
    assert.deepEqual(plans, []);
    assert.deepEqual([await pidOf(NETWORK), ...['host', 'addn_hosts', 'opts', 'pid'].map((name) => statSync(`${folder}/${name}`).mtimeMs)], before);
  });

  test('trap 8: an address that goes to another port within one batch is served to it at once', async () => {
    const pid = await pidOf(NETWORK);
    const vm3 = host(NETWORK, 'p3', MAC2, [['s4', '172.16.0.11'], ['s6', 'fd00:6::11']], { hostname: 'vm3' });
    assert.deepEqual(failures(await change([vm3], [`dhcp-host/${NETWORK}/p1`, `dhcp-host/${NETWORK}/p2`])), []);
    assert.equal((await two.dhcp(1))['ip'], '172.16.0.11');
    assert.deepEqual(await one.dhcp(1), {});
    assert.equal((await two.dhcp6())['address'], 'fd00:6::11');
    assert.equal(await pidOf(NETWORK), pid, 'dnsmasq survived the reload');
    assert.deepEqual(failures(await change([vm1, vm2], [`dhcp-host/${NETWORK}/p3`])), []);
    assert.deepEqual([(await one.dhcp(1))['ip'], (await two.dhcp(1))['ip']], ['172.16.0.11', '172.16.0.12']);
  });

  test('trap 8: a change that an agent died in is finished by the next', async () => {
    const swapped = host(NETWORK, 'p1', MAC1, [['s4', '172.16.0.12']], { hostname: 'vm1' });
    const other = host(NETWORK, 'p2', MAC2, [['s4', '172.16.0.11']], { hostname: 'vm2' });
    // Files are written, nobody has been told.
    await sh(`cd "$1"; ln host host.before; printf '%s\\n' '${MAC1},172.16.0.12,vm1.openstacklocal' '${MAC2},172.16.0.11,vm2.openstacklocal' >host.new; mv host.new host`, folder);
    manager = newManager();
    for (const item of [swapped, other]) state.set(`dhcp-host/${NETWORK}/${item.port_id}`, item);
    assert.deepEqual(failures(await change([...state.values()])), []);
    assert.ok(plans.includes('kill -HUP dnsmasq'), plans.join('\n'));
    assert.deepEqual([(await one.dhcp(1))['ip'], (await two.dhcp(1))['ip']], ['172.16.0.12', '172.16.0.11']);
    assert.equal(existsSync(`${folder}/host.before`), false);
    assert.deepEqual(failures(await change([vm1, vm2])), []);
  });

  test('trap 8: a full pool of six turns round, each address to another MAC', async () => {
    const small = subnet('small', '10.9.0.0/29', { gateway_ip: null });
    const macs = [1, 2, 3, 4, 5].map((n) => `fa:16:3e:00:01:0${n}`);
    const items = (shift: number): Item[] => macs.map((mac, i) => host(OTHER, `q${(i + shift) % 5}-${shift}`, mac, [['small', `10.9.0.${2 + ((i + shift) % 5)}`]]));
    await change([server(OTHER, OTHER_PORT, ['10.9.0.1/29'], [small]), ...items(0)]);
    const clients = await Promise.all(macs.map((mac, i) => Client.create(`pool${i}`, 'br-b', mac, guests)));
    const ask = async (): Promise<(string | undefined)[]> => Promise.all(clients.map(async (client) => (await client.dhcp(2))['ip']));
    assert.deepEqual(await ask(), ['10.9.0.2', '10.9.0.3', '10.9.0.4', '10.9.0.5', '10.9.0.6']);
    assert.deepEqual(failures(await change(items(1), macs.map((_, i) => `dhcp-host/${OTHER}/q${i}-0`))), []);
    assert.deepEqual(await ask(), ['10.9.0.3', '10.9.0.4', '10.9.0.5', '10.9.0.6', '10.9.0.2']);
    await Promise.all(clients.map((client) => client.remove()));
    await change([], [...state.keys()].filter((key) => key.includes(OTHER)));
    assert.equal(existsSync(`${stateDir}/dhcp/${OTHER}`), false);
  });

  test('N-DH-9: two networks with the same prefix, one address each, in two namespaces', async () => {
    const twin = host(OTHER, 'p9', MAC2, [['s4b', '172.16.0.11']], { hostname: 'twin' });
    assert.deepEqual(failures(await change([server(OTHER, OTHER_PORT, ['172.16.0.2/24'], [subnet('s4b', '172.16.0.0/24')]), twin])), []);
    const there = await Client.create('there', 'br-b', MAC2, guests);
    const [here, other] = await Promise.all([one.dhcp(), there.dhcp()]);
    assert.deepEqual([here['ip'], here['hostname'], other['ip'], other['hostname']], ['172.16.0.11', 'vm1', '172.16.0.11', 'twin']);
    await there.remove();
  });

  test('trap 15: an extra option of one port is sent to it alone; a poison one and a poison host are left out with a reason', async () => {
    const options = [
      { name: 'bootfile-name', value: 'pxe#0 "x".bin', ip_version: 4 }, { name: 'no-such', value: '1', ip_version: 4 },
      { name: 'server-ip-address', value: '1.1.1.1\nconf-file=/etc/shadow', ip_version: 4 },
    ];
    const poison = host(NETWORK, 'p7', 'fa:16:3e:00:00:66 ', [['s4', '172.16.0.77']], { hostname: 'p7' });
    assert.deepEqual(await change([{ ...vm1, options }, poison]), [
      {
        key: `dhcp-host/${NETWORK}/p1`, ok: false, partly: true,
        reason: 'DHCP option "no-such": dnsmasq does not know it, or not with this value; DHCP option "server-ip-address": not a name and value that can be sent',
      },
      { key: `dhcp-host/${NETWORK}/p7`, ok: false, reason: '"fa:16:3e:00:00:66 " is no MAC address' },
    ]);
    const [first, second] = [await one.dhcp(2), await two.dhcp(2)];
    assert.equal(first['boot_file'] ?? first['bootfile'], 'pxe#0 "x".bin');
    assert.equal(second['ip'], '172.16.0.12');
    assert.equal(second['boot_file'] ?? second['bootfile'], undefined);
    // dhcp-host reloads with a client that has options of its own: what killed dnsmasq in trap 3.
    const pid = await pidOf(NETWORK);
    await change([host(NETWORK, 'p5', 'fa:16:3e:00:00:15', [['s4', '172.16.0.15']])]);
    assert.equal((await one.dhcp(2))['ip'], '172.16.0.11');
    assert.equal(await pidOf(NETWORK), pid);
    await change([vm1], [`dhcp-host/${NETWORK}/p5`, `dhcp-host/${NETWORK}/p7`]);
  });

  test('N-DNS-4: a new DNS list counts for later leases, without a restart', async () => {
    const pid = await pidOf(NETWORK);
    await change([{ ...theServer, subnets: [{ ...subnet4, dns_nameservers: ['8.8.8.8', '8.8.4.4'] }, subnet6] }]);
    assert.equal((await one.dhcp(1))['dns'], '8.8.8.8 8.8.4.4');
    assert.equal(await pidOf(NETWORK), pid);
  });

  test('a subnet more: new address and range; a subnet less: gone again', async () => {
    const more = subnet('s5', '172.17.0.0/24', { gateway_ip: '172.17.0.1' });
    const bigger = { ...theServer, addresses: [...theServer.addresses, '172.17.0.2/24'], subnets: [subnet4, subnet6, more] };
    const third = await Client.create('third', 'br-a', 'fa:16:3e:00:00:13', guests);
    assert.deepEqual(failures(await change([bigger, host(NETWORK, 'p4', 'fa:16:3e:00:00:13', [['s5', '172.17.0.13']])])), []);
    assert.equal((await third.dhcp(2))['ip'], '172.17.0.13');
    assert.match((await one.dhcp(2))['staticroutes'] ?? '', /^172\.17\.0\.0\/24 0\.0\.0\.0 10\.5/);
    const reports = await change([theServer]);
    assert.deepEqual(failures(reports), [{ key: `dhcp-host/${NETWORK}/p4`, ok: false, reason: '172.17.0.13 is in no subnet of this network' }]);
    assert.doesNotMatch(await sh(`ip -n qdhcp-${NETWORK} address`), /172\.17/);
    await change([], [`dhcp-host/${NETWORK}/p4`]);
    await third.remove();
  });

  test('N-MD-12 N-MD-13: a proxy runs while the server answers for metadata; a lost one comes back with the next check, a new agent finds it', async () => {
    const proxy = `${stateDir}/metadata/qdhcp-${NETWORK}`;
    const answering = { ...theServer, metadata: true, subnets: [{ ...subnet4, metadata: 'server' as const }, subnet6] };
    assert.deepEqual(failures(await change([answering])), []);
    assert.ok(plans.includes('start haproxy'), plans.join('\n'));
    assert.match((await one.dhcp(1))['staticroutes'] ?? '', /169\.254\.169\.254\/32 172\.16\.0\.2/);
    // Nobody listens behind the proxy here: it says so.
    const status = (): Promise<string> => one.exec('ip address replace 172.16.0.11/24 dev eth0; ip route replace 169.254.169.254 via 172.16.0.2; curl -s -m 8 -o /dev/null -w "%{http_code}" http://169.254.169.254/ || true');
    assert.equal(await status(), '503');
    process.kill(Number(await readFile(`${proxy}/pid`, 'utf8')), 'SIGKILL');
    await sleep(20);
    assert.equal(await status(), '000');
    await manager.check();
    await manager.apply();
    assert.equal(await status(), '503');
    plans.length = 0;
    manager = newManager();
    manager.update([...state.values()], []);
    manager.inSync();
    assert.deepEqual(failures(await manager.apply()), []);
    assert.deepEqual(plans, []);
    assert.deepEqual(failures(await change([theServer])), []);
    assert.equal(existsSync(proxy), false);
    assert.equal(await status(), '000');
  });

  test('a killed dnsmasq, a deleted tap, a lost address and a deleted namespace come back with the next check', async () => {
    const harm = {
      'killed dnsmasq': async () => process.kill(await pidOf(NETWORK), 'SIGKILL'),
      'deleted tap': () => sh(`ip link del ${TAP}`),
      'lost address': () => sh(`ip -n qdhcp-${NETWORK} address del 172.16.0.2/24 dev ${TAP}`),
      'edited file': () => sh('echo >"$1"', `${folder}/host`),
      'deleted namespace': () => sh(`ip netns del qdhcp-${NETWORK}`),
    };
    for (const [name, damage] of Object.entries(harm)) {
      await damage();
      await sleep(20);
      await manager.check();
      await manager.apply();
      assert.equal((await one.dhcp(2))['ip'], '172.16.0.11', name);
    }
  });

  test('a server that cannot be made fails alone, with its reason, and is healed by the next good version', async () => {
    const bad = server('cccccccc-0000-4000-8000-000000000003', 'd3333333-1111', ['10.0.0.2/24'], [subnet('sx', '10.0.0.0/24')], { device: 'tap;reboot' });
    const badHost = host(bad.network_id, 'p8', MAC1, [['sx', '10.0.0.5']]);
    const reports = await change([bad, badHost, vm1]);
    assert.deepEqual(reports.sort((a, b) => (a.key < b.key ? -1 : 1)), [
      { key: `dhcp-host/${NETWORK}/p1`, ok: true },
      { key: `dhcp-host/${bad.network_id}/p8`, ok: false, reason: '"tap;reboot" is no device name' },
      { key: `dhcp-server/${bad.network_id}`, ok: false, reason: '"tap;reboot" is no device name' },
    ]);
    assert.deepEqual(await change([{ ...bad, device: 'tapd3333333-11' }]), [
      { key: `dhcp-server/${bad.network_id}`, ok: true }, { key: `dhcp-host/${bad.network_id}/p8`, ok: true },
    ]);
    await change([], [`dhcp-server/${bad.network_id}`, `dhcp-host/${bad.network_id}/p8`]);
  });

  test('law 5: one port more on a network of 2,000 writes its files and nothing else', async () => {
    const big = subnet('big', '10.64.0.0/16');
    const many = Array.from({ length: 2000 }, (_, i) => host(OTHER, `m${i}`, `fa:16:3e:01:${(i >> 8).toString(16).padStart(2, '0')}:${(i & 255).toString(16).padStart(2, '0')}`, [['big', `10.64.${i >> 8}.${(i & 255) || 255}`]]));
    await change([server(OTHER, OTHER_PORT, ['10.64.100.2/16'], [big], { metadata: true }), ...many], [`dhcp-host/${OTHER}/p9`]);
    const before = statSync(`${folder}/host`).mtimeMs;
    const times: number[] = [];
    for (let i = 0; i < 20; i++) {
      const start = performance.now();
      assert.equal((await change([host(OTHER, `n${i}`, `fa:16:3e:02:00:${i.toString(16).padStart(2, '0')}`, [['big', `10.64.200.${i + 1}`]])])).length, 1);
      times.push(performance.now() - start);
      assert.deepEqual(plans, [`write ${stateDir}/dhcp/${OTHER}/host`, `write ${stateDir}/dhcp/${OTHER}/addn_hosts`, `write ${stateDir}/dhcp/${OTHER}/servers`, 'kill -HUP dnsmasq']);
    }
    console.log(`# port added on 2,000: median ${times.sort((a, b) => a - b)[10]!.toFixed(1)} ms`);
    assert.equal(statSync(`${folder}/host`).mtimeMs, before);
  });

  test('a snapshot without a network: the sweep removes what it left; deletion leaves nothing', async () => {
    plans.length = 0;
    manager = newManager();
    manager.update([...state.values()].filter((item) => (item as typeof vm1).network_id === NETWORK), []);
    assert.deepEqual(failures(await manager.apply()), []);
    assert.deepEqual(plans, [], 'nothing is swept before the state is complete');
    manager.inSync();
    await manager.apply();
    assert.deepEqual([await readdir(`${stateDir}/dhcp`), await readdir(`${stateDir}/metadata`)], [[NETWORK], []]);
    assert.deepEqual((await readdir('/run/netns')).filter((name) => name.startsWith('qdhcp-')), [`qdhcp-${NETWORK}`]);

    const keys = [...state.keys()].filter((key) => key.includes(NETWORK));
    assert.deepEqual((await change([], keys)).sort((a, b) => (a.key < b.key ? -1 : 1)), keys.sort().map((key) => ({ key, ok: true })));
    assert.deepEqual(await readdir(`${stateDir}/dhcp`), []);
    assert.deepEqual((await readdir('/run/netns')).filter((name) => name.startsWith('qdhcp-')), []);
    assert.doesNotMatch(await sh('ip -o link'), /tapd/);
    for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
      assert.doesNotMatch(await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => ''), /dnsmasq|haproxy/);
    }
    await rm(stateDir, { recursive: true, force: true });
  });
}
