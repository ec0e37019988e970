/** The dnsmasq of one network: its command line and its files, as text. Pure. */
import { join } from 'node:path';
import type { DhcpServerItem, DhcpSubnet } from '#hoststate/dhcp.ts';
import { cidrMask, formatCidr, parseCidr } from '#net/cidr.ts';
import { formatIp, parseIp } from '#net/ip.ts';
import { parseMac } from '#net/mac.ts';
import type { HostEntry } from './hosts.ts';
import { domainOf, subnetOptions, subnetTag } from './options.ts';
import { isDeviceName, isPlainId, quoted } from './values.ts';

/** Files that dnsmasq reads again on SIGHUP, by their names in the network's folder (Neutron's names; it has no `servers`). */
export const READ_FILES = ['host', 'addn_hosts', 'servers', 'opts'] as const;
export type ReadFiles = Readonly<Record<(typeof READ_FILES)[number], string>>;

export interface DesiredDnsmasq {
  /** The network's folder. */
  readonly folder: string;
  /** Without the program. */
  readonly args: readonly string[];
  readonly files: ReadFiles;
  readonly bindings: ReadonlyMap<string, string>;
  /** What could not be served of the network as such. */
  readonly reasons: readonly string[];
  /** What was left out of a port's entry, by port id. */
  readonly hostReasons: ReadonlyMap<string, string>;
  /** Ports whose entry lacks something and still gives them their address. */
  readonly partly: ReadonlySet<string>;
}

/** Room for every client of any subnet: the default of 1,000 leases would end with the 1,001st. */
const LEASE_MAX = 16_777_216;
const SHORTEST_DHCPV6_PREFIX = 64;

/**
 * Joins a server and its clients (in any order) to what dnsmasq shall run with. `user` is whom it runs as: `undefined` for its default.
 * Two clients with one address: the one with the lower port id is served.
 */
export function desiredDnsmasq(folder: string, server: DhcpServerItem, entries: Iterable<HostEntry>, user?: string): DesiredDnsmasq {
  const reasons: string[] = [];
  const subnets = server.subnets.filter((subnet) => isServable(subnet, reasons));
  const opts = subnets.flatMap((subnet) => {
    const options = subnetOptions(server, subnet);
    reasons.push(...options.reasons);
    return options.lines;
  });
  if (server.dns_domain !== '' && domainOf(server) === undefined) reasons.push(`${quoted(server.dns_domain)} is no domain name`);

  const host: string[] = [];
  const addnHosts: string[] = [];
  const ownNames = new Set<string>();
  const portArgs: string[] = [];
  const bindings = new Map<string, string>();
  const hostReasons = new Map<string, string>();
  const partly = new Set<string>();
  for (const entry of [...entries].sort((a, b) => (a.item.port_id < b.item.port_id ? -1 : 1))) {
    const taken = entry.bindings.find(([ip]) => bindings.has(ip));
    const left = taken ? [`${taken[0]} belongs to another port`] : entry.reasons;
    if (left.length > 0) hostReasons.set(entry.item.port_id, left.join('; '));
    if (taken) continue;
    if (left.length > 0 && entry.addressed) partly.add(entry.item.port_id);
    for (const [ip, mac] of entry.bindings) bindings.set(ip, mac);
    host.push(...entry.host);
    addnHosts.push(...entry.addnHosts);
    for (const name of entry.ownNames) ownNames.add(name);
    opts.push(...entry.options);
    portArgs.push(...entry.args);
  }
  return {
    folder,
    args: [...serverArgs(folder, server, user, reasons), ...subnets.flatMap((subnet) => subnetArgs(server, subnet)), ...portArgs],
    files: { host: lines(host), addn_hosts: lines(addnHosts), servers: lines([...ownNames].map((name) => `server=/${name}/`)), opts: lines(opts) },
    bindings, reasons: [...new Set(reasons)], hostReasons, partly,
  };
}

/** Why this server cannot be started at all; `undefined` when it can. Everything else that is wrong costs its own line only. */
export function serverRefusal(server: DhcpServerItem): string | undefined {
  if (!isPlainId(server.network_id)) return `${quoted(server.network_id)} is no network id`;
  if (!isDeviceName(server.device)) return `${quoted(server.device)} is no device name`;
  if (!parseMac(server.mac_address)) return `${quoted(server.mac_address)} is no MAC address`;
  if (!Number.isInteger(server.mtu) || server.mtu < 68 || server.mtu > 65_535) return `${server.mtu} is no MTU`;
  if (!Number.isInteger(server.lease_duration)) return `${server.lease_duration} is no lease duration`;
  return undefined;
}

