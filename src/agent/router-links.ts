/** The namespace of a router: its legs, the addresses on them, and where packets go from there (N-L3-7…9, N-L3-16). */
import { cidrContains, formatCidr, parseCidr } from '#net/cidr.ts';
import { formatIp, isLinkLocal, parseIp } from '#net/ip.ts';
import type { RouterItem, RouterPortItem } from '#hoststate/router.ts';
import { canonicalAddress, LEAST_IPV6_MTU, METADATA_IPV6 } from '#agent/drivers/link/address.ts';
import { COMMON_SYSCTLS, type DesiredDevice, type DesiredLinks, type Route } from '#agent/drivers/link/desired.ts';
import { routerNamespace } from '#agent/drivers/netns/owned.ts';
import type { RouterView } from './router-table.ts';

const ROUTER_SYSCTLS = [
  'net.ipv4.ip_forward=1', ...COMMON_SYSCTLS, 'net.ipv6.conf.all.forwarding=1',
  // A leg answers for its own addresses only, and asks by them.
  'net.ipv4.conf.all.arp_ignore=1', 'net.ipv4.conf.all.arp_announce=2',
  // Neighbours hear of a new IPv6 address at once.
  'net.ipv6.conf.default.ndisc_notify=1',
];

export function routerLinks(view: RouterView): DesiredLinks {
  const { router, ports } = view;
  return {
    namespace: routerNamespace(router.router_id),
    sysctls: ROUTER_SYSCTLS,
    devices: ports.map((port) => deviceOf(view, port)),
    routes: routesOf(view),
  };
}

function deviceOf({ router, floatingIps }: RouterView, port: RouterPortItem): DesiredDevice {
  const own = port.addresses.flatMap((text) => canonicalAddress(text) ?? []);
  const more = port.role === 'gateway' ? floatingIps.map((item) => `${item.floating_ip_address}/32`) : router.metadata && port.mtu >= LEAST_IPV6_MTU ? [`${METADATA_IPV6}/128`] : [];
  return { name: port.device, mac: port.mac_address, mtu: port.mtu, addresses: [...own, ...more.filter((address) => !own.includes(address)).sort()] };
}

/** Why extra routes are left out. */
export function routeProblems({ router, ports }: RouterView): string[] {
  return router.routes.flatMap((extra) => {
    const route = extraRoute(ports, extra);
    return typeof route === 'string' ? [`route ${extra.destination} via ${extra.nexthop}: ${route}`] : [];
  });
}

/** The route, or why there is none. */
function extraRoute(ports: readonly RouterPortItem[], { destination, nexthop }: RouterItem['routes'][number]): Route | string {
  const [cidr, via] = [parseCidr(destination), parseIp(nexthop)];
  if (!cidr || !via || cidr.version !== via.version) return 'not a prefix and a next hop of one IP version';
  const text = formatCidr(cidr);
  // It would stand in place of the leg's own, and take the way to every next hop there.
  const onLink = ports.find((port) => port.addresses.some((address) => formatCidr(parseCidr(address)!) === text));
  if (onLink) return `the prefix is on the link of ${onLink.device}`;
  const leg = ports.find((port) => port.addresses.some((address) => cidrContains(parseCidr(address)!, via)));
  if (!leg) return 'no leg on this host reaches the next hop';
  return { version: cidr.version, destination: cidr.prefix === 0 ? 'default' : text, via: formatIp(via), device: leg.device, onlink: false };
}

/** Default routes by the gateway, other prefixes of the external network on its link, and the extra routes. The first of one destination counts. */
function routesOf({ router, ports }: RouterView): Route[] {
  const routes = new Map<string, Route>();
  const add = (route: Route): void => {
    const key = `${route.version} ${route.destination}`;
    if (!routes.has(key)) routes.set(key, route);
  };
  const gateway = ports.find((port) => port.role === 'gateway');
  for (const prefix of gateway?.onlink ?? []) {
    const cidr = parseCidr(prefix);
    if (cidr) add({ version: cidr.version, destination: formatCidr(cidr), via: null, device: gateway!.device, onlink: false });
  }
  // An extra route may be a default route: who wrote it meant it.
  for (const extra of router.routes) {
    const route = extraRoute(ports, extra);
    if (typeof route !== 'string') add(route);
  }
  for (const address of gateway?.gateway_ips ?? []) {
    const via = parseIp(address);
    if (!via) continue;
    const onlink = !isLinkLocal(via) && !gateway!.addresses.some((own) => cidrContains(parseCidr(own)!, via));
    add({ version: via.version, destination: 'default', via: formatIp(via), device: gateway!.device, onlink });
  }
  return [...routes.values()].sort((a, b) => Number(a.via !== null) - Number(b.via !== null));
}
