/** Port forwardings: ports of a floating IP that lead to ports of servers (extensions floating-ip-port-forwarding, …-port-ranges). */
import { ApiError } from '#model/errors.ts';
import type { FixedIp } from '#model/networks.ts';
import { type FloatingIp, floatingIp, type PortForwarding, portForwarding } from '#model/routers.ts';
import type { Reader, Tx } from '#store/store.ts';
import { Table } from '#store/table.ts';
import type { Context } from '../http/context.ts';
import { dropForwardings, lockForwardings } from './floating-ip-release.ts';
import { ipv4, lockedTargets, requirePort, routerBetween, type Target } from './floating-ip-target.ts';
import { newObject } from './new-object.ts';
import type { Given, Rule } from './rule.ts';

const floatingIps = new Table(floatingIp);
const forwardings = new Table(portForwarding);

type GivenForwarding = Given<typeof portForwarding>;
type Ends = Pick<PortForwarding, 'protocol' | 'internal_port_id' | 'internal_ip_address' | 'internal_port' | 'internal_port_range' | 'external_port' | 'external_port_range'>;

const CHUNK = 500;
const SIDES = ['internal', 'external'] as const;

export function portForwardingsRule(): Rule<typeof portForwarding> {
  return {
    resource: portForwarding,
    parent: floatingIp.collection,
    async create(tx, context, given, parent: FloatingIp) {
      const made: PortForwarding[] = [];
      for (const one of given) made.push(await createForwarding(tx, context, parent, one));
      return made;
    },
    update: updateForwarding,
    async delete(tx, _context, { id }, parent: FloatingIp) {
      await floatingIps.update(tx, parent, {});
      await dropForwardings(tx, [parent.id], (e) => e('id', '=', id));
    },
    present: async (_reader, _context, objects) => objects.map(singlePorts),
  };
}

/** The forwardings of floating IPs as these show them, by floating IP; ranges only by the fact that they are there, as Neutron does. */
export async function shownInFloatingIp(reader: Reader, floatingIpIds: readonly string[]): Promise<Map<string, Record<string, unknown>[]>> {
  const shown = new Map<string, Record<string, unknown>[]>();
  for (let i = 0; i < floatingIpIds.length; i += CHUNK) {
    for (const one of await forwardings.list(reader, { filters: { floatingip_id: floatingIpIds.slice(i, i + CHUNK) }, sort: [{ key: 'id', dir: 'asc' }] })) {
      const { id, floatingip_id, protocol, internal_ip_address, internal_port_id } = one;
      shown.set(floatingip_id, [...(shown.get(floatingip_id) ?? []), { id, protocol, internal_ip_address, internal_port_id, ...singlePorts(one) }]);
    }
  }
  return shown;
}

/** A range has no single port, and Neutron then leaves the attribute out. */
function singlePorts({ internal_port, external_port }: PortForwarding): Record<string, unknown> {
  return { internal_port: internal_port ?? undefined, external_port: external_port ?? undefined };
}

async function createForwarding(tx: Tx, context: Context, parent: FloatingIp, given: GivenForwarding): Promise<PortForwarding> {
  const wished = { ...given, ...rangeOf(given, 'internal'), ...rangeOf(given, 'external') } as Ends;
  const { home, target } = await lockedEnds(tx, context, parent, wished);
  const ends = { ...wished, internal_ip_address: target.fixed.ip_address };
  await requireNoCollision(tx, home.id, ends);
  await requireNoFloatingIp(tx, ends.internal_port_id);
  if (home.port_id !== null) {
    const { id, floating_ip_address, port_id, fixed_ip_address, floating_network_id } = home;
    throw new ApiError('FloatingIPPortAlreadyAssociated', { id, floating_ip_address, port_id, fixed_ip: fixed_ip_address, network_id: floating_network_id });
  }
  requireSameRouter(home, target);
  // Also when the router is there already: a floating IP's revision tells of its forwardings too.
  await floatingIps.update(tx, home, { router_id: target.router_id });
  const made = newObject(portForwarding, tx, { ...given, ...ends }, { project_id: home.project_id, floatingip_id: home.id });
  await forwardings.insert(tx, [made]);
  return made;
}

async function updateForwarding(tx: Tx, context: Context, found: PortForwarding, changes: GivenForwarding, parent: FloatingIp): Promise<PortForwarding> {
  const { internal_port: _, internal_port_range: _range, external_port: _port, external_port_range: _ports, ...rest } = changes;
  const asked = { ...rest, ...rangeOf(changes, 'internal'), ...rangeOf(changes, 'external') };
  const moved = changes.internal_port_id !== undefined && changes.internal_port_id !== found.internal_port_id;
  const wished = { ...found, ...(moved ? { internal_ip_address: undefined } : {}), ...asked } as Ends;
  const { home, target } = await lockedEnds(tx, context, parent, wished);
  if (!(await forwardings.get(tx, found.id))) throw new ApiError('PortForwardingNotFound', { id: found.id });
  if (changes.internal_port_id !== undefined) await requireNoFloatingIp(tx, changes.internal_port_id);
  requireSameRouter(home, target);
  const ends = { ...wished, internal_ip_address: target.fixed.ip_address };
  await requireNoCollision(tx, home.id, ends, found.id);
  await floatingIps.update(tx, home, {});
  return forwardings.update(tx, found, { ...asked, internal_ip_address: ends.internal_ip_address });
}

