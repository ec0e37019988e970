/** The settings: one YAML file with OpenStack's option names where they exist; an unknown or wrong option stops the start. */
import { parse } from 'yaml';
import { checkExternalBridge, externalBridge, type ExternalBridge, type HostEntry, hosts } from './data-centre.ts';
import { boolean, enumeration, integer, InvalidValue, type Kind, list, nullable, object, text } from './kind.ts';
import { parseIp } from '#net/ip.ts';
import { NETWORK_TYPES } from './networks.ts';

interface Option<T> {
  readonly kind: Kind<T>;
  readonly initial: T;
}
const option = <T>(kind: Kind<T>, initial: T): Option<T> => ({ kind, initial });

const networkTypes = list(enumeration(...NETWORK_TYPES), { unique: true });

/** Every option with its default. A name of Neutron's, Nova's or Keystone's means what it means there. */
export const OPTIONS = {
  /** oslo.db's `connection`; null is an SQLite file in the state folder. */
  connection: option(nullable(text(1024)), null),
  /** ADDRESS:PORT of the public listener. */
  listen: option(text(), '127.0.0.1:8770'),
  /** The URL that the catalog shows; null derives it from `listen`. */
  public_endpoint: option(nullable(text()), null),
  /** Allows plain HTTP off loopback. */
  insecure: option(boolean, false),
  region_name: option(text(), 'RegionOne'),
  /** `tour` makes what a first tour needs; `none` only admin, domain, roles and image. */
  bootstrap: option(enumeration('tour', 'none'), 'tour'),
  /** The simulated hosts: how many (named compute1, compute2, …), or which, with their roles. */
  hosts: option<number | readonly HostEntry[]>(hosts, 2),
  /** Joins the simulated hosts by a VXLAN of the operator's instead of a wire. */
  external_bridge: option<ExternalBridge | null>(externalBridge, null),
  /** Seconds. */
  token_expiration: option(integer(60, 31_536_000), 86_400),
  /** Validates tokens at a real Keystone instead of the built-in identity service. */
  keystone: option(nullable(object({ auth_url: text(1024), username: text(), password: text(), project_name: text(), user_domain_name: text(), project_domain_name: text() }, ['auth_url', 'username', 'password', 'project_name'])), null),

  type_drivers: option(networkTypes, ['local', 'flat', 'vlan', 'vxlan', 'gre', 'geneve']),
  tenant_network_types: option(networkTypes, ['vxlan']),
  flat_networks: option(list(text(64)), ['*']),
  network_vlan_ranges: option(list(text(64)), ['physnet']),
  vni_ranges: option(list(text(64)), ['1:65536']),
  tunnel_id_ranges: option(list(text(64)), ['1:65536']),
  geneve_vni_ranges: option(list(text(64)), ['1:65536']),
  bridge_mappings: option(list(text(64)), ['physnet:br-phys']),
  tunnel_types: option(list(enumeration('vxlan', 'gre', 'geneve'), { unique: true }), ['vxlan', 'gre', 'geneve']),
  l2_population: option(boolean, true),
  extension_drivers: option(list(text(64)), ['port_security', 'dns_domain_ports']),
  /** `router`: routers and floating IPs; `port_forwarding`: single ports of floating IPs; `log`: logs of security groups. */
  service_plugins: option(list(enumeration('router', 'port_forwarding', 'log'), { unique: true }), ['router', 'port_forwarding', 'log']),
  global_physnet_mtu: option(integer(68, 65_535), 1500),
  path_mtu: option(integer(0, 65_535), 0),
  physical_network_mtus: option(list(text(64)), []),
  base_mac: option(text(17), 'fa:16:3e:00:00:00'),
  dns_domain: option(text(), 'openstacklocal.'),
  dhcp_lease_duration: option(integer(-1), 86_400),
  dhcp_agents_per_network: option(integer(1, 16), 1),
  dnsmasq_dns_servers: option(list(text(64)), []),
  dnsmasq_local_resolv: option(boolean, false),
  enable_isolated_metadata: option(boolean, true),
  force_metadata: option(boolean, false),
  /** The L3 side of metadata: routers redirect to the proxy. */
  enable_metadata_proxy: option(boolean, true),
  /** Signs the instance id towards the metadata API; empty: the controller makes one of its own. */
  metadata_proxy_shared_secret: option(text(255), ''),
  /** Where a real Nova answers for metadata; null: this cloud's own Compute does. */
  nova_metadata_host: option(nullable(text(255)), null),
  nova_metadata_port: option(integer(1, 65_535), 8775),
  nova_metadata_protocol: option(enumeration('http', 'https'), 'http'),
  /** Session tokens for metadata as in IMDSv2: refused as unknown, taken, or asked for. */
  metadata_tokens: option(enumeration('off', 'optional', 'required'), 'optional'),
  /** Every instance gets a config drive, whatever its request says. */
  force_config_drive: option(boolean, true),
  enable_snat_by_default: option(boolean, true),
  max_routes: option(integer(), 30),
  /** Seconds between router advertisements that nobody asked for. */
  min_rtr_adv_interval: option(integer(3, 1350), 30),
  max_rtr_adv_interval: option(integer(4, 1800), 100),
  /** What becomes of connections when the security group rule goes that admitted them, and no other one does. */
  connections_of_removed_rules: option(enumeration('cut', 'keep'), 'cut'),
  /** Of a network on one host; 0: as many as its switch holds. */
  max_connections_per_network: option(integer(0, 3_000_000), 200_000),
  max_dns_nameservers: option(integer(), 5),
  max_subnet_host_routes: option(integer(), 20),
  max_allowed_address_pair: option(integer(), 10),
  max_fixed_ips_per_port: option(integer(), 5),
  /** Records a second in a host's flow log, as in Neutron's `[network_log]`, and how many may come at once on top. */
  rate_limit: option(integer(100, 1_000_000), 100),
  burst_limit: option(integer(25, 1_000_000), 25),
  /** The file on each host; null: `flow.log` in the host's folder of the state. */
  local_output_log_base: option(nullable(text(1024)), null),
  pagination_max_limit: option(integer(-1), -1),
  agent_down_time: option(integer(1), 75),
  report_interval: option(integer(1), 30),
  quota_network: option(integer(-1), 100),
  quota_subnet: option(integer(-1), 100),
  quota_port: option(integer(-1), 500),
  quota_security_group: option(integer(-1), 10),
  quota_security_group_rule: option(integer(-1), 100),
  quota_router: option(integer(-1), 10),
  quota_floatingip: option(integer(-1), 50),
  quota_subnetpool: option(integer(-1), -1),
  quota_rbac_policy: option(integer(-1), 10),
} as const satisfies Record<string, Option<any>>;

