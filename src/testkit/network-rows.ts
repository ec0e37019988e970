/** Networks, subnets, agents and contexts as rows, for tests of what happens on them. */
import type { Context } from '#control/http/context.ts';
import { resetSubnetPool } from '#control/network/ipam.ts';
import { newObject } from '#control/network/new-object.ts';
import { shareWithAll } from '#control/network/object-policies.ts';
import { agent } from '#model/agents.ts';
import { type Config, loadConfig } from '#model/config.ts';
import { type Network, network, type Subnet, subnet } from '#model/networks.ts';
import { ACCESS_AS_EXTERNAL } from '#model/rbac-policies.ts';
import type { Tx } from '#store/store.ts';
import { Table } from '#store/table.ts';
import { cidrLast, parseCidr } from '#net/cidr.ts';
import { formatIp } from '#net/ip.ts';

export const config: Config = loadConfig('');

/** A token's context: a member of `project`, or an admin. */
export function contextOf(project: string, { admin = false } = {}): Context {
  return {
    request_id: 'req-test', user_id: 'user', user_name: 'user', project_id: project, project_name: project, project_domain_id: 'default', user_domain_id: 'default',
    roles: [admin ? 'admin' : 'member'], is_admin: admin, is_reader: false,
  };
}

/** A network with the policies for everybody that `shared` and `router:external` mean. */
export async function insertNetwork(tx: Tx, given: Partial<Network> = {}): Promise<Network> {
  const made = newObject(network, tx, {
    name: 'n', project_id: 'demo', admin_state_up: true, status: 'ACTIVE', shared: false, 'router:external': false, is_default: false, mtu: 1450,
    port_security_enabled: true, 'provider:network_type': 'vxlan', 'provider:segmentation_id': 1, dns_domain: '', availability_zone_hints: [], description: '', ...given,
  });
  await new Table(network).insert(tx, [made]);
  if (given.shared) await shareWithAll(tx, network, [made]);
  if (given['router:external']) await shareWithAll(tx, network, [made], ACCESS_AS_EXTERNAL);
  return made;
}

/** A subnet with a gateway at its first address and one allocation pool of the rest, which is free. */
export async function insertSubnet(tx: Tx, home: Network, cidr: string, given: Partial<Subnet> = {}): Promise<Subnet> {
  const { version, base, prefix } = parseCidr(cidr)!;
  const end = cidrLast({ version, base, prefix }) - (version === 4 ? 1n : 0n);
  const made = newObject(subnet, tx, {
    name: '', project_id: home.project_id, network_id: home.id, ip_version: version, cidr, gateway_ip: formatIp({ version, value: base + 1n }),
    allocation_pools: [{ start: formatIp({ version, value: base + 2n }), end: formatIp({ version, value: end }) }], dns_nameservers: [], host_routes: [],
    enable_dhcp: true, service_types: [], dns_publish_fixed_ip: false, description: '', ...given,
  });
  await new Table(subnet).insert(tx, [made]);
  await resetSubnetPool(tx, made);
  return made;
}

/** An Open vSwitch agent that reported now and can carry every type of network. */
export async function insertAgent(tx: Tx, host: string, given: Record<string, unknown> = {}): Promise<void> {
  await new Table(agent).insert(tx, [newObject(agent, tx, {
    agent_type: 'Open vSwitch agent', binary: 'neutron-openvswitch-agent', topic: 'N/A', host, admin_state_up: true, started_at: tx.now, heartbeat_timestamp: tx.now,
    configurations: { bridge_mappings: { physnet: 'br-phys' }, tunnel_types: ['vxlan', 'gre', 'geneve'], datapath_type: 'netdev' }, ...given,
  })]);
}
