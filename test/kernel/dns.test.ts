import assert from 'node:assert/strict';
import { type Cloud, scenario, until } from '#testkit/cloud.ts';

/** What a question from inside an instance finds: addresses, or names of an address; '' is nothing. */
async function lookup(cloud: Cloud, server: string, name: string, ...options: string[]): Promise<string> {
  const { stdout } = await cloud.exec(server, 'nslookup', ...options, name);
  return [...stdout.matchAll(/^(?:Address: |.*\bname = )(\S+)$/gm)].map((match) => match[1]).join(' ');
}

/** Waits until a name is what it should be. */
const resolves = (cloud: Cloud, server: string, name: string, expected: string): Promise<void> =>
  until(15, `${server} finds '${expected}' as ${name}`, async () => (await lookup(cloud, server, name, '-type=a')) === expected);

scenario('instances call each other by name', {}, async (cloud, t) => {
  const admin = await cloud.api();
  const other = await cloud.makeProject('other');
  await admin.post('/compute/v2.1/flavors', { flavor: { name: 'm1.nano', ram: 128, vcpus: 1, disk: 1 } });
  const networkOf = async (api: typeof admin, name: string, prefix6: string): Promise<any> => {
    const network = await api.network({ name, dns_domain: `${name}.example.` });
    await api.subnet({ network_id: network.id, cidr: '10.0.0.0/24' });
    await api.subnet({ network_id: network.id, ip_version: 6, cidr: `${prefix6}::/64`, ipv6_address_mode: 'dhcpv6-stateful', ipv6_ra_mode: 'dhcpv6-stateful' });
    return network;
  };
  const [mine, theirs] = await Promise.all([networkOf(admin, 'mine', 'fd00:1'), networkOf(other, 'theirs', 'fd00:2')]);
  const [, two] = await Promise.all([
    ...['compute1', 'compute2', 'compute2'].map((host, i) => admin.server({ name: `vm${i + 1}`, networks: [{ uuid: mine.id }], availability_zone: `nova:${host}` })),
    other.server({ name: 'vm2', networks: [{ uuid: theirs.id }] }), other.server({ name: 'secret', networks: [{ uuid: theirs.id }] }),
  ]);
  const addresses = (server: any): string[] => server.addresses.mine.map(({ addr }: { addr: string }) => addr);
  const [v4 = '', v6 = ''] = addresses(two).sort((a, b) => a.length - b.length);
  const ask = (name: string, ...options: string[]) => lookup(cloud, 'vm1', name, ...options);

  await t.test('vm1 pings vm2 on the other host by its short and its full name, over IPv4 and IPv6', async () => {
    for (const name of ['vm2', 'vm2.openstacklocal', 'vm2.mine.example']) await cloud.ping('vm1', name);
    await until(15, 'vm1 pings vm2 over IPv6', async () => (await cloud.exec('vm1', 'ping', '-6', '-c', '1', '-W', '1', 'vm2')).code === 0);
    assert.match((await cloud.exec('vm1', 'cat', '/etc/resolv.conf')).stdout, /^search openstacklocal\.?$/m);
    assert.deepEqual([await ask('vm2.openstacklocal', '-type=a'), await ask('vm2.openstacklocal', '-type=aaaa')], [v4, v6]);
    assert.equal((await cloud.exec(two.id, 'hostname')).stdout.trim().split('.')[0], 'vm2', 'it is what the instance calls itself');
  });

  await t.test('an address leads back to the name, and the API says the same', async () => {
    assert.deepEqual([await ask(v4), await ask(v6)], ['vm2.openstacklocal', 'vm2.openstacklocal']);
    const [port] = (await admin.get(`/network/v2.0/ports?device_id=${two.id}`)).ports;
    assert.deepEqual(port.dns_assignment.map((one: any) => [one.ip_address, one.hostname, one.fqdn]).sort(), [v4, v6].sort().map((ip) => [ip, 'vm2', 'vm2.openstacklocal.']));
  });

  await t.test('each network has its own names: another project’s are unknown, an equal one is one’s own', async () => {
    const server = (await other.get('/compute/v2.1/servers/detail?name=^secret$')).servers[0];
    await resolves(cloud, server.id, 'vm2.openstacklocal', (await other.get('/compute/v2.1/servers/detail?name=^vm2$')).servers[0].addresses.theirs.find((one: any) => one.version === 4).addr);
    assert.deepEqual([await ask('secret'), await ask('secret.theirs.example'), await lookup(cloud, server.id, 'vm1'), await lookup(cloud, server.id, 'vm1.mine.example')], ['', '', '', '']);
  });

  await t.test('N-DH-10: names of the node’s /etc/hosts are no names of the network', async () => {
    for (const host of cloud.hosts) await cloud.host(host, 'sh', '-c', 'echo 10.99.0.1 node-secret >/run/hosts; mount --bind /run/hosts /etc/hosts; getent hosts node-secret');
    // dnsmasq reads its files again.
    const later = await admin.port({ network_id: mine.id, dns_name: 'later' });
    await resolves(cloud, 'vm1', 'later.openstacklocal', later.fixed_ips.find((one: any) => one.ip_address.includes('.')).ip_address);
    assert.deepEqual([await ask('node-secret'), await ask('10.99.0.1')], ['', '']);
    for (const host of cloud.hosts) await cloud.host(host, 'umount', '/etc/hosts');
  });

  await t.test('a port is called what its dns_name says, at once; a deleted server by nothing', async () => {
    const [port] = (await admin.get(`/network/v2.0/ports?device_id=${two.id}`)).ports;
    await cloud.openstack('admin', 'port', 'set', '--dns-name', 'DB', port.id);
    await cloud.settle();
    await resolves(cloud, 'vm1', 'db.openstacklocal', v4);
    assert.deepEqual([await ask('vm2.openstacklocal', '-type=a'), await ask('vm2.openstacklocal', '-type=aaaa'), await ask(v6)], ['', '', 'db.openstacklocal']);
    const [three] = (await admin.get('/compute/v2.1/servers?name=vm3')).servers;
    assert.notEqual(await ask('vm3.openstacklocal'), '');
    await admin.delete(`/compute/v2.1/servers/${three.id}`);
    await until(15, 'vm3 is unknown', async () => (await ask('vm3.openstacklocal')) === '');
  });
});

