import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { printState } from '#hoststate/host-state.ts';
import { loadConfig } from '#model/config.ts';
import { Compiler, type RowChange } from './compiler.ts';

const HOSTS = ['h1', 'h2', 'h3'];
const NETWORKS = ['n1', 'n2'];
const GROUPS = ['g1', 'g2'];
const ADDRESS_GROUPS = ['b1', 'b2'];
const PORTS = ['p1', 'p2', 'p3', 'p4', 'p5'];
const ROUTERS = ['q1', 'q2'];
const FLOATING_IPS = ['f1', 'f2'];
const POOLS = ['a1', 'a2'];

/** Addresses of few values, so that members of groups share them and some port has a subnet's gateway address. */
const address = fc.constantFrom('10.0.0.1', '10.0.0.3', '10.0.0.4', 'fd00::3');
const idOf = fc.constantFrom;
/** Rows of `table` by id: one in five times it is gone. */
function rows<T extends RowChange['table'], G>(table: T, fields: { [K in keyof G]: fc.Arbitrary<G[K]> }, make: (id: string, given: G) => Record<string, unknown>): (id: string) => fc.Arbitrary<RowChange> {
  return (id) => fc.option(fc.record(fields), { freq: 5, nil: undefined }).map((given) => ({ table, id, row: given && { id, ...make(id, given as G) } }) as RowChange);
}

