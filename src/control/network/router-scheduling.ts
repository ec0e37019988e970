/**
 * Which host carries a router (N-L3-1, N-L3-12). A router without legs is a row only; its first leg puts it on a host
 * with a live L3 agent, where all its legs are bound, and its last leg takes it off again. Nothing moves it but an admin
 * (extension l3_agent_scheduler): it dies with its host. A router may have bindings to several hosts in the store;
 * today's routers get one.
 */
import type { Config } from '#model/config.ts';
import { ApiError } from '#model/errors.ts';
import { type Network, network, type Port, port } from '#model/networks.ts';
import { type Router, ROUTER_PORT_OWNERS, router } from '#model/routers.ts';
import type { Reader, Store, Tx } from '#store/store.ts';
import { Table } from '#store/table.ts';
import { aliveSince } from './agents.ts';
import { bindingFor, bindPort, segmentProblem, unbindPort } from './binding.ts';
import { SERVICE_CONTEXT } from './dhcp-scheduling.ts';
import { createPorts, type NewPort } from './port-create.ts';
import { legsOf, lockNetworks, lockRouter } from './router-legs.ts';

const networks = new Table(network);
const ports = new Table(port);
const routers = new Table(router);

/** What a change of a router's legs begins with. */
export interface Held {
  readonly legs: readonly Port[];
  /** The hosts that carry it. */
  readonly hosts: readonly string[];
}

/** Reads a router that is locked, and locks the networks of `networkIds`; of a router without a host those of its legs too, which may be bound now. */
export async function takeHold(tx: Tx, routerId: string, networkIds: readonly string[] | ((legs: readonly Port[]) => readonly string[])): Promise<Held> {
  const legs = await legsOf(tx, routerId);
  const hosts = await hostsOf(tx, routerId);
  const wanted = typeof networkIds === 'function' ? networkIds(legs) : networkIds;
  await lockNetworks(tx, hosts.length > 0 ? wanted : [...wanted, ...legs.map((leg) => leg.network_id)]);
  return { legs, hosts };
}

/** Makes a leg on the router's host, which its first leg decides. Without a host it waits unbound, with the reason on it. */
export async function createLeg(tx: Tx, config: Config, current: Router, held: Held, home: Network, given: Omit<NewPort, 'network_id'>): Promise<Port> {
  const { host, reason } = await hostFor(tx, config, current, held, home);
  const [made] = await createPorts(tx, config, SERVICE_CONTEXT, [{ ...given, network_id: home.id, device_id: current.id, 'binding:host_id': host }], { quota: false });
  return reason === null ? made! : ports.update(tx, made!, { status_reason: reason });
}

/** The host of a leg on `home`: where the router is, else where it is put now, together with its other legs. */
export async function hostFor(tx: Tx, config: Config, current: Router, { legs, hosts }: Held, home?: Network): Promise<{ host: string; reason: string | null }> {
  if (hosts.length > 0) return { host: hosts[0]!, reason: null };
  const others = await networks.getMany(tx, [...new Set(legs.map((leg) => leg.network_id))]);
  const choice = await choose(tx, config, current, home ? [home, ...others.filter(({ id }) => id !== home.id)] : others);
  if (choice.reason === null) await putOn(tx, config, current.id, choice.host, legs);
  return choice;
}

/** Takes the router off its hosts when it has no leg any more. */
export async function releaseIfEmpty(tx: Tx, routerId: string, { hosts }: Held, left: readonly Port[]): Promise<void> {
  if (left.length === 0 && hosts.length > 0) await takeOff(tx, routerId, hosts, []);
}

/** Gives a router that waits for a host one, if there is one now; nothing for the others. The router is locked. */
export async function ensurePlaced(tx: Tx, config: Config, current: Router): Promise<void> {
  const held = await takeHold(tx, current.id, []);
  if (held.hosts.length === 0 && held.legs.length > 0) await hostFor(tx, config, current, held);
}

/**
 * Places what waits for a host, now that one has joined: routers without one, and legs that their host could not carry
 * before. One transaction each, so that no other write waits for all of them.
 */
export async function scheduleWaitingRouters(store: Store, config: Config): Promise<void> {
  const waiting = await store.reader.db.selectFrom('routers').select('id').where((e) => e.exists(
    e.selectFrom('ports').select('ports.id').whereRef('ports.device_id', '=', 'routers.id').where('ports.device_owner', 'in', [...ROUTER_PORT_OWNERS]).where('ports.binding_vif_type', '<>', 'ovs'),
  )).execute();
  for (const { id } of waiting) {
    await store.write(async (tx) => {
      await lockRouter(tx, id);
      const current = await routers.get(tx, id);
      if (!current) return;
      await ensurePlaced(tx, config, current);
      await bindAgain(tx, config, current);
    });
  }
}

/** An admin puts a router on a host. Throws RouterHostedByL3Agent when another one has it. */
export async function addRouterToHost(tx: Tx, config: Config, current: Router, host: string): Promise<void> {
  const held = await takeHold(tx, current.id, []);
  if (held.hosts.includes(host)) return;
  if (held.hosts.length > 0) {
    const agent = await tx.db.selectFrom('agents').select('id').where('host', 'in', held.hosts).where('agent_type', '=', 'L3 agent').executeTakeFirst();
    throw new ApiError('RouterHostedByL3Agent', { router_id: current.id, agent_id: agent?.['id'] ?? held.hosts[0] });
  }
  await putOn(tx, config, current.id, host, held.legs);
}

