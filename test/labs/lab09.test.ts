import assert from 'node:assert/strict';
import { until } from '#testkit/cloud.ts';
import { flows, labScenario } from './lab.ts';

/** The first of vni_ranges. */
const VNI = 2000;
const HEX = `0x${VNI.toString(16)}`;

labScenario('09-vxlan', 'lab 9: two instances on a tenant\'s VXLAN network, then a router and a floating IP', async (lab, t) => {
  const { cloud } = lab;
  await t.test('N-VX-2: without instances br-tun drops everything', async () => {
    for (const host of cloud.hosts) {
      for (const table of [4, 22]) assert.deepEqual(await flows(cloud, host, 'br-tun', table), ['priority=0 actions=drop'], `table ${table} of ${host}`);
      for (const table of [20, 21]) assert.deepEqual(await flows(cloud, host, 'br-tun', table), ['priority=0 actions=resubmit(,22)'], `table ${table} of ${host}`);
    }
  });

  const underlay = cloud.start('fabric', 'tcpdump', '-l', '-e', '-n', '-i', 'compute1-ul', 'ip');
  const physnet = cloud.start('fabric', 'tcpdump', '-l', '-n', '-i', 'physnet', 'udp port 4789 or vlan');
  await until(10, 'both listen', () => [underlay, physnet].every((dump) => dump.text().includes('listening on')));
  await lab.demo();
  const admin = await cloud.api();
  const ports: Record<string, any>[] = (await admin.get('/network/v2.0/ports')).ports;
  const [first, second] = ports.filter(({ device_owner }) => device_owner.startsWith('compute:')).sort((a, b) => (ipOf(a) < ipOf(b) ? -1 : 1)) as [Record<string, any>, Record<string, any>];
  const dhcp = ports.find(({ device_owner }) => device_owner === 'network:dhcp')!;

  await t.test('N-ML2-8 N-ML2-12 N-MTU-1: demo\'s network is VXLAN with the first id of the pool and MTU 1450; demo sees no provider attributes', async () => {
    const [network] = (await admin.get('/network/v2.0/networks?name=vxlan-network')).networks;
    assert.deepEqual([network['provider:network_type'], network['provider:segmentation_id'], network.mtu], ['vxlan', VNI, 1450]);
    const shown = await lab.openstack('demo', 'network show vxlan-network -f json');
    assert.equal(shown.stderr, '');
    const { mtu, ...rest } = JSON.parse(shown.stdout.slice(shown.stdout.indexOf('{'), shown.stdout.lastIndexOf('}') + 1));
    assert.equal(mtu, 1450);
    assert.deepEqual([rest['provider:network_type'], rest['provider:segmentation_id']], [null, null]);
    const refused = await lab.openstack('demo', 'network create --provider-network-type vxlan --provider-segment 2050 mine');
    assert.match(refused.stderr, /403, .*disallowed by policy/);
  });

  await t.test('N-VX-14 N-VX-11 N-VX-12: they ping each other through UDP 4789 between the hosts\' local_ip on the underlay, and nowhere else', async () => {
    assert.deepEqual([first, second].map((port) => port['binding:host_id']).sort(), ['compute1', 'compute2']);
    await cloud.ping('demo-instance-1', ipOf(second));
    await cloud.ping('demo-instance-2', ipOf(first));
    const inner = `${ipOf(second)} > ${ipOf(first)}: ICMP echo request`;
    await until(5, 'the ping is on the underlay', () => underlay.text().includes(inner));
    assert.match(underlay.text(), new RegExp(`192\\.168\\.2\\.2[12]\\.\\d+ > 192\\.168\\.2\\.2[12]\\.4789: VXLAN, flags \\[I\\] \\(0x08\\), vni ${VNI}\n.*${inner.replaceAll('.', '\\.')}`));
    assert.deepEqual((await physnet.stop()).split('\n').filter((line) => line.includes(' IP ') || line.includes('vlan ')), []);
  });

  await t.test('N-VX-1 N-VX-3 N-VX-4 N-VX-6 N-VX-9 N-OVS-5: br-tun as observe.sh shows it: ids to local VLANs, one rule per peer MAC, floods, ARP answers', async () => {
    for (const [here, there] of [[first, second], [second, first]] as const) {
      const host: string = here['binding:host_id'];
      const text = await lab.observe(host);
      const [ours, theirs] = [cloud.plan.hosts.find(({ name }) => name === host)!.local_ip, cloud.plan.hosts.find(({ name }) => name === there['binding:host_id'])!.local_ip];
      assert.match(text, new RegExp(`type: vxlan\n *options: \\{key=flow, local_ip="${ours}", remote_ip="${theirs}"\\}`));
      assert.equal(text.match(/type: vxlan/g)?.length, 1, 'one tunnel port for the one peer');
      assert.match(text, new RegExp(`Port tap${here['id'].slice(0, 11)}\n *tag: 1\n`));
      const ofport = (await cloud.host(host, 'ovs-vsctl', '--bare', '--columns=ofport', 'find', 'Interface', 'type=vxlan')).trim();
      const has = async (table: number, ...lines: string[]) => {
        const held = await flows(cloud, host, 'br-tun', table);
        for (const line of lines) assert.ok(held.includes(line), `table ${table} of ${host}: ${line} among\n${held.join('\n')}`);
      };
      await has(0, `priority=1,in_port=${ofport} actions=resubmit(,4)`);
      await has(4, `priority=1,tun_id=${HEX} actions=mod_vlan_vid:1,resubmit(,10)`, 'priority=0 actions=drop');
      assert.match((await flows(cloud, host, 'br-tun', 10)).join('\n'), /^priority=1 actions=learn\(table=20,hard_timeout=300,priority=1,.*NXM_OF_VLAN_TCI\[0\.\.11\],NXM_OF_ETH_DST\[\]=NXM_OF_ETH_SRC\[\],.*\),output:\d+$/);
      await has(20, `priority=2,dl_vlan=1,dl_dst=${there['mac_address']} actions=strip_vlan,load:${HEX}->NXM_NX_TUN_ID[],output:${ofport}`);
      const answer = (await flows(cloud, host, 'br-tun', 21)).find((flow) => flow.includes(`arp_tpa=${ipOf(there)}`)) ?? '';
      assert.match(answer, new RegExp(`^priority=1,arp,dl_vlan=1,arp_tpa=${ipOf(there)},arp_op=1 actions=.*mod_dl_src:${there['mac_address']}.*IN_PORT$`));
      await has(22, `priority=1,dl_vlan=1 actions=strip_vlan,load:${HEX}->NXM_NX_TUN_ID[],output:${ofport}`, 'priority=0 actions=drop');
    }
  });

  await t.test('N-VX-5: br-tun drops a local VLAN that it does not know', async () => {
    const trace = await cloud.host('compute1', 'ovs-appctl', 'ofproto/trace', 'br-tun', 'in_port=patch-int,dl_vlan=77,dl_src=fa:16:3e:00:00:01,dl_dst=ff:ff:ff:ff:ff:ff');
    assert.match(trace, /Datapath actions: drop/);
  });

  await t.test('N-VX-9: a broadcast ARP request is answered on its own host and never enters a tunnel', async () => {
    const echoes = () => underlay.text().split(`${ipOf(first)} > ${ipOf(second)}: ICMP echo request`).length;
    const before = echoes();
    await cloud.exec('demo-instance-1', 'ip', 'neigh', 'flush', 'dev', 'eth0');
    await cloud.ping('demo-instance-1', ipOf(second));
    await until(5, 'the ping that follows the ARP request is on the underlay', () => echoes() > before);
    assert.match((await cloud.exec('demo-instance-1', 'ip', 'neigh', 'show', ipOf(second))).stdout, new RegExp(`lladdr ${second['mac_address']}`));
    // Announcements of an own address (asker and asked are the same) do go to all peers.
    assert.deepEqual(underlay.text().split('\n').filter((line) => /> ff:ff:ff:ff:ff:ff, .*who-has (172\.18\.0\.[2-4]) tell (?!\1,)/.test(line)), []);
  });

  await t.test('N-MTU-6 N-MTU-7: DHCP gives MTU 1450; a packet of 1450 bytes makes an outer one of 1500 without a fragment, one of 1451 does not leave', async () => {
    for (const name of ['demo-instance-1', 'demo-instance-2']) assert.match((await cloud.exec(name, 'ip', 'link', 'show', 'eth0')).stdout, / mtu 1450 /);
    assert.match((await cloud.exec('demo-instance-1', 'cat', '/config/openstack/latest/network_data.json')).stdout, /"mtu": ?1450/);
    const ping = (size: number) => cloud.exec('demo-instance-1', 'ping', '-c', '1', '-W', '5', '-M', 'do', '-s', String(size - 28), ipOf(second));
    const [fits, tooLong] = [await ping(1450), await ping(1451)];
    assert.equal(fits.code, 0, fits.stdout + fits.stderr);
    assert.notEqual(tooLong.code, 0);
    assert.match(tooLong.stdout + tooLong.stderr, /mtu[ =]1450/i);
    await until(5, 'an outer frame of 14 + 1500 bytes', () => /length 1514: 192\.168\.2\.2[12]\.\d+ > 192\.168\.2\.2[12]\.4789: VXLAN/.test(underlay.text()));
    assert.deepEqual((await underlay.stop()).split('\n').filter((line) => /\bfrag\b|length 15[2-9]\d: 192\.168\.2\./.test(line)), []);
  });

  await t.test('N-VX-6 N-VX-7: what a peer sends teaches table 20 its MAC, beside the pushed entry', async () => {
    const learned = await flows(cloud, second['binding:host_id'], 'br-tun', 20);
    assert.ok(learned.some((flow) => flow.includes('priority=1') && flow.includes(`vlan_tci=0x0001/0x0fff,dl_dst=${first['mac_address']}`)), learned.join('\n'));
  });

  await t.test('N-ML2-12 N-ML2-13: the next network gets the next id, and a deleted one\'s is free again', async () => {
    const result = await lab.openstack('demo', 'network create second', 'network delete second', 'network create third');
    assert.equal(result.stderr, '');
    assert.equal((await admin.get('/network/v2.0/networks?name=third')).networks[0]['provider:segmentation_id'], VNI + 1);
  });

  await t.test('N-DH-2 N-DH-3: the DHCP server has the first address of the pool, on one of the hosts', () => {
    assert.equal(ipOf(dhcp), '172.18.0.2');
    assert.ok(cloud.hosts.includes(dhcp['binding:host_id']));
  });

  await t.test('N-L3-14 N-L3-15 N-L3-18 N-L3-20: with router.sh the tenant\'s network reaches the outside, which reaches the floating IP by ping and ssh', async () => {
    await lab.demo('router.sh');
    const [{ floating_ip_address: floating, fixed_ip_address }] = (await admin.get('/network/v2.0/floatingips')).floatingips;
    assert.equal(fixed_ip_address, ipOf(first));
    for (const name of ['demo-instance-1', 'demo-instance-2']) await cloud.ping(name, '172.16.0.1');
    await cloud.host('outside', 'ping', '-c', '1', '-W', '5', floating);
    assert.equal(await lab.ssh('outside', floating, 'hostname'), 'demo-instance-1\n');
    assert.equal(await lab.serverSsh('demo-instance-1', '--public', 'hostname'), 'demo-instance-1\n');
  });

  await t.test('N-MTU-7: what leaves a VXLAN network of 1450 through the router fits the flat one of 1500, and a longer answer is told so', async () => {
    const size = (host: number) => ['-c', '1', '-W', '5', '-M', 'do', '-s', String(host - 28)];
    assert.equal((await cloud.exec('demo-instance-1', 'ping', ...size(1450), '172.16.0.1')).code, 0);
    const [{ floating_ip_address: floating }] = (await admin.get('/network/v2.0/floatingips')).floatingips;
    assert.match((await cloud.tryHost('outside', 'ping', ...size(1500), floating)).stdout, /Frag needed and DF set \(mtu = 1450\)/);
  });
});

const ipOf = (port: Record<string, any>): string => port['fixed_ips'][0].ip_address;
