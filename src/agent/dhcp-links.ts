/** The namespace of a DHCP server: a veth pair to br-int with the server's addresses, and its way to other subnets and out. */
import type { DhcpServerItem } from '#hoststate/dhcp.ts';
import { cidrContains, formatCidr, parseCidr } from '#net/cidr.ts';
import { formatIp, isLinkLocal, parseIp } from '#net/ip.ts';
import { COMMON_SYSCTLS, type DesiredLinks, type Route } from '#agent/drivers/link/desired.ts';
import { canonicalAddress, metadataAddresses } from '#agent/drivers/link/address.ts';
import { dhcpNamespace } from '#agent/drivers/netns/owned.ts';

const DHCP_SYSCTLS = ['net.ipv4.ip_forward=0', ...COMMON_SYSCTLS, 'net.ipv6.conf.all.forwarding=0'];

export function dhcpLinks(server: DhcpServerItem): DesiredLinks {
  const addresses = server.addresses.flatMap((text) => canonicalAddress(text) ?? []);
  return {
    namespace: dhcpNamespace(server.network_id),
    sysctls: DHCP_SYSCTLS,
    devices: [{ name: server.device, mac: server.mac_address, mtu: server.mtu, addresses: server.metadata ? [...addresses, ...metadataAddresses(server.mtu)] : addresses }],
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
    if (!connected) routes.push({ version: cidr.version, destination: formatCidr(cidr), via: null, device: server.device, onlink: false });
    const gateway = subnet.gateway_ip === null ? undefined : parseIp(subnet.gateway_ip);
    if (!gateway || gateway.version !== cidr.version || !connected || withDefault.has(cidr.version)) continue;
    withDefault.add(cidr.version);
    routes.push({ version: cidr.version, destination: 'default', via: formatIp(gateway), device: server.device, onlink: !isLinkLocal(gateway) && !cidrContains(cidr, gateway) });
  }
  // On-link routes first: a gateway may lie in one of these prefixes.
  return routes.sort((a, b) => Number(a.via !== null) - Number(b.via !== null));
}
