import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { DhcpServerItem } from '#hoststate/dhcp.ts';
import { loadConfig } from '#model/config.ts';
import type { Subnet } from '#model/networks.ts';
import { Compiler, type RowChange } from '../compiler.ts';

const row = (table: string, value: object): RowChange => ({ table, id: (value as { id: string }).id, row: value }) as never;

/** A network with one subnet. */
const network = (subnet: Partial<Subnet> = {}): RowChange[] => [
  row('networks', { id: 'n', project_id: 'p', admin_state_up: true, dns_domain: 'net.example.', mtu: 1500, 'provider:network_type': 'local' }),
  row('subnets', { id: 's', network_id: 'n', cidr: '10.0.0.0/24', ip_version: 4, gateway_ip: null, dns_nameservers: [], host_routes: [], enable_dhcp: true, ipv6_address_mode: null, ipv6_ra_mode: null, ...subnet }),
];
/** Its DHCP server on a host. */
const serverOn = (host: string, ip_address: string): RowChange[] => [
  row('hosts', { id: host, tunneling_ip: null, bridge_mappings: {} }),
  row('ports', { id: `dhcp-${host}`, network_id: 'n', project_id: 'p', device_owner: 'network:dhcp', admin_state_up: true, mac_address: 'fa:16:3e:00:00:01', fixed_ips: [{ subnet_id: 's', ip_address }], extra_dhcp_opts: [], security_groups: [], allowed_address_pairs: [], 'binding:host_id': host, 'binding:vif_type': 'ovs' }),
  row('dhcp_bindings', { id: `n/${host}`, network_id: 'n', host, port_id: `dhcp-${host}` }),
];
const itemOf = (compiler: Compiler, host: string): DhcpServerItem | undefined => compiler.follow(host).get('dhcp-server/n') as DhcpServerItem | undefined;

test('N-DH-12: each server of a network tells of all of them, also of one that came later', () => {
  const compiler = new Compiler(loadConfig(''));
  compiler.apply([...network(), ...serverOn('h1', '10.0.0.3')]);
  for (const host of ['h1', 'h2']) compiler.follow(host);
  const told = (host: string) => itemOf(compiler, host)?.subnets[0]!.dhcp_servers;
  assert.deepEqual(told('h1'), ['10.0.0.3']);
  compiler.apply(serverOn('h2', '10.0.0.2'));
  assert.deepEqual([told('h1'), told('h2')], [['10.0.0.2', '10.0.0.3'], ['10.0.0.2', '10.0.0.3']]);
  compiler.apply([{ table: 'dhcp_bindings', id: 'n/h1', row: undefined }]);
  assert.deepEqual([told('h1'), told('h2')], [undefined, ['10.0.0.2']]);
});

test('the domain that guests search is the cloud’s, not the network’s', () => {
  const compiler = new Compiler(loadConfig("dns_domain: 'example.org.'"));
  compiler.apply([...network(), ...serverOn('h', '10.0.0.2')]);
  assert.equal(itemOf(compiler, 'h')!.dns_domain, 'example.org');
});

test('an IPv6 subnet without modes is served by DHCPv6; one that routers advertise only as it says', () => {
  const mode = (modes: Partial<Subnet>) => {
    const compiler = new Compiler(loadConfig(''));
    compiler.apply([...network({ ip_version: 6, cidr: 'fd00::/64', ...modes }), ...serverOn('h', 'fd00::2')]);
    return itemOf(compiler, 'h')!.subnets[0]!.ipv6_address_mode;
  };
  assert.deepEqual([mode({}), mode({ ipv6_ra_mode: 'slaac' }), mode({ ipv6_address_mode: 'dhcpv6-stateless' }), mode({ ip_version: 4, cidr: '10.0.0.0/24' })], ['dhcpv6-stateful', null, 'dhcpv6-stateless', null]);
});
