/** The API extensions that work, as clients ask for them before they use a feature. An alias stands here when all of it is built. */
import type { Config } from '#model/config.ts';
import { hasDnsIntegration } from './dns-names.ts';

export interface Extension {
  readonly alias: string;
  readonly name: string;
  readonly description: string;
  /** When upstream last changed the definition; clients only show it. */
  readonly updated: string;
  readonly links: readonly never[];
}

type Row = readonly [alias: string, name: string, description: string, updated: string];

const ROWS: readonly Row[] = [
  ['address-group', 'Address group', 'Named sets of prefixes for security group rules.', '2020-07-15T10:00:00-00:00'],
  ['address-scope', 'Address scope', 'Routing domains without address translation, made of subnet pools.', '2015-07-26T10:00:00-00:00'],
  ['agent', 'agent', 'Lists, configures and removes the agents of the hosts.', '2013-02-03T10:00:00-00:00'],
  ['allowed-address-pairs', 'Allowed Address Pairs', 'Further addresses that a port may send from.', '2013-07-23T10:00:00-00:00'],
  ['availability_zone', 'Availability Zone', 'Lists the availability zones that agents report.', '2015-01-01T10:00:00-00:00'],
  ['binding', 'Port Binding', 'Shows and sets which host a port is bound to, and how.', '2014-02-03T10:00:00-00:00'],
  ['default-subnetpools', 'Default Subnetpools', 'A subnet pool that subnets are taken from when they name none.', '2016-02-18T18:00:00-00:00'],
  ['dns-domain-ports', 'dns_domain for ports', 'A domain for a single port.', '2017-04-24T10:00:00-00:00'],
  ['dns-integration', 'DNS Integration', 'Names of ports in DNS, and a domain for the ports of a network.', '2015-08-15T18:00:00-00:00'],
  ['empty-string-filtering', 'Empty String Filtering Extension', 'An empty filter value finds objects whose attribute is unset.', '2018-05-01T10:00:00-00:00'],
  ['expose-port-forwarding-in-fip', 'Expose Floating IP port forwardings', 'Lists the port forwardings of a floating IP with it.', '2018-06-28T16:00:00-00:00'],
  ['dhcp_agent_scheduler', 'DHCP Agent Scheduler', 'Shows and sets which DHCP agents serve a network.', '2013-02-07T10:00:00-00:00'],
  ['ext-gw-mode', 'Neutron L3 Configurable external gateway mode', 'Source NAT at the gateway of a router, on or off.', '2013-03-28T10:00:00-00:00'],
  ['external-net', 'Neutron external network', 'Marks networks that lead outside.', '2013-01-14T10:00:00-00:00'],
  ['extra_dhcp_opt', 'Neutron Extra DHCP options', 'DHCP options of a single port.', '2013-03-17T12:00:00-00:00'],
  ['extraroute', 'Neutron Extra Route', 'Static routes of a router.', '2013-02-01T10:00:00-00:00'],
  ['extraroute-atomic', 'Atomically add/remove extra routes', 'Adds and removes single routes of a router.', '2019-07-10T00:00:00+00:00'],
  ['filter-validation', 'Filter parameters validation', 'An unknown filter is refused instead of ignored.', '2018-07-04T10:00:00-00:00'],
  ['fip-port-details', 'Floating IP Port Details Extension', 'Shows the port that a floating IP leads to with it.', '2018-04-09T10:00:00-00:00'],
  ['floating-ip-port-forwarding', 'Floating IP Port Forwarding', 'Leads single ports of a floating IP to ports of servers.', '2018-01-19T10:00:00-00:00'],
  ['floating-ip-port-forwarding-description', 'Floating IP Port Forwarding new attribute description', 'A description on every port forwarding.', '2019-11-01T10:00:00-00:00'],
  ['floating-ip-port-forwarding-detail', 'Floating IP port forwarding detail', 'The port forwardings in a floating IP show their ids and ports.', '2022-05-06T10:00:00-00:00'],
  ['floating-ip-port-forwarding-port-ranges', 'Floating IP Port Forwarding support port ranges', 'Leads ranges of ports of a floating IP to ports of servers.', '2020-07-01T10:00:00-00:00'],
  ['floatingip-pools', 'Floating IP Pools Extension', 'Lists the subnets that floating IPs can be taken from.', '2018-03-21T10:00:00-00:00'],
  ['ip-substring-filtering', 'IP address substring filtering', 'Finds ports by a part of their address.', '2017-11-28T09:00:00-00:00'],
  ['l3-port-ip-change-not-allowed', 'Prevent L3 router ports IP address change extension', 'The IPv4 addresses of a router\'s interface stay.', '2018-10-09T10:00:00-00:00'],
  ['l3_agent_scheduler', 'L3 Agent Scheduler', 'Shows and sets which L3 agent carries a router.', '2013-02-07T10:00:00-00:00'],
  ['logging', 'Logging API Extension', 'Says whose packets, accepted or dropped by security groups, the hosts write down.', '2017-01-01T10:00:00-00:00'],
  ['net-mtu', 'Network MTU', 'Shows the MTU of a network.', '2015-03-25T10:00:00-00:00'],
  ['net-mtu-writable', 'Network MTU (writable)', 'Sets the MTU of a network up to what its type carries.', '2017-07-12T00:00:00-00:00'],
  ['network', 'Neutron L2 Network', 'Layer 2 networks.', '2012-01-01T10:00:00-00:00'],
  ['network_availability_zone', 'Network Availability Zone', 'Availability zones of a network.', '2015-01-01T10:00:00-00:00'],
  ['pagination', 'Pagination support', 'Lists by pages with limit and marker.', '2016-06-12T00:00:00-00:00'],
  ['port', 'Neutron Port', 'Attachment points on networks.', '2012-01-01T10:00:00-00:00'],
  ['port-security', 'Port Security', 'Address checks of a network or a port, on or off.', '2012-07-23T10:00:00-00:00'],
  ['port-security-groups-filtering', 'Port filtering on security groups', 'Finds ports by their security groups.', '2018-01-09T09:00:00-00:00'],
  ['project-id', 'project_id field enabled', 'Objects show and take project_id beside tenant_id.', '2016-09-09T09:09:09-09:09'],
  ['provider', 'Provider Network', 'Shows and sets how a network is realised: type, physical network, segmentation id.', '2012-09-07T10:00:00-00:00'],
  ['quotas', 'Quota management support', 'Shows and sets the limits of each project.', '2012-07-29T10:00:00-00:00'],
  ['quota_details', 'Quota details management support', 'Shows how much of each limit is used.', '2017-02-10T10:00:00-00:00'],
  ['rbac-address-group', 'Add address_group type to RBAC', 'Shares address groups with chosen projects.', '2020-10-27T00:00:00-00:00'],
  ['rbac-address-scope', 'Add address_scope type to RBAC', 'Shares address scopes with chosen projects.', '2020-02-12T00:00:00-00:00'],
  ['rbac-policies', 'RBAC Policies', 'Shares networks with chosen projects, as they are or as external ones.', '2015-06-17T12:15:12-00:00'],
  ['rbac-security-groups', 'Add security_group type to network RBAC', 'Shares security groups with chosen projects.', '2019-02-14T00:00:00-00:00'],
  ['rbac-subnetpool', 'Add subnetpool type to RBAC', 'Shares subnet pools with chosen projects.', '2020-02-05T00:00:00-00:00'],
  ['revision-if-match', 'If-Match constraints based on revision_number', 'A change may be made to depend on the revision that the client knows.', '2016-12-11T00:00:00-00:00'],
  ['router', 'Neutron L3 Router', 'Routers between networks, and floating IPs.', '2012-07-20T10:00:00-00:00'],
  ['router_availability_zone', 'Router Availability Zone', 'Availability zones of a router.', '2015-01-01T10:00:00-00:00'],
  ['security-group', 'security-group', 'Security groups and their rules.', '2012-10-05T10:00:00-00:00'],
  ['security-groups-default-rules', 'Default rules for security groups', 'The rules that new security groups are made with.', '2022-12-19T10:00:00-00:00'],
  ['security-groups-default-statefulness', 'Security Groups Default Statefulness', 'Whether new security groups are stateful when they do not say it.', '2026-04-13T00:00:00-00:00'],
  ['security-groups-normalized-cidr', 'Normalized CIDR field for security group rules', 'Shows the network that the prefix of a rule stands for.', '2020-07-28T10:00:00-00:00'],
  ['security-groups-remote-address-group', 'Remote address group id field for security group rules', 'Rules that admit the addresses of an address group.', '2020-08-25T10:00:00-00:00'],
  ['security-groups-rules-belongs-to-default-sg', "Security group rule belongs to the project's default security group", "Shows on a rule whether it is of its project's default group.", '2023-05-23T10:00:00-00:00'],
  ['security-groups-shared-filtering', 'Security group filtering on the shared field', 'Finds the security groups that are shared with the project.', '2021-10-05T09:00:00-00:00'],
  ['sort-key-validation', 'Sort keys validation', 'An unknown sort key is refused instead of ignored.', '2018-07-04T10:00:00-00:00'],
  ['sorting', 'Sorting support', 'Lists in the order of any attributes.', '2016-06-12T00:00:00-00:00'],
  ['stateful-security-group', 'Stateful security group', 'Whether the groups of a port keep connections, or judge each packet by itself.', '2019-11-26T09:00:00-00:00'],
  ['standard-attr-description', 'standard-attr-description', 'A description on every object.', '2016-02-10T10:00:00-00:00'],
  ['standard-attr-revisions', 'Resource revision numbers', 'A number on every object that grows with each change.', '2016-04-11T10:00:00-00:00'],
  ['standard-attr-tag', 'Tag support for resources with standard attribute: network, port, router, security_group, subnet, subnetpool', 'Tags on objects, and filters by them.', '2017-01-01T00:00:00-00:00'],
  ['standard-attr-timestamp', 'Resource timestamps', 'Times of creation and of the last change on every object.', '2016-09-12T10:00:00-00:00'],
  ['subnet', 'Neutron L3 Subnet', 'Address blocks on networks.', '2012-01-01T10:00:00-00:00'],
  ['subnet-external-network', 'Subnet belongs to an external network', 'Shows on a subnet whether its network is external.', '2024-02-05T18:00:00-00:00'],
  ['subnet_allocation', 'Subnet Allocation', 'Takes subnets from subnet pools.', '2015-03-30T10:00:00-00:00'],
  ['subnet_onboard', 'Subnet Onboard', 'Takes the subnets that a network has into a subnet pool.', '2018-12-18T09:00:00-00:00'],
  ['subnetpool', 'Neutron L3 Subnet Pool', 'Pools of prefixes for subnets.', '2012-01-01T10:00:00-00:00'],
  ['subnetpool-prefix-ops', 'Subnet Pool Prefix Operations', 'Adds prefixes to a subnet pool and removes them.', '2019-02-08T10:00:00-00:00'],
];

