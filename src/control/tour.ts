/** What `bootstrap: tour` makes beside project, user, flavors and images: the external network of the first tour. */
import type { Config } from '#model/config.ts';
import { network, subnet } from '#model/networks.ts';
import type { Given } from './network/rule.ts';
import type { Rule } from './network/rule.ts';
import { SERVICE_CONTEXT } from './network/dhcp-scheduling.ts';
import type { Store } from '#store/store.ts';
import { Table } from '#store/table.ts';

const networks = new Table(network);

/** The simulated data centre's outside is 172.16.0.1 on this segment. */
const EXTERNAL: Given<typeof network> = {
  name: 'external', admin_state_up: true, shared: true, 'router:external': true, is_default: true, port_security_enabled: true,
  'provider:network_type': 'flat', 'provider:physical_network': 'physnet', description: 'The way out: flat, on the physical segment physnet',
  dns_domain: '', availability_zone_hints: [],
};
const EXTERNAL_SUBNET: Given<typeof subnet> = {
  name: 'external-subnet', ip_version: 4, cidr: '172.16.0.0/24', gateway_ip: '172.16.0.1', allocation_pools: [{ start: '172.16.0.2', end: '172.16.0.199' }],
  enable_dhcp: true, dns_nameservers: [], host_routes: [], ipv6_ra_mode: null, ipv6_address_mode: null, service_types: [], segment_id: null, dns_publish_fixed_ip: false, description: '',
};

/** Makes the external network once, at the first start; nothing when there is any network already. */
export async function bootstrapTour(store: Store, config: Config, rules: { networks: Rule<typeof network>; subnets: Rule<typeof subnet> }): Promise<void> {
  if (config.bootstrap !== 'tour' || !config.type_drivers.includes('flat')) return;
  const admin = await store.reader.db.selectFrom('projects').select('id').where('name', '=', 'admin').executeTakeFirst();
  const projectId: string = admin?.['id'] ?? '';
  await store.write(async (tx) => {
    if ((await networks.list(tx, { limit: 1 })).length > 0) return;
    const context = { ...SERVICE_CONTEXT, project_id: projectId };
    const [made] = await rules.networks.create(tx, context, [{ ...EXTERNAL, project_id: projectId }]);
    await rules.subnets.create(tx, context, [{ ...EXTERNAL_SUBNET, project_id: projectId, network_id: made!.id }]);
  });
}
