/** Rows of a large cloud, given to a compiler without a store: many ports of one network and group on two hosts. */
import { Compiler, type RowChange } from '#compile/compiler.ts';
import { loadConfig } from '#model/config.ts';

export const [HERE, THERE] = ['compute1', 'compute2'];
const [PROJECT, NETWORK, SUBNET, GROUP] = [1, 2, 3, 4].map(idOf) as [string, string, string, string];

/** A compiler that knows `here` ports on HERE and `there` on THERE, all members of one group that admits its members and a few services. */
export function largeCloud(here: number, there: number): Compiler {
  const compiler = new Compiler(loadConfig(''));
  compiler.apply(rowsOf(here, there));
  return compiler;
}

/** The id of the `n`th port; those on HERE come first. */
export const portId = (n: number): string => idOf(1_000 + n);

export const portAddress = (n: number): string => `10.${(n + 10) >> 16}.${((n + 10) >> 8) & 255}.${(n + 10) & 255}`;

function* rowsOf(here: number, there: number): Iterable<RowChange> {
  const row = (table: string, id: string, given: object): RowChange => ({ table, id, row: { id, ...given } }) as RowChange;
  for (const [n, host] of [HERE!, THERE!].entries()) {
    yield row('hosts', host, { tunneling_ip: `192.168.2.${n + 1}`, bridge_mappings: {} });
    yield row('local_vlans', `${host}/${NETWORK}`, { number: 1 });
  }
  yield row('networks', NETWORK, { project_id: PROJECT, name: 'large', admin_state_up: true, mtu: 1450, dns_domain: '', 'provider:network_type': 'vxlan', 'provider:physical_network': null, 'provider:segmentation_id': 1 });
  yield row('subnets', SUBNET, { network_id: NETWORK, ip_version: 4, cidr: '10.0.0.0/8', gateway_ip: null, enable_dhcp: false, dns_nameservers: [], host_routes: [], subnetpool_id: null, ipv6_address_mode: null, ipv6_ra_mode: null });
  yield row('security_groups', GROUP, { name: 'large', project_id: PROJECT, stateful: true });
  yield rule(10, { direction: 'egress' });
  yield rule(11, { remote_group_id: GROUP });
  for (let n = 0; n < 20; n++) yield rule(12 + n, { protocol: 'tcp', port_range_min: 8000 + n, port_range_max: 8000 + n });
  for (let n = 0; n < here + there; n++) {
    yield row('ports', portId(n), {
      project_id: PROJECT, network_id: NETWORK, name: '', admin_state_up: true, status: 'ACTIVE', mac_address: `fa:16:3e:00:${hex(n >> 8)}:${hex(n & 255)}`,
      fixed_ips: [{ subnet_id: SUBNET, ip_address: portAddress(n) }], device_id: '', device_owner: 'compute:nova', security_groups: [GROUP], port_security_enabled: true,
      allowed_address_pairs: [], extra_dhcp_opts: [], dns_name: '', dns_domain: '', 'binding:host_id': n < here ? HERE : THERE, 'binding:vif_type': 'ovs',
    });
  }
}

function rule(n: number, given: object): RowChange {
  return {
    table: 'security_group_rules', id: idOf(n),
    row: { id: idOf(n), security_group_id: GROUP, direction: 'ingress', ethertype: 'IPv4', protocol: null, port_range_min: null, port_range_max: null, remote_ip_prefix: null, normalized_cidr: null, remote_group_id: null, remote_address_group_id: null, conj_id: n, ...given },
  } as unknown as RowChange;
}

function idOf(n: number): string {
  return `00000000-0000-4000-8000-${n.toString(16).padStart(12, '0')}`;
}

function hex(byte: number): string {
  return byte.toString(16).padStart(2, '0');
}