export type Config = { readonly [K in keyof typeof OPTIONS]: (typeof OPTIONS)[K] extends Option<infer T> ? T : never };

/** Reads the YAML of a config file (empty text: all defaults). Throws an Error whose one line names the option. */
export function loadConfig(yaml: string): Config {
  const given = parseYaml(yaml);
  const config: Record<string, unknown> = Object.fromEntries(Object.entries(OPTIONS).map(([name, { initial }]) => [name, initial]));
  for (const [name, value] of Object.entries(given)) {
    const known = Object.hasOwn(OPTIONS, name) ? OPTIONS[name as keyof typeof OPTIONS] : undefined;
    if (!known) throw new Error(`config: unknown option '${name}'; docs/configuration.md lists all options`);
    try {
      config[name] = known.kind.convert(value);
    } catch (error) {
      if (error instanceof InvalidValue) throw new Error(`config: ${name}: ${error.message}`);
      throw error;
    }
  }
  checkValues(config as Config);
  return config as Config;
}

export interface VlanRange {
  readonly physical_network: string;
  /** Absent for a bare `physnet`: provider networks only (N-ML2-11). */
  readonly range?: { readonly first: number; readonly last: number };
}

/** `physnet:100:200` or bare `physnet`. */
export function vlanRanges(config: Config): VlanRange[] {
  return config.network_vlan_ranges.map((entry) => {
    const [physical_network = '', first, last] = entry.split(':');
    if (first === undefined) return { physical_network };
    return { physical_network, range: idRange('network_vlan_ranges', `${first}:${last ?? ''}`, 1, 4094) };
  });
}