/** An admin takes a router off a host; it waits for another one. False when the host has not got it. */
export async function removeRouterFromHost(tx: Tx, routerId: string, host: string): Promise<boolean> {
  const { legs, hosts } = await takeHold(tx, routerId, (all) => all.map((leg) => leg.network_id));
  if (!hosts.includes(host)) return false;
  await takeOff(tx, routerId, [host], legs.filter((leg) => leg['binding:host_id'] === host));
  return true;
}

/** The host's L3 agent was removed, as an operator does with a dead one: its routers go to others. */
export async function evacuate(tx: Tx, config: Config, host: string): Promise<void> {
  const carried = await tx.db.selectFrom('router_bindings').select('router_id').where('host', '=', host).orderBy('router_id').execute();
  if (carried.length === 0) return;
  for (const { router_id } of carried) await lockRouter(tx, router_id);
  await lockNetworks(tx, (await legsOf(tx, ...carried.map(({ router_id }) => router_id))).map((leg) => leg.network_id));
  for (const { router_id } of carried) {
    if (!(await removeRouterFromHost(tx, router_id, host))) continue;
    const current = await routers.get(tx, router_id);
    if (current) await ensurePlaced(tx, config, current);
  }
}

export async function hostsOf(reader: Reader, routerId: string): Promise<string[]> {
  const rows = await reader.db.selectFrom('router_bindings').select('host').where('router_id', '=', routerId).orderBy('host').execute();
  return rows.map(({ host }) => host);
}

/** Of the live hosts, in one of the router's zones, that carry the most of `wanted`: the one with the fewest routers. A host that carries none of them is of no use. */
async function choose(tx: Tx, config: Config, { availability_zone_hints: zones }: Router, wanted: readonly Network[]): Promise<{ host: string; reason: string | null }> {
  const since = aliveSince(config);
  let query = tx.db.selectFrom('agents as l3').innerJoin('agents as switch', 'switch.host', 'l3.host').select(['l3.host', 'switch.configurations'])
    .select((e) => e.selectFrom('router_bindings').select((count) => count.fn.countAll<number>().as('n')).whereRef('router_bindings.host', '=', 'l3.host').as('routers'))
    .where('l3.agent_type', '=', 'L3 agent').where('switch.agent_type', '=', 'Open vSwitch agent').where('l3.admin_state_up', '=', 1)
    .where('l3.heartbeat_timestamp', '>=', since).where('switch.heartbeat_timestamp', '>=', since);
  if (zones.length > 0) query = query.where('l3.availability_zone', 'in', zones);
  const candidates = (await query.execute()).map((row: Record<string, any>) => {
    const configurations = JSON.parse(row['configurations'] ?? '{}');
    return { host: row['host'] as string, routers: Number(row['routers']), problems: wanted.flatMap((each) => segmentProblem(each, row['host'], configurations) ?? []) };
  });
  const [best] = candidates.sort((a, b) => a.problems.length - b.problems.length || a.routers - b.routers || (a.host < b.host ? -1 : 1));
  if (!best) return { host: '', reason: `no host with a live L3 agent${zones.length > 0 ? ` in ${zones.join(', ')}` : ''}` };
  return best.problems.length < wanted.length ? { host: best.host, reason: null } : { host: '', reason: `no host with a live L3 agent carries it: ${best.problems[0]}` };
}

async function putOn(tx: Tx, config: Config, routerId: string, host: string, legs: readonly Port[]): Promise<void> {
  await tx.db.insertInto('router_bindings').values({ router_id: routerId, host }).execute();
  tx.record('router_bindings', `${routerId}/${host}`, 'create');
  await bindLegs(tx, config, legs, host);
}

/** `legs` are those bound there. */
async function takeOff(tx: Tx, routerId: string, hosts: readonly string[], legs: readonly Port[]): Promise<void> {
  await tx.db.deleteFrom('router_bindings').where('router_id', '=', routerId).where('host', 'in', hosts).execute();
  for (const host of hosts) tx.record('router_bindings', `${routerId}/${host}`, 'delete');
  for (const leg of await ports.getMany(tx, legs.map(({ id }) => id))) await unbindPort(tx, leg);
}

/** The networks are locked, so that nobody else changes the ports; what was read before may be old. */
async function bindLegs(tx: Tx, config: Config, legs: readonly Port[], host: string): Promise<void> {
  const homes = new Map((await networks.getMany(tx, [...new Set(legs.map((leg) => leg.network_id))])).map((one) => [one.id, one]));
  for (const leg of await ports.getMany(tx, legs.map(({ id }) => id))) await bindPort(tx, config, homes.get(leg.network_id)!, leg, host);
}

/** Binds the legs that their host could not carry, if it can now. */
async function bindAgain(tx: Tx, config: Config, current: Router): Promise<void> {
  const failed = (legs: readonly Port[]) => legs.filter((leg) => leg['binding:vif_type'] === 'binding_failed');
  const { legs, hosts } = await takeHold(tx, current.id, (all) => failed(all).map((leg) => leg.network_id));
  const [host] = hosts;
  if (host === undefined) return;
  for (const leg of failed(await ports.getMany(tx, failed(legs).map(({ id }) => id)))) {
    const home = (await networks.get(tx, leg.network_id))!;
    const binding = await bindingFor(tx, config, home, host, leg['binding:vnic_type']);
    if (binding.status_reason !== leg.status_reason) await ports.update(tx, leg, { ...binding, status: 'DOWN' });
  }
}