const port = rows('ports', {
  network_id: idOf(...NETWORKS), host: idOf('', ...HOSTS), bound: fc.boolean(), groups: fc.subarray(GROUPS), secure: fc.boolean(), up: fc.boolean(),
  addresses: fc.uniqueArray(address, { maxLength: 2 }), status: idOf('ACTIVE', 'DOWN'), pairs: fc.uniqueArray(idOf('10.9.0.0/24', '10.9.0.5/24', '10.0.0.3', '10.0.0.3/32'), { maxLength: 2 }),
  owner: idOf('compute:nova', 'compute:nova', 'network:dhcp', 'network:router_interface', 'network:router_interface', 'network:router_gateway', 'network:floatingip'), router: idOf(...ROUTERS),
  project_id: idOf('p', 'q'), dns_name: idOf('', 'vm', 'www.vm'), dns_domain: idOf('', 'b.'),
}, (id, given) => ({
  network_id: given.network_id, project_id: given.project_id, name: '', admin_state_up: given.up, status: given.status, mac_address: `fa:16:3e:00:00:0${id.slice(1)}`,
  fixed_ips: given.addresses.map((ip_address) => ({ subnet_id: `s${ip_address.includes(':') ? 6 : 4}-${given.network_id}`, ip_address })), device_id: given.owner.includes('router') ? given.router : `vm-${id}`, device_owner: given.owner,
  security_groups: given.groups, port_security_enabled: given.secure, allowed_address_pairs: given.pairs.map((ip_address) => ({ ip_address })), extra_dhcp_opts: [], dns_name: given.dns_name, dns_domain: given.dns_domain,
  'binding:host_id': given.host, 'binding:vif_type': given.host && given.bound ? 'ovs' : 'unbound',
}));
const network = rows('networks', { type: idOf('vxlan', 'gre', 'vlan'), mtu: idOf(1450, 1500), admin_state_up: fc.boolean(), dns_domain: idOf('', 'a.') }, (_id, { type, ...given }) => ({
  ...given, 'provider:network_type': type, 'provider:physical_network': 'physnet', 'provider:segmentation_id': 7, project_id: 'p',
}));
const subnet = rows('subnets', { gateway: idOf(0, 1, null), enable_dhcp: fc.boolean(), subnetpool_id: idOf(null, ...POOLS), ra: idOf(null, 'slaac') }, (id, { gateway, ra, ...given }) => {
  const [cidr, ...gateways] = id.startsWith('s4') ? ['10.0.0.0/24', '10.0.0.1', '10.0.0.3'] : ['fd00::/64', 'fd00::3', 'fd00::4'];
  return { ...given, network_id: id.slice(3), ip_version: Number(id[1]), cidr, gateway_ip: gateway === null ? null : gateways[gateway], dns_nameservers: [], host_routes: [], ipv6_address_mode: null, ipv6_ra_mode: id.startsWith('s6') ? ra : null };
});
const rule = rows('security_group_rules', { security_group_id: idOf(...GROUPS), remote: idOf(null, ...GROUPS, ...ADDRESS_GROUPS) }, (_id, { remote, ...given }) => ({
  ...given, remote_group_id: GROUPS.includes(remote!) ? remote : null, remote_address_group_id: ADDRESS_GROUPS.includes(remote!) ? remote : null, direction: 'ingress', ethertype: 'IPv4', protocol: 'tcp', port_range_min: 1, port_range_max: 2, remote_ip_prefix: null, normalized_cidr: null, conj_id: 1,
}));
const host = rows('hosts', { ip: idOf('192.168.2.1', '192.168.2.2', null), bridge: idOf('br-phys', 'br-ext') }, (id, { ip, bridge }) => ({ tunneling_ip: ip && `${ip}${id.slice(1)}`, bridge_mappings: { physnet: bridge } }));
const dhcpBinding = rows('dhcp_bindings', { port_id: idOf(...PORTS) }, (id, given) => ({ ...given, network_id: id.split('/')[0], host: id.split('/')[1] }));
const server = rows('servers', { host: idOf(null, ...HOSTS), power: idOf('on', 'off') }, (id, given) => ({
  ...given, name: id, hostname: id, project_id: 'p', generation: 1, image_id: 'i', vcpus: 1, ram: 1, ports: [{ port_id: id.slice(3), owned: true }], user_data: null, metadata: {}, key_name: null, key_data: null, launch_index: 0,
  availability_zone: 'nova', seed: '0',
}));
const router = rows('routers', { admin_state_up: fc.boolean(), enable_snat: fc.boolean(), nexthops: fc.subarray(['10.0.0.3', '10.0.0.4']) }, (_id, { nexthops, ...given }) => ({
  ...given, project_id: 'p', gw_port_id: null, routes: nexthops.map((nexthop) => ({ destination: '10.9.0.0/24', nexthop })),
}));
const floatingIp = rows('floatingips', { router_id: idOf(null, ...ROUTERS), port_id: idOf(null, ...PORTS), to: idOf('10.0.0.3', '10.0.0.4'), status: idOf('ACTIVE', 'DOWN') }, (id, { router_id, port_id, to, status }) => ({
  floating_ip_address: `172.16.0.${id.slice(1)}`, router_id, port_id, status, fixed_ip_address: port_id && to,
}));
const forwarding = rows('port_forwardings', { floatingip_id: idOf(...FLOATING_IPS), range: idOf('80:80', '80:90') }, (_id, { floatingip_id, range }) => ({
  floatingip_id, protocol: 'tcp', internal_port_id: 'p1', internal_ip_address: '10.0.0.3', external_port_range: range, internal_port_range: range,
}));
const log = rows('logs', { target_id: idOf(null, null, ...PORTS), resource_id: idOf(null, ...GROUPS), project_id: idOf('p', 'q'), event: idOf('ALL', 'ACCEPT', 'DROP'), enabled: fc.boolean() }, (_id, given) => given);
const pairsOf = (first: readonly string[], second: readonly string[]): string[] => first.flatMap((a) => second.map((b) => `${a}/${b}`));

