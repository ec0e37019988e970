/** What the port API may do to the legs of routers: they come and go by their router only (OSSA-2014-008). */
import { ApiError } from '#model/errors.ts';
import { type Port, port, subnet } from '#model/networks.ts';
import { ROUTER_PORT_OWNERS, router } from '#model/routers.ts';
import type { Reader, Tx } from '#store/store.ts';
import { Table } from '#store/table.ts';
import type { Context } from '../http/context.ts';
import { lockNetwork } from './ipam.ts';
import { ROUTER_INTERFACE_OWNERS } from './network-hooks.ts';
import { GATEWAY, INTERFACE, legsOf, lockRouter, requireDistinct } from './router-legs.ts';
import type { Given } from './rule.ts';

const ports = new Table(port);
const routers = new Table(router);
const subnets = new Table(subnet);

type Device = Pick<Port, 'device_owner' | 'device_id' | 'project_id'>;

/** Owners that a router or a floating IP gives its ports: these are deleted with it. */
const HELD_OWNERS: readonly string[] = [...ROUTER_INTERFACE_OWNERS, GATEWAY];

/** Refuses a port that claims to belong to a router: nobody has checked where it leads. */
export async function requireNoLeg(reader: Reader, context: Context, action: 'create' | 'update', { device_owner, device_id, project_id }: Device): Promise<void> {
  if (!ROUTER_INTERFACE_OWNERS.includes(device_owner) && !device_owner.startsWith('network:router_')) return;
  const claimed = device_id === '' ? undefined : await routers.get(reader, device_id);
  if (!context.is_admin && claimed && claimed.project_id !== project_id) throw new ApiError('DeviceIDNotOwnedByTenant', { device_id });
  if (!context.is_admin) throw new ApiError('PolicyNotAuthorized', { rule: `${action}_port:device_owner` });
  if (claimed) throw new ApiError('BadRequest', { resource: 'ports', reason: `router ${device_id} takes its ports by add_router_interface and external_gateway_info` });
}

/** Refuses to change which device a leg belongs to, and the IPv4 addresses of an interface (extension l3-port-ip-change-not-allowed). */
export async function requireLegKept(tx: Tx, context: Context, found: Port, asked: Given<typeof port>): Promise<void> {
  if (asked.device_owner === undefined && asked.device_id === undefined && asked.fixed_ips === undefined) return;
  if (ROUTER_PORT_OWNERS.has(found.device_owner)) await lockRouter(tx, found.device_id);
  await lockNetwork(tx, found.network_id);
  const current = await ports.get(tx, found.id);
  if (!current) return;
  const { device_owner, device_id, project_id } = { ...current, ...asked };
  const changed = device_owner !== current.device_owner || device_id !== current.device_id;
  const leg = ROUTER_PORT_OWNERS.has(current.device_owner) && (await routers.get(tx, current.device_id)) !== undefined;
  // It may have become one since it was read, and its router is not locked then.
  const attached = current.device_id !== found.device_id;
  if (changed && !leg) return requireNoLeg(tx, context, 'update', { device_owner, device_id, project_id });
  if (!leg) return;
  const target = changed && !context.is_admin && device_id !== current.device_id ? await routers.get(tx, device_id) : undefined;
  if (target && target.project_id !== project_id) throw new ApiError('DeviceIDNotOwnedByTenant', { device_id });
  if (changed || attached) throw new ApiError('PortInUse', { id: current.id, network_id: current.network_id, device_id: current.device_id });
  if (asked.fixed_ips && current.device_owner === INTERFACE) await requireAddressesKept(tx, current, asked.fixed_ips);
}

/** Refuses to delete a port that its router or floating IP still has. Throws ApiError ServicePortInUse. */
export async function requireDeletable(tx: Tx, found: Port): Promise<void> {
  await lockNetwork(tx, found.network_id);
  const current = await ports.get(tx, found.id);
  const table = current && (HELD_OWNERS.includes(current.device_owner) ? 'routers' : current.device_owner === 'network:floatingip' ? 'floatingips' : undefined);
  const holder = table && (await tx.db.selectFrom(table).select('id').where('id', '=', current.device_id).executeTakeFirst());
  if (holder) throw new ApiError('ServicePortInUse', { port_id: found.id, reason: `has device owner ${current!.device_owner}` });
}

async function requireAddressesKept(tx: Tx, leg: Port, wanted: Port['fixed_ips']): Promise<void> {
  const named = await subnets.getMany(tx, wanted.flatMap(({ subnet_id }) => subnet_id ?? []));
  const ofVersion4 = (ip: Port['fixed_ips'][number]) => (ip.ip_address === undefined ? named.find((one) => one.id === ip.subnet_id)?.ip_version === 4 : !ip.ip_address.includes(':'));
  const kept = leg.fixed_ips.filter(ofVersion4).every((ip) => wanted.some((one) => one.ip_address === ip.ip_address || (one.ip_address === undefined && one.subnet_id === ip.subnet_id)));
  if (!kept || wanted.filter(ofVersion4).length > leg.fixed_ips.filter(ofVersion4).length) {
    throw new ApiError('BadRequest', { resource: 'ports', reason: `IP address change on port ${leg.id} is not allowed: it is an interface of router ${leg.device_id}` });
  }
  const held = new Set(leg.fixed_ips.map((ip) => ip.subnet_id));
  const added = named.filter((one) => !held.has(one.id));
  if (added.length > 0) await requireDistinct(tx, (await legsOf(tx, leg.device_id)).filter((one) => one.id !== leg.id), added);
}