/** The tenant pool of a tunnel type: `2000:2100` entries. */
export function tunnelRanges(config: Config, type: 'vxlan' | 'gre' | 'geneve'): { first: number; last: number }[] {
  const name = { vxlan: 'vni_ranges', gre: 'tunnel_id_ranges', geneve: 'geneve_vni_ranges' }[type] as 'vni_ranges';
  return config[name].map((entry) => idRange(name, entry, 1, type === 'gre' ? 2 ** 32 - 1 : 2 ** 24 - 1));
}

/** `physnet:br-phys` entries as a map; also `physnet:1450` of physical_network_mtus. */
export function physnetMap(option: string, entries: readonly string[]): Map<string, string> {
  return new Map(entries.map((entry) => {
    const colon = entry.lastIndexOf(':');
    if (colon < 1 || colon === entry.length - 1) throw new Error(`config: ${option}: '${entry}' is not of the form PHYSICAL_NETWORK:VALUE`);
    return [entry.slice(0, colon), entry.slice(colon + 1)] as const;
  }));
}

function checkValues(config: Config): void {
  vlanRanges(config);
  for (const type of ['vxlan', 'gre', 'geneve'] as const) tunnelRanges(config, type);
  physnetMap('bridge_mappings', config.bridge_mappings);
  for (const [physnet, mtu] of physnetMap('physical_network_mtus', config.physical_network_mtus)) {
    if (!/^[0-9]{2,5}$/.test(mtu)) throw new Error(`config: physical_network_mtus: '${physnet}:${mtu}' has no number after the colon`);
  }
  if (config.nova_metadata_host !== null) {
    if (config.metadata_proxy_shared_secret === '') throw new Error('config: metadata_proxy_shared_secret: it is empty, and nova_metadata_host must know the same');
    if (config.metadata_tokens === 'required') throw new Error("config: metadata_tokens: 'required' is not for nova_metadata_host: Nova gives no tokens");
  }
  const labels = config.dns_domain.replace(/\.$/, '');
  if (labels !== '' && !/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$/i.test(labels)) throw new Error(`config: dns_domain: '${config.dns_domain}' is not a domain name`);
  for (const server of config.dnsmasq_dns_servers) {
    if (!parseIp(server.replace(/#[0-9]{1,5}$/, ''))) throw new Error(`config: dnsmasq_dns_servers: '${server}' is not an address, or ADDRESS#PORT`);
  }
  for (const type of config.tenant_network_types) {
    if (!config.type_drivers.includes(type)) throw new Error(`config: tenant_network_types: '${type}' is not among type_drivers`);
  }
  const vniPool = config.type_drivers.includes('vxlan') ? tunnelRanges(config, 'vxlan') : [];
  if (config.external_bridge) checkExternalBridge(config.external_bridge, { ...config, vniPool });
}

function idRange(option: string, entry: string, min: number, max: number): { first: number; last: number } {
  const match = /^([0-9]{1,10}):([0-9]{1,10})$/.exec(entry.trim());
  const [first, last] = [Number(match?.[1]), Number(match?.[2])];
  if (!match || first < min || last > max || first > last) throw new Error(`config: ${option}: '${entry}' is not a range FIRST:LAST within ${min}..${max}`);
  return { first, last };
}

function parseYaml(yaml: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = parse(yaml) ?? {};
  } catch (error) {
    throw new Error(`config: not valid YAML: ${(error as Error).message.split('\n')[0]}`);
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new Error('config: the file must hold options as NAME: VALUE');
  return value as Record<string, unknown>;
}
