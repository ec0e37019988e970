/** The link of a DHCP server: a veth pair between br-int and its namespace, with addresses and routes inside. */
import type { DhcpServerItem } from '#hoststate/dhcp.ts';
import { cidrContains, formatCidr, parseCidr } from '#net/cidr.ts';
import { formatIp, parseIp } from '#net/ip.ts';
import { dhcpNamespace } from '#agent/drivers/netns/owned.ts';

export interface Route {
  readonly version: 4 | 6;
  /** `default` or a prefix, as `ip route` prints it. */
  readonly destination: string;
  /** null is on the link. */
  readonly via: string | null;
  /** The next hop is in no prefix of the link. */
  readonly onlink: boolean;
}

export interface DesiredLink {
  readonly namespace: string;
  /** The name of both ends: one in the host's namespace, one in `namespace`. */
  readonly device: string;
  readonly mac: string;
  readonly mtu: number;
  /** `address/prefix` in canonical form. */
  readonly addresses: readonly string[];
  readonly routes: readonly Route[];
}

/** Where a guest asks for metadata; the DHCP server answers there on networks without a router (N-MD-12). */
const METADATA_ADDRESS = '169.254.169.254/32';

export function desiredLink(server: DhcpServerItem): DesiredLink {
  const addresses = server.addresses.flatMap((text) => canonicalAddress(text) ?? []);
  return {
    namespace: dhcpNamespace(server.network_id),
    device: server.device,
    mac: server.mac_address,
    mtu: server.mtu,
    addresses: server.metadata ? [...addresses, METADATA_ADDRESS] : addresses,
    routes: routesOf(server, addresses),
  };
}

/** Queries that the server forwards leave through the network's gateway (N-DNS-2); other subnets of the network are on the link. */
function routesOf(server: DhcpServerItem, addresses: readonly string[]): Route[] {
  const own = addresses.map((text) => parseIp(text.slice(0, text.indexOf('/')))!);
  const routes: Route[] = [];
  const withDefault = new Set<number>();
  for (const subnet of server.subnets) {
    const cidr = parseCidr(subnet.cidr);
    if (!cidr) continue;
    const connected = own.some((ip) => cidrContains(cidr, ip));
    if (!connected) routes.push({ version: cidr.version, destination: formatCidr(cidr), via: null, onlink: false });
    const gateway = subnet.gateway_ip === null ? undefined : parseIp(subnet.gateway_ip);
    if (!gateway || gateway.version !== cidr.version || !connected || withDefault.has(cidr.version)) continue;
    withDefault.add(cidr.version);
    const linkLocal = gateway.version === 6 && gateway.value >> 118n === 0xfe80n >> 6n;
    routes.push({ version: cidr.version, destination: 'default', via: formatIp(gateway), onlink: !linkLocal && !cidrContains(cidr, gateway) });
  }
  // On-link routes first: a gateway may lie in one of these prefixes.
  return routes.sort((a, b) => Number(a.via !== null) - Number(b.via !== null));
}

function canonicalAddress(text: string): string | undefined {
  const [address, prefix] = text.split('/', 2);
  const ip = parseIp(address!);
  return ip && parseCidr(text) ? `${formatIp(ip)}/${prefix ?? (ip.version === 4 ? 32 : 128)}` : undefined;
}
