/**
 * Law 4 on a whole cloud: objects that the API accepts and that mean harm, and objects that a host cannot realise, next to
 * healthy neighbours. These are made right after, get their addresses and pass packets; the culprits are in `status` with their reasons.
 */
import assert from 'node:assert/strict';
import type { Api } from '#testkit/api.ts';
import { type Cloud, scenario, until } from '#testkit/cloud.ts';
import { runningProcess } from '#cli/datacentre/state-folder.ts';
import { agentName } from '#cli/services.ts';
import type { Status } from '#protocol/status.ts';

const NASTY_NAME = '<img src=x onerror=alert(1)>"; $(touch /tmp/owned) `id` \' \\ ../../..';

scenario('poison objects next to healthy neighbours', { config: 'quota_subnet: -1\nquota_port: -1\nquota_security_group_rule: -1\n' }, async (cloud, t) => {
  const admin = await cloud.api();
  await admin.post('/compute/v2.1/flavors', { flavor: { name: 'm1.nano', ram: 128, vcpus: 1, disk: 1 } });
  const demo = await cloud.makeProject('demo');
  const home = await demo.network({ name: 'home' });
  const subnet = await demo.subnet({ network_id: home.id, cidr: '10.1.0.0/24' });
  await demo.subnet({ network_id: home.id, ip_version: 6, cidr: 'fd00:1::/64', ipv6_ra_mode: 'dhcpv6-stateful', ipv6_address_mode: 'dhcpv6-stateful' });
  const neighbours = new Neighbours(cloud, demo, admin, home.id);
  // The first knows nobody: what later ones take is compared with the second.
  await neighbours.one();
  const plain = await neighbours.one();
  const unhurt = async (): Promise<void> => {
    const ms = Math.min(await neighbours.one(), await neighbours.one());
    assert.ok(ms < 5 * plain + 2_000, `a neighbour took ${ms} ms, without poison ${plain} ms`);
  };

  await t.test('OSSA-2014-014 OSSA-2015-012 OSSA-2019-001 OSSA-2019-002: rules and address pairs of every kind that the API accepts hurt neither their own port nor others', async () => {
    const groups = [await demo.post('/network/v2.0/security-groups', { security_group: { name: NASTY_NAME, description: 'a\nb' } }, 'security_group'), await demo.post('/network/v2.0/security-groups', { security_group: { name: 'second' } }, 'security_group')];
    const rules: Record<string, unknown>[] = [
      { protocol: 'vrrp' }, { protocol: '112', ethertype: 'IPv6' }, { protocol: 0 }, { protocol: 255 }, { protocol: 'ipv6-frag', ethertype: 'IPv6' }, { protocol: 'hopopt', ethertype: 'IPv6' }, { protocol: 'sctp', port_range_min: 1, port_range_max: 65535 },
      { protocol: 'tcp', port_range_min: 1, port_range_max: 65535, remote_ip_prefix: '0.0.0.0/0' }, { protocol: 'tcp', port_range_min: 1000, port_range_max: 2000, remote_ip_prefix: '10.1.0.5/8' }, { protocol: 'tcp', port_range_min: 1500, port_range_max: 3000 },
      { protocol: 'udp', remote_ip_prefix: '255.255.255.255/32' }, { protocol: 'udp', remote_ip_prefix: '224.0.0.0/4' }, { protocol: 'udp', ethertype: 'IPv6', remote_ip_prefix: '::ffff:0:0/96' }, { ethertype: 'IPv6', remote_ip_prefix: '::/0', protocol: 'tcp' },
      { protocol: 'icmp', port_range_min: 255, port_range_max: 255 }, { protocol: 'icmp', port_range_min: 0 }, { protocol: 'ipv6-icmp', ethertype: 'IPv6', port_range_min: 134, port_range_max: 0 }, { remote_group_id: groups[1].id }, { remote_group_id: groups[0].id, protocol: 'tcp', port_range_min: 1, port_range_max: 60000 },
    ];
    for (const group of groups) for (const rule of rules) await demo.rule({ security_group_id: group.id, direction: 'ingress', ...rule });
    const port = await demo.port({
      network_id: home.id, name: NASTY_NAME, security_groups: groups.map(({ id }) => id),
      allowed_address_pairs: [
        { ip_address: '0.0.0.0/0' }, { ip_address: '::/0' }, { ip_address: '10.1.0.5/24' }, { ip_address: '10.1.0.7/32' }, { ip_address: '10.1.0.7' }, { ip_address: '255.255.255.255' }, { ip_address: 'fe80::/10' },
        { ip_address: '0.0.0.0/0', mac_address: '00:00:00:00:00:01' }, { ip_address: '::/0', mac_address: '02:ab:cd:ef:00:01' }, { ip_address: '10.1.0.0/24', mac_address: '00:00:5e:00:01:01' },
      ],
      extra_dhcp_opts: [{ opt_name: 'bootfile-name', opt_value: 'a "quoted\\" # name' }, { opt_name: '150', opt_value: '1.2.3.4' }, { opt_name: 'domain-search', opt_value: 'a.b', ip_version: 6 }],
    });
    await demo.server({ name: 'poison', networks: [{ port: port.id }], metadata: { '..': NASTY_NAME }, user_data: Buffer.from([0, 255, 10, 35, 33, 13]).toString('base64') });
    await until(20, 'poison has its address', async () => (await cloud.exec('poison', 'ip', '-o', '-4', 'address', 'show', 'dev', 'eth0')).stdout.includes(port.fixed_ips[0].ip_address));
    await unhurt();
    // Hop-by-hop options, in both groups.
    const useless = (await told(cloud, 2)).map((line) => line.replace(/^\S+ \S+: /, ''));
    assert.deepEqual(useless.sort(), Array.from({ length: 2 }, () => 'Open vSwitch matches no IPv6 extension header 0: the rule admits nothing'));
    await admin.delete(`/compute/v2.1/servers/${(await admin.get('/compute/v2.1/servers?name=poison&all_tenants=1')).servers[0].id}`);
    await clean(cloud);
  });

  await t.test('OSSA-2014-019 OSSA-2015-001: routers with many IPv6 subnets, odd networks behind them and routes to nowhere come up beside each other, each refused part with its reason', async () => {
    const ids: string[] = [];
    for (let i = 0; i < 8; i++) {
      const router = await demo.router({ name: `r${i}` });
      ids.push(router.id);
      const network = await demo.network({ name: `six${i}`, ...(i === 0 ? {} : { mtu: 1280 }) });
      for (let j = 0; j < 3; j++) await demo.addInterface(router.id, (await demo.subnet({ network_id: network.id, ip_version: 6, cidr: `fd00:${i}${j}::/64`, ipv6_ra_mode: 'slaac', ipv6_address_mode: 'slaac', dns_nameservers: ['::'] })).id);
    }
    const tiny = await demo.network({ name: 'tiny', mtu: 68 });
    const tinySubnet = await demo.subnet({ network_id: tiny.id, cidr: '10.68.0.0/24', dns_nameservers: ['0.0.0.0'], host_routes: [{ destination: '0.0.0.0/0', nexthop: '255.255.255.255' }, { destination: '127.0.0.0/8', nexthop: '127.0.0.1' }] });
    await demo.addInterface(ids[0]!, tinySubnet.id);
    await cloud.settle();
    assert.deepEqual(await problems(cloud), []);

    await demo.addInterface(ids[1]!, subnet.id);
    const routes = [
      { destination: '10.9.0.0/24', nexthop: '10.1.0.255' }, { destination: '10.1.0.0/24', nexthop: '10.1.0.5' }, { destination: '10.8.0.0/24', nexthop: '10.1.0.77' }, { destination: '224.0.0.0/4', nexthop: '10.1.0.78' },
    ];
    await demo.request('PUT', `/network/v2.0/routers/${ids[1]}/add_extraroutes`, { router: { routes } });
    assert.deepEqual(await told(cloud, 1), [`router ${ids[1]}: route 10.1.0.0/24 via 10.1.0.5: the prefix is on the link of DEVICE; route 10.9.0.0/24 via 10.1.0.255 dev DEVICE: Nexthop has invalid gateway`]);
    const [{ host }] = (await admin.get(`/network/v2.0/routers/${ids[1]}/l3-agents`)).agents;
    const table = await cloud.host(host, 'ip', '-n', `qrouter-${ids[1]}`, 'route');
    assert.match(table, /10\.8\.0\.0\/24 via 10\.1\.0\.77/);
    await neighbours.ping('10.1.0.1');
    await unhurt();
    await demo.request('PUT', `/network/v2.0/routers/${ids[1]}/remove_extraroutes`, { router: { routes } });
    await clean(cloud);
  });

  await t.test('OSSA-2021-005 OSSA-2014-039: options, gateways and subnets that no DHCP server can serve cost their own lines, not the network', async () => {
    const crowd = await demo.network({ name: 'crowd' });
    const subnets: { id: string }[] = [];
    for (let i = 0; i < 40; i++) subnets.push(await demo.subnet({ network_id: crowd.id, cidr: `10.200.${i}.0/24` }));
    const odd = await demo.network({ name: 'odd' });
    const oddSubnet = await demo.subnet({ network_id: odd.id, cidr: '10.7.0.0/24', gateway_ip: '224.0.0.1' });
    const large = await demo.subnet({ network_id: odd.id, ip_version: 6, cidr: 'fd00:7::/48' });
    const bad = await demo.port({ network_id: home.id, extra_dhcp_opts: Array.from({ length: 200 }, (_, i) => ({ opt_name: `no-such-${i}`, opt_value: '1' })) });
    const said = await told(cloud, 3);
    const of = (id: string): string => said.find((line) => line.includes(id)) ?? `nothing of ${id} in ${said.join('\n')}`;
    assert.match(of(crowd.id), /9 of 40 routes of a subnet do not fit into DHCP option 121/);
    assert.match(of(odd.id), /default via 224\.0\.0\.1 dev DEVICE onlink: Nexthop has invalid gateway/);
    assert.match(of(odd.id), /fd00:7::\/48 is too large for DHCPv6/);
    assert.match(of(bad.id), /DHCP option "no-such-7": dnsmasq does not know it, or not with this value; DHCP option "no-such-8": not looked at: 8 options before it are refused/);
    assert.equal(said.length, 3, said.join('\n'));
    await unhurt();
    // Their own clients are served as well.
    for (const [name, network] of [['in-crowd', crowd], ['in-odd', odd]] as const) {
      await demo.server({ name, networks: [{ uuid: network.id }] });
      await until(20, `${name} has an address`, async () => /inet 10\./.test((await cloud.exec(name, 'ip', '-o', '-4', 'address', 'show', 'dev', 'eth0')).stdout));
      const [server] = (await demo.get(`/compute/v2.1/servers?name=${name}`)).servers;
      await demo.delete(`/compute/v2.1/servers/${server.id}`);
    }
    await demo.change('subnets', oddSubnet.id, { gateway_ip: null });
    await demo.delete(`/network/v2.0/subnets/${large.id}`);
    await demo.change('ports', bad.id, { extra_dhcp_opts: Array.from({ length: 200 }, (_, i) => ({ opt_name: `no-such-${i}`, opt_value: null })) });
    for (const { id } of subnets.slice(20)) await demo.delete(`/network/v2.0/subnets/${id}`);
    await clean(cloud);
  });

  await t.test('law 4: what the host itself refuses fails alone: a namespace whose name is taken, a tap that vanishes, a physical network that is not there', async () => {
    const router = await demo.router({ name: 'taken' });
    const leg = await demo.network({ name: 'leg' });
    const legSubnet = await demo.subnet({ network_id: leg.id, cidr: '10.6.0.0/24' });
    const path = `/run/netns/qrouter-${router.id}`;
    for (const host of cloud.hosts) await cloud.host(host, 'sh', '-c', 'mkdir "$1" && touch "$1/x"', 'sh', path);
    await demo.addInterface(router.id, legSubnet.id);

    const vanishing = await admin.port({ network_id: home.id, project_id: demo.project_id, 'binding:host_id': 'compute1' });
    await cloud.host('compute1', 'sh', '-c', 'ip link add tapgone type veth peer name tapgone-p && ip link set tapgone up && ovs-vsctl add-port br-int tapgone -- set Interface tapgone external_ids:iface-id="$1" external_ids:attached-mac="$2"', 'sh', vanishing.id, vanishing.mac_address);
    await portStatus(demo, vanishing.id, 'ACTIVE');
    await cloud.host('compute1', 'ip', 'link', 'del', 'tapgone');
    // The agent looks by itself once a minute.
    process.kill(runningProcess(cloud.state, agentName('compute1'))!.pid, 'SIGUSR1');
    await portStatus(demo, vanishing.id, 'DOWN');
    assert.ok((await told(cloud, 2)).some((line) => line === `port ${vanishing.id}: its device tapgone is gone`));

    const nowhere = await admin.network({ name: 'lacking', 'provider:network_type': 'flat', 'provider:physical_network': 'lacking', project_id: demo.project_id });
    const unbound = await admin.port({ network_id: nowhere.id, 'binding:host_id': 'compute1' });
    assert.deepEqual([unbound['binding:vif_type'], unbound.status], ['binding_failed', 'DOWN']);
    assert.match(unbound.status_reason, /lacking/);

    await unhurt();
    await until(10, 'the router says why', async () => (await problems(cloud)).some((line) => line.startsWith(`router ${router.id}: `)));

    for (const host of cloud.hosts) await cloud.host(host, 'sh', '-c', 'rm -r "$1"', 'sh', path);
    await cloud.host('compute1', 'ovs-vsctl', '--if-exists', 'del-port', 'tapgone');
    for (const { id } of [vanishing, unbound]) await admin.delete(`/network/v2.0/ports/${id}`);
    await demo.change('routers', router.id, { description: 'mended' });
    await clean(cloud);
    const [{ host }] = (await admin.get(`/network/v2.0/routers/${router.id}/l3-agents`)).agents;
    assert.match(await cloud.host(host, 'ip', '-n', `qrouter-${router.id}`, '-o', 'address'), /10\.6\.0\.1\/24/);
  });

  await t.test('OSSN-0022: a reboot leaves the filter of an instance where it was', async () => {
    const shut = await demo.post('/network/v2.0/security-groups', { security_group: { name: 'shut' } }, 'security_group');
    const port = await demo.port({ network_id: home.id, security_groups: [shut.id] });
    const [{ ip_address }] = port.fixed_ips.filter((fixed: { ip_address: string }) => !fixed.ip_address.includes(':'));
    const server = await demo.server({ name: 'shut', networks: [{ port: port.id }] });
    const hasAddress = async (): Promise<boolean> => (await cloud.exec('shut', 'ip', '-o', '-4', 'address', 'show', 'dev', 'eth0')).stdout.includes(ip_address);
    await until(20, 'shut has its address', hasAddress);
    assert.equal(await cloud.answers('n0', ip_address), false);
    const boot = (await cloud.exec('shut', 'stat', '-c', '%Z', '/proc/1')).stdout;
    await demo.request('POST', `/compute/v2.1/servers/${server.id}/action`, { reboot: { type: 'SOFT' } });
    await until(30, 'shut has started anew', async () => {
      const { code, stdout } = await cloud.exec('shut', 'stat', '-c', '%Z', '/proc/1');
      return code === 0 && stdout !== boot && hasAddress();
    });
    assert.equal(await cloud.answers('n0', ip_address), false);
    await demo.rule({ security_group_id: shut.id, direction: 'ingress', protocol: 'icmp' });
    await neighbours.ping(ip_address);
  });
});

