import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { DhcpHostItem } from '#hoststate/dhcp.ts';
import { loadConfig } from '#model/config.ts';
import type { Network, Port } from '#model/networks.ts';
import { Compiler, type RowChange } from '../compiler.ts';

const row = (table: string, value: { id: string }): RowChange => ({ table, id: value.id, row: value }) as never;

/** What the DHCP server of a network with one subnet knows of a port of project `p`. */
function known(port: Partial<Port>, { network = {}, subnet = {}, config = '' }: { network?: Partial<Network>; subnet?: object; config?: string } = {}): DhcpHostItem | undefined {
  const compiler = new Compiler(loadConfig(config));
  const base = { network_id: 'n', project_id: 'p', admin_state_up: true, fixed_ips: [], mac_address: 'fa:16:3e:00:00:01', extra_dhcp_opts: [], security_groups: [], allowed_address_pairs: [], dns_name: '', dns_domain: '', device_owner: '', device_id: '', 'binding:host_id': '', 'binding:vif_type': 'unbound' };
  compiler.apply([
    row('hosts', { id: 'h', tunneling_ip: null, bridge_mappings: {} } as never),
    row('networks', { id: 'n', project_id: 'p', admin_state_up: true, dns_domain: '', mtu: 1500, 'provider:network_type': 'local', ...network } as never),
    row('subnets', { id: 's', network_id: 'n', cidr: '10.0.0.0/24', ip_version: 4, gateway_ip: null, dns_nameservers: [], host_routes: [], enable_dhcp: true, ipv6_address_mode: null, ...subnet } as never),
    row('ports', { ...base, id: 'dhcp', device_owner: 'network:dhcp', fixed_ips: [{ subnet_id: 's', ip_address: '10.0.0.2' }], 'binding:host_id': 'h', 'binding:vif_type': 'ovs' } as never),
    row('dhcp_bindings', { id: 'n/h', network_id: 'n', host: 'h', port_id: 'dhcp' } as never),
    row('ports', { ...base, id: 'port', fixed_ips: [{ subnet_id: 's', ip_address: '10.0.0.5' }], ...port } as never),
  ]);
  return compiler.follow('h').get('dhcp-host/n/port') as DhcpHostItem | undefined;
}
const named = (...given: Parameters<typeof known>) => {
  const { hostname, names } = known(...given)!;
  return [hostname, ...names];
};

test('a port is known by its name; the cloud’s domain is taken off a full one', () => {
  assert.deepEqual(named({}), ['']);
  assert.deepEqual(named({ dns_name: 'web' }), ['web']);
  assert.deepEqual(named({ dns_name: 'web.openstacklocal.' }), ['web']);
  assert.deepEqual(named({ dns_name: 'web.example.org.' }, { config: "dns_domain: 'Example.org'" }), ['web']);
});

test('it is known in the domain of its network too, or in its own', () => {
  assert.deepEqual(named({ dns_name: 'web' }, { network: { dns_domain: 'net.example.' } }), ['web', 'web.net.example']);
  assert.deepEqual(named({ dns_name: 'web', dns_domain: 'own.example.' }, { network: { dns_domain: 'net.example.' } }), ['web', 'web.own.example']);
  assert.deepEqual(named({ dns_domain: 'own.example.' }), [''], 'a domain alone names nothing');
});

test('on another project’s network a port takes no name that the world could have', () => {
  const foreign = { project_id: 'q', dns_name: 'www.bank', dns_domain: 'com.' };
  assert.deepEqual(named({ ...foreign, project_id: 'p' }), ['www.bank', 'www.bank.com', 'www.bank']);
  assert.deepEqual(named(foreign), ['www.bank']);
  assert.deepEqual(named(foreign, { network: { dns_domain: 'net.example.' } }), ['www.bank', 'www.bank.net.example']);
  assert.deepEqual(named(foreign, { config: "dns_domain: ''" }), ['']);
});

test('legs of routers are known, so that a traceroute names them; floating IPs and DHCP servers are not', () => {
  for (const owner of ['', 'compute:nova', 'network:router_interface', 'network:router_gateway']) assert.ok(known({ device_owner: owner }), owner);
  for (const owner of ['network:dhcp', 'network:floatingip', 'network:distributed', 'network:router_ha_interface']) assert.equal(known({ device_owner: owner }), undefined, owner);
});

test('addresses of subnets without DHCP are known for their names, as long as the network has a server', () => {
  const elsewhere = { fixed_ips: [{ subnet_id: 'other', ip_address: '10.9.0.5' }] };
  assert.deepEqual(known(elsewhere)!.addresses, [{ subnet_id: 'other', ip_address: '10.9.0.5' }]);
  assert.equal(known({}, { subnet: { enable_dhcp: false } }), undefined);
  assert.equal(known({ fixed_ips: [] }), undefined);
});