/** How often a table changes, its ids (few, so that rows meet), and its rows. */
const TABLES: readonly { weight: number; ids: readonly string[]; row: (id: string) => fc.Arbitrary<RowChange> }[] = [
  { weight: 10, ids: PORTS, row: port },
  { weight: 2, ids: NETWORKS, row: network },
  { weight: 3, ids: NETWORKS.flatMap((id) => [`s4-${id}`, `s6-${id}`]), row: subnet },
  { weight: 3, ids: ['r1', 'r2', 'r3'], row: rule },
  { weight: 2, ids: pairsOf(ADDRESS_GROUPS, ['10.0.0.3/32', '10.9.0.0/24', 'fd00::3/128']), row: rows('address_associations', {}, (id) => ({ address_group_id: id.slice(0, 2), address: id.slice(3) })) },
  { weight: 1, ids: GROUPS, row: rows('security_groups', { stateful: fc.boolean(), project_id: idOf('p', 'q') }, (_id, given) => given) },
  { weight: 1, ids: HOSTS, row: host },
  { weight: 2, ids: pairsOf(HOSTS, NETWORKS), row: rows('local_vlans', { number: fc.integer({ min: 1, max: 3 }) }, (_id, given) => given) },
  { weight: 1, ids: pairsOf(NETWORKS, HOSTS), row: dhcpBinding },
  { weight: 2, ids: PORTS.map((id) => `vm-${id}`), row: server },
  { weight: 2, ids: ROUTERS, row: router },
  { weight: 4, ids: pairsOf(ROUTERS, HOSTS), row: rows('router_bindings', {}, (id) => ({ router_id: id.split('/')[0], host: id.split('/')[1] })) },
  { weight: 3, ids: FLOATING_IPS, row: floatingIp },
  { weight: 2, ids: ['w1', 'w2'], row: forwarding },
  { weight: 3, ids: ['l1', 'l2', 'l3'], row: log },
  { weight: 1, ids: POOLS, row: rows('subnetpools', { address_scope_id: idOf(null, 'scope1', 'scope2') }, (_id, given) => given) },
];
const world = fc.tuple(...TABLES.flatMap(({ ids, row }) => ids.map(row)));
const change = fc.oneof(...TABLES.map(({ weight, ids, row }) => ({ weight, arbitrary: idOf(...ids).chain(row) })));

const settings = fc.constantFrom('', 'enable_isolated_metadata: true', 'force_metadata: true', 'l2_population: false');

test('oracle 1: whatever changes in whatever order and batches, the incremental state equals the one compiled from nothing', () => {
  fc.assert(fc.property(settings, world, fc.array(fc.array(change, { minLength: 1, maxLength: 4 }), { maxLength: 20, size: 'max' }), (yaml, start, batches) => {
    const compiler = new Compiler(loadConfig(yaml));
    for (const host of HOSTS) compiler.follow(host);
    for (const batch of [start, ...batches]) {
      compiler.apply(batch);
      for (const host of HOSTS) assert.equal(printState(compiler.follow(host)), printState(compiler.fromScratch(host)));
    }
  }), { numRuns: process.env['PATCHBAY_TEST_ALL'] ? 5_000 : 400 });
});

test('a delta says what changed and nothing else', () => {
  const compiler = new Compiler(loadConfig(''));
  compiler.follow('h1');
  const rows: RowChange[] = [
    { table: 'hosts', id: 'h1', row: { id: 'h1', tunneling_ip: '192.168.2.1', bridge_mappings: {} } },
    { table: 'networks', id: 'n1', row: { id: 'n1', 'provider:network_type': 'vxlan', 'provider:segmentation_id': 7, mtu: 1450, admin_state_up: true, dns_domain: '' } as never },
    { table: 'local_vlans', id: 'h1/n1', row: { id: 'h1/n1', number: 1 } },
  ];
  assert.deepEqual(compiler.apply(rows), new Map());
  const [made] = fc.sample(port('p1').filter((each) => each.table === 'ports' && each.row?.['binding:vif_type'] === 'ovs' && each.row['binding:host_id'] === 'h1' && each.row.network_id === 'n1'), 1);
  assert.deepEqual(compiler.apply([made!]).get('h1')!.upserts.map((item) => item.type).sort(), ['port', 'segment']);
  assert.deepEqual(compiler.apply([made!]), new Map(), 'the same row again is no news');
  assert.deepEqual(compiler.apply([{ table: 'ports', id: 'p1', row: undefined }]).get('h1'), { upserts: [], removals: ['port/p1', 'segment/n1'] });
});

