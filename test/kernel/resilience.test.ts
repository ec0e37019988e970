import assert from 'node:assert/strict';
import { scenario, until } from '#testkit/cloud.ts';
import { endProcesses } from '#cli/datacentre/process.ts';
import { runningProcess } from '#cli/datacentre/state-folder.ts';
import { agentName, startAgent, startController } from '#cli/services.ts';
import { readSettings } from '#cli/settings.ts';
import { up } from '#cli/up.ts';

scenario('what runs keeps running: switch, agent, controller and instances are killed and come back', {}, async (cloud, t) => {
  const admin = await cloud.api();
  await admin.post('/compute/v2.1/flavors', { flavor: { name: 'm1.nano', ram: 128, vcpus: 1, disk: 1 } });
  const network = await admin.network({ name: 'net' });
  const subnet = await admin.subnet({ network_id: network.id, cidr: '10.2.0.0/24' });
  const [one, two] = await Promise.all(['compute1', 'compute2'].map((host, i) => admin.server({ name: `vm${i + 1}`, networks: [{ uuid: network.id }], availability_zone: `nova:${host}` })));
  const address = two.addresses.net[0].addr;
  await cloud.ping('vm1', address);
  const portOf = async (id: string) => (await admin.get(`/network/v2.0/ports?device_id=${id}`)).ports[0];
  const [port1, port2] = [await portOf(one.id), await portOf(two.id)];
  const tap = (port: { id: string }) => `tap${port.id.slice(0, 11)}`;

  await t.test('N-OVS-14: after kill -9 of ovs-vswitchd forwarding and DHCP work again, and dnsmasq was not restarted', async () => {
    const [dhcp] = (await admin.get(`/network/v2.0/ports?network_id=${network.id}&device_owner=network:dhcp`)).ports;
    const host = dhcp['binding:host_id'];
    const dnsmasq = (await cloud.host(host, 'sh', '-c', `pgrep -f '[d]nsmasq.*${network.id}' | sort`)).trim();
    const vswitchd = (await cloud.host(host, 'cat', '/run/openvswitch/ovs-vswitchd.pid')).trim();
    await cloud.host(host, 'kill', '-9', vswitchd);
    await until(20, 'another ovs-vswitchd runs', async () => (await cloud.tryHost(host, 'cat', '/run/openvswitch/ovs-vswitchd.pid')).stdout.trim() !== vswitchd);
    await cloud.ping('vm1', address);
    const client = host === 'compute1' ? 'vm1' : 'vm2';
    const { code, stdout, stderr } = await cloud.exec(client, 'udhcpc', '-n', '-q', '-t', '8', '-T', '1', '-i', 'eth0', '-s', '/bin/true');
    assert.equal(code, 0, stdout + stderr);
    assert.equal((await cloud.host(host, 'sh', '-c', `pgrep -f '[d]nsmasq.*${network.id}' | sort`)).trim(), dnsmasq);
  });

  await t.test('packets flow while the agent and the controller are dead, and no plan follows when they are back', async () => {
    const before = cloud.log('compute1').length;
    await endProcesses([runningProcess(cloud.state, agentName('compute1'))!, runningProcess(cloud.state, 'controller')!], 'SIGKILL');
    assert.equal(await cloud.host('compute1', 'true'), '');
    const instance = await cloud.host('compute1', 'sh', '-c', `cat ${cloud.state}/hosts/compute1/instances/${one.id}/pid`);
    const ping = await cloud.tryHost('compute1', 'nsenter', '-t', instance.trim().split(/\s/)[0]!, '-n', 'ping', '-c', '3', '-i', '0.2', '-W', '1', address);
    assert.equal(ping.code, 0, ping.stdout);
    await startController(cloud.plan);
    await startAgent(cloud.state, cloud.plan.hosts[0]!);
    await until(20, 'both hosts are alive', async () => (await cloud.patchbay('status')).code === 0);
    await cloud.settle();
    assert.deepEqual(cloud.log('compute1').slice(before).filter(({ msg }) => msg === 'plan'), []);
    await cloud.ping('vm1', address);
  });

  await t.test('server reboot, stop and start plug a new tap under its name, and it passes packets again', async () => {
    await admin.post(`/compute/v2.1/servers/${two.id}/action`, { reboot: { type: 'HARD' } });
    await admin.serverStatus(two.id, 'ACTIVE');
    await cloud.ping('vm1', address);
    await admin.post(`/compute/v2.1/servers/${two.id}/action`, { 'os-stop': null });
    await admin.serverStatus(two.id, 'SHUTOFF');
    await until(10, 'the port is DOWN', async () => (await portOf(two.id)).status === 'DOWN');
    assert.equal(await cloud.answers('vm1', address), false);
    await admin.post(`/compute/v2.1/servers/${two.id}/action`, { 'os-start': null });
    await admin.serverStatus(two.id, 'ACTIVE');
    await cloud.ping('vm1', address);
  });

  await t.test('a guest that powers itself off is SHUTOFF and stays so until it is started', async () => {
    await cloud.exec('vm2', 'poweroff');
    await admin.serverStatus(two.id, 'SHUTOFF');
    await admin.post(`/compute/v2.1/servers/${two.id}/action`, { 'os-start': null });
    await admin.serverStatus(two.id, 'ACTIVE');
    await cloud.ping('vm1', address);
  });

  await t.test('the port contract: what anybody plugs with an iface-id is dead until it is wired, then it is ACTIVE (N-OVS-4 N-OVS-5 N-OVS-6)', async () => {
    const name = 'foreign0';
    await cloud.host('compute1', 'sh', '-c', `ip netns add guest && ip link add ${name} type veth peer name eth0 netns guest && ip link set ${name} up && ip -n guest link set eth0 up && ip netns exec guest ethtool -K eth0 tx off`);
    const id = crypto.randomUUID();
    await cloud.host('compute1', 'ovs-vsctl', 'add-port', 'br-int', name, '--', 'set', 'Interface', name, `external_ids:iface-id=${id}`, 'external_ids:attached-mac=fa:16:3e:0f:0f:0f');
    await until(10, 'a port that nobody knows is dead', async () => (await cloud.host('compute1', 'ovs-vsctl', 'get', 'Port', name, 'tag')).trim() === '4095');
    const capture = await cloud.capture('compute1', name);
    await cloud.exec('vm1', 'ping', '-c', '1', '-W', '1', '10.2.0.250');
    await cloud.ping('vm1', address);
    assert.ok(!/ARP/.test(await capture.stop()), 'a dead port hears nothing of its neighbours');
    await cloud.host('compute1', 'ovs-vsctl', 'del-port', name);

    const port = await admin.port({ network_id: network.id, 'binding:host_id': 'compute1', device_owner: 'compute:nova', device_id: 'foreign' });
    assert.equal(port.status, 'DOWN');
    await cloud.host('compute1', 'ip', '-n', 'guest', 'link', 'set', 'eth0', 'address', port.mac_address);
    await cloud.host('compute1', 'ovs-vsctl', 'add-port', 'br-int', name, '--', 'set', 'Interface', name, `external_ids:iface-id=${port.id}`, `external_ids:attached-mac=${port.mac_address}`);
    await until(10, 'the port is ACTIVE', async () => (await admin.get(`/network/v2.0/ports/${port.id}`)).port.status === 'ACTIVE');
    const tag = await cloud.host('compute1', 'ovs-vsctl', 'get', 'Port', tap(port1), 'tag');
    assert.equal(await cloud.host('compute1', 'ovs-vsctl', 'get', 'Port', name, 'tag'), tag);
    await cloud.host('compute1', 'ip', '-n', 'guest', 'address', 'add', `${port.fixed_ips[0].ip_address}/24`, 'dev', 'eth0');
    await until(10, 'the foreign guest reaches an instance on the other host', async () => (await cloud.tryHost('compute1', 'ip', 'netns', 'exec', 'guest', 'ping', '-c', '1', '-W', '1', address)).code === 0);
    // The device stays, and is the port's no more.
    const isNow = (status: string) => until(10, `the port is ${status}`, async () => (await admin.get(`/network/v2.0/ports/${port.id}`)).port.status === status);
    await cloud.host('compute1', 'ovs-vsctl', 'remove', 'Interface', name, 'external_ids', 'iface-id', port.id);
    await isNow('DOWN');
    assert.doesNotMatch(await cloud.host('compute1', 'ovs-ofctl', 'dump-flows', 'br-int', 'table=25'), new RegExp(port.mac_address));
    await cloud.host('compute1', 'ovs-vsctl', 'set', 'Interface', name, `external_ids:iface-id=${port.id}`);
    await isNow('ACTIVE');
    // Plugged twice, and the later device goes: the first has the port again.
    const first = (await cloud.host('compute1', 'ovs-vsctl', 'get', 'Interface', name, 'ofport')).trim();
    const guards = async (): Promise<string[]> => [...(await cloud.host('compute1', 'ovs-ofctl', 'dump-flows', 'br-int', 'table=25')).matchAll(new RegExp(`in_port=(\\d+),dl_src=${port.mac_address}`, 'g'))].map(([, ofport]) => ofport!);
    await cloud.host('compute1', 'ovs-vsctl', 'add-port', 'br-int', 'foreign1', '--', 'set', 'Interface', 'foreign1', 'type=internal', `external_ids:iface-id=${port.id}`);
    await until(10, 'the later device has the port', async () => !(await guards()).includes(first) && (await guards()).length === 1);
    await cloud.host('compute1', 'ovs-vsctl', 'del-port', 'foreign1');
    await until(10, 'the first device has it again', async () => (await guards()).join() === first);
    await isNow('ACTIVE');
    await cloud.host('compute1', 'ovs-vsctl', 'del-port', name);
    await until(10, 'the port is DOWN', async () => (await admin.get(`/network/v2.0/ports/${port.id}`)).port.status === 'DOWN');
    await cloud.host('compute1', 'ip', 'netns', 'del', 'guest');
    await admin.delete(`/network/v2.0/ports/${port.id}`);
  });

  await t.test('a second NIC comes and goes while the guest runs', async () => {
    const other = await admin.network({ name: 'other' });
    await admin.subnet({ network_id: other.id, cidr: '10.3.0.0/24' });
    const port = await admin.port({ network_id: other.id });
    await admin.post(`/compute/v2.1/servers/${one.id}/os-interface`, { interfaceAttachment: { port_id: port.id } });
    await until(20, 'eth1 has its address', async () => (await cloud.exec('vm1', 'ip', '-o', 'address', 'show', 'dev', 'eth1')).stdout.includes(port.fixed_ips[0].ip_address));
    await admin.delete(`/compute/v2.1/servers/${one.id}/os-interface/${port.id}`);
    await until(20, 'eth1 is gone', async () => !(await cloud.exec('vm1', 'ip', '-o', 'link')).stdout.includes('eth1'));
    await cloud.ping('vm1', address);
  });

  await t.test('N-DH-8: an address that is deleted and created again within one batch goes to its new owner', async () => {
    const [old] = (await admin.get(`/network/v2.0/ports?device_id=${two.id}`)).ports;
    await admin.delete(`/compute/v2.1/servers/${two.id}`);
    await until(20, 'the old port is gone', async () => (await admin.get(`/network/v2.0/ports?id=${old.id}`)).ports.length === 0);
    const again = await admin.server({ name: 'vm3', networks: [{ uuid: network.id, fixed_ip: address }], availability_zone: 'nova:compute2' });
    assert.equal(again.addresses.net[0].addr, address);
    await cloud.ping('vm1', address);
    assert.equal(subnet.cidr, '10.2.0.0/24');
    assert.notEqual(port2.mac_address, again.addresses.net[0]['OS-EXT-IPS-MAC:mac_addr']);
  });

  await t.test('after kill -9 of everything `up` brings the servers back as they were', async () => {
    const names = ['controller', 'fabric', 'outside', ...cloud.hosts.flatMap((host) => [host, agentName(host)])];
    await endProcesses(names.map((name) => runningProcess(cloud.state, name)).filter((id) => id !== undefined), 'SIGKILL');
    await up(readSettings({ state: cloud.state }));
    await cloud.ping('vm1', address, 30);
  });
});
