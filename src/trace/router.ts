/** A router's namespace: translation of the destination, route, filter, translation of the source (docs/design/routers.md). */
import type { RouterPortItem } from '#hoststate/router.ts';
import { type Cidr, cidrContains, formatCidr, parseCidr } from '#net/cidr.ts';
import { type Ip, isLinkLocal, parseIp } from '#net/ip.ts';
import { METADATA_ADDRESSES } from './arrival.ts';
import type { HostIndex, TracedRouter } from './host-index.ts';
import { isBroadcastOf, neighbours, nobodyText } from './neighbour.ts';
import { answerTo, type Packet, TCP, versionOf } from './packet.ts';
import { translateDestination, translateSource } from './nat.ts';
import { mayForward } from './router-forward.ts';
import type { Path, Step } from './step.ts';
import { fromPort } from './switching.ts';
import { answers, drop, nameText, type Walk } from './walk.ts';

interface Route {
  readonly destination: Cidr;
  readonly leg: RouterPortItem;
  /** Null: on the link. */
  readonly nexthop: string | null;
}

/** The packet has come to `leg`, whose MAC it was sent to. */
export function throughRouter(walk: Walk, index: HostIndex, leg: RouterPortItem, packet: Packet): Path {
  const object = walk.named('router', leg.router_id);
  const traced = index.router(leg.router_id);
  if (!traced) return drop(index.host, object, 'down', `${nameText(object)} is switched off or has no host`);
  if (walk.hops-- <= 0) return drop(index.host, object, 'loop', `the packet goes round in circles: its TTL is used up at ${nameText(object)}`);
  const known = walk.connection?.routers.get(leg.router_id);
  if (known && answers(packet, known.after)) {
    const back = { ...answerTo(known.before), icmp_type: packet.icmp_type, source_mac: packet.source_mac, destination_mac: packet.destination_mac };
    const step: Step = { type: 'conntrack', host: index.host, object, direction: 'forward', rule_id: null, text: `${nameText(object)} knows the connection${back.destination_ip === packet.destination_ip && back.source_ip === packet.source_ip ? '' : `: ${packet.source_ip} -> ${packet.destination_ip} becomes ${back.source_ip} -> ${back.destination_ip}`}` };
    return [step, ...sendOn(walk, index, traced, leg, back, 'answer')];
  }
  if (traced.router.metadata && leg.role === 'interface' && METADATA_ADDRESSES.has(packet.destination_ip) && packet.protocol === TCP && packet.destination_port === 80) return local(walk, index, leg, packet, 'metadata');
  const dnat = translateDestination(walk, index.host, traced, packet);
  return dnat ? [dnat.step, ...sendOn(walk, index, traced, leg, dnat.packet, 'translated', packet)] : sendOn(walk, index, traced, leg, packet, 'new');
}

/** What the router itself sends, such as an answer to a ping. */
export function fromRouter(walk: Walk, index: HostIndex, traced: TracedRouter, packet: Packet): Path {
  const object = walk.named('router', traced.router.router_id);
  const route = routeTo(traced, parseIp(packet.destination_ip));
  if (!route) return noRoute(walk, index.host, traced, packet);
  return toNextHop(walk, index, route, packet, [{ type: 'route', host: index.host, object, router_id: traced.router.router_id, destination: formatCidr(route.destination), nexthop: route.nexthop, before: packet, after: packet, text: routeText(walk, traced, route) }]);
}

/** After the destination is settled: to the router itself, or on by a route. `before` is the packet as it came in. */
function sendOn(walk: Walk, index: HostIndex, traced: TracedRouter, leg: RouterPortItem, packet: Packet, how: 'new' | 'translated' | 'answer', before = packet): Path {
  const { router } = traced;
  const object = walk.named('router', router.router_id);
  if (isOwn(traced, packet.destination_ip)) return local(walk, index, leg, packet, 'router');
  const ip = parseIp(packet.destination_ip);
  if (ip && isLinkLocal(ip)) return drop(index.host, object, 'no-route', `${packet.destination_ip} is link-local: no router sends it on`);
  if (ip && traced.legs.some(({ addresses }) => addresses.some((own) => isBroadcastOf(own, ip)))) return drop(index.host, object, 'no-route', `${packet.destination_ip} is everybody of a subnet: no router sends it on`);
  const route = routeTo(traced, ip);
  if (!route) return noRoute(walk, index.host, traced, packet);
  const refused = how === 'new' ? mayForward(traced, leg, route.leg, versionOf(packet.destination_ip)) : undefined;
  if (refused !== undefined) return drop(index.host, object, 'forward', `${nameText(object)} does not let it through: ${refused}`);
  if (packet.size > route.leg.mtu) return drop(index.host, object, 'mtu', `${packet.size} bytes do not fit the MTU ${route.leg.mtu} beyond ${nameText(object)}: it answers "fragmentation needed"`, [`send packets of at most ${route.leg.mtu} bytes`]);
  const snat = how === 'answer' ? undefined : translateSource(walk, index.host, traced, leg, route.leg, packet, how === 'translated');
  const after = snat?.packet ?? packet;
  const step: Step = { type: 'route', host: index.host, object, router_id: router.router_id, destination: formatCidr(route.destination), nexthop: route.nexthop, before, after, text: routeText(walk, traced, route) };
  return toNextHop(walk, index, route, after, [step, ...(snat ? [snat.step] : [])]);
}

