import assert from 'node:assert/strict';
import { scenario, until } from '#testkit/cloud.ts';

const NETWORKS = [
  { name: 'gre', attributes: { 'provider:network_type': 'gre' }, cidr: '10.11.0.0/24', mtu: 1458 },
  { name: 'geneve', attributes: { 'provider:network_type': 'geneve' }, cidr: '10.12.0.0/24', mtu: 1450 },
  { name: 'vxlan', attributes: { 'provider:network_type': 'vxlan', 'provider:segmentation_id': 4711 }, cidr: '10.13.0.0/24', mtu: 1450 },
  { name: 'vlan', attributes: { 'provider:network_type': 'vlan', 'provider:physical_network': 'physnet', 'provider:segmentation_id': 142 }, cidr: '10.14.0.0/24', mtu: 1500 },
  { name: 'flat', attributes: { 'provider:network_type': 'flat', 'provider:physical_network': 'physnet' }, cidr: '10.15.0.0/24', mtu: 1500 },
  { name: 'local', attributes: { 'provider:network_type': 'local' }, cidr: '10.16.0.0/24', mtu: 1500 },
] as const;

scenario('N-ML2-3: instances reach each other across hosts over every type of network', { config: 'dhcp_agents_per_network: 2\n' }, async (cloud, t) => {
  const admin = await cloud.api();
  await admin.post('/compute/v2.1/flavors', { flavor: { name: 'm1.nano', ram: 128, vcpus: 1, disk: 1 } });
  const untouched = await flowsOf();
  const networks = await Promise.all(NETWORKS.map(async ({ name, attributes, cidr }) => {
    const network = await admin.network({ name, ...attributes });
    await admin.subnet({ network_id: network.id, cidr });
    return network;
  }));
  const flat = networks[NETWORKS.findIndex(({ name }) => name === 'flat')];
  // The outside is on this wire: no router advertises here.
  await admin.subnet({ network_id: flat.id, ip_version: 6, cidr: '2001:db8:16::/64', gateway_ip: '2001:db8:16::1', ipv6_address_mode: 'dhcpv6-stateful' });
  const uuids = networks.map((network) => ({ uuid: network.id }));
  const [one, two, three] = await Promise.all([
    admin.server({ name: 'vm1', networks: uuids, availability_zone: 'nova:compute1' }),
    admin.server({ name: 'vm2', networks: uuids, availability_zone: 'nova:compute2' }),
    admin.server({ name: 'vm3', networks: uuids.slice(-1), availability_zone: 'nova:compute1' }),
  ]);
  const addressOf = (server: any, name: string, version = 4): string => server.addresses[name].find((each: any) => each.version === version).addr;

  for (const [i, { name, mtu }] of NETWORKS.entries()) {
    if (name === 'local') continue;
    await t.test(`${name}: ping, and frames of the full MTU with DF (N-MTU-7)`, async () => {
      assert.equal(networks[i].mtu, mtu);
      await cloud.ping('vm1', addressOf(two, name));
      await until(20, `vm1 knows the MTU of ${name}`, async () => (await cloud.exec('vm1', 'ip', '-o', 'link', 'show', 'dev', `eth${i}`)).stdout.includes(`mtu ${mtu}`));
      const full = await cloud.exec('vm1', 'ping', '-c', '2', '-i', '0.3', '-W', '2', '-M', 'do', '-s', String(mtu - 28), addressOf(two, name));
      assert.equal(full.code, 0, full.stdout + full.stderr);
      assert.notEqual((await cloud.exec('vm1', 'ping', '-c', '1', '-W', '1', '-M', 'do', '-s', String(mtu - 27), addressOf(two, name))).code, 0);
    });
  }

  await t.test('flat: an address by DHCPv6, and the outside in reach of it', async () => {
    const address = addressOf(one, 'flat', 6);
    await until(20, `vm1 has ${address}`, async () => (await cloud.exec('vm1', 'ip', '-6', '-o', 'address', 'show')).stdout.includes(` ${address}/64 `));
    await cloud.ping('vm1', '2001:db8:16::1');
    assert.equal((await cloud.exec('vm1', 'ip', '-6', 'route', 'show', 'default')).stdout, '', 'the outside advertises nothing');
  });

  await t.test('a guest whose wire comes up only later gets its DHCPv6 address all the same', async () => {
    const device = `eth${networks.indexOf(flat)}`;
    const [port] = (await admin.get(`/network/v2.0/ports?device_id=${one.id}&network_id=${flat.id}`)).ports;
    const wire = (state: string) => cloud.host('compute1', 'ip', 'link', 'set', `tap${port.id.slice(0, 11)}`, state);
    await cloud.exec('vm1', 'sh', '-c', `/.patchbay/nic-down ${device}; ip link set ${device} down`);
    await wire('down');
    await cloud.exec('vm1', 'sh', '-c', `/.patchbay/nic-up ${device} > /dev/null 2>&1 < /dev/null &`);
    await until(10, 'the client is there', async () => (await cloud.exec('vm1', 'sh', '-c', `ps | grep -q '[d]hclient.*${device}'`)).code === 0);
    await new Promise((resolve) => setTimeout(resolve, 500));
    await wire('up');
    await until(20, 'it has its address', async () => (await cloud.exec('vm1', 'ip', '-6', '-o', 'address', 'show', 'dev', device)).stdout.includes(` ${addressOf(one, 'flat', 6)}/64 `));
    await cloud.ping('vm1', '2001:db8:16::1');
  });

  await t.test('N-DH-12: two DHCP servers serve each network and give the same answers', async () => {
    for (const network of networks) {
      const servers = (await admin.get(`/network/v2.0/ports?network_id=${network.id}&device_owner=network:dhcp`)).ports;
      assert.deepEqual(servers.map((port: Record<string, string>) => port['binding:host_id']).sort(), ['compute1', 'compute2']);
      const [first, second] = await Promise.all(['compute1', 'compute2'].map((host) => cloud.host(host, 'cat', `${cloud.state}/hosts/${host}/dhcp/${network.id}/host`)));
      assert.equal(first, second);
    }
  });

  await t.test('N-ML2-4: a local network ends at its host', async () => {
    await cloud.ping('vm1', addressOf(three, 'local'));
    assert.equal(await cloud.answers('vm1', addressOf(two, 'local')), false);
  });

  await t.test('N-OVS-5 N-OVS-6: each network has a tag of its own on each host, and hosts number independently', async () => {
    for (const [host, server] of [['compute1', one], ['compute2', two]]) {
      const ports = (await admin.get(`/network/v2.0/ports?device_id=${server.id}`)).ports;
      const tags = await Promise.all(ports.map(async (port: { id: string }) => Number(await cloud.host(host, 'ovs-vsctl', 'get', 'Port', `tap${port.id.slice(0, 11)}`, 'tag'))));
      assert.equal(new Set(tags).size, NETWORKS.length);
      assert.ok(Math.min(...tags) >= 1 && Math.max(...tags) <= NETWORKS.length, `tags ${tags}`);
    }
  });

  await t.test('N-OVS-16: removing the last port of a network from a host removes exactly what it had added', async () => {
    for (const server of [one, two, three]) await admin.delete(`/compute/v2.1/servers/${server.id}`);
    for (const network of networks) {
      for (const subnet of (await admin.get(`/network/v2.0/subnets?network_id=${network.id}`)).subnets) await admin.delete(`/network/v2.0/subnets/${subnet.id}`);
    }
    await until(20, 'both hosts have the flows of the beginning', async () => JSON.stringify(await flowsOf()) === JSON.stringify(untouched));
  });

  async function flowsOf(): Promise<string[]> {
    const script = "for b in br-int br-tun br-phys; do ovs-ofctl dump-flows --no-stats $b | grep -v 'NXST\\|0x506174636862614c' | sort; done";
    return Promise.all(cloud.hosts.map((host) => cloud.host(host, 'sh', '-c', script)));
  }
});
