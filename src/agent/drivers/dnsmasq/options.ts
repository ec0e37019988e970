/** The options file: what a subnet's clients and single ports are told (dnsmasq(8), --dhcp-optsfile; numbers as in RFC 2132 and 3442). */
import type { DhcpHostItem, DhcpServerItem, DhcpSubnet } from '#hoststate/dhcp.ts';
import { type Cidr, cidrContains, formatCidr, parseCidr } from '#net/cidr.ts';
import { type Ip, formatIp, parseIp } from '#net/ip.ts';
import { hasControlCharacter, isDomainName, quoted } from './values.ts';

/** What the length byte of an option can say. */
const MOST_OPTION_BYTES = 255;
/** Characters: dnsmasq reads 1024 of a line, tag and name of the option among them. */
const MOST_VALUE_TEXT = 900;
/** Room for the default route, which always has its place. */
const DEFAULT_ROUTE_BYTES = 5;
const DEFAULT_ROUTE_TEXT = '0.0.0.0/0,255.255.255.255'.length;

export interface Lines {
  readonly lines: readonly string[];
  /** What was left out, and why. */
  readonly reasons: readonly string[];
}

/** The tag that a subnet's range sets. */
export function subnetTag(subnet: DhcpSubnet): string {
  return `subnet-${subnet.subnet_id}`;
}

/** The tag that the MAC of a port with options of its own sets. Tags of clients go before those of ranges. */
export function portTag(host: DhcpHostItem): string {
  return `port-${host.port_id}`;
}

/** The options of the clients of one subnet with DHCP (N-DH-7, N-DNS-3, N-DNS-4). */
export function subnetOptions(server: DhcpServerItem, subnet: DhcpSubnet): Lines {
  const cidr = parseCidr(subnet.cidr);
  if (!cidr) return { lines: [], reasons: [] };
  return cidr.version === 4 ? options4(server, subnet, cidr) : options6(server, subnet, cidr);
}

/** The extra options of one port (`extra_dhcp_opts`); `refusal` says why dnsmasq would not take a line. */
export function portOptions(host: DhcpHostItem, refusal: (line: string) => string | undefined): Lines {
  const lines: string[] = [];
  const reasons: string[] = [];
  for (const option of host.options) {
    const line = portOptionLine(host, option);
    const reason = line === undefined ? 'not a name and value that can be sent' : refusal(line);
    if (reason !== undefined) reasons.push(`DHCP option ${quoted(option.name)}: ${reason}`);
    else lines.push(line!);
  }
  return { lines, reasons };
}

