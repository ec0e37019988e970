import assert from 'node:assert/strict';
import { type Network, type Port, port, type Subnet, subnet } from '#model/networks.ts';
import type { Store } from '#store/store.ts';
import { Table } from '#store/table.ts';
import { config, contextOf, insertAgent, insertNetwork } from '#testkit/network-rows.ts';
import { eachStore } from '#testkit/stores.ts';
import { dhcpDeviceId, ensureDhcp } from './dhcp-scheduling.ts';
import { networksRule } from './networks.ts';
import { createPorts } from './port-create.ts';
import { portHooks, scheduleWaitingDhcp } from './port-hooks.ts';
import { portsRule } from './ports.ts';
import type { Given } from './rule.ts';
import { subnetsRule } from './subnets.ts';

const ports = new Table(port);
const demo = contextOf('demo');
const deps = { config, hooks: portHooks(config) };
const subnets = subnetsRule(deps);

const addHost = (store: Store, host: string) => store.write(async (tx) => {
  await insertAgent(tx, host);
  await insertAgent(tx, host, { agent_type: 'DHCP agent', configurations: {} });
});
/** A subnet as the API makes it, in one transaction. */
const addSubnet = (store: Store, home: Network, cidr: string, given: Given<typeof subnet> = {}): Promise<Subnet> => store.write(async (tx) => (await subnets.create(tx, demo, [{
  name: '', project_id: 'demo', network_id: home.id, cidr, ip_version: cidr.includes(':') ? 6 : 4, enable_dhcp: true, dns_nameservers: [], host_routes: [], service_types: [],
  ipv6_ra_mode: null, ipv6_address_mode: null, use_default_subnetpool: false, dns_publish_fixed_ip: false, description: '', ...given,
}]))[0]!);
const addNetwork = (store: Store) => store.write((tx) => insertNetwork(tx));
const servers = (store: Store, home: Network): Promise<Port[]> => ports.list(store.reader, { filters: { network_id: [home.id], device_owner: ['network:dhcp'] }, sort: [{ key: 'binding:host_id', dir: 'asc' }] });
const bindings = async (store: Store) => (await store.reader.db.selectFrom('network_dhcp_bindings').selectAll().execute()).map((row) => [row.network_id, row.host, row.port_id]);

eachStore('N-DH-1, N-DH-3: the first subnet brings a DHCP port with the first free address, in the same transaction', async (store) => {
  await addHost(store, 'compute1');
  const home = await addNetwork(store);
  const made = await addSubnet(store, home, '172.16.0.0/24');
  const [server, ...more] = await servers(store, home);
  assert.equal(more.length, 0);
  assert.deepEqual(server!.fixed_ips, [{ subnet_id: made.id, ip_address: '172.16.0.2' }]);
  assert.deepEqual([server!.device_id, server!.project_id, server!.name, server!.port_security_enabled, server!.security_groups, server!['binding:host_id'], server!['binding:vif_type']],
    [dhcpDeviceId('compute1', home.id), 'demo', '', false, [], 'compute1', 'ovs']);
  assert.deepEqual(await bindings(store), [[home.id, 'compute1', server!.id]]);
  const [instance] = await store.write((tx) => createPorts(tx, config, demo, [{ project_id: 'demo', network_id: home.id }]));
  assert.equal(instance!.fixed_ips[0]!.ip_address, '172.16.0.3');
});

eachStore('Neutron’s name of a DHCP server is made of its host and network', async () => {
  // python3 -c "import uuid; print(uuid.uuid5(uuid.NAMESPACE_DNS, 'compute1'))"
  assert.equal(dhcpDeviceId('compute1.example.org', 'N'), dhcpDeviceId('compute1', 'N'));
  assert.equal(dhcpDeviceId('compute1', 'N'), 'dhcpe0130025-5ee5-5094-8d98-24d0a68981b3-N');
});

eachStore('N-DH-1: the server has an address on every subnet with DHCP, and goes with the last of them', async (store) => {
  await addHost(store, 'compute1');
  const home = await addNetwork(store);
  const first = await addSubnet(store, home, '10.0.0.0/24');
  const second = await addSubnet(store, home, '10.0.1.0/24');
  const stateful = await addSubnet(store, home, '2001:db8::/64', { ipv6_ra_mode: 'dhcpv6-stateful', ipv6_address_mode: 'dhcpv6-stateful' });
  await addSubnet(store, home, '10.0.2.0/24', { enable_dhcp: false });
  await addSubnet(store, home, '2001:db8:1::/64');
  const on = async () => (await servers(store, home)).map((one) => one.fixed_ips.map((ip) => ip.subnet_id).sort());
  assert.deepEqual(await on(), [[first.id, second.id, stateful.id].sort()]);
  await store.write((tx) => subnets.update(tx, demo, second, { enable_dhcp: false }));
  assert.deepEqual(await on(), [[first.id, stateful.id].sort()]);
  await store.write((tx) => subnets.delete(tx, demo, stateful));
  assert.deepEqual(await on(), [[first.id]]);
  await store.write((tx) => subnets.update(tx, demo, first, { enable_dhcp: false }));
  assert.deepEqual(await on(), []);
  assert.deepEqual(await bindings(store), []);
  assert.deepEqual(await store.reader.db.selectFrom('ip_allocations').selectAll().execute(), []);
});

