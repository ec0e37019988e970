import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { printState } from '#hoststate/host-state.ts';
import { loadConfig } from '#model/config.ts';
import { Compiler, type RowChange } from './compiler.ts';

const HOSTS = ['h1', 'h2', 'h3'];
const NETWORKS = ['n1', 'n2'];
const GROUPS = ['g1', 'g2'];
const PORTS = ['p1', 'p2', 'p3', 'p4'];
const RULES = ['r1', 'r2', 'r3'];

/** Addresses of few values, so that members of groups share them. */
const address = fc.constantFrom('10.0.0.3', '10.0.0.4', 'fd00::3');
const subsetOf = (values: string[]) => fc.subarray(values);

const port = (id: string) => fc.record({
  network_id: fc.constantFrom(...NETWORKS), host: fc.constantFrom('', ...HOSTS), bound: fc.boolean(), groups: subsetOf(GROUPS), secure: fc.boolean(),
  addresses: fc.uniqueArray(address, { maxLength: 2 }), status: fc.constantFrom('ACTIVE', 'DOWN'), pairs: fc.uniqueArray(fc.constantFrom('10.9.0.0/24', '10.0.0.3'), { maxLength: 1 }), dhcp: fc.boolean(),
  project_id: fc.constantFrom('p', 'q'), dns_name: fc.constantFrom('', 'vm', 'www.vm'), dns_domain: fc.constantFrom('', 'b.'),
}).map((given): RowChange => ({
  table: 'ports', id,
  row: {
    id, network_id: given.network_id, project_id: given.project_id, name: '', admin_state_up: true, status: given.status, mac_address: `fa:16:3e:00:00:0${id.slice(1)}`,
    fixed_ips: given.addresses.map((ip_address) => ({ subnet_id: `s${given.network_id}`, ip_address })), device_id: `vm-${id}`, device_owner: given.dhcp ? 'network:dhcp' : 'compute:nova',
    security_groups: given.groups, port_security_enabled: given.secure, allowed_address_pairs: given.pairs.map((ip_address) => ({ ip_address })), extra_dhcp_opts: [], dns_name: given.dns_name, dns_domain: given.dns_domain,
    'binding:host_id': given.host, 'binding:vif_type': given.host && given.bound ? 'ovs' : 'unbound',
  } as never,
}));

const change: fc.Arbitrary<RowChange> = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom(...PORTS).chain(port) },
  { weight: 2, arbitrary: fc.constantFrom(...PORTS).map((id): RowChange => ({ table: 'ports', id, row: undefined })) },
  { weight: 2, arbitrary: fc.record({ id: fc.constantFrom(...NETWORKS), type: fc.constantFrom('vxlan', 'gre', 'vlan'), mtu: fc.constantFrom(1450, 1500), up: fc.boolean(), dns_domain: fc.constantFrom('', 'a.'), gone: fc.boolean() }).map(({ id, type, mtu, up, dns_domain, gone }): RowChange => ({
    table: 'networks', id, row: gone ? undefined : { id, project_id: 'p', 'provider:network_type': type, 'provider:physical_network': 'physnet', 'provider:segmentation_id': 7, mtu, admin_state_up: up, dns_domain } as never,
  })) },
  { weight: 2, arbitrary: fc.record({ network_id: fc.constantFrom(...NETWORKS), dhcp: fc.boolean(), gone: fc.boolean() }).map(({ network_id, dhcp, gone }): RowChange => ({
    table: 'subnets', id: `s${network_id}`, row: gone ? undefined : { id: `s${network_id}`, network_id, cidr: '10.0.0.0/24', gateway_ip: null, dns_nameservers: [], host_routes: [], enable_dhcp: dhcp, ipv6_address_mode: null } as never,
  })) },
  { weight: 3, arbitrary: fc.record({ id: fc.constantFrom(...RULES), group: fc.constantFrom(...GROUPS), remote: fc.constantFrom(null, ...GROUPS), gone: fc.boolean() }).map(({ id, group, remote, gone }): RowChange => ({
    table: 'security_group_rules', id, row: gone ? undefined : { id, security_group_id: group, direction: 'ingress', ethertype: 'IPv4', protocol: 'tcp', port_range_min: 1, port_range_max: 2, remote_ip_prefix: null, normalized_cidr: null, remote_group_id: remote, conj_id: 1 } as never,
  })) },
  { weight: 1, arbitrary: fc.record({ id: fc.constantFrom(...GROUPS), stateful: fc.boolean() }).map(({ id, stateful }): RowChange => ({ table: 'security_groups', id, row: { id, stateful } as never })) },
  { weight: 1, arbitrary: fc.record({ id: fc.constantFrom(...HOSTS), ip: fc.constantFrom('192.168.2.1', '192.168.2.2', null), bridge: fc.constantFrom('br-phys', 'br-ext') }).map(({ id, ip, bridge }): RowChange => ({
    table: 'hosts', id, row: { id, tunneling_ip: ip && `${ip}${id.slice(1)}`, bridge_mappings: { physnet: bridge } },
  })) },
  { weight: 2, arbitrary: fc.record({ host: fc.constantFrom(...HOSTS), network: fc.constantFrom(...NETWORKS), number: fc.integer({ min: 1, max: 3 }), gone: fc.boolean() }).map(({ host, network, number, gone }): RowChange => ({
    table: 'local_vlans', id: `${host}/${network}`, row: gone ? undefined : { id: `${host}/${network}`, number },
  })) },
  { weight: 1, arbitrary: fc.record({ host: fc.constantFrom(...HOSTS), network_id: fc.constantFrom(...NETWORKS), port_id: fc.constantFrom(...PORTS), gone: fc.boolean() }).map(({ host, network_id, port_id, gone }): RowChange => ({
    table: 'dhcp_bindings', id: `${network_id}/${host}`, row: gone ? undefined : { id: `${network_id}/${host}`, network_id, host, port_id },
  })) },
  { weight: 2, arbitrary: fc.record({ id: fc.constantFrom(...PORTS), host: fc.constantFrom(null, ...HOSTS), power: fc.constantFrom('on', 'off'), gone: fc.boolean() }).map(({ id, host, power, gone }): RowChange => ({
    table: 'servers', id: `vm-${id}`,
    row: gone ? undefined : { id: `vm-${id}`, name: id, hostname: id, project_id: 'p', host, power, generation: 1, image_id: 'i', vcpus: 1, ram: 1, ports: [{ port_id: id, owned: true }], user_data: null, metadata: {}, key_name: null, key_data: null, launch_index: 0, availability_zone: 'nova', seed: '0' } as never,
  })) },
);

test('oracle 1: whatever changes in whatever order and batches, the incremental state equals the one compiled from nothing', () => {
  fc.assert(fc.property(fc.array(fc.array(change, { minLength: 1, maxLength: 4 }), { maxLength: 40 }), (batches) => {
    const compiler = new Compiler(loadConfig(''));
    for (const host of HOSTS) compiler.follow(host);
    for (const batch of batches) {
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
  const [made] = fc.sample(port('p1').filter((each) => each.table === 'ports' && each.row!['binding:vif_type'] === 'ovs' && each.row!['binding:host_id'] === 'h1' && each.row!.network_id === 'n1'), 1);
  assert.deepEqual(compiler.apply([made!]).get('h1')!.upserts.map((item) => item.type).sort(), ['port', 'segment']);
  assert.deepEqual(compiler.apply([made!]), new Map(), 'the same row again is no news');
  assert.deepEqual(compiler.apply([{ table: 'ports', id: 'p1', row: undefined }]).get('h1'), { upserts: [], removals: ['port/p1', 'segment/n1'] });
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
