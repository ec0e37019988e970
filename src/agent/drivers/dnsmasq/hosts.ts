/** What one port adds to the files and the command line of its network's dnsmasq. */
import type { DhcpHostItem, DhcpServerItem, DhcpSubnet } from '#hoststate/dhcp.ts';
import { type Cidr, parseCidr } from '#net/cidr.ts';
import { formatIp, parseIp } from '#net/ip.ts';
import { parseMac } from '#net/mac.ts';
import { domainOf, portOptions, portTag } from './options.ts';
import { isDomainName, isPlainId, quoted } from './values.ts';

/** A port as dnsmasq shall know it; with a reason it is (partly) left out. */
export interface HostEntry {
  readonly item: DhcpHostItem;
  /** Lines of the hosts file. */
  readonly host: readonly string[];
  /** Lines of the additional hosts: names for DNS. */
  readonly addnHosts: readonly string[];
  /** Names in domains that this server alone answers for: it forwards no question about them. */
  readonly ownNames: readonly string[];
  readonly options: readonly string[];
  readonly args: readonly string[];
  /** Which address belongs to which MAC: what a lease must agree with. */
  readonly bindings: readonly (readonly [ip: string, mac: string])[];
  /** No address was left out. */
  readonly addressed: boolean;
  readonly reasons: readonly string[];
}

/** Renders one port. A poison one comes back empty with its reason (DESIGN law 4). */
export function hostEntry(server: DhcpServerItem, item: DhcpHostItem, refusal: (optionLine: string) => string | undefined): HostEntry {
  const mac = parseMac(item.mac_address);
  if (!mac) return leftOut(item, `${quoted(item.mac_address)} is no MAC address`);
  if (!isPlainId(item.port_id)) return leftOut(item, `${quoted(item.port_id)} is no port id`);

  const host: string[] = [];
  const addnHosts: string[] = [];
  const ownNames = new Set<string>();
  const bindings: [string, string][] = [];
  const reasons: string[] = [];
  const names = usableNames(server, item, reasons);
  const served = new Set<string>();
  let addressed = true;
  for (const { subnet_id, ip_address } of item.addresses) {
    const ip = parseIp(ip_address);
    const subnet = server.subnets.find((candidate) => candidate.subnet_id === subnet_id);
    const cidr = subnet && parseCidr(subnet.cidr);
    if (!ip || !cidr || cidr.version !== ip.version) {
      reasons.push(ip ? `${ip_address} is in no subnet of this network` : `${quoted(ip_address)} is no address`);
      addressed = false;
      continue;
    }
    const [full = '', ...others] = names ?? withDomain(server, `host-${formatIp(ip).replace(/[.:]/g, '-').replace(/-+$/, '-0')}`);
    // The first is what the address is called in the answer to a reverse question.
    addnHosts.push(`${formatIp(ip)}\t${[full, ...others].join(' ')}`);
    for (const name of [full, ...others]) if (name.includes('.')) ownNames.add(name);
    // A client gets one IPv4 address of a subnet: its first.
    if (!handsOutAddresses(subnet, cidr) || (ip.version === 4 && served.has(subnet_id))) continue;
    served.add(subnet_id);
    // No `set:` in this file: dnsmasq 2.90 dies at the next SIGHUP when such a client holds a lease (trap 3).
    // Nor a name for DHCPv6: a lease would answer to it until its end, whatever the port is called since. Leases of IPv4 follow the file.
    host.push(ip.version === 6 ? `${mac},[${formatIp(ip)}]` : `${mac},${formatIp(ip)}${looksLikeName(full) ? `,${full}` : ''}`);
    bindings.push([formatIp(ip), mac]);
  }
  const options = portOptions(item, refusal);
  return {
    item, host, addnHosts, ownNames: [...ownNames], bindings, addressed,
    options: options.lines,
    args: options.lines.length > 0 ? [`--dhcp-mac=set:${portTag(item)},${mac}`] : [],
    reasons: [...reasons, ...options.reasons],
  };
}

/** True where dnsmasq assigns addresses, not only options. */
export function handsOutAddresses(subnet: DhcpSubnet, cidr: Cidr): boolean {
  return subnet.enable_dhcp && (cidr.version === 4 || subnet.ipv6_address_mode === 'dhcpv6-stateful');
}

/** What the port is called, its name in the server's domain first; undefined when it has no name, or none that DNS can carry. */
function usableNames(server: DhcpServerItem, item: DhcpHostItem, reasons: string[]): string[] | undefined {
  if (item.hostname === '') return undefined;
  const names = [...withDomain(server, item.hostname), ...item.names];
  for (const name of names) if (!isDomainName(name)) reasons.push(`${quoted(name)} is no host name`);
  const usable = names.filter(isDomainName);
  return usable[0] === names[0] ? [...new Set(usable)] : undefined;
}

/** The name in the server's domain, and by itself if it is one label: more could be a name of the world's. */
function withDomain(server: DhcpServerItem, name: string): string[] {
  const domain = domainOf(server);
  return domain === undefined ? [name] : [`${name}.${domain}`, ...(name.includes('.') ? [] : [name])];
}

/** dnsmasq tells the fields of a line by their looks: these words would be an order, a lease time or an address. */
function looksLikeName(name: string): boolean {
  return !/^(ignore|infinite|\d+[wdhms]?)$/i.test(name) && !parseIp(name);
}

function leftOut(item: DhcpHostItem, reason: string): HostEntry {
  return { item, host: [], addnHosts: [], ownNames: [], options: [], args: [], bindings: [], addressed: false, reasons: [reason] };
}