function toNextHop(walk: Walk, index: HostIndex, route: Route, packet: Packet, steps: readonly Step[]): Path {
  const port = index.port(route.leg.port_id);
  const object = walk.named('port', route.leg.port_id);
  if (!port) return [...steps, ...drop(index.host, object, 'unbound', `${nameText(object)} is not where its router is`)];
  const hop = route.nexthop ?? packet.destination_ip;
  const paths = neighbours(walk, index, port.network_id, hop).map((neighbour): Path => {
    const network = walk.named('network', port.network_id);
    if (neighbour === 'nobody') return drop(index.host, network, 'no-neighbour', nobodyText(walk, index, port.network_id, hop));
    if ('down' in neighbour) return drop(index.host, walk.named('port', neighbour.down.port_id), 'down', `${nameText(walk.named('port', neighbour.down.port_id))}, which has ${hop}, is down`, [`openstack port set --enable ${neighbour.down.port_id}`]);
    return fromPort(walk, index, port, { ...packet, source_mac: route.leg.mac_address, destination_mac: neighbour.mac });
  });
  if (paths.length === 1) return [...steps, ...paths[0]!];
  return [...steps, { type: 'fork', host: index.host, object: walk.named('network', port.network_id), text: `${hop} is an allowed address of several ports: whoever has it answers`, branches: paths }];
}

function local(walk: Walk, index: HostIndex, leg: RouterPortItem, packet: Packet, to: 'router' | 'metadata'): Path {
  const object = walk.named('router', leg.router_id);
  const text = to === 'metadata' ? `the metadata proxy of ${nameText(object)} takes it` : `${packet.destination_ip} is an address of ${nameText(object)} itself`;
  return [{ type: 'deliver', host: index.host, object, port_id: leg.port_id, to, addressed: true, packet, text }];
}

/** Addresses that the router answers for: those of its legs, and of floating IPs that only single ports are forwarded of. */
function isOwn({ legs, floatingIps, router }: TracedRouter, address: string): boolean {
  if (legs.some((leg) => leg.addresses.some((own) => own.split('/')[0] === address))) return true;
  if (floatingIps.some((floating) => floating.floating_ip_address === address)) return true;
  return router.metadata && address === 'fe80::a9fe:a9fe' && legs.some((leg) => leg.role === 'interface');
}

/** The route with the longest prefix; the first of one prefix counts: links, extra routes, the gateway's. */
function routeTo(traced: TracedRouter, ip: Ip | undefined): Route | undefined {
  let best: Route | undefined;
  for (const route of ip ? routesOf(traced) : []) {
    if (cidrContains(route.destination, ip!) && (!best || route.destination.prefix > best.destination.prefix)) best = route;
  }
  return best;
}

function* routesOf({ router, legs }: TracedRouter): Iterable<Route> {
  for (const leg of legs) {
    for (const text of [...leg.addresses, ...leg.onlink]) {
      const destination = parseCidr(text);
      if (destination) yield { destination, leg, nexthop: null };
    }
  }
  for (const { destination: text, nexthop } of router.routes) {
    const [destination, via] = [parseCidr(text), parseIp(nexthop)];
    const leg = via && legs.find((one) => one.addresses.some((own) => cidrContains(parseCidr(own)!, via)));
    if (destination && leg) yield { destination, leg, nexthop };
  }
  const gateway = legs.find((leg) => leg.role === 'gateway');
  for (const nexthop of gateway?.gateway_ips ?? []) yield { destination: parseCidr(nexthop.includes(':') ? '::/0' : '0.0.0.0/0')!, leg: gateway!, nexthop };
}

function noRoute(walk: Walk, host: string, traced: TracedRouter, packet: Packet): Path {
  const object = walk.named('router', traced.router.router_id);
  const gateway = traced.legs.some((leg) => leg.role === 'gateway');
  return drop(host, object, 'no-route', `${nameText(object)} has no route to ${packet.destination_ip}`, gateway ? [] : [`openstack router set --external-gateway NETWORK ${object.id}`, `openstack router add subnet ${object.id} SUBNET`]);
}

function routeText(walk: Walk, { router }: TracedRouter, { destination, leg, nexthop }: Route): string {
  return `${nameText(walk.named('router', router.router_id))} routes ${formatCidr(destination)} ${nexthop === null ? 'on the link' : `by ${nexthop}`} of ${leg.device}`;
}
