/** `PUT /routers/{id}/add_router_interface` and `…/remove_router_interface`: a router's legs on networks (N-L3-4, N-L3-5). */
import type { Config } from '#model/config.ts';
import { ApiError } from '#model/errors.ts';
import { InvalidValue, uuid } from '#model/kind.ts';
import { network, type Port, port, type Subnet, subnet } from '#model/networks.ts';
import { type Router, router } from '#model/routers.ts';
import { parseIp } from '#net/ip.ts';
import type { Tx } from '#store/store.ts';
import { Table } from '#store/table.ts';
import type { Context } from '../http/context.ts';
import { SERVICE_CONTEXT } from './dhcp-scheduling.ts';
import { poolsOf } from './ipam.ts';
import { deletePorts, updatePort } from './port-update.ts';
import { visiblePorts } from './ports.ts';
import { isTarget } from './rbac-visibility.ts';
import { bad, INTERFACE, requireDistinct, requireUnused, subnetsOfAddresses } from './router-legs.ts';
import { createLeg, hostFor, releaseIfEmpty, takeHold } from './router-scheduling.ts';
import type { ActionResult } from './rule.ts';
import { visibleSubnets } from './subnets.ts';

const networks = new Table(network);
const ports = new Table(port);
const routers = new Table(router);
const subnets = new Table(subnet);

/** A leg, and the subnets that came or went with it. */
interface Changed {
  readonly leg: Port;
  readonly on: readonly Subnet[];
}

export async function addInterface(tx: Tx, context: Context, config: Config, current: Router, body: unknown): Promise<ActionResult<typeof router>> {
  const { port_id, subnet_id } = interfaceInfo(body);
  if (port_id !== undefined && subnet_id !== undefined) throw bad('Cannot specify both subnet-id and port-id');
  const { leg, on } = port_id !== undefined ? await addByPort(tx, context, config, current, port_id) : await addBySubnet(tx, context, config, current, subnet_id!);
  return told(tx, current, leg, on, on.at(-1)!);
}

export async function removeInterface(tx: Tx, context: Context, config: Config, current: Router, body: unknown): Promise<ActionResult<typeof router>> {
  const { port_id, subnet_id } = interfaceInfo(body);
  const { leg, on } = port_id !== undefined ? await removeByPort(tx, current, port_id, subnet_id) : await removeBySubnet(tx, context, config, current, subnet_id!);
  return told(tx, current, leg, on, on[0]!);
}

/** A new port takes the subnet's gateway address; a further IPv6 subnet of a network joins the port that the router has there. */
async function addBySubnet(tx: Tx, context: Context, config: Config, current: Router, id: string): Promise<Changed> {
  const { network_id } = await requireSubnet(tx, context, id);
  const held = await takeHold(tx, current.id, [network_id]);
  const one = await subnets.get(tx, id);
  if (!one) throw new ApiError('SubnetNotFound', { id });
  if (one.gateway_ip === null) throw bad('Subnet for router interface must have a gateway IP');
  // Who only shares a network with all must not stand in for its gateway (CVE-2018-14635); whom its owner named may (LP 1975603).
  if (!context.is_admin && one.project_id !== context.project_id && !(await isTarget(tx, network, network_id, context.project_id))) throw bad(`Cannot add interface to router because subnet ${id} is not owned by project making the request`);
  requireAddressMode([one]);
  await requireDistinct(tx, held.legs, [one]);
  const fixed = { subnet_id: id, ip_address: one.gateway_ip };
  const shared = one.ip_version === 6 ? held.legs.find((leg) => leg.device_owner === INTERFACE && leg.network_id === network_id && hasIpv6(leg)) : undefined;
  const leg = shared
    ? await updatePort(tx, config, SERVICE_CONTEXT, shared, { fixed_ips: [...shared.fixed_ips, fixed] })
    : await createLeg(tx, config, current, held, (await networks.get(tx, network_id))!, { project_id: current.project_id, device_owner: INTERFACE, fixed_ips: [fixed] });
  return { leg, on: [one] };
}

/** A port that is there becomes a leg, with the addresses it has. */
async function addByPort(tx: Tx, context: Context, config: Config, current: Router, id: string): Promise<Changed> {
  const [found] = await ports.list(tx, { filters: { id: [id] }, where: (query) => (context.is_admin ? query : visiblePorts(query, context)) });
  if (!found) throw new ApiError('PortNotFound', { id });
  const held = await takeHold(tx, current.id, [found.network_id]);
  const leg = await ports.get(tx, id);
  if (!leg) throw new ApiError('PortNotFound', { id });
  if (leg.device_id !== '') throw new ApiError('PortInUse', { id, network_id: leg.network_id, device_id: leg.device_id });
  if (leg.fixed_ips.length === 0) throw bad('Router port must have at least one fixed IP');
  const known = await subnetsOfAddresses(tx, [leg]);
  const on = [...new Set(leg.fixed_ips.map((ip) => ip.subnet_id))].map((subnetId) => known.find((one) => one.id === subnetId)!);
  requireAddressMode(on);
  if (!context.is_admin && leg.project_id !== current.project_id) throw new ApiError('DeviceIDNotOwnedByTenant', { device_id: current.id });
  const twin = hasIpv6(leg) ? held.legs.find((one) => one.network_id === leg.network_id && hasIpv6(one)) : undefined;
  if (twin) throw bad(`Router already contains IPv6 port ${twin.id} belonging to network id ${leg.network_id}. Only one IPv6 port from the same network subnet can be connected to a router.`);
  await requireDistinct(tx, held.legs, on);
  if (on.filter((one) => one.ip_version === 4).length > 1) throw bad('Cannot have multiple IPv4 subnets on router port');
  if (!context.is_admin) requireInPools(context, leg, on);
  const { host, reason } = await hostFor(tx, config, current, held, (await networks.get(tx, leg.network_id))!);
  const attached = await updatePort(tx, config, SERVICE_CONTEXT, leg, { device_id: current.id, device_owner: INTERFACE, 'binding:host_id': host });
  return { leg: reason === null ? attached : await ports.update(tx, attached, { status_reason: reason }), on };
}