function serverArgs(folder: string, server: DhcpServerItem, user: string | undefined, reasons: string[]): string[] {
  const domain = domainOf(server);
  return [
    '--conf-file=/dev/null',
    // The node's own names are not the tenants' (N-DH-10), nor is its resolver unless the operator says so (N-DH-11, N-DNS-1).
    '--no-hosts',
    ...(server.local_resolv && server.dns_servers.length === 0 ? [] : ['--no-resolv']),
    `--pid-file=${join(folder, 'pid')}`,
    `--dhcp-hostsfile=${join(folder, 'host')}`,
    `--addn-hosts=${join(folder, 'addn_hosts')}`,
    `--servers-file=${join(folder, 'servers')}`,
    `--dhcp-optsfile=${join(folder, 'opts')}`,
    `--dhcp-leasefile=${join(folder, 'leases')}`,
    ...(user === undefined ? [] : [`--user=${user}`, `--group=${user}`]),
    // Whoever comes through a router is no client: not a resolver for other networks, nor for the world (Neutron's bug 1501206).
    '--local-service',
    // Names without a dot are nobody's outside.
    '--domain-needed',
    // What a guest calls itself is not what others are told.
    '--dhcp-ignore-names',
    // Addresses of new subnets are served without a restart.
    '--bind-dynamic',
    // Addresses are assigned by the store: nobody has to be asked whether one is free.
    '--no-ping',
    // Never --dhcp-authoritative: of two servers of a network each would refuse the clients that chose the other (N-DH-5, N-DH-12).
    `--dhcp-lease-max=${LEASE_MAX}`,
    '--quiet-dhcp',
    '--quiet-dhcp6',
    ...(domain === undefined ? [] : [`--domain=${domain}`]),
    ...server.dns_servers.flatMap((text) => {
      const [, address = '', port = ''] = /^([^#]*)(#[0-9]{1,5})?$/.exec(text) ?? [];
      const ip = parseIp(address);
      if (!ip) reasons.push(`DNS server ${quoted(text)} is no address`);
      return ip ? [`--server=${formatIp(ip)}${port}`] : [];
    }),
    `--dhcp-option-force=option:mtu,${server.mtu}`,
  ];
}

function subnetArgs(server: DhcpServerItem, subnet: DhcpSubnet): string[] {
  const cidr = parseCidr(subnet.cidr)!;
  const tag = subnetTag(subnet);
  const lease = server.lease_duration < 0 ? 'infinite' : `${server.lease_duration}s`;
  const range = `--dhcp-range=set:${tag},${formatIp({ version: cidr.version, value: cidr.base })},static`;
  // Static: no address but those of the hosts file (N-DH-6). Whoever is not in it gets no answer at all: on a network that is also
  // the physical one, a NAK of ours would take other people's machines off the net.
  if (cidr.version === 4) return [`${range},${cidrMask(cidr)},${lease}`, `--dhcp-ignore=tag:${tag},tag:!known`];
  return [`${range},${cidr.prefix},${lease}`];
}

/** True for a subnet that gets a range; a reason where it should and cannot. */
function isServable(subnet: DhcpSubnet, reasons: string[]): boolean {
  if (!subnet.enable_dhcp) return false;
  const cidr = isPlainId(subnet.subnet_id) ? parseCidr(subnet.cidr) : undefined;
  if (!cidr) {
    reasons.push(`subnet ${quoted(subnet.subnet_id)}: ${quoted(subnet.cidr)} is no prefix`);
    return false;
  }
  if (cidr.version === 4) return true;
  if (subnet.ipv6_address_mode !== 'dhcpv6-stateful' && subnet.ipv6_address_mode !== 'dhcpv6-stateless') return false;
  // dnsmasq would refuse to start, for all subnets.
  if (cidr.prefix >= SHORTEST_DHCPV6_PREFIX) return true;
  reasons.push(`subnet ${subnet.subnet_id}: ${formatCidr(cidr)} is too large for DHCPv6, whose prefixes have 64 bits or more`);
  return false;
}

function lines(texts: readonly string[]): string {
  return texts.map((text) => `${text}\n`).join('');
}
