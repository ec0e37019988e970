import assert from 'node:assert/strict';
import { scenario, until } from '#testkit/cloud.ts';
import { arp, BROADCAST, DHCP, dhcpMessage, udp } from '#testkit/frames.ts';

scenario('two instances on a VXLAN network of three hosts', { hosts: 3 }, async (cloud, t) => {
  const admin = await cloud.api();
  await admin.post('/compute/v2.1/flavors', { flavor: { name: 'm1.nano', ram: 128, vcpus: 1, disk: 1 } });
  const network = await admin.network({ name: 'net' });
  await admin.subnet({ network_id: network.id, cidr: '10.0.0.0/24' });
  const [one, two] = await Promise.all(['compute1', 'compute2'].map((host, i) => admin.server({ name: `vm${i + 1}`, networks: [{ uuid: network.id }], availability_zone: `nova:${host}` })));
  const address = two.addresses.net[0].addr;
  const mac = one.addresses.net[0]['OS-EXT-IPS-MAC:mac_addr'];
  const own = one.addresses.net[0].addr;

  await t.test('N-VX-14 N-ML2-1 N-VX-1 N-VX-11: they ping each other right after boot, through one tunnel to the other\'s local_ip', async () => {
    await cloud.ping('vm1', address);
    const tunnels = await cloud.host('compute1', 'ovs-vsctl', '--bare', '--columns=options', 'find', 'Interface', 'type=vxlan');
    assert.ok(tunnels.split('\n').includes('key=flow local_ip=192.168.2.21 remote_ip=192.168.2.22'), tunnels);
  });

  await t.test('N-MTU-2 N-VX-12: a full frame of 1450 bytes is 1500 on the underlay: 20 IPv4, 8 UDP on port 4789, 8 VXLAN, 14 Ethernet without a tag', async () => {
    const capture = await cloud.capture('compute1', 'underlay', 'udp port 4789', '-v');
    const ping = await cloud.exec('vm1', 'ping', '-c', '1', '-W', '2', '-M', 'do', '-s', '1422', address);
    assert.equal(ping.code, 0, ping.stdout);
    await until(10, 'the outer packet is seen', () => /proto UDP \(17\), length 1500\)/.test(capture.text()));
    const text = await capture.stop();
    assert.match(text, /VXLAN, flags \[I\] \(0x08\), vni \d+\n/);
    assert.ok(!/802\.1Q/.test(text), text);
  });

  await t.test('N-VX-8: broadcasts do not reach the host that has no port of the network', async () => {
    const dhcp = (await admin.get(`/network/v2.0/ports?network_id=${network.id}&device_owner=network:dhcp`)).ports[0]['binding:host_id'];
    const outsider = cloud.hosts.find((host) => host !== 'compute1' && host !== 'compute2');
    assert.ok(outsider && dhcp !== outsider, 'the network has nothing on the third host');
    const [there, here] = [await cloud.capture(outsider, 'underlay', 'udp port 4789'), await cloud.capture('compute2', 'underlay', 'udp port 4789')];
    await until(10, 'the second host hears the broadcast', async () => {
      await cloud.exec('vm1', 'ping', '-c', '1', '-W', '1', '-b', '10.0.0.255');
      return here.text().includes('10.0.0.255');
    });
    await here.stop();
    assert.ok(!/VXLAN/.test(await there.stop()));
  });

  await t.test('N-VX-13: a VXLAN of the operator with VNI 100 shares underlay and port with ours and does not mix', async () => {
    const bridge = (host: string, local: string, remote: string, inner: string) => cloud.host(host, 'sh', '-c', `
      ovs-vsctl add-br br-ext -- set Bridge br-ext datapath_type=netdev -- add-port br-ext vxlan-ext -- set Interface vxlan-ext type=vxlan options:local_ip=${local} options:remote_ip=${remote} options:key=100
      ip address add ${inner}/24 dev br-ext && ip link set br-ext mtu 1450 up`);
    await bridge('compute1', '192.168.2.21', '192.168.2.22', '10.0.0.101');
    await bridge('compute2', '192.168.2.22', '192.168.2.21', '10.0.0.102');
    await until(10, 'the operator\'s bridges reach each other', async () => (await cloud.tryHost('compute1', 'ping', '-c', '1', '-W', '1', '-I', 'br-ext', '10.0.0.102')).code === 0);
    await cloud.ping('vm1', address);
    assert.equal(await cloud.answers('vm1', '10.0.0.102'), false);
    assert.notEqual((await cloud.tryHost('compute1', 'ping', '-c', '2', '-i', '0.2', '-W', '1', '-I', 'br-ext', address)).code, 0);
    for (const host of ['compute1', 'compute2']) await cloud.host(host, 'ovs-vsctl', 'del-br', 'br-ext');
    await cloud.ping('vm1', address);
  });

  await t.test('N-DH-5: INFORM is answered, a REQUEST that names another server is not, RELEASE ends the lease, DECLINE withdraws the address', async () => {
    const [port] = (await admin.get(`/network/v2.0/ports?network_id=${network.id}&device_owner=network:dhcp`)).ports;
    const [host, server, serverMac] = [port['binding:host_id'], port.fixed_ips[0].ip_address, port.mac_address];
    const leases = () => cloud.host(host, 'cat', `${cloud.state}/hosts/${host}/dhcp/${network.id}/leases`);
    const [vmPort] = (await admin.get(`/network/v2.0/ports?device_id=${one.id}`)).ports;
    const capture = await cloud.capture('compute1', `tap${vmPort.id.slice(0, 11)}`, 'udp port 67 or udp port 68', '-v');
    const send = (type: number, fields: { ciaddr?: string; server?: string; requested?: string }, unicast = false) => cloud.sendFrames('vm1', [udp(unicast ? serverMac : BROADCAST, mac, {
      from: fields.ciaddr ?? '0.0.0.0', to: unicast ? server : '255.255.255.255', sport: 68, dport: 67, data: dhcpMessage({ op: 'request', type, mac, ...fields }),
    })]);
    assert.ok((await leases()).includes(mac));
    await send(DHCP.REQUEST, { server: '10.0.0.250', requested: own });
    await send(DHCP.INFORM, { ciaddr: own });
    // xid 0x504200TT carries the type of what is answered.
    await until(10, 'INFORM is answered', () => /Reply.*xid 0x50420008/.test(capture.text()));
    assert.ok(!/Reply.*xid 0x50420003/.test(capture.text()), 'the REQUEST was for another server');
    const renewed = await cloud.exec('vm1', 'udhcpc', '-n', '-q', '-t', '5', '-T', '1', '-i', 'eth0', '-s', '/bin/true');
    assert.equal(renewed.code, 0, renewed.stderr);
    await send(DHCP.RELEASE, { ciaddr: own, server }, true);
    await until(10, 'the lease is gone', async () => !(await leases()).includes(mac));
    const again = await cloud.exec('vm1', 'udhcpc', '-n', '-q', '-t', '5', '-T', '1', '-i', 'eth0', '-s', '/bin/true');
    assert.equal(again.code, 0, again.stderr);
    await send(DHCP.DECLINE, { server, requested: own });
    await until(10, 'the declined address is no lease', async () => !(await leases()).includes(mac));
    await capture.stop();
  });

  await t.test('what a host has learned of a network ends with it: the next one to have its local VLAN floods what it does not know', async () => {
    const learned = async (tag: string): Promise<string[]> => (await cloud.host('compute1', 'ovs-ofctl', 'dump-flows', 'br-tun', `table=20,cookie=0x506174636862614c/-1,vlan_tci=${tag}/0xfff`)).split('\n').filter((line) => line.includes('actions='));
    const guest = async (name: string, host: string, networkId: string) => {
      const server = await admin.server({ name, networks: [{ uuid: networkId }], availability_zone: `nova:${host}` });
      const [port] = (await admin.get(`/network/v2.0/ports?device_id=${server.id}`)).ports;
      return { id: server.id as string, port_id: port.id as string, address: port.fixed_ips[0].ip_address as string, mac: port.mac_address as string, device: `tap${port.id.slice(0, 11)}` };
    };
    const bare = async (name: string): Promise<string> => {
      const made = await admin.network({ name });
      await admin.subnet({ network_id: made.id, cidr: '10.0.0.0/24', enable_dhcp: false });
      return made.id;
    };
    const tagOf = async (device: string): Promise<string> => (await cloud.host('compute1', 'ovs-vsctl', 'get', 'Port', device, 'tag')).trim();
    const gone = await bare('gone');
    const [first, far] = [await guest('first', 'compute1', gone), await guest('far', 'compute2', gone)];
    await cloud.settle();
    const tag = await tagOf(first.device);
    await until(20, 'the peer is learned', async () => {
      await cloud.sendFrames('far', [arp(BROADCAST, far.mac, { op: 'request', sha: far.mac, spa: far.address, tpa: first.address })]);
      return (await learned(tag)).length > 0;
    });
    await admin.delete(`/compute/v2.1/servers/${first.id}`);
    await until(20, 'the instance is gone', async () => !(await cloud.host('compute1', 'ovs-vsctl', 'list-ports', 'br-int')).includes(first.device));
    await cloud.settle();
    const next = await guest('next', 'compute1', await bare('next'));
    await cloud.settle();
    assert.equal(await tagOf(next.device), tag, 'the number is given again');
    assert.deepEqual(await learned(tag), []);
  });
});