test('a floating IP that is DOWN again is sent again, though its host has it already: the host is to say that it works', () => {
  const compiler = new Compiler(loadConfig(''));
  compiler.follow('h1');
  const floating = (given: Record<string, unknown>): RowChange => ({ table: 'floatingips', id: 'f1', row: { id: 'f1', floating_ip_address: '172.16.0.9', router_id: 'q1', port_id: 'p1', fixed_ip_address: '10.0.0.3', ...given } as never });
  const told = (...changes: RowChange[]) => compiler.apply(changes).get('h1')?.upserts.map((item) => item.type) ?? [];
  assert.deepEqual(told(
    { table: 'routers', id: 'q1', row: { id: 'q1', admin_state_up: true, enable_snat: true, routes: [], project_id: 'p' } as never },
    { table: 'router_bindings', id: 'q1/h1', row: { id: 'q1/h1', router_id: 'q1', host: 'h1' } }, floating({ status: 'DOWN' }),
  ), ['router', 'floating-ip']);
  assert.deepEqual(told(floating({ status: 'ACTIVE' })), []);
  assert.deepEqual(told(floating({ status: 'DOWN', router_id: null, port_id: null, fixed_ip_address: null }), floating({ status: 'DOWN' })), ['floating-ip']);
  assert.deepEqual(told(floating({ status: 'ACTIVE', description: 'x' })), []);
});

test('a port forwarding says which ports become which; one of a protocol without ports is nothing to a host', () => {
  const compiler = new Compiler(loadConfig(''));
  compiler.follow('h1');
  const made = (id: string, protocol: string, internal_port_range: string): RowChange => ({ table: 'port_forwardings', id, row: { id, floatingip_id: 'f1', protocol, internal_port_id: 'p1', internal_ip_address: '10.0.0.3', external_port_range: '80:90', internal_port_range } as never });
  const { upserts } = compiler.apply([
    { table: 'routers', id: 'q1', row: { id: 'q1', admin_state_up: true, enable_snat: true, routes: [], project_id: 'p' } as never },
    { table: 'router_bindings', id: 'q1/h1', row: { id: 'q1/h1', router_id: 'q1', host: 'h1' } },
    { table: 'floatingips', id: 'f1', row: { id: 'f1', floating_ip_address: '172.16.0.9', router_id: 'q1', port_id: null, fixed_ip_address: null, status: 'DOWN' } as never },
    made('w1', 'tcp', '100:110'), made('w2', 'udp', '53:53'), made('w3', 'icmp', '100:110'),
  ]).get('h1')!;
  assert.deepEqual(upserts.flatMap((item) => (item.type === 'port-forwarding' ? [[item.port_forwarding_id, item.external_first, item.external_last, item.internal_first, item.internal_last]] : [])), [['w1', 80, 90, 100, 110], ['w2', 80, 90, 53, 53]]);
});

const vxlanPair: RowChange[] = [
  ...['h1', 'h2'].map((id, i): RowChange => ({ table: 'hosts', id, row: { id, tunneling_ip: `192.168.2.${i + 1}`, bridge_mappings: {} } })),
  { table: 'networks', id: 'n1', row: { id: 'n1', 'provider:network_type': 'vxlan', 'provider:segmentation_id': 7, mtu: 1450, admin_state_up: true, dns_domain: '' } as never },
  ...['h1', 'h2'].map((host, i): RowChange => ({ table: 'ports', id: `p${i}`, row: {
    id: `p${i}`, network_id: 'n1', admin_state_up: true, status: 'DOWN', mac_address: 'fa:16:3e:00:00:01', fixed_ips: [{ subnet_id: 's', ip_address: '10.0.0.3' }], device_owner: '', security_groups: [],
    port_security_enabled: false, allowed_address_pairs: [], extra_dhcp_opts: [], 'binding:host_id': host, 'binding:vif_type': 'ovs',
  } as never })),
];
const typesOf = (compiler: Compiler, host: string) => [...compiler.stateOf(host).values()].map(({ type }) => type);