const FORWARDER = '172.16.0.1';

scenario('N-DNS-2: other names are asked for at dnsmasq_dns_servers, from inside a network that leads there', { config: `dnsmasq_dns_servers: ['${FORWARDER}']\n` }, async (cloud) => {
  const admin = await cloud.api();
  await admin.post('/compute/v2.1/flavors', { flavor: { name: 'm1.nano', ram: 128, vcpus: 1, disk: 1 } });
  const wire = await admin.network({ name: 'wire', 'provider:network_type': 'flat', 'provider:physical_network': 'physnet' });
  await admin.subnet({ network_id: wire.id, cidr: '172.16.0.0/24', gateway_ip: FORWARDER, allocation_pools: [{ start: '172.16.0.100', end: '172.16.0.150' }] });
  const island = await admin.network({ name: 'island' });
  await admin.subnet({ network_id: island.id, cidr: '10.0.0.0/24' });
  const forwarder = cloud.start('outside', 'dnsmasq', '--no-daemon', '--conf-file=/dev/null', '--no-hosts', '--no-resolv', '--user=root', '--bind-interfaces', `--listen-address=${FORWARDER}`, '--address=/#/', '--address=/www.example.com/203.0.113.80', '--log-queries', '--log-facility=-');
  await Promise.all([admin.server({ name: 'vm1', networks: [{ uuid: wire.id }] }), ...['vm2', 'vm3'].map((name) => admin.server({ name, networks: [{ uuid: island.id }] }))]);

  await resolves(cloud, 'vm1', 'www.example.com', '203.0.113.80');
  const [server] = (await admin.get(`/network/v2.0/ports?network_id=${wire.id}&device_owner=network:dhcp`)).ports;
  assert.match(forwarder.text(), new RegExp(`query\\[A\\] www\\.example\\.com from ${server.fixed_ips[0].ip_address.replaceAll('.', '\\.')}`));
  assert.equal(await lookup(cloud, 'vm1', 'vm2.openstacklocal'), '', 'a name of another network');
  // Without a router nothing leads to the forwarder; a resolver would give it five seconds.
  await cloud.ping('vm2', 'vm3');
  assert.equal((await cloud.exec('vm2', 'timeout', '4', 'ping', '-c', '1', '-W', '1', 'vm3.openstacklocal')).code, 0);
  assert.equal(await lookup(cloud, 'vm2', 'www.example.com'), '');
  assert.doesNotMatch(forwarder.text(), /vm3/);
  await forwarder.stop();
});
