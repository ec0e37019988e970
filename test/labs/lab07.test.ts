import assert from 'node:assert/strict';
import { type Cloud, until } from '#testkit/cloud.ts';
import { flows, labScenario } from './lab.ts';

const VLAN = 100;
const OPERATOR = '172.17.0.99';

labScenario('07-vlan', 'lab 7: two instances on a VLAN provider network', async (lab, t) => {
  const { cloud } = lab;
  const wire = cloud.start('fabric', 'tcpdump', '-l', '-e', '-n', '-i', 'physnet', 'arp or ip or vlan');
  await until(10, 'tcpdump listens on physnet', () => wire.text().includes('listening on'));
  await lab.demo();
  const admin = await cloud.api();
  const networks: Record<string, any>[] = (await admin.get('/network/v2.0/networks')).networks;
  const [vlanNetwork, flatNetwork] = ['vlan-network', 'flat-network'].map((name) => networks.find((network) => network['name'] === name)!) as [Record<string, any>, Record<string, any>];
  const ports: Record<string, any>[] = (await admin.get(`/network/v2.0/ports?network_id=${vlanNetwork['id']}`)).ports;
  const instances = ports.filter(({ device_owner }) => device_owner.startsWith('compute:')).sort((a, b) => (ipOf(a) < ipOf(b) ? -1 : 1));
  const [first, second] = instances as [Record<string, any>, Record<string, any>];

  await t.test('N-ML2-6 N-ML2-7 N-ML2-15: the admin\'s VLAN network carries two instances of demo, one on each host', () => {
    assert.deepEqual([vlanNetwork['provider:network_type'], vlanNetwork['provider:physical_network'], vlanNetwork['provider:segmentation_id']], ['vlan', 'physnet', VLAN]);
    assert.deepEqual(instances.map(ipOf), ['172.17.0.3', '172.17.0.4']);
    assert.deepEqual(instances.map((port) => port['binding:host_id']).sort(), ['compute1', 'compute2']);
  });

  await t.test('N-ML2-6 N-OVS-9: they ping each other, with tag 100 on the wire and nothing of it untagged', async () => {
    await cloud.ping('demo-instance-1', ipOf(second));
    await cloud.ping('demo-instance-2', ipOf(first));
    const echo = `${ipOf(second)} > ${ipOf(first)}: ICMP echo request`;
    await until(5, 'the ping is on the wire', () => wire.text().includes(echo));
    const lines = wire.text().split('\n').filter((line) => line.includes('172.17.0.'));
    assert.ok(lines.some((line) => line.includes(echo)));
    for (const line of lines) assert.match(line, /ethertype 802\.1Q \(0x8100\), length \d+: vlan 100, /);
  });

  await t.test('N-OVS-5 N-OVS-6 N-OVS-9 N-OVS-10 N-OVS-16: each host has a local VLAN of its own for the network, and rewrites it both ways', async () => {
    for (const port of instances) {
      const host: string = port['binding:host_id'];
      const tag = Number(await cloud.host(host, 'ovs-vsctl', 'get', 'Port', `tap${port['id'].slice(0, 11)}`, 'tag'));
      assert.ok(tag === 1 || tag === 2, `local VLAN ${tag} of ${host}: the lowest that are free`);
      const text = await lab.observe(host);
      assert.match(text, new RegExp(`dl_vlan=${tag} actions=mod_vlan_vid:${VLAN},NORMAL`), 'out, on br-phys');
      assert.match(text, new RegExp(`dl_vlan=${VLAN} actions=strip_vlan,load:0x${tag.toString(16)}->NXM_NX_REG6\\[\\],.*resubmit\\(,60\\)`), 'in, on br-int');
    }
  });

  await t.test('N-OVS-18: from the untagged segment nobody reaches the VLAN network, nor the other way', async () => {
    await cloud.host('outside', 'ip', 'address', 'add', '172.17.0.1/24', 'dev', 'phys');
    try {
      assert.notEqual((await cloud.tryHost('outside', 'ping', '-c', '3', '-i', '0.2', '-W', '1', ipOf(first))).code, 0);
      assert.equal(await cloud.answers('demo-instance-1', '172.17.0.1'), false);
    } finally {
      await cloud.host('outside', 'ip', 'address', 'del', '172.17.0.1/24', 'dev', 'phys');
    }
    await cloud.ping('demo-instance-1', ipOf(second));
  });

  await t.test('N-OVS-19: an operator joins by an access port of VLAN 100 on br-phys, and pings and sshs instances on both hosts', async () => {
    await cloud.host('compute1', 'sh', lab.file('join.sh'), String(VLAN), `${OPERATOR}/24`);
    try {
      for (const port of instances) await cloud.host('compute1', 'ping', '-c', '1', '-W', '5', ipOf(port));
      assert.equal(await lab.ssh('compute1', ipOf(first), 'hostname'), 'demo-instance-1\n');
      assert.equal(await lab.ssh('compute1', ipOf(second), 'hostname'), 'demo-instance-2\n');
    } finally {
      await cloud.host('compute1', 'ovs-vsctl', 'del-port', 'br-phys', `vlan${VLAN}`);
    }
  });

  await t.test('N-ML2-7 N-ML2-10 N-ML2-11 N-ML2-13: a taken VLAN id, one from the pool that is not there and what only admins may are refused', async () => {
    const byAdmin = await lab.openstack('admin',
      `network create --provider-network-type vlan --provider-physical-network physnet --provider-segment ${VLAN} taken`,
      'network create --provider-network-type vlan --provider-physical-network physnet any');
    assert.match(byAdmin.stderr, /ConflictException: 409.*100/);
    assert.match(byAdmin.stderr, /HttpException: 503.*No tenant network is available for allocation\./);
    const byDemo = await lab.openstack('demo', 'network create --provider-network-type vlan --provider-physical-network physnet --provider-segment 101 mine', 'network create mine');
    assert.match(byDemo.stderr, /403, .*disallowed by policy/);
    assert.match(byDemo.stderr, /HttpException: 503.*No tenant network is available for allocation\./);
    assert.equal((await admin.get('/network/v2.0/networks')).networks.length, networks.length);
  });

  await t.test('N-OVS-5 N-OVS-7 N-OVS-11: an instance on the flat network gets the next local VLAN; untagged frames of that host are its own now', async () => {
    const result = await lab.openstack('demo', 'server create --flavor m1.nano --image cirros --network flat-network --key-name demo-key demo-instance-3');
    assert.equal(result.stderr, '');
    const [port] = (await admin.get(`/network/v2.0/ports?network_id=${flatNetwork['id']}`)).ports.filter(({ device_owner }: any) => device_owner.startsWith('compute:'));
    await cloud.ping('demo-instance-3', '172.16.0.1');
    const host: string = port['binding:host_id'];
    const tag = Number(await cloud.host(host, 'ovs-vsctl', 'get', 'Port', `tap${port.id.slice(0, 11)}`, 'tag'));
    assert.deepEqual(await localVlans(cloud, host), [1, 2]);
    assert.ok((await flows(cloud, host, 'br-phys', 0)).some((flow) => flow.endsWith(`dl_vlan=${tag} actions=strip_vlan,NORMAL`)));
    assert.ok((await flows(cloud, host, 'br-int', 0)).some((flow) => flow.includes(`vlan_tci=0x0000/0x1fff actions=load:0x${tag.toString(16)}->NXM_NX_REG6[]`)));
    assert.equal(await cloud.answers('demo-instance-3', ipOf(first)), false, 'the VLAN network stays apart');
    assert.equal(await lab.ssh('outside', ipOf(port), 'hostname'), 'demo-instance-3\n');
  });
  await wire.stop();
});

const ipOf = (port: Record<string, any>): string => port['fixed_ips'][0].ip_address;

async function localVlans(cloud: Cloud, host: string): Promise<number[]> {
  const text = await cloud.host(host, 'ovs-vsctl', '--bare', '--columns=tag', 'list', 'Port');
  return [...new Set(text.split('\n').filter((line) => line !== '').map(Number))].sort((a, b) => a - b);
}