test('X-19: without l2_population peers are flooded to and learned, not told', () => {
  const types = (yaml: string) => {
    const compiler = new Compiler(loadConfig(yaml));
    compiler.apply(vxlanPair);
    return typesOf(compiler, 'h1');
  };
  assert.deepEqual(types(''), ['tunnel', 'flood', 'forward', 'port']);
  assert.deepEqual(types('l2_population: false'), ['tunnel', 'flood', 'port']);
});

test('law 4: a row that cannot be compiled leaves its item as it was, and hurts no other', () => {
  const compiler = new Compiler(loadConfig(''));
  compiler.apply(vxlanPair);
  compiler.follow('h1');
  const [, , , port] = vxlanPair;
  const poison: RowChange = { table: 'ports', id: 'p0', row: { ...(port as { row: object }).row, get extra_dhcp_opts(): never { throw new Error('unused'); }, get mac_address(): never { throw new Error('poison'); } } as never };
  assert.deepEqual(compiler.apply([poison, { table: 'networks', id: 'n2', row: undefined }]), new Map());
  assert.deepEqual([...compiler.errors], [['h1 port/p0', 'poison']]);
  assert.deepEqual(typesOf(compiler, 'h1'), ['tunnel', 'flood', 'forward', 'port']);
  compiler.apply([port!]);
  assert.deepEqual([...compiler.errors], []);
});

test('an instance does not wait for a port that is down by its owner’s wish', () => {
  const compiler = new Compiler(loadConfig(''));
  const port = (admin_state_up: boolean): RowChange => ({ table: 'ports', id: 'p0', row: { ...(vxlanPair[3] as { row: object }).row, admin_state_up } as never });
  const server = { id: 'v', name: 'v', hostname: 'v', host: 'h1', power: 'on', generation: 1, image_id: 'i', vcpus: 1, ram: 1, ports: [{ port_id: 'p0', owned: true }], user_data: null, metadata: {}, key_name: null, key_data: null, launch_index: 0, seed: '0' };
  compiler.apply([...vxlanPair, { table: 'servers', id: 'v', row: server as never }]);
  compiler.follow('h1');
  const ready = () => (compiler.stateOf('h1').get('instance/v') as { ready: boolean }).ready;
  assert.equal(ready(), false);
  compiler.apply([port(false)]);
  assert.equal(ready(), true);
});

test('N-L3-13: a leg of a router has the address scopes of its network, and follows a pool that changes its scope', () => {
  const compiler = new Compiler(loadConfig(''));
  const pool = (address_scope_id: string | null, name = ''): RowChange => ({ table: 'subnetpools', id: 'a1', row: { id: 'a1', address_scope_id, name } as never });
  compiler.apply([
    { table: 'networks', id: 'n1', row: { id: 'n1', 'provider:network_type': 'vxlan', mtu: 1450, admin_state_up: true } as never },
    pool('scope1'),
    { table: 'subnets', id: 's4', row: { id: 's4', network_id: 'n1', ip_version: 4, cidr: '10.0.0.0/24', gateway_ip: '10.0.0.1', subnetpool_id: 'a1', ipv6_ra_mode: null } as never },
    { table: 'subnets', id: 's6', row: { id: 's6', network_id: 'n1', ip_version: 6, cidr: 'fd00::/64', gateway_ip: null, subnetpool_id: null, ipv6_ra_mode: null } as never },
    { table: 'routers', id: 'q1', row: { id: 'q1', project_id: 'p', admin_state_up: true, enable_snat: true, routes: [] } as never },
    { table: 'router_bindings', id: 'q1/h1', row: { id: 'q1/h1', router_id: 'q1', host: 'h1' } },
    { table: 'ports', id: 'p1', row: { ...(vxlanPair[3] as { row: object }).row, id: 'p1', device_id: 'q1', device_owner: 'network:router_interface', 'binding:host_id': 'h1', fixed_ips: [{ subnet_id: 's4', ip_address: '10.0.0.1' }] } as never },
  ]);
  const scopes = (state = compiler.follow('h1')) => (state.get('router-port/q1/p1') as { address_scopes: object }).address_scopes;
  assert.deepEqual(scopes(), { ipv4: 'scope1', ipv6: null });
  assert.deepEqual(compiler.apply([pool('scope1', 'renamed')]), new Map(), 'nothing else of a pool matters to a host');
  assert.deepEqual(compiler.apply([pool('scope2')]).get('h1')!.upserts.map((item) => item.type), ['router-port']);
  assert.deepEqual(scopes(), { ipv4: 'scope2', ipv6: null });
  compiler.apply([pool(null)]);
  assert.deepEqual(scopes(), { ipv4: null, ipv6: null });
});

