import assert from 'node:assert/strict';
import { scenario, until } from '#testkit/cloud.ts';
import type { Api } from '#testkit/api.ts';
import { endProcesses } from '#cli/datacentre/process.ts';
import { runningProcess } from '#cli/datacentre/state-folder.ts';
import { agentName, startAgent } from '#cli/services.ts';
import { readSettings } from '#cli/settings.ts';
import { up } from '#cli/up.ts';

const OUTSIDE = '172.16.0.1';

scenario('routers: from inside to outside, floating IPs from outside to inside, on three hosts with the router on one', { hosts: 3 }, async (cloud, t) => {
  const admin = await cloud.api();
  await admin.post('/compute/v2.1/flavors', { flavor: { name: 'm1.nano', ram: 128, vcpus: 1, disk: 1 } });
  const external = await externalNetwork(admin);
  const demo = await cloud.makeProject('demo');
  const network = await demo.network({ name: 'net' });
  const subnet = await demo.subnet({ network_id: network.id, cidr: '10.0.0.0/24' });
  await openGroup(demo);
  await openGroup(admin);
  const router = await demo.router({ name: 'r1' });
  const bound = async (): Promise<string> => (await admin.get(`/network/v2.0/routers/${router.id}/l3-agents`)).agents[0]?.host;
  const namespace = `qrouter-${router.id}`;
  const [vm1, vm2] = await Promise.all(['vm1', 'vm2'].map((name) => demo.server({ name, networks: [{ uuid: network.id }] })));
  const flat = await admin.server({ name: 'flat', networks: [{ uuid: external.id }] });
  const [address1, address2] = [vm1, vm2].map((vm) => vm.addresses.net[0].addr);
  const legs = async (): Promise<any[]> => (await admin.get(`/network/v2.0/ports?device_id=${router.id}`)).ports;
  const portOf = async (server: any): Promise<string> => (await demo.get(`/network/v2.0/ports?device_id=${server.id}`)).ports[0].id;
  const floatingIp = async (id: string): Promise<any> => (await demo.get(`/network/v2.0/floatingips/${id}`)).floatingip;

  await t.test('N-L3-1 N-L3-2: a router without legs is a row of demo\'s project; no host has anything of it', async () => {
    assert.equal(router.project_id, demo.project_id);
    assert.equal(await bound(), undefined);
    for (const host of cloud.hosts) assert.equal((await cloud.host(host, 'ip', 'netns', 'list')).includes(namespace), false);
  });

  await t.test('N-L3-3 N-L3-4 N-L3-7: gateway and interface are ports that become ACTIVE, with devices qg- and qr- on one host', async () => {
    await demo.change('routers', router.id, { external_gateway_info: { network_id: external.id } });
    await demo.addInterface(router.id, subnet.id);
    await until(10, 'all legs are ACTIVE', async () => (await legs()).every(({ status }) => status === 'ACTIVE'));
    const host = await bound();
    const devices = (await legs()).map((port) => `${port.device_owner === 'network:router_gateway' ? 'qg' : 'qr'}-${port.id.slice(0, 11)}`);
    for (const each of cloud.hosts) {
      const held = await cloud.host(each, 'ovs-vsctl', 'list-ports', 'br-int');
      for (const device of devices) assert.equal(held.includes(device), each === host, `${device} on ${each}`);
    }
    assert.match(await cloud.host(host, 'ip', '-n', namespace, '-o', 'address'), /qr-\S+ +inet 10\.0\.0\.1\/24/);
  });

  await t.test('N-L3-6 N-L3-10: instances on every host reach the outside by the router\'s address; the outside does not reach them, though it knows the way', async () => {
    const gateway = (await legs()).find(({ device_owner }) => device_owner === 'network:router_gateway').fixed_ips[0].ip_address;
    await cloud.ping('vm1', '10.0.0.1');
    for (const name of ['vm1', 'vm2']) await cloud.ping(name, OUTSIDE);
    const seen = await cloud.capture('outside', 'phys', 'icmp and icmp[icmptype] == icmp-echo');
    assert.ok(await cloud.answers('vm1', OUTSIDE));
    assert.match(await seen.stop(), new RegExp(`IP.* ${gateway.replaceAll('.', '\\.')} > 172\\.16\\.0\\.1: ICMP echo request`));
    await cloud.host('outside', 'ip', 'route', 'replace', '10.0.0.0/24', 'via', gateway);
    for (const address of [address1, address2]) assert.notEqual((await cloud.tryHost('outside', 'ping', '-c', '2', '-i', '0.2', '-W', '1', address)).code, 0);
    await cloud.host('outside', 'ip', 'route', 'del', '10.0.0.0/24');
  });

  await t.test('N-L3-11: tap, br-int with the network\'s tag, qr, NAT, qg with the external network\'s tag, br-phys, untagged on the wire; and back', async () => {
    const host = await bound();
    const tagOf = async (device: string) => (await cloud.host(host, 'ovs-vsctl', 'get', 'Port', device, 'tag')).trim();
    const [qg, qr] = ['gateway', 'interface'].map((role) => legs().then((all) => all.find(({ device_owner }) => device_owner === `network:router_${role}`)).then((port) => `${role === 'gateway' ? 'qg' : 'qr'}-${port.id.slice(0, 11)}`));
    assert.notEqual(await tagOf(await qg!), await tagOf(await qr!));
    const [inner, outer, wire] = await Promise.all([capture(await qr!), capture(await qg!), cloud.capture('fabric', 'physnet', `icmp or vlan`)]);
    assert.ok(await cloud.answers('vm1', OUTSIDE));
    assert.match(await inner.stop(), new RegExp(`${address1.replaceAll('.', '\\.')} > 172\\.16\\.0\\.1: ICMP echo request[^]*172\\.16\\.0\\.1 > ${address1.replaceAll('.', '\\.')}: ICMP echo reply`));
    assert.match(await outer.stop(), /172\.16\.0\.\d+ > 172\.16\.0\.1: ICMP echo request[^]*172\.16\.0\.1 > 172\.16\.0\.\d+: ICMP echo reply/);
    const shown = await wire.stop();
    assert.match(shown, /ethertype IPv4 .*172\.16\.0\.\d+ > 172\.16\.0\.1: ICMP echo request/);
    assert.doesNotMatch(shown, /vlan|10\.0\.0\./);
    function capture(device: string) {
      return cloud.start(host, 'ip', 'netns', 'exec', namespace, 'timeout', '8', 'tcpdump', '-l', '-n', '-i', device, 'icmp');
    }
  });

  await t.test('N-L3-20: from VXLAN to a server on the flat network', () => cloud.ping('vm2', flat.addresses.ext[0].addr));

  let floating: any;
  await t.test('N-L3-14 N-L3-15 N-L3-18: a floating IP is DOWN until it leads somewhere, then ACTIVE, and ping and ssh from outside arrive', async () => {
    floating = await demo.floatingIp({ floating_network_id: external.id });
    assert.deepEqual([floating.status, floating.port_id, floating.fixed_ip_address], ['DOWN', null, null]);
    floating = await demo.change('floatingips', floating.id, { port_id: await portOf(vm1) });
    assert.deepEqual([floating.fixed_ip_address, floating.router_id], [address1, router.id]);
    await fromOutside(floating.floating_ip_address);
    await until(10, 'it is ACTIVE', async () => (await floatingIp(floating.id)).status === 'ACTIVE');
    const shown = (await demo.get(`/compute/v2.1/servers/${vm1.id}`)).server.addresses.net;
    assert.deepEqual(shown.map((each: any) => [each['OS-EXT-IPS:type'], each.addr]), [['fixed', address1], ['floating', floating.floating_ip_address]]);
    const banner = await cloud.host('outside', 'busybox', 'timeout', '5', 'sh', '-c', `echo | busybox nc -w 3 ${floating.floating_ip_address} 22`);
    assert.match(banner, /^SSH-2\.0/);
  });

  await t.test('N-L3-16: qg answers ARP for the floating IP with its own MAC', async () => {
    const gateway = (await legs()).find(({ device_owner }) => device_owner === 'network:router_gateway');
    const answer = await cloud.host('outside', 'arping', '-c', '1', '-I', 'phys', floating.floating_ip_address);
    assert.match(answer.toLowerCase(), new RegExp(gateway.mac_address));
  });

  await t.test('N-L3-17 N-L3-19: vm1 leaves as the floating IP, vm2 as the router', async () => {
    const seen = await cloud.capture('outside', 'phys', 'icmp and icmp[icmptype] == icmp-echo');
    assert.ok(await cloud.answers('vm1', OUTSIDE));
    assert.ok(await cloud.answers('vm2', OUTSIDE));
    const text = await seen.stop();
    const sources = new Set([...text.matchAll(/ (172\.16\.0\.\d+) > 172\.16\.0\.1: ICMP/g)].map(([, source]) => source));
    assert.equal(sources.size, 2, text);
    assert.ok(sources.has(floating.floating_ip_address));
  });

  await t.test('the floating IP moves to vm2: from outside the next packets reach vm2', async () => {
    await demo.change('floatingips', floating.id, { port_id: await portOf(vm2) });
    const there = cloud.start('outside', 'ping', '-i', '0.2', floating.floating_ip_address);
    await until(10, 'vm2 hears them', async () => (await cloud.exec('vm2', 'timeout', '3', 'tcpdump', '-c', '1', '-n', '-i', 'eth0', 'icmp')).stdout.includes(address2));
    await there.stop();
  });

  await t.test('law 3: routing goes on while the agent is dead, through its restart, and after kill -9 of ovs-vswitchd', async () => {
    const host = await bound();
    const plan = cloud.plan.hosts.find(({ name }) => name === host)!;
    await endProcesses([runningProcess(cloud.state, agentName(host))!], 'SIGKILL');
    await fromOutside(floating.floating_ip_address);
    const before = cloud.log(host).length;
    await startAgent(cloud.state, plan);
    await until(20, 'all hosts are alive', async () => (await cloud.patchbay('status')).code === 0);
    await cloud.settle();
    assert.deepEqual(cloud.log(host).slice(before).filter(({ msg }) => msg === 'plan'), []);
    await fromOutside(floating.floating_ip_address);
    const vswitchd = (await cloud.host(host, 'cat', '/run/openvswitch/ovs-vswitchd.pid')).trim();
    await cloud.host(host, 'kill', '-9', vswitchd);
    await until(20, 'another ovs-vswitchd runs', async () => (await cloud.tryHost(host, 'cat', '/run/openvswitch/ovs-vswitchd.pid')).stdout.trim() !== vswitchd);
    await fromOutside(floating.floating_ip_address, 20);
    await cloud.ping('vm1', OUTSIDE);
  });

  await t.test('admin_state_up false takes the router away, true brings it back', async () => {
    const host = await bound();
    await demo.change('routers', router.id, { admin_state_up: false });
    await until(10, 'the namespace is gone', async () => !(await cloud.host(host, 'ip', 'netns', 'list')).includes(namespace));
    assert.equal(await cloud.answers('vm1', OUTSIDE), false);
    await demo.change('routers', router.id, { admin_state_up: true });
    await cloud.ping('vm1', OUTSIDE);
    await fromOutside(floating.floating_ip_address);
  });

  await t.test('an admin moves the router to another host: everything goes on from there, nothing stays', async () => {
    const from = await bound();
    const to = cloud.hosts.find((host) => host !== from)!;
    const agents: any[] = (await admin.get('/network/v2.0/agents?agent_type=L3%20agent')).agents;
    const agentOf = (host: string): string => agents.find((agent) => agent.host === host).id;
    await admin.delete(`/network/v2.0/agents/${agentOf(from)}/l3-routers/${router.id}`);
    await admin.post(`/network/v2.0/agents/${agentOf(to)}/l3-routers`, { router_id: router.id });
    assert.equal(await bound(), to);
    await fromOutside(floating.floating_ip_address, 20);
    await cloud.ping('vm1', OUTSIDE);
    await until(10, 'nothing stays', async () => !(await cloud.host(from, 'sh', '-c', 'ip netns list; ovs-vsctl list-ports br-int')).match(/qrouter|qr-|qg-/));
  });

  await t.test('N-L3-12: the router dies with its agent\'s host: no other host takes it', async () => {
    const host = await bound();
    await endProcesses([runningProcess(cloud.state, agentName(host))!, runningProcess(cloud.state, host)!], 'SIGKILL');
    assert.notEqual((await cloud.tryHost('outside', 'ping', '-c', '2', '-i', '0.3', '-W', '1', floating.floating_ip_address)).code, 0);
    for (const each of cloud.hosts.filter((one) => one !== host)) assert.equal((await cloud.host(each, 'ip', 'netns', 'list')).includes(namespace), false);
    assert.equal(await bound(), host);
    await cloud.patchbay('down');
    await up(readSettings({ state: cloud.state }));
    await fromOutside(floating.floating_ip_address, 30);
  });

  async function fromOutside(address: string, seconds = 10): Promise<void> {
    await until(seconds, `outside pings ${address}`, async () => (await cloud.tryHost('outside', 'ping', '-c', '1', '-W', '1', address)).code === 0);
  }
});

/** The flat network that leads outside: what a bootstrap of the tour makes. */
export async function externalNetwork(admin: Api): Promise<any> {
  const external = await admin.network({ name: 'ext', 'router:external': true, shared: true, 'provider:network_type': 'flat', 'provider:physical_network': 'physnet' });
  await admin.subnet({ network_id: external.id, cidr: '172.16.0.0/24', allocation_pools: [{ start: '172.16.0.50', end: '172.16.0.99' }] });
  return external;
}

async function openGroup(api: Api): Promise<void> {
  const [group] = (await api.get(`/network/v2.0/security-groups?name=default&project_id=${api.project_id}`)).security_groups;
  await api.rule({ security_group_id: group.id, direction: 'ingress', protocol: 'icmp' });
  await api.rule({ security_group_id: group.id, direction: 'ingress', protocol: 'tcp', port_range_min: 22, port_range_max: 22 });
}
