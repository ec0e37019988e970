import assert from 'node:assert/strict';
import { test } from 'node:test';
import { loadConfig } from '#model/config.ts';
import { Compiler, type RowChange } from '../compiler.ts';

const port = (id: string, given: object): RowChange => ({
  table: 'ports', id, row: {
    id, network_id: 'n', project_id: 'p', name: '', admin_state_up: true, status: 'ACTIVE', mac_address: 'fa:16:3e:00:00:01', device_id: '', security_groups: [], port_security_enabled: false,
    allowed_address_pairs: [], extra_dhcp_opts: [], dns_name: '', 'binding:host_id': 'h1', 'binding:vif_type': 'ovs', ...given,
  } as never,
});
const subnet = (id: string, given: object): RowChange => ({
  table: 'subnets', id, row: { id, network_id: 'n', ip_version: 4, cidr: `10.${id.slice(1)}.0.0/24`, gateway_ip: `10.${id.slice(1)}.0.1`, dns_nameservers: [], host_routes: [], enable_dhcp: true, ipv6_address_mode: null, ...given } as never,
});
/** The gateway of s1 is a router's, that of s2 somebody else's. */
const ROWS: RowChange[] = [
  { table: 'hosts', id: 'h1', row: { id: 'h1', tunneling_ip: null, bridge_mappings: {} } },
  { table: 'networks', id: 'n', row: { id: 'n', 'provider:network_type': 'local', mtu: 1500, admin_state_up: true, dns_domain: '' } as never },
  subnet('s1', {}), subnet('s2', {}), subnet('s3', { enable_dhcp: false }), subnet('s6', { ip_version: 6, cidr: '2001:db8::/64', gateway_ip: '2001:db8::1', ipv6_address_mode: 'dhcpv6-stateful' }),
  { table: 'dhcp_bindings', id: 'n/h1', row: { id: 'n/h1', network_id: 'n', host: 'h1', port_id: 'd' } },
  port('d', { device_owner: 'network:dhcp', fixed_ips: [{ subnet_id: 's1', ip_address: '10.1.0.2' }, { subnet_id: 's2', ip_address: '10.2.0.2' }] }),
];
const leg = (address: string, device_owner = 'network:router_interface'): RowChange => port('leg', { device_owner, device_id: 'r', fixed_ips: [{ subnet_id: 's1', ip_address: address }] });

/** Who answers on s1, s2, s3 and s6, and whether the server's proxy runs. */
function answering(yaml: string, ...more: RowChange[]): unknown {
  const compiler = new Compiler(loadConfig(yaml));
  compiler.follow('h1');
  for (const row of [...ROWS, ...more]) compiler.apply([row]);
  const item = compiler.follow('h1').get('dhcp-server/n');
  assert.ok(item?.type === 'dhcp-server');
  return [item.subnets.map(({ metadata }) => metadata), item.metadata];
}

test('N-MD-4, N-MD-12, N-MD-16: a subnet is isolated unless a router’s port holds its gateway address', () => {
  assert.deepEqual(answering(''), [['server', 'server', null, null], true]);
  assert.deepEqual(answering('', leg('10.1.0.1')), [['gateway', 'server', null, null], true]);
  assert.deepEqual(answering('', leg('10.1.0.9')), [['server', 'server', null, null], true], 'a router at another address');
  assert.deepEqual(answering('', leg('10.1.0.1', 'network:router_gateway')), [['server', 'server', null, null], true], 'the outside of a router');
  assert.deepEqual(answering('', leg('10.1.0.1'), { table: 'ports', id: 'leg', row: undefined }), [['server', 'server', null, null], true]);
});

test('N-MD-13, N-MD-14: without enable_isolated_metadata only routers answer; with force_metadata the server answers everywhere', () => {
  assert.deepEqual(answering('enable_isolated_metadata: false', leg('10.1.0.1')), [['gateway', null, null, null], false]);
  assert.deepEqual(answering('force_metadata: true', leg('10.1.0.1')), [['server', 'server', null, null], true]);
  assert.deepEqual(answering('{force_metadata: true, enable_isolated_metadata: false}', leg('10.1.0.1')), [['server', 'server', null, null], true]);
});
