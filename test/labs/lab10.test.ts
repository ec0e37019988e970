import assert from 'node:assert/strict';
import { type Cloud, until } from '#testkit/cloud.ts';
import { runningProcess } from '#cli/datacentre/state-folder.ts';
import { run } from '#cli/datacentre/run.ts';
import { labScenario } from './lab.ts';

const GATEWAY = '172.16.0.1';
/** The cable modem router behind the lab host, and the Internet behind that. */
const MODEM = '192.168.178.1';
const INTERNET = '203.0.113.1';

labScenario('10-network-node', 'lab 10: a network node with the DHCP servers and routers, and an external bridge in place of a wire', async (lab, t) => {
  const { cloud } = lab;
  const underlay = await cloud.capture('fabric', 'compute1-ul', 'ip');
  await lab.demo();
  const admin = await cloud.api();
  const [ports, networks] = [(await admin.get('/network/v2.0/ports')).ports as Record<string, any>[], (await admin.get('/network/v2.0/networks')).networks as Record<string, any>[]];
  const { servers } = await admin.get('/compute/v2.1/servers/detail?all_tenants=1');
  const portOf = (server: string) => ports.find(({ device_id }) => device_id === servers.find(({ name }: any) => name === server).id)!;
  const [first, second, flat] = [portOf('demo-instance-1'), portOf('demo-instance-2'), portOf('demo-instance-3')];
  const gateway = ports.find(({ device_owner }) => device_owner === 'network:router_gateway')!;
  const [{ floating_ip_address: floating }] = (await admin.get('/network/v2.0/floatingips')).floatingips;

  await t.test('N-NN-1 N-NN-2: DHCP servers and the router are on the network node, instances on the compute nodes, each with its agents', async () => {
    const agents: Record<string, any>[] = (await admin.get('/network/v2.0/agents')).agents;
    assert.deepEqual(agents.map(({ host, agent_type }) => `${host}: ${agent_type}`).sort(), [
      'compute1: Open vSwitch agent', 'compute2: Open vSwitch agent', 'network: DHCP agent', 'network: L3 agent', 'network: Metadata agent', 'network: Open vSwitch agent',
    ]);
    assert.deepEqual((await admin.get('/compute/v2.1/os-services')).services.map(({ host }: any) => host).sort(), ['compute1', 'compute2']);
    const hostsOf = (owner: RegExp) => [...new Set(ports.filter(({ device_owner }) => owner.test(device_owner)).map((port) => port['binding:host_id']))].sort();
    assert.deepEqual(hostsOf(/^network:(dhcp|router_interface|router_gateway)$/), ['network']);
    assert.deepEqual(hostsOf(/^compute:/), ['compute1', 'compute2']);
    const namespaces = async (host: string) => (await cloud.host(host, 'ip', 'netns', 'list')).split('\n').map((line) => line.split('-')[0]).filter(Boolean).sort();
    assert.deepEqual(await Promise.all(['network', 'compute1', 'compute2'].map(namespaces)), [['qdhcp', 'qdhcp', 'qrouter'], [], []]);
    const legs = await run(['nsenter', '-t', String(runningProcess(cloud.state, 'controller')!.pid), '-n', 'ip', '-br', 'address']);
    assert.doesNotMatch(legs, /192\.168\.2\./, 'the controller is on no underlay');
  });

  await t.test('N-NN-3: management and underlay are all that joins the hosts, with the addresses of the lab', async () => {
    const nics = async (host: string) => (await cloud.host(host, 'sh', '-c', 'ls -d /sys/class/net/* | xargs -n 1 basename | grep -vE "^(lo|br-|ovs-|tap|q[rg]-)"')).trim().split('\n');
    assert.deepEqual(await Promise.all(['network', 'compute1', 'compute2'].map(nics)), [['mgmt', 'public', 'underlay'], ['mgmt', 'underlay'], ['mgmt', 'underlay']]);
    assert.deepEqual(cloud.plan.hosts.map(({ name, mgmt_ip, local_ip }) => `${name} ${mgmt_ip} ${local_ip}`), [
      'network 192.168.1.12 192.168.2.12', 'compute1 192.168.1.21 192.168.2.21', 'compute2 192.168.1.22 192.168.2.22',
    ]);
  });

  await t.test('N-NN-4 N-NN-6: br-ext as observe.sh shows it: NORMAL, a patch to br-phys, VXLAN around the network node, which has the gateway\'s address', async () => {
    const [hub, spoke] = await Promise.all([lab.observe('network'), lab.observe('compute2')]);
    for (const text of [hub, spoke]) {
      assert.match(text, /# ovs-ofctl dump-flows --no-stats br-ext\n priority=0 actions=NORMAL\n/);
      assert.match(text, /Interface patch-br-ext\n *type: patch\n *options: \{peer=patch-br-phys\}/);
      assert.match(text, /Interface patch-br-phys\n *type: patch\n *options: \{peer=patch-br-ext\}/);
    }
    const peers = (text: string) => [...text.matchAll(/key="100", local_ip="([\d.]+)", remote_ip="([\d.]+)"/g)].map(([, local, remote]) => `${local} ${remote}`).sort();
    assert.deepEqual(peers(hub), ['192.168.2.12 192.168.2.21', '192.168.2.12 192.168.2.22']);
    assert.deepEqual(peers(spoke), ['192.168.2.22 192.168.2.12']);
    assert.match(hub, /^br-ext +\S+ +172\.16\.0\.1\/24 /m);
    assert.match(await cloud.host('network', 'ip', 'link', 'show', 'br-ext'), / mtu 1450 /);
    assert.doesNotMatch(spoke, /172\.16\.0\./, 'compute nodes have no address there');
  });

  await t.test('N-NN-7 N-NN-8 N-NN-9: the firewall of the network node as observe.sh shows it; compute nodes have none and do not forward', async () => {
    const [hub, spoke] = await Promise.all([lab.observe('network'), lab.observe('compute1')]);
    const rules = /ip_forward\n(1\n\n# nft list ruleset\n[\s\S]*?)\n\n# ip -n qrouter/.exec(hub)?.[1] ?? hub;
    assert.equal(rules.replaceAll(/\s+/g, ' ').trim(), `1 # nft list ruleset ${[
      'table ip nat { chain POSTROUTING { type nat hook postrouting priority srcnat; policy accept; oifname "public" masquerade } }',
      'table ip filter { chain INPUT { type filter hook input priority filter; policy accept;',
      'iifname "public" tcp dport 22 accept iifname "public" ct state established,related accept iifname "public" drop',
      'iifname "br-ext" ct state established,related accept iifname "br-ext" ip protocol icmp accept iifname "br-ext" drop }',
      'chain FORWARD { type filter hook forward priority filter; policy drop; iifname "br-ext" accept iifname "public" ct state established,related accept } }',
    ].join(' ')}`);
    assert.match(spoke, /ip_forward\n0\n\n# nft list ruleset\n$/);
  });

  await t.test('N-NN-5 N-VX-13: on the underlay the flat network is VXLAN 100, the tenant\'s is 2000, and neither holds frames of the other', async () => {
    await cloud.ping('demo-instance-3', GATEWAY);
    await cloud.ping('demo-instance-1', addressOf(second));
    await cloud.ping('demo-instance-2', addressOf(first));
    const frames = () => [...underlay.text().matchAll(/VXLAN, flags \[I\] \(0x08\), vni (\d+)\n(.*)/g)].map(([, vni, inner]) => ({ vni: vni!, inner: inner! }));
    await until(5, 'both are on the wire', () => ['100', '2000'].every((wanted) => frames().some(({ vni, inner }) => vni === wanted && inner.includes('ICMP echo reply'))));
    const mixed = frames().filter(({ vni, inner }) => inner.includes(vni === '100' ? '172.18.0.' : '172.16.0.'));
    assert.deepEqual(mixed, []);
    assert.deepEqual([...new Set(frames().map(({ vni }) => vni))].sort(), ['100', '2000']);
  });

  await t.test('N-MTU-4 N-MTU-6 N-NN-6: both networks say 1450, guests have it by DHCP, and a packet of 1450 passes with DF where one of 1451 does not', async () => {
    assert.deepEqual(networks.map(({ name, mtu }) => `${name} ${mtu}`).sort(), ['flat-network 1450', 'vxlan-network 1450']);
    for (const [name, target] of [['demo-instance-1', addressOf(second)], ['demo-instance-1', MODEM], ['demo-instance-3', MODEM]] as const) {
      assert.match((await cloud.exec(name, 'ip', 'link', 'show', 'eth0')).stdout, / mtu 1450 /);
      const ping = async (size: number) => (await cloud.exec(name, 'ping', '-c', '1', '-W', '2', '-M', 'do', '-s', String(size - 28), target)).code;
      assert.deepEqual([await ping(1450), await ping(1451)].map((code) => code === 0), [true, false], `${name} to ${target}`);
    }
    await until(5, 'full frames are on the wire', () => /length 1514: 192\.168\.2\.\d+\.\d+ > 192\.168\.2\.\d+\.4789/.test(underlay.text()));
    assert.doesNotMatch(await underlay.stop(), /\bfrag\b|length 15[2-9]\d: 192\.168\.2\./);
  });

  await t.test('N-NN-10: instances ping 172.16.0.1 and open no TCP to the network node, nor reach the hosts\' own networks', async () => {
    await cloud.host('network', 'sh', '-c', 'mkdir -p /run/www; for port in 22 80; do busybox httpd -p $port -h /run/www; done');
    assert.equal((await cloud.tryHost('outside', 'curl', '-s', '--max-time', '3', 'http://10.0.2.15:22/')).code, 0, 'it listens');
    for (const name of ['demo-instance-1', 'demo-instance-3']) {
      await cloud.ping(name, GATEWAY);
      const codes = await Promise.all([GATEWAY, '192.168.1.12', '192.168.2.12', '10.0.2.15'].flatMap((address) => [22, 80].map(async (port) => (await cloud.exec(name, 'curl', '-s', '--max-time', '2', `http://${address}:${port}/`)).code)));
      assert.deepEqual(new Set(codes), new Set([28]), `${name}: each times out`);
      assert.deepEqual(await Promise.all(['192.168.1.21', '192.168.2.21'].map((address) => cloud.answers(name, address))), [false, false]);
    }
    await cloud.host('network', 'sh', '-c', 'kill $(ps -eo pid,args | awk \'/busybox httpd -p/ && !/awk/ { print $1 }\')');
  });

  await t.test('N-NN-7 N-NN-11: to the world through two NATs from the flat network, through three from VXLAN: router or floating IP, network node, lab host', async () => {
    const [external, publicly, home] = await Promise.all([cloud.capture('network', 'br-ext', 'icmp'), cloud.capture('fabric', 'network-pub', 'icmp'), inModem(cloud)]);
    for (const [name, from] of [['demo-instance-3', addressOf(flat)], ['demo-instance-2', addressOf(gateway)], ['demo-instance-1', floating]] as const) {
      await cloud.ping(name, MODEM);
      await until(5, `${name} is ${from} on br-ext`, () => external.text().includes(`${from} > ${MODEM}: ICMP echo request`));
      assert.match((await cloud.exec(name, 'curl', '-sS', '--max-time', '5', `http://${INTERNET}/`)).stdout, /world outside/);
    }
    await until(5, 'the network node and the lab host have put their own addresses in', () => publicly.text().includes(`10.0.2.15 > ${MODEM}: ICMP echo request`) && home.text().includes(`192.168.178.20 > ${MODEM}: ICMP echo request`));
    assert.doesNotMatch(await external.stop(), /172\.18\./);
    assert.doesNotMatch(await publicly.stop(), /172\.1[68]\./);
    assert.doesNotMatch(await home.stop(), /172\.1[68]\.|10\.0\.2\./);
  });

  await t.test('N-L3-20: an instance on VXLAN reaches the flat one through the router', () => cloud.ping('demo-instance-1', addressOf(flat)));

  await t.test('N-NN-8: from the lab host nobody gets in', async () => {
    await cloud.host('outside', 'ip', 'route', 'add', '172.16.0.0/24', 'via', '10.0.2.15');
    const wire = await cloud.capture('network', 'public', 'icmp');
    for (const address of [addressOf(flat), floating]) {
      assert.notEqual((await cloud.tryHost('outside', 'ping', '-c', '2', '-i', '0.2', '-W', '1', address)).code, 0);
      await until(5, 'the ping has come as far as the network node', () => wire.text().includes(`10.0.2.2 > ${address}: ICMP echo request`));
    }
    await wire.stop();
  });

  await t.test('N-NN-12 N-L3-18: the network node reaches the flat instance and the floating IP, and is the way for others', async () => {
    assert.equal(await lab.ssh('network', addressOf(flat), 'hostname'), 'demo-instance-3\n');
    assert.equal(await lab.ssh('network', floating, 'hostname'), 'demo-instance-1\n');
    assert.equal(await lab.sshBy('network', addressOf(flat), 'hostname'), 'demo-instance-3\n');
    assert.equal(await lab.sshBy('network', floating, 'hostname'), 'demo-instance-1\n');
    assert.notEqual((await cloud.tryHost('compute1', 'ping', '-c', '1', '-W', '1', floating)).code, 0, 'compute nodes have no way there');
  });

  await t.test('N-NN-13 N-DNS-3 N-DNS-4: names do not resolve until the subnet has a DNS server and the guest a new lease', async () => {
    const curl = async () => (await cloud.exec('demo-instance-3', 'curl', '-sS', '--max-time', '10', 'http://www.example.com/')).stdout;
    assert.equal(await curl(), '');
    const { stderr } = await lab.openstack('admin', 'subnet set --dns-nameserver 8.8.8.8 flat-subnet', `server reboot --hard ${flat['device_id']}`);
    assert.equal(stderr, '');
    await until(20, 'a name resolves', async () => (await curl()).includes('world outside'));
    assert.match((await cloud.exec('demo-instance-3', 'cat', '/etc/resolv.conf')).stdout, /^nameserver 8\.8\.8\.8$/m);
  });
});

const addressOf = (port: Record<string, any>): string => port['fixed_ips'][0].ip_address;

/** Listens where the cable modem router is: a namespace of the outside. */
async function inModem(cloud: Cloud): Promise<{ text(): string; stop(): Promise<string> }> {
  const dump = cloud.start('outside', 'ip', 'netns', 'exec', 'modem', 'tcpdump', '-l', '-n', '-i', 'home', 'icmp');
  await until(10, 'tcpdump listens behind the lab host', () => dump.text().includes('listening on'));
  return dump;
}
