/** Static routes of routers (extensions extraroute, extraroute-atomic). */
import type { Config } from '#model/config.ts';
import { ApiError } from '#model/errors.ts';
import type { Port, Subnet } from '#model/networks.ts';
import { type Router, type RouterRoutes, router } from '#model/routers.ts';
import { cidrContains, parseCidr } from '#net/cidr.ts';
import { parseIp } from '#net/ip.ts';
import type { Tx } from '#store/store.ts';
import { Table } from '#store/table.ts';
import type { Context } from '../http/context.ts';
import { parseUpdate } from './body.ts';
import { legsOf, subnetsOfAddresses } from './router-legs.ts';
import type { ActionResult } from './rule.ts';

const routers = new Table(router);

/** `PUT /routers/{id}/add_extraroutes`: routes that the router has already stay once. */
export async function addRoutes(tx: Tx, context: Context, config: Config, current: Router, body: unknown): Promise<ActionResult<typeof router>> {
  const given = givenRoutes(context, body);
  return replaceRoutes(tx, config, current, [...current.routes, ...given.filter((route) => !has(current.routes, route))]);
}

/** `PUT /routers/{id}/remove_extraroutes`: a route that the router has not got is no error. */
export async function removeRoutes(tx: Tx, context: Context, config: Config, current: Router, body: unknown): Promise<ActionResult<typeof router>> {
  const given = givenRoutes(context, body);
  return replaceRoutes(tx, config, current, current.routes.filter((route) => !has(given, route)));
}

/** Refuses more routes than a router may have, and those that its legs do not reach. Throws ApiError InvalidRoutes, RoutesExhausted. */
export async function requireRoutes(tx: Tx, config: Config, id: string, routes: RouterRoutes): Promise<void> {
  if (routes.length > 0) {
    const legs = await legsOf(tx, id);
    requireReachable(routes, await subnetsOfAddresses(tx, legs), legs);
  }
  if (routes.length > config.max_routes) throw new ApiError('RoutesExhausted', { id, quota: config.max_routes });
}

/** A next hop is on one of `subnets`, and no address of one of `legs`. */
export function requireReachable(routes: RouterRoutes, subnets: readonly Subnet[], legs: readonly Port[]): void {
  const refuse = (reason: string): never => {
    throw new ApiError('InvalidRoutes', { routes: JSON.stringify(routes).slice(0, 1000), reason });
  };
  const prefixes = subnets.map(({ cidr }) => parseCidr(cidr)!);
  const own = new Set(legs.flatMap((leg) => leg.fixed_ips.map((ip) => ip.ip_address!)));
  for (const { destination, nexthop } of routes) {
    const hop = parseIp(nexthop!)!;
    if (parseCidr(destination!)!.version !== hop.version) refuse('the nexthop is of another IP version than the destination');
    if (!prefixes.some((prefix) => cidrContains(prefix, hop))) refuse('the nexthop is not connected with router');
    if (own.has(nexthop!)) refuse('the nexthop is used by router');
  }
}

async function replaceRoutes(tx: Tx, config: Config, current: Router, routes: RouterRoutes): Promise<ActionResult<typeof router>> {
  await requireRoutes(tx, config, current.id, routes);
  return { changed: await routers.update(tx, current, { routes }) };
}

function givenRoutes(context: Context, body: unknown): RouterRoutes {
  const { given, named } = parseUpdate(router, context, body);
  if (named.join() !== 'routes') throw new ApiError('HTTPBadRequest', { reason: 'The body of this request is {"router": {"routes": […]}}' });
  return given['routes'] as RouterRoutes;
}

function has(routes: RouterRoutes, { destination, nexthop }: RouterRoutes[number]): boolean {
  return routes.some((one) => one.destination === destination && one.nexthop === nexthop);
}