eachStore('saying nothing new writes nothing, also beside a SLAAC subnet', async (store) => {
  await addHost(store, 'compute1');
  const home = await addNetwork(store);
  await addSubnet(store, home, '10.0.0.0/24');
  await addSubnet(store, home, '2001:db8::/64', { ipv6_ra_mode: 'slaac', ipv6_address_mode: 'slaac' });
  const before = await store.feed.head();
  await store.write((tx) => ensureDhcp(tx, config, home, ['compute1']));
  assert.deepEqual(await store.feed.head(), before);
});

eachStore('without a host there is no server yet; the first host that comes gets it', async (store) => {
  const home = await addNetwork(store);
  await addSubnet(store, home, '10.0.0.0/24');
  assert.deepEqual(await servers(store, home), []);
  await addHost(store, 'compute1');
  await scheduleWaitingDhcp(store, config);
  assert.deepEqual((await servers(store, home)).map((one) => one.fixed_ips[0]!.ip_address), ['10.0.0.2']);
  const head = await store.feed.head();
  await scheduleWaitingDhcp(store, config);
  assert.deepEqual(await store.feed.head(), head);
});

eachStore('N-DH-12: networks go to the host with the fewest; several servers are on different hosts', async (store) => {
  for (const host of ['compute1', 'compute2', 'compute3']) await addHost(store, host);
  for (let i = 0; i < 6; i++) await addSubnet(store, await addNetwork(store), '10.0.0.0/24');
  const load = Map.groupBy(await bindings(store), ([, host]) => host);
  assert.deepEqual([...load.values()].map((one) => one.length), [2, 2, 2]);
  const home = await addNetwork(store);
  const twice = subnetsRule({ config: { ...config, dhcp_agents_per_network: 2 }, hooks: portHooks({ ...config, dhcp_agents_per_network: 2 }) });
  await store.write((tx) => twice.create(tx, demo, [{ project_id: 'demo', network_id: home.id, cidr: '10.0.0.0/24', ip_version: 4, enable_dhcp: true, dns_nameservers: [], host_routes: [], service_types: [] }]));
  const found = await servers(store, home);
  assert.equal(new Set(found.map((one) => one['binding:host_id'])).size, 2);
  assert.deepEqual(found.map((one) => one.fixed_ips[0]!.ip_address).sort(), ['10.0.0.2', '10.0.0.3']);
});

eachStore('a DHCP port that its project deletes comes back; with the network it goes for good', async (store) => {
  await addHost(store, 'compute1');
  const home = await addNetwork(store);
  await addSubnet(store, home, '10.0.0.0/24');
  const [server] = await servers(store, home);
  await store.write((tx) => portsRule({ config }).delete(tx, demo, server!));
  const [again] = await servers(store, home);
  assert.ok(again && again.id !== server!.id);
  await store.write((tx) => networksRule(deps).delete(tx, demo, home));
  for (const table of ['ports', 'ip_allocations', 'network_dhcp_bindings', 'subnets', 'networks']) assert.deepEqual(await store.reader.db.selectFrom(table).selectAll().execute(), [], table);
});

eachStore('a new SLAAC subnet gives the ports that are there their address', async (store) => {
  const home = await addNetwork(store);
  await addSubnet(store, home, '10.0.0.0/24', { enable_dhcp: false });
  const [one, none] = await store.write((tx) => createPorts(tx, config, demo, [
    { project_id: 'demo', network_id: home.id, mac_address: 'fa:16:3e:01:02:03' }, { project_id: 'demo', network_id: home.id, fixed_ips: [] },
  ]));
  const slaac = await addSubnet(store, home, '2001:db8::/64', { ipv6_ra_mode: 'slaac', ipv6_address_mode: 'slaac' });
  assert.deepEqual((await ports.get(store.reader, one!.id))!.fixed_ips.at(-1), { subnet_id: slaac.id, ip_address: '2001:db8::f816:3eff:fe01:203' });
  assert.deepEqual((await ports.get(store.reader, none!.id))!.fixed_ips, []);
});
