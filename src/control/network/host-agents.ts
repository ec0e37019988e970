/** The agents that a host's one agent stands for in the API, by what the host is for. */
import type { Config } from '#model/config.ts';
import { type Hello, HOST_ROLES, type HostRole } from '#protocol/messages.ts';
import type { AgentReport } from './agents.ts';

/** What the agents of a host report at hello and with each heartbeat, in the words of Neutron's; `started` in the first one. */
export function hostAgents(config: Config, { configurations, resources }: Hello, started: boolean): AgentReport[] {
  const reports: AgentReport[] = [{ agent_type: 'Open vSwitch agent', configurations: { ...configurations, resources }, started }];
  if (!rolesOf(configurations).includes('network')) return reports;
  reports.push({ agent_type: 'DHCP agent', configurations: { dhcp_driver: 'dnsmasq', dhcp_lease_duration: config.dhcp_lease_duration }, started });
  if (config.service_plugins.includes('router')) {
    reports.push({ agent_type: 'L3 agent', configurations: { agent_mode: 'legacy', handle_internal_only_routers: true, interface_driver: 'openvswitch', extensions: config.service_plugins.filter((plugin) => plugin === 'port_forwarding') }, started });
  }
  reports.push({ agent_type: 'Metadata agent', configurations: { nova_metadata_host: config.nova_metadata_host, nova_metadata_port: config.nova_metadata_port }, started });
  return reports;
}

/** What a host is for, by what its switch's agent said; one that said nothing is for everything. */
export function rolesOf({ roles }: { readonly roles?: readonly HostRole[] }): readonly HostRole[] {
  return roles ?? HOST_ROLES;
}
