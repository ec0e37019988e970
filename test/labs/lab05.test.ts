import assert from 'node:assert/strict';
import { type Cloud, until } from '#testkit/cloud.ts';
import { flows, labScenario, tracedTables } from './lab.ts';

labScenario('05-flat', 'lab 5: two instances on a flat provider network', async (lab, t) => {
  const { cloud } = lab;
  const empty = await tablesOfFlatNetwork(cloud);
  // From before the first port: also the guests' DHCP is on this wire.
  const wire = cloud.start('fabric', 'tcpdump', '-l', '-e', '-n', '-v', '-i', 'physnet', 'arp or icmp or port 67 or port 68 or vlan');
  await until(10, 'tcpdump listens on physnet', () => wire.text().includes('listening on'));
  await lab.demo();
  const admin = await cloud.api();
  const ports: Record<string, any>[] = (await admin.get('/network/v2.0/ports')).ports;
  const { servers } = await admin.get('/compute/v2.1/servers/detail?all_tenants=1');
  const address = (name: string) => ports.find(({ device_id }) => device_id === servers.find((server: any) => server.name === name).id)!;
  const [first, second] = [address('demo-instance-1'), address('demo-instance-2')];
  const dhcp = ports.find(({ device_owner }) => device_owner === 'network:dhcp')!;
  const ipOf = (port: Record<string, any>): string => port['fixed_ips'][0].ip_address;

  await t.test('N-ML2-17 N-DH-3 N-ML2-15: addresses come from the pool in order, the DHCP server\'s first; the instances are demo\'s, the network is admin\'s', () => {
    assert.deepEqual([dhcp, first, second].map(ipOf), ['172.16.0.2', '172.16.0.3', '172.16.0.4']);
    assert.notEqual(first['project_id'], admin.project_id);
    assert.notEqual(first['binding:host_id'], second['binding:host_id'], 'one instance on each host');
  });

  await t.test('N-OVS-7 N-OVS-8 N-OVS-17 N-ML2-5: they ping each other across hosts and the outside, all of it untagged on the wire', async () => {
    await cloud.ping('demo-instance-1', ipOf(second));
    await cloud.ping('demo-instance-2', ipOf(first));
    await cloud.ping('demo-instance-1', '172.16.0.1');
    await cloud.host('outside', 'ping', '-c', '1', '-W', '5', ipOf(second));
    await until(5, 'the last ping is on the wire', () => wire.text().includes(`172.16.0.1 > ${ipOf(second)}: ICMP echo request`));
    assert.doesNotMatch(wire.text(), /802\.1Q/);
  });

  // The instance on the other host than the DHCP server's: its DHCP crosses the wire.
  const remote = [first, second].find((port) => port['binding:host_id'] !== dhcp['binding:host_id'])!;
  await t.test('N-DH-4 N-DH-7 N-MTU-3 N-MTU-6: DISCOVER and REQUEST are broadcast, OFFER and ACK are not, and carry the subnet\'s options', async () => {
    // The first of each: a guest that waits asks again.
    const messages = dhcpMessages(wire.text(), remote['mac_address']).filter(({ type }, i, all) => all.findIndex((other) => other.type === type) === i);
    assert.deepEqual(messages.map(({ type }) => type), ['Discover', 'Offer', 'Request', 'ACK']);
    for (const { type, to } of messages) assert.equal(to, ['Discover', 'Request'].includes(type) ? 'ff:ff:ff:ff:ff:ff' : remote['mac_address'], type);
    const { text } = messages.at(-1)!;
    assert.match(text, new RegExp(`Your-IP ${ipOf(remote)}\n`));
    assert.match(text, /Subnet-Mask \(1\), length 4: 255\.240\.0\.0/);
    assert.match(text, /Default-Gateway \(3\), length 4: 172\.16\.0\.1/);
    assert.match(text, /Domain-Name-Server \(6\), length 4: 172\.16\.0\.2/);
    assert.match(text, /MTU \(26\), length 2: 1500/);
    assert.match(text, /BR \(28\), length 4: 172\.31\.255\.255/);
  });

  await t.test('N-DH-7, N-MD-12: a host route of the subnet reaches the next lease as option 121, with the default route and the way to metadata in it', async () => {
    const leases = () => dhcpMessages(wire.text(), remote['mac_address']).filter(({ type }) => type === 'ACK').length;
    const before = leases();
    const result = await lab.openstack('admin', 'subnet set --host-route destination=198.51.100.0/24,gateway=172.16.0.1 provider', `server reboot --hard ${remote['device_id']}`);
    assert.equal(result.stderr, '');
    await until(20, 'another lease', () => leases() > before);
    const { text } = dhcpMessages(await wire.stop(), remote['mac_address']).at(-1)!;
    assert.match(text, /Classless-Static-Route \(121\), length 22: \(169\.254\.169\.254\/32:172\.16\.0\.2\),\(198\.51\.100\.0\/24:172\.16\.0\.1\),\(default:172\.16\.0\.1\)/);
    const name = remote === first ? 'demo-instance-1' : 'demo-instance-2';
    await cloud.ping(name, '172.16.0.1');
    assert.equal((await cloud.exec(name, 'ip', 'route', 'show', '198.51.100.0/24')).stdout.trim(), '198.51.100.0/24 via 172.16.0.1 dev eth0');
  });

  const hostOfDhcp: string = dhcp['binding:host_id'];
  const [near, far] = [first, second].sort((a) => (a['binding:host_id'] === hostOfDhcp ? -1 : 1)) as [Record<string, any>, Record<string, any>];
  const tap = (port: Record<string, any>) => `tap${port['id'].slice(0, 11)}`;

  await t.test('N-OVS-1 N-OVS-2 N-OVS-3 N-OVS-4 N-OVS-5 N-OVS-12 N-OVS-16: bridges, patch pair, access ports and flows as observe.sh shows them', async () => {
    const text = await lab.observe(far['binding:host_id']);
    for (const bridge of ['br-int', 'br-phys']) assert.match(text, new RegExp(`Bridge ${bridge}\n *fail_mode: secure`));
    assert.doesNotMatch(text, /Controller|Manager/, 'decision X-19');
    assert.match(text, /Interface int-br-phys\n *type: patch\n *options: \{peer=phy-br-phys\}/);
    assert.match(text, /Interface phy-br-phys\n *type: patch\n *options: \{peer=int-br-phys\}/);
    assert.match(text, new RegExp(`Port ${tap(far)}\n *tag: 1\n`));
    assert.match(text, /priority=65535,dl_vlan=4095 actions=drop/);
    assert.match(text, /dl_vlan=1 actions=strip_vlan,NORMAL/);
    assert.match(await cloud.host(hostOfDhcp, 'ovs-vsctl', 'show'), new RegExp(`Port ${tap(dhcp)}\n *tag: 1\n`), 'N-DH-2');
  });

  await t.test('N-DH-1 N-DH-2 N-DH-10 N-DH-11: a namespace for the network with a dnsmasq of its own, on one host', async () => {
    const namespace = `qdhcp-${dhcp['network_id']}`;
    assert.match(await lab.observe(hostOfDhcp), new RegExp(namespace));
    assert.doesNotMatch(await lab.observe(far['binding:host_id']), /qdhcp-/);
    const [pid = ''] = (await cloud.host(hostOfDhcp, 'sh', '-c', `for pid in $(ip netns pids ${namespace}); do grep -qx dnsmasq /proc/$pid/comm && echo $pid; done; :`)).trim().split('\n');
    const argv = (await cloud.host(hostOfDhcp, 'cat', `/proc/${pid}/cmdline`)).split('\0');
    assert.ok(argv.includes('--no-hosts') && argv.includes('--no-resolv'), argv.join(' '));
  });

  await t.test('N-OVS-20: a compute host has no way to the instances but a default gateway, and here it has none', async () => {
    for (const host of cloud.hosts) assert.match((await cloud.tryHost(host, 'ip', 'route', 'get', ipOf(first))).stderr, /unreachable/);
  });

  await t.test('N-SG-1: ssh from outside with the demo-key, plain and by `openstack server ssh`', async () => {
    assert.equal(await lab.ssh('outside', ipOf(first), 'hostname'), 'demo-instance-1\n');
    assert.equal(await lab.serverSsh('demo-instance-2', '--private', 'hostname'), 'demo-instance-2\n');
  });

  await t.test('N-ML2-3 N-ML2-5 N-ML2-10 X-5: a second flat network, a type without driver and any tenant network are refused, and leave nothing', async () => {
    const networks = (await admin.get('/network/v2.0/networks')).networks.length;
    const refused = await lab.openstack('admin',
      'network create --provider-network-type flat --provider-physical-network physnet second',
      'network create --provider-network-type vxlan --provider-segment 7 tunnel',
      'network create tenant');
    assert.match(refused.stderr, /ConflictException: 409.*Unable to create the flat network\. Physical network physnet is in use\./);
    assert.match(refused.stderr, /BadRequestException: 400.*vxlan/);
    assert.match(refused.stderr, /HttpException: 503.*No tenant network is available for allocation\./);
    assert.equal((await admin.get('/network/v2.0/networks')).networks.length, networks);
  });

  await t.test('N-ML2-17: the pool of nine gives nine addresses; the tenth port fails cleanly, and so does an instance', async () => {
    const names = ['p5', 'p6', 'p7', 'p8', 'p9', 'p10', 'p11'];
    const result = await lab.openstack('demo', ...names.map((name) => `port create --network provider ${name}`), 'server create --flavor m1.nano --image cirros --network provider demo-instance-9');
    assert.equal(result.stderr.match(/No more IP addresses available on network/g)?.length, 2, result.stderr);
    const held = (await admin.get('/network/v2.0/ports')).ports.map(ipOf).sort();
    assert.deepEqual(held, ['172.16.0.10', ...[2, 3, 4, 5, 6, 7, 8, 9].map((last) => `172.16.0.${last}`)]);
    assert.equal((await admin.get('/compute/v2.1/servers?all_tenants=1')).servers.length, 2);
  });

  await t.test('N-OVS-15 N-SG-2: without port security a frame goes 0, 60, 73, 94, and the instances still reach each other', async () => {
    await lab.disablePortSecurity();
    await cloud.settle();
    const packet = `in_port=${tap(far)},dl_src=${far['mac_address']},dl_dst=${near['mac_address']},icmp`;
    assert.deepEqual(await tracedTables(cloud, far['binding:host_id'], 'br-int', packet), [0, 60, 73, 94, 0]);
    for (const table of [24, 25]) assert.deepEqual(await flows(cloud, far['binding:host_id'], 'br-int', table), ['priority=0 actions=drop'], `table ${table}`);
    await cloud.ping('demo-instance-1', ipOf(second));
  });

  await t.test('N-OVS-11 N-OVS-16: the last port takes the network\'s rules away with it: what is untagged is dropped again', async () => {
    const host = far['binding:host_id'];
    await admin.delete(`/compute/v2.1/servers/${far['device_id']}`);
    await until(20, `${host} holds nothing of the network`, async () => (await tablesOf(cloud, host)) === empty.get(host));
    const dropped = async () => Number(/n_packets=(\d+).* priority=2,in_port=\d+ actions=drop/.exec(await cloud.host(host, 'ovs-ofctl', 'dump-flows', 'br-int', 'table=0'))![1]);
    const before = await dropped();
    await cloud.tryHost('outside', 'arping', '-c', '1', '-w', '1', '-I', 'phys', '172.16.0.99');
    await until(5, 'the broadcast is counted where it is dropped', async () => (await dropped()) > before);
  });
});

/** Table 0 of both bridges on each host. */
async function tablesOfFlatNetwork(cloud: Cloud): Promise<Map<string, string>> {
  return new Map(await Promise.all(cloud.hosts.map(async (host) => [host, await tablesOf(cloud, host)] as const)));
}

async function tablesOf(cloud: Cloud, host: string): Promise<string> {
  return [...(await flows(cloud, host, 'br-int', 0)), ...(await flows(cloud, host, 'br-phys', 0))].join('\n');
}

interface DhcpMessage {
  readonly type: string;
  /** Destination MAC. */
  readonly to: string;
  readonly text: string;
}

/** The DHCP messages of one client in the text of `tcpdump -e -v`. */
function dhcpMessages(text: string, mac: string): DhcpMessage[] {
  return text.split(/^(?=\d\d:\d\d:\d\d\.)/m).filter((message) => message.includes('BOOTP/DHCP') && message.includes(`Client-Ethernet-Address ${mac}`)).map((message) => ({
    type: /DHCP-Message \(53\), length 1: (\w+)/.exec(message)?.[1] ?? '', to: /> (\S+?),/.exec(message)?.[1] ?? '', text: message,
  }));
}