test('a log concerns its port, or the ports of its group, or those that have a group of its project', () => {
  const compiler = new Compiler(loadConfig(''));
  compiler.follow('h1');
  const port = (id: string, security_groups: string[], given: Record<string, unknown> = {}): RowChange => ({ table: 'ports', id, row: {
    ...(vxlanPair[3] as { row: object }).row, id, 'binding:host_id': 'h1', port_security_enabled: true, security_groups, project_id: 'p', ...given,
  } as never });
  const log = (id: string, given: Record<string, unknown>): RowChange => ({ table: 'logs', id, row: { id, resource_type: 'security_group', resource_id: null, target_id: null, event: 'ALL', enabled: true, project_id: 'p', ...given } as never });
  const told = (...changes: RowChange[]) => {
    const delta = compiler.apply(changes).get('h1');
    return [...(delta?.upserts ?? []).flatMap((item) => (item.type === 'log' ? [`+${item.port_id} ${item.log_id}`] : [])), ...(delta?.removals ?? []).filter((key) => key.startsWith('log/')).map((key) => `-${key.slice(4)}`)].sort();
  };
  compiler.apply([
    { table: 'security_groups', id: 'g1', row: { id: 'g1', project_id: 'p', stateful: true } as never }, { table: 'security_groups', id: 'g2', row: { id: 'g2', project_id: 'q', stateful: true } as never },
    port('p1', ['g1']), port('p2', ['g2']), port('p3', ['g1', 'g2']), port('open', [], { port_security_enabled: false }), port('leg', ['g1'], { device_owner: 'network:router_interface' }), port('far', ['g1'], { 'binding:host_id': 'h2' }),
  ]);
  assert.deepEqual(told(log('target', { target_id: 'p2', resource_id: 'g2', event: 'DROP' })), ['+p2 target']);
  assert.deepEqual(compiler.stateOf('h1').get('log/p2/target'), { type: 'log', port_id: 'p2', log_id: 'target', event: 'DROP', security_group_id: 'g2' });
  assert.deepEqual(told(log('group', { resource_id: 'g2' })), ['+p2 group', '+p3 group']);
  assert.deepEqual(told(log('project', {})), ['+p1 project', '+p3 project']);
  assert.deepEqual(told(log('nothing', { target_id: 'open' }), log('off', { enabled: false })), []);
  assert.deepEqual(told(port('p1', ['g2'])), ['+p1 group', '-p1/project']);
  assert.deepEqual(told(log('group', { resource_id: 'g2', enabled: false })), ['-p1/group', '-p2/group', '-p3/group']);
  assert.deepEqual(told({ table: 'logs', id: 'project', row: undefined }), ['-p3/project']);
  assert.deepEqual(told(port('p2', ['g2'], { 'binding:host_id': 'h2' })), ['-p2/target']);
});