/** The port and the floating IP as they are, with everything held that could change what they allow. */
async function lockedEnds(tx: Tx, context: Context, parent: FloatingIp, wished: Ends): Promise<{ home: FloatingIp; target: Target }> {
  requireRanges(wished);
  const [target] = await lockedTargets(tx, [parent.floating_network_id], async () => [await targetOf(tx, context, parent, wished)]);
  await lockForwardings(tx, parent.id);
  const home = await floatingIps.get(tx, parent.id);
  if (!home) throw new ApiError('FloatingIPNotFound', { id: parent.id });
  return { home, target: target! };
}

/** The first IPv4 address of the port, or the one asked for, behind a router to the external network. */
async function targetOf(tx: Tx, context: Context, { id, floating_network_id }: FloatingIp, { internal_port_id, internal_ip_address }: Ends): Promise<Target> {
  const port = await requirePort(tx, context, internal_port_id);
  const own = ipv4(port.fixed_ips);
  const fixed: FixedIp | undefined = internal_ip_address ? own.find(({ ip_address }) => ip_address === internal_ip_address) : own[0];
  if (!fixed) throw bad(internal_ip_address ? `internal IP address ${internal_ip_address} is no IPv4 address of port ${port.id}` : `port ${port.id} has no IPv4 address`);
  const router_id = await routerBetween(tx, fixed.subnet_id, floating_network_id);
  if (router_id === undefined) throw bad(`external network ${floating_network_id} is not reachable from subnet ${fixed.subnet_id}, so floating IP ${id} cannot lead to port ${port.id}`);
  return { port, fixed, router_id };
}

/** Both ways to say ports, made one: `{internal_port: 80}` is `{internal_port: 80, internal_port_range: '80:80'}`; empty where neither is given. */
function rangeOf(given: GivenForwarding, side: (typeof SIDES)[number]): Record<string, unknown> {
  const port = given[`${side}_port`] ?? null;
  const range = given[`${side}_port_range`] ?? (port === null ? null : `${port}:${port}`);
  if (range === null) return {};
  const [first, last] = boundsOf(range);
  const single = first === last ? first : null;
  if (port !== null && port !== single) throw bad(`${side}_port ${port} and ${side}_port_range ${range} contradict each other`);
  return { [`${side}_port`]: single, [`${side}_port_range`]: range };
}

function requireRanges({ internal_port_range, external_port_range }: Ends): void {
  for (const [side, range] of [['internal', internal_port_range], ['external', external_port_range]]) if (!range) throw bad(`${side}_port or ${side}_port_range must be given`);
  const [internal, external] = [boundsOf(internal_port_range!), boundsOf(external_port_range!)].map(([first, last]) => last - first) as [number, number];
  if (internal > 0 && internal !== external) throw bad(`internal ports ${internal_port_range} and external ports ${external_port_range} must be equally many, or one internal port`);
}

/** No two forwardings of a floating IP share an external port, and no two share an internal one, whatever their floating IPs. */
async function requireNoCollision(tx: Tx, floatingIpId: string, ends: Ends, ownId?: string): Promise<void> {
  const { protocol, internal_port_id, internal_ip_address } = ends;
  for (const [key, others] of [['internal_port_range', { internal_port_id, internal_ip_address }], ['external_port_range', { floatingip_id: floatingIpId }]] as const) {
    const range = ends[key]!;
    const found = await tx.db.selectFrom('port_forwardings').select(['id', key]).where((e) => e.and({ protocol, ...others })).execute();
    const other = found.find((one) => one['id'] !== ownId && overlap(one[key], range));
    if (other) throw bad(`${key} ${range} of protocol ${protocol} collides with ${other[key]} of port forwarding ${other['id']}`);
  }
}

async function requireNoFloatingIp(tx: Tx, portId: string): Promise<void> {
  const found = await tx.db.selectFrom('floatingips').select(['id', 'floating_ip_address']).where('port_id', '=', portId).limit(1).executeTakeFirst();
  if (found) throw new ApiError('PortHasBindingFloatingIP', { id: found['id'], floating_ip_address: found['floating_ip_address'], port_id: portId });
}

/** A floating IP stands on one router. */
function requireSameRouter({ id, router_id }: FloatingIp, target: Target): void {
  if (router_id !== null && router_id !== target.router_id) throw bad(`floating IP ${id} is on router ${router_id}, which does not lead to port ${target.port.id}`);
}

function overlap(a: string, b: string): boolean {
  const [[aFirst, aLast], [bFirst, bLast]] = [boundsOf(a), boundsOf(b)];
  return aFirst <= bLast && bFirst <= aLast;
}

function boundsOf(range: string): [first: number, last: number] {
  const [first, last] = range.split(':').map(Number);
  return [first!, last!];
}

const bad = (reason: string): ApiError => new ApiError('BadRequest', { resource: 'port_forwarding', reason });
