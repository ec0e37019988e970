/** What one client adds to the files and the command line of its network's dnsmasq. */
import type { DhcpHostItem, DhcpServerItem, DhcpSubnet } from '#hoststate/dhcp.ts';
import { type Cidr, parseCidr } from '#net/cidr.ts';
import { type Ip, formatIp, parseIp } from '#net/ip.ts';
import { parseMac } from '#net/mac.ts';
import { domainOf, portOptions, portTag } from './options.ts';
import { isDomainName, isPlainId, quoted } from './values.ts';

/** A client as dnsmasq shall know it; with a reason it is (partly) left out. */
export interface HostEntry {
  readonly item: DhcpHostItem;
  /** Lines of the hosts file. */
  readonly host: readonly string[];
  /** Lines of the additional hosts: names for DNS. */
  readonly addnHosts: readonly string[];
  readonly options: readonly string[];
  readonly args: readonly string[];
  /** Which address belongs to which MAC: what a lease must agree with. */
  readonly bindings: readonly (readonly [ip: string, mac: string])[];
  readonly reasons: readonly string[];
}

/** Renders one client. A poison one comes back empty with its reason (DESIGN law 4). */
export function hostEntry(server: DhcpServerItem, item: DhcpHostItem, refusal: (optionLine: string) => string | undefined): HostEntry {
  const mac = parseMac(item.mac_address);
  if (!mac) return leftOut(item, `${quoted(item.mac_address)} is no MAC address`);
  if (!isPlainId(item.port_id)) return leftOut(item, `${quoted(item.port_id)} is no port id`);
  if (item.hostname !== '' && !isDomainName(item.hostname)) return leftOut(item, `${quoted(item.hostname)} is no host name`);

  const host: string[] = [];
  const addnHosts: string[] = [];
  const bindings: [string, string][] = [];
  const reasons: string[] = [];
  const served = new Set<string>();
  for (const { subnet_id, ip_address } of item.addresses) {
    const ip = parseIp(ip_address);
    const subnet = server.subnets.find((candidate) => candidate.subnet_id === subnet_id);
    const cidr = subnet && parseCidr(subnet.cidr);
    if (!ip || !cidr || cidr.version !== ip.version) {
      reasons.push(ip ? `${ip_address} is in no subnet of this network` : `${quoted(ip_address)} is no address`);
      continue;
    }
    const name = nameOf(server, item, ip);
    addnHosts.push(`${formatIp(ip)}\t${name.full}${name.full === name.short ? '' : ` ${name.short}`}`);
    // A client gets one IPv4 address of a subnet: its first.
    if (!handsOutAddresses(subnet, cidr) || (ip.version === 4 && served.has(subnet_id))) continue;
    served.add(subnet_id);
    // No `set:` in this file: dnsmasq 2.90 dies at the next SIGHUP when such a client holds a lease (trap 3).
    host.push(`${mac},${ip.version === 6 ? `[${formatIp(ip)}]` : formatIp(ip)}${looksLikeName(name.full) ? `,${name.full}` : ''}`);
    bindings.push([formatIp(ip), mac]);
  }
  const options = portOptions(item, refusal);
  return {
    item, host, addnHosts, bindings,
    options: options.lines,
    args: options.lines.length > 0 ? [`--dhcp-mac=set:${portTag(item)},${mac}`] : [],
    reasons: [...reasons, ...options.reasons],
  };
}

/** True where dnsmasq assigns addresses, not only options. */
export function handsOutAddresses(subnet: DhcpSubnet, cidr: Cidr): boolean {
  return subnet.enable_dhcp && (cidr.version === 4 || subnet.ipv6_address_mode === 'dhcpv6-stateful');
}

/** A port without a name is called after its address: `host-172-16-0-5`. */
function nameOf(server: DhcpServerItem, item: DhcpHostItem, ip: Ip): { full: string; short: string } {
  const domain = domainOf(server);
  const given = item.hostname.replace(/\.$/, '') || `host-${formatIp(ip).replace(/[.:]/g, '-').replace(/-+$/, '-0')}`;
  const short = domain !== undefined && given.toLowerCase().endsWith(`.${domain.toLowerCase()}`) ? given.slice(0, -domain.length - 1) : given;
  return { short, full: domain === undefined ? short : `${short}.${domain}` };
}

/** dnsmasq tells the fields of a line by their looks: these words would be an order, a lease time or an address. */
function looksLikeName(name: string): boolean {
  return !/^(ignore|infinite|\d+[wdhms]?)$/i.test(name) && !parseIp(name);
}

function leftOut(item: DhcpHostItem, reason: string): HostEntry {
  return { item, host: [], addnHosts: [], options: [], args: [], bindings: [], reasons: [reason] };
}
