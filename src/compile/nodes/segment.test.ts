import assert from 'node:assert/strict';
import { test } from 'node:test';
import { loadConfig } from '#model/config.ts';
import { Compiler, type RowChange } from '../compiler.ts';

const ROWS: RowChange[] = [
  { table: 'hosts', id: 'h1', row: { id: 'h1', tunneling_ip: null, bridge_mappings: {} } },
  { table: 'networks', id: 'n', row: { id: 'n', 'provider:network_type': 'local', mtu: 1500, admin_state_up: true, dns_domain: '' } as never },
  { table: 'local_vlans', id: 'h1/n', row: { id: 'h1/n', number: 5 } },
  {
    table: 'ports', id: 'p', row: {
      id: 'p', network_id: 'n', project_id: 'p', name: '', admin_state_up: true, status: 'ACTIVE', mac_address: 'fa:16:3e:00:00:01', device_id: '', device_owner: 'compute:nova', fixed_ips: [], security_groups: [],
      port_security_enabled: false, allowed_address_pairs: [], extra_dhcp_opts: [], dns_name: '', 'binding:host_id': 'h1', 'binding:vif_type': 'ovs',
    } as never,
  },
];

test('X-6: the agent learns with each network what becomes of connections whose rule goes', () => {
  const told = (yaml: string): unknown => {
    const compiler = new Compiler(loadConfig(yaml));
    for (const row of ROWS) compiler.apply([row]);
    const item = compiler.follow('h1').get('segment/n');
    assert.ok(item?.type === 'segment');
    return item.connections_of_removed_rules;
  };
  assert.deepEqual([told(''), told('connections_of_removed_rules: keep')], ['cut', 'keep']);
  assert.throws(() => told('connections_of_removed_rules: drop'), /connections_of_removed_rules/);
});