/** One extra option as it stands in the file; `undefined` when its name or value must not reach a file. */
export function portOptionLine(host: DhcpHostItem, option: DhcpHostItem['options'][number]): string | undefined {
  if (!/^[a-z0-9][a-z0-9-]*$/i.test(option.name) || hasControlCharacter(option.value)) return undefined;
  const number = /^\d+$/.test(option.name);
  const name = option.ip_version === 6 ? `option6:${option.name}` : number ? option.name : `option:${option.name}`;
  // In quotes dnsmasq takes no part for an address or a number: only parts that need them get them.
  const value = option.value.split(',').map((part) => (/["\\#]/.test(part) ? `"${part.replace(/["\\]/g, '\\$&')}"` : part)).join(',');
  return `tag:${portTag(host)},${name}${value === '' ? '' : `,${value}`}`;
}

function options4(server: DhcpServerItem, subnet: DhcpSubnet, cidr: Cidr): Lines {
  const tag = `tag:${subnetTag(subnet)}`;
  const reasons: string[] = [];
  const own = ownAddress(server, cidr);
  const { gateway, routes } = routes4(server, subnet, cidr, own, reasons);
  const servers = nameservers(server, subnet, cidr, reasons);
  const lines = [
    // Without a value: dnsmasq would offer itself.
    `${tag},option:router${gateway ? `,${formatIp(gateway)}` : ''}`,
    `${tag},option:dns-server${servers.map((ip) => `,${formatIp(ip)}`).join('')}`,
  ];
  if (routes.length > 0) {
    // RFC 3442: who takes option 121 ignores option 3. Windows before Vista asks for 249.
    const value = [...routes, ...(gateway ? [`0.0.0.0/0,${formatIp(gateway)}`] : [])].join(',');
    lines.push(`${tag},option:classless-static-route,${value}`, `${tag},249,${value}`);
  }
  return { lines, reasons };
}

/** Routes as option 121 has them: on-link ones first, because later next hops may lie there. The default route is not among them. */
function routes4(server: DhcpServerItem, subnet: DhcpSubnet, cidr: Cidr, own: Ip | undefined, reasons: string[]): { gateway: Ip | undefined; routes: string[] } {
  let gateway = subnet.gateway_ip === null ? undefined : parseIp(subnet.gateway_ip);
  const routes = new Map<string, string>();
  if (gateway && !cidrContains(cidr, gateway)) routes.set(`${formatIp(gateway)}/32`, '0.0.0.0');
  const onLink = new Set<string>();
  for (const other of server.subnets) {
    const prefix = parseCidr(other.cidr);
    if (prefix?.version !== 4 || formatCidr(prefix) === formatCidr(cidr)) continue;
    onLink.add(formatCidr(prefix));
    routes.set(formatCidr(prefix), '0.0.0.0');
  }
  const metadata = subnet.metadata === 'server' ? own : subnet.metadata === 'gateway' ? gateway : undefined;
  if (metadata) routes.set('169.254.169.254/32', formatIp(metadata));
  for (const route of subnet.host_routes) {
    const destination = parseCidr(route.destination);
    const nexthop = parseIp(route.nexthop);
    if (destination?.version !== 4 || nexthop?.version !== 4) {
      reasons.push(`subnet ${subnet.subnet_id}: host route ${quoted(`${route.destination} via ${route.nexthop}`)} is none`);
    } else if (destination.prefix === 0) gateway ??= nexthop;
    else routes.set(formatCidr(destination), formatIp(nexthop));
  }
  const left = new Set(dropped([...routes], (destination) => onLink.has(destination) && routes.get(destination) === '0.0.0.0'));
  if (left.size > 0) reasons.push(`${left.size} of ${routes.size} routes of a subnet do not fit into DHCP option 121`);
  return { gateway, routes: [...routes].filter(([destination]) => !left.has(destination)).map(([destination, nexthop]) => `${destination},${nexthop}`) };
}

/**
 * The destinations that option 121 has no room for: dnsmasq takes 255 bytes and lines of 1024, and with one option more it would not
 * start, for all subnets. Ways to the network's other subnets go first: there the gateway helps.
 */
function dropped(routes: readonly (readonly [destination: string, nexthop: string])[], isOptional: (destination: string) => boolean): string[] {
  let [bytes, text] = [DEFAULT_ROUTE_BYTES, DEFAULT_ROUTE_TEXT];
  const inOrder = [...routes.filter(([destination]) => !isOptional(destination)), ...routes.filter(([destination]) => isOptional(destination))];
  return inOrder.flatMap(([destination, nexthop]) => {
    // RFC 3442: the length, as many bytes of the prefix as it needs, the next hop.
    const more = 1 + Math.ceil(Number(destination.split('/')[1]) / 8) + 4;
    if (bytes + more > MOST_OPTION_BYTES || text + destination.length + nexthop.length + 2 > MOST_VALUE_TEXT) return [destination];
    bytes += more;
    text += destination.length + nexthop.length + 2;
    return [];
  });
}

function options6(server: DhcpServerItem, subnet: DhcpSubnet, cidr: Cidr): Lines {
  const tag = `tag:${subnetTag(subnet)}`;
  const reasons: string[] = [];
  const servers = nameservers(server, subnet, cidr, reasons);
  const lines = [`${tag},option6:dns-server${servers.map((ip) => `,[${formatIp(ip)}]`).join('')}`];
  const domain = domainOf(server);
  if (domain !== undefined) lines.push(`${tag},option6:domain-search,${domain}`);
  return { lines, reasons };
}

/** The subnet's own list; without one the network's DHCP servers (N-DNS-1, N-DNS-2, N-DH-12); none for the list of only `0.0.0.0` or `::`. */
function nameservers(server: DhcpServerItem, subnet: DhcpSubnet, cidr: Cidr, reasons: string[]): Ip[] {
  const listed = subnet.dns_nameservers.flatMap((text) => {
    const ip = parseIp(text);
    if (!ip) reasons.push(`subnet ${subnet.subnet_id}: name server ${quoted(text)} is no address`);
    return ip?.version === cidr.version ? [ip] : [];
  });
  if (listed.length === 1 && listed[0]!.value === 0n) return [];
  if (listed.length > 0) return listed;
  const servers = subnet.dhcp_servers.flatMap((text) => parseIp(text) ?? []).filter((ip) => cidrContains(cidr, ip));
  if (servers.length > 0) return servers;
  const own = ownAddress(server, cidr);
  return own ? [own] : [];
}

/** The server's address in a subnet, else its first one of that family. */
export function ownAddress(server: DhcpServerItem, cidr: Cidr): Ip | undefined {
  const own = server.addresses.flatMap((text) => parseIp(text.split('/', 1)[0]!) ?? []).filter((ip) => ip.version === cidr.version);
  return own.find((ip) => cidrContains(cidr, ip)) ?? own[0];
}

/** The network's domain without a trailing dot; `undefined` when there is none that can be used. */
export function domainOf(server: DhcpServerItem): string | undefined {
  const domain = server.dns_domain.replace(/\.$/, '');
  return isDomainName(domain) ? domain : undefined;
}