async function removeByPort(tx: Tx, current: Router, id: string, subnetId: string | undefined): Promise<Changed> {
  const held = await takeHold(tx, current.id, (legs) => legs.filter((leg) => leg.id === id).map((leg) => leg.network_id));
  const leg = held.legs.find((one) => one.id === id && one.device_owner === INTERFACE);
  if (!leg) throw new ApiError('RouterInterfaceNotFound', { id: current.id, port_id: id });
  if (subnetId !== undefined && !leg.fixed_ips.some((ip) => ip.subnet_id === subnetId)) throw new ApiError('SubnetMismatchForPort', { port_id: id, subnet_id: subnetId });
  const on = await subnetsOfAddresses(tx, [leg]);
  await requireUnused(tx, current, on);
  await deletePorts(tx, [leg]);
  await releaseIfEmpty(tx, current.id, held, held.legs.filter((one) => one !== leg));
  return { leg, on };
}

async function removeBySubnet(tx: Tx, context: Context, config: Config, current: Router, id: string): Promise<Changed> {
  const one = await requireSubnet(tx, context, id);
  const held = await takeHold(tx, current.id, [one.network_id]);
  const leg = held.legs.find(({ device_owner, fixed_ips }) => device_owner === INTERFACE && fixed_ips.some((ip) => ip.subnet_id === id));
  if (!leg) throw new ApiError('RouterInterfaceNotFoundForSubnet', { id: current.id, subnet_id: id });
  await requireUnused(tx, current, [one]);
  const rest = leg.fixed_ips.filter((ip) => ip.subnet_id !== id);
  if (rest.length > 0) return { leg: await updatePort(tx, config, SERVICE_CONTEXT, leg, { fixed_ips: rest }), on: [one] };
  await deletePorts(tx, [leg]);
  await releaseIfEmpty(tx, current.id, held, held.legs.filter((each) => each !== leg));
  return { leg, on: [one] };
}

/** Neutron's answer. The router's revision tells of its legs too. */
async function told(tx: Tx, current: Router, leg: Port, on: readonly Subnet[], named: Subnet): Promise<ActionResult<typeof router>> {
  await routers.update(tx, current, {});
  const { project_id, id: port_id, network_id } = leg;
  return { answer: { id: current.id, tenant_id: project_id, project_id, port_id, network_id, subnet_id: named.id, subnet_ids: on.map(({ id }) => id) } };
}

function interfaceInfo(body: unknown): { port_id?: string; subnet_id?: string } {
  const given = typeof body === 'object' && body !== null ? (body as Record<string, unknown>) : {};
  const named = (['port_id', 'subnet_id'] as const).filter((name) => Object.hasOwn(given, name));
  if (named.length === 0) throw bad('Either subnet_id or port_id must be specified');
  return Object.fromEntries(named.map((name) => [name, checkedId(given[name])]));
}

function checkedId(value: unknown): string {
  try {
    return uuid.convert(typeof value === 'string' ? value : String(value));
  } catch (error) {
    if (error instanceof InvalidValue) throw bad(error.message.slice(0, 200));
    throw error;
  }
}

async function requireSubnet(tx: Tx, context: Context, id: string): Promise<Subnet> {
  const [found] = await subnets.list(tx, { filters: { id: [id] }, where: (query) => (context.is_admin ? query : visibleSubnets(query, context)) });
  if (!found) throw new ApiError('SubnetNotFound', { id });
  return found;
}

/** A subnet whose hosts are told of their addresses by somebody else's router has no place for ours. */
function requireAddressMode(on: readonly Subnet[]): void {
  const foreign = on.find((one) => one.ip_version === 6 && one.ipv6_ra_mode === null && one.ipv6_address_mode !== null);
  if (foreign) throw bad(`IPv6 subnet ${foreign.id} configured to receive RAs from an external router cannot be added to Neutron Router.`);
}

/** On others' subnets a router stands where any port could, not at the gateway's address. */
function requireInPools(context: Context, leg: Port, on: readonly Subnet[]): void {
  for (const { subnet_id, ip_address } of leg.fixed_ips) {
    const one = on.find(({ id }) => id === subnet_id)!;
    if (one.project_id === context.project_id || poolsOf(one).has(parseIp(ip_address!)!.value)) continue;
    throw bad(`Cannot add interface to router because specified port ${leg.id} has an IP address out of the allocation pool of subnet ${subnet_id}, which is not owned by the project making the request`);
  }
}

const hasIpv6 = (leg: Port): boolean => leg.fixed_ips.some((ip) => ip.ip_address!.includes(':'));