/** Healthy servers on one network, hosts in turn. */
class Neighbours {
  readonly #cloud: Cloud;
  readonly #api: Api;
  readonly #admin: Api;
  readonly #networkId: string;
  #count = 0;
  #first = '';

  constructor(cloud: Cloud, api: Api, admin: Api, networkId: string) {
    this.#cloud = cloud;
    this.#api = api;
    this.#admin = admin;
    this.#networkId = networkId;
  }

  /** Makes one more; resolves with the milliseconds until it is ACTIVE, and when it and the first reach each other. */
  async one(): Promise<number> {
    const name = `n${this.#count++}`;
    const begin = performance.now();
    const server = await this.#api.server({ name, networks: [{ uuid: this.#networkId }] });
    const ms = performance.now() - begin;
    const { ports } = await this.#admin.get(`/network/v2.0/ports?device_id=${server.id}`);
    const address = ports[0].fixed_ips.map((fixed: { ip_address: string }) => fixed.ip_address).find((each: string) => !each.includes(':'));
    assert.equal(ports[0].status, 'ACTIVE');
    if (this.#first === '') this.#first = name;
    else await this.ping(address);
    return ms;
  }

  ping(address: string): Promise<void> {
    return this.#cloud.ping(this.#first, address);
  }
}

/** What `patchbay status` shows in error, sorted, names of devices left out. */
async function problems(cloud: Cloud): Promise<string[]> {
  const status = JSON.parse((await cloud.patchbay('status', '--json')).stdout) as Status;
  return status.hosts.flatMap(({ errors }) => errors.map(({ object, reason }) => `${object}: ${reason.replace(/\b(tap|qr-)[0-9a-f-]{11}/g, 'DEVICE')}`)).sort();
}

/** The problems once there are `count` of them. */
async function told(cloud: Cloud, count: number): Promise<string[]> {
  let said: string[] = [];
  await until(15, `${count} objects say why they are not as they should be`, async () => (said = await problems(cloud)).length >= count).catch((error: Error) => {
    throw new Error(`${error.message}: ${said.join('\n')}`);
  });
  return said;
}

async function clean(cloud: Cloud): Promise<void> {
  let last: string[] = [];
  await until(70, 'status is clean', async () => (last = await problems(cloud)).length === 0).catch((error: Error) => {
    throw new Error(`${error.message}: ${last.join('\n')}`);
  });
}

async function portStatus(api: Api, id: string, wanted: string): Promise<void> {
  await until(20, `port ${id} is ${wanted}`, async () => (await api.get(`/network/v2.0/ports/${id}`)).port.status === wanted);
}
