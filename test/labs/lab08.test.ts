import assert from 'node:assert/strict';
import { type Cloud, until } from '#testkit/cloud.ts';
import { labScenario } from './lab.ts';

const OUTSIDE = '172.16.0.1';

labScenario('08-router', 'lab 8: a router between a VLAN network and the flat one, and a floating IP', async (lab, t) => {
  const { cloud } = lab;
  await lab.demo();
  const admin = await cloud.api();

  await t.test('N-L3-1 N-L3-2: a new router is a row of demo\'s project, and nothing on a host', async () => {
    const { stderr } = await lab.openstack('demo', 'router create lonely');
    assert.equal(stderr, '');
    const [router] = (await admin.get('/network/v2.0/routers')).routers;
    const [{ id: project }] = (await admin.get('/identity/v3/projects?name=demo')).projects;
    assert.deepEqual([router.project_id, router.external_gateway_info], [project, null]);
    await cloud.settle();
    assert.doesNotMatch(await namespaces(cloud), /qrouter-/);
    await lab.openstack('demo', 'router delete lonely');
  });

  await lab.demo('router.sh');
  const ports: Record<string, any>[] = (await admin.get('/network/v2.0/ports')).ports;
  const { servers } = await admin.get('/compute/v2.1/servers/detail?all_tenants=1');
  const portOf = (server: string) => ports.find(({ device_id }) => device_id === servers.find(({ name }: any) => name === server).id)!;
  const [first, second, flat] = [portOf('demo-instance-1'), portOf('demo-instance-2'), portOf('demo-instance-3')];
  const [gateway, inner] = ['network:router_gateway', 'network:router_interface'].map((owner) => ports.find(({ device_owner }) => device_owner === owner)!) as [Record<string, any>, Record<string, any>];
  const [floatingIp] = (await admin.get('/network/v2.0/floatingips')).floatingips;
  const floating: string = floatingIp.floating_ip_address;
  const host: string = gateway['binding:host_id'];
  const namespace = `qrouter-${gateway['device_id']}`;

  await t.test('N-L3-3 N-L3-4 N-L3-14 N-L3-15: the gateway and the floating IP have addresses of the flat subnet\'s pool, the inner leg is the VLAN subnet\'s gateway', () => {
    assert.deepEqual([gateway, inner].map(addressOf), ['172.16.0.4', '172.18.0.1']);
    assert.deepEqual([floating, floatingIp.fixed_ip_address, floatingIp.port_id, floatingIp.router_id], ['172.16.0.5', addressOf(first), first['id'], gateway['device_id']]);
  });

  await t.test('N-L3-5: demo cannot put a router on the admin\'s shared subnet', async () => {
    const { stderr } = await lab.openstack('demo', 'router create other', 'router add subnet other vlan-subnet');
    assert.match(stderr, /BadRequestException: 400/);
    await lab.openstack('demo', 'router delete other');
  });

  await t.test('N-L3-7 N-L3-9 N-L3-12 N-L3-16: a namespace on one host as observe.sh shows it: qg- and qr- on br-int with tags of their networks, their addresses and routes', async () => {
    const text = await lab.observe(host);
    const [qg, qr] = [`qg-${gateway['id'].slice(0, 11)}`, `qr-${inner['id'].slice(0, 11)}`];
    const tag = (port: string) => Number(new RegExp(`Port ${port}\n *tag: (\\d)\n`).exec(text)?.[1]);
    assert.notEqual(tag(qg), tag(qr));
    assert.match(text, new RegExp(`^${qg}\\S* +UP +172\\.16\\.0\\.4/24 172\\.16\\.0\\.5/32 `, 'm'));
    assert.match(text, new RegExp(`^${qr}\\S* +UP +172\\.18\\.0\\.1/24 `, 'm'));
    assert.match(text, new RegExp(`^default via 172\\.16\\.0\\.1 dev ${qg} \n172\\.16\\.0\\.0/24 dev ${qg} .*\n172\\.18\\.0\\.0/24 dev ${qr} `, 'm'));
    const others = cloud.hosts.filter((each) => each !== host);
    for (const other of others) assert.doesNotMatch(await cloud.host(other, 'ip', 'netns', 'list'), /qrouter-/);
  });

  await t.test('N-L3-6 N-L3-10 N-L3-11 N-L3-17 N-L3-19: out by the router\'s address or the floating IP, untagged on the wire; not in from there', async () => {
    const wire = await cloud.capture('fabric', 'physnet', 'icmp or vlan');
    for (const [name, from] of [['demo-instance-2', addressOf(gateway)], ['demo-instance-1', floating]] as const) {
      await cloud.ping(name, OUTSIDE);
      await until(5, `${name} is ${from} on the wire`, () => wire.text().includes(`${from} > ${OUTSIDE}: ICMP echo request`));
      await cloud.ping(name, addressOf(flat));
    }
    await cloud.host('outside', 'ip', 'route', 'add', '172.18.0.0/24', 'via', addressOf(gateway));
    for (const port of [first, second]) assert.notEqual((await cloud.tryHost('outside', 'ping', '-c', '2', '-i', '0.2', '-W', '1', addressOf(port))).code, 0);
    await until(5, 'the pings have come to the router\'s wire', () => wire.text().includes(`${OUTSIDE} > ${addressOf(second)}: ICMP echo request`));
    // Of the inner subnet nothing but what the outside itself sent is there without tag 100.
    const bare = (await wire.stop()).split('\n').filter((line) => line.includes('172.18.0.') && !line.includes('vlan 100') && !line.includes(`${OUTSIDE} > `));
    assert.deepEqual(bare, []);
  });

  await t.test('N-L3-16 N-L3-18: the floating IP is answered for by the gateway\'s MAC, and reached from outside by ping and ssh', async () => {
    assert.match(await cloud.host('outside', 'arping', '-c', '1', '-w', '5', '-I', 'phys', floating), new RegExp(`\\[${gateway['mac_address']}\\]`, 'i'));
    await cloud.host('outside', 'ping', '-c', '1', '-W', '5', floating);
    assert.equal(await lab.ssh('outside', floating, 'hostname'), 'demo-instance-1\n');
    assert.equal(await lab.ssh('outside', addressOf(flat), 'hostname'), 'demo-instance-3\n');
  });

  await t.test('N-MD-15: with enable_metadata_proxy: false (X-10) the router neither redirects nor listens; the isolated flat network has its metadata from the DHCP server', async () => {
    assert.doesNotMatch(await cloud.host(host, 'ip', 'netns', 'exec', namespace, 'nft', 'list', 'ruleset'), /redirect/);
    assert.equal(await cloud.host(host, 'ip', 'netns', 'exec', namespace, 'ss', '-Hltn'), '');
    assert.match((await cloud.exec('demo-instance-3', 'curl', '-sS', '--max-time', '5', 'http://169.254.169.254/')).stdout, /^1\.0\n/);
  });

  await t.test('N-DNS-2: the VLAN network\'s DHCP server asks 1.1.1.1 for its guests, through the router', async () => {
    assert.match((await cloud.exec('demo-instance-2', 'curl', '-sS', '--max-time', '10', 'http://www.example.com/')).stdout, /world outside/);
  });

  await t.test('N-L3-9 N-L3-14: the pool of nine is shared with DHCP server, gateway and floating IP; when it is empty a floating IP fails cleanly', async () => {
    const result = await lab.openstack('demo', ...Array.from({ length: 6 }, () => 'floating ip create flat-network'));
    assert.equal(result.stderr.match(/409, No more IP addresses available/g)?.length ?? 0, 1, result.stderr);
    assert.equal((await admin.get('/network/v2.0/floatingips')).floatingips.length, 6);
  });
});

const addressOf = (port: Record<string, any>): string => port['fixed_ips'][0].ip_address;

async function namespaces(cloud: Cloud): Promise<string> {
  return (await Promise.all(cloud.hosts.map((host) => cloud.host(host, 'ip', 'netns', 'list')))).join('');
}