/** Extensions that a service plugin brings. */
const OF_PLUGIN = {
  router: [
    'router', 'ext-gw-mode', 'extraroute', 'extraroute-atomic', 'fip-port-details', 'floatingip-pools', 'l3-port-ip-change-not-allowed', 'l3_agent_scheduler', 'router_availability_zone',
  ],
  log: ['logging'],
  port_forwarding: [
    'expose-port-forwarding-in-fip', 'floating-ip-port-forwarding', 'floating-ip-port-forwarding-description', 'floating-ip-port-forwarding-detail',
    'floating-ip-port-forwarding-port-ranges',
  ],
} as const;

/** What the settings switch on. */
export function extensions(config: Config): Extension[] {
  const drivers = new Set(config.extension_drivers);
  const off = new Set<string>([
    ...(drivers.has('port_security') ? [] : ['port-security']), ...(drivers.has('dns_domain_ports') ? [] : ['dns-domain-ports']), ...(hasDnsIntegration(config) ? [] : ['dns-integration']),
  ]);
  for (const plugin of ['router', 'port_forwarding', 'log'] as const) if (!config.service_plugins.includes(plugin)) for (const alias of OF_PLUGIN[plugin]) off.add(alias);
  return ROWS.filter(([alias]) => !off.has(alias)).map(([alias, name, description, updated]) => ({ alias, name, description, updated, links: [] }));
}
