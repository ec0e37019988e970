/** Floating IPs: addresses of external networks that routers lead to fixed addresses of ports (N-L3-14, N-L3-15). */
import { sql } from 'kysely';
import type { Config } from '#model/config.ts';
import { ApiError } from '#model/errors.ts';
import { type Port, port } from '#model/networks.ts';
import { type FloatingIp, floatingIp } from '#model/routers.ts';
import { parseIp } from '#net/ip.ts';
import type { Reader, Tx } from '#store/store.ts';
import { Table } from '#store/table.ts';
import type { Context } from '../http/context.ts';
import { dnsDomain, dnsName } from './dns-names.ts';
import { ipv4, lockedTargets, requirePort, routerBetween, type Target } from './floating-ip-target.ts';
import type { FixedIpWish } from './ipam.ts';
import { requireNetwork } from './network-visibility.ts';
import { newObject } from './new-object.ts';
import { createPorts } from './port-create.ts';
import { shownInFloatingIp } from './port-forwardings.ts';
import { deletePorts } from './port-update.ts';
import { checkQuota } from './quotas.ts';
import type { Given, NetworkDeps, Rule } from './rule.ts';

const floatingIps = new Table(floatingIp);
const ports = new Table(port);

type GivenFloatingIp = Given<typeof floatingIp> & { subnet_id?: string | null };
type Association = Pick<FloatingIp, 'port_id' | 'fixed_ip_address' | 'router_id'>;

export function floatingIpsRule({ config }: NetworkDeps): Rule<typeof floatingIp> {
  return {
    resource: floatingIp,
    create: (tx, context, given) => createFloatingIps(tx, config, context, given),
    update: updateFloatingIp,
    delete: (tx, _context, current) => deleteFloatingIp(tx, current),
    present: (reader, _context, objects) => presentFloatingIps(reader, objects),
  };
}

/**
 * What the host of a floating IP's router reports. Nothing is written when it says what is known, or when no router
 * carries the address any more: that of `routerId`, where it is given.
 */
export async function setFloatingIpStatus(tx: Tx, id: string, ok: boolean, reason: string | null = null, routerId?: string): Promise<void> {
  const [status, status_reason] = ok ? ['ACTIVE', null] : ['ERROR', reason];
  // One statement, which looks again at a row that another transaction is just disassociating.
  const changed = await tx.db.updateTable(floatingIps.name).set({ status, status_reason, updated_at: tx.now, revision_number: sql`revision_number + 1` })
    .where('id', '=', id).where('router_id', routerId === undefined ? 'is not' : '=', routerId ?? null)
    .where((e) => e.or([e('status', '<>', status), sql<boolean>`coalesce(status_reason, '') <> ${status_reason ?? ''}`])).returning('id').execute();
  for (const row of changed) tx.record(floatingIps.name, row['id'], 'update');
}

/** Deletes the floating IPs of an external network that is to go; those that lead to ports stay, and hold it back. The caller holds `lockNetwork`. */
export async function deleteUnassociated(tx: Tx, networkId: string): Promise<void> {
  for (const one of await floatingIps.list(tx, { filters: { floating_network_id: [networkId] }, where: (query) => query.where('port_id', 'is', null).where('router_id', 'is', null).orderBy('id') })) await deleteFloatingIp(tx, one);
}

async function createFloatingIps(tx: Tx, config: Config, context: Context, given: readonly GivenFloatingIp[]): Promise<FloatingIp[]> {
  const wanted = given.map((one) => ({ ...one, id: crypto.randomUUID(), project_id: one.project_id!, floating_network_id: one.floating_network_id!, dns_name: dnsName(config, one.dns_name ?? ''), dns_domain: dnsDomain(one.dns_domain ?? '') }));
  const targets = await lockedTargets(tx, wanted.map((one) => one.floating_network_id), async () => {
    const found: (Target | undefined)[] = [];
    for (const one of wanted) {
      requirePair(one);
      await requireExternal(tx, context, one.floating_network_id);
      found.push(one.port_id ? await targetOf(tx, context, one, one.port_id, one.fixed_ip_address) : undefined);
    }
    return found;
  });
  for (const [project, own] of Map.groupBy(wanted, (one) => one.project_id)) await checkQuota(tx, config, project, 'floatingip', own.length);
  // The port is the system's: no project has it, no quota counts it, and whoever asks need not own the network.
  const holders = await createPorts(tx, config, { ...context, is_admin: true }, wanted.map((one) => ({
    project_id: '', network_id: one.floating_network_id, device_owner: 'network:floatingip', device_id: one.id, status: 'N/A', ...wishOf(one),
  })), { quota: false });
  const made: FloatingIp[] = [];
  for (const [i, one] of wanted.entries()) {
    const fresh = newObject(floatingIp, tx, one, { ...association(targets[i]), floating_ip_address: await addressOf(tx, holders[i]!), floating_port_id: holders[i]!.id, status: 'DOWN' });
    await requireSole(tx, fresh);
    await floatingIps.insert(tx, [fresh]);
    made.push(fresh);
  }
  return made;
}

/** A body without `port_id` leaves the association alone, null ends it. */
async function updateFloatingIp(tx: Tx, context: Context, found: FloatingIp, changes: GivenFloatingIp): Promise<FloatingIp> {
  requirePair(changes);
  const { port_id, fixed_ip_address, ...rest } = changes;
  if (port_id === undefined) return Object.keys(rest).length > 0 ? floatingIps.update(tx, found, rest) : found;
  // Without a port, the router is there for port forwardings.
  if (port_id === null) return floatingIps.update(tx, found, found.port_id === null ? rest : { ...rest, ...association(undefined), status: 'DOWN', status_reason: null });
  const [target] = await lockedTargets(tx, [found.floating_network_id], async () => [await targetOf(tx, context, found, port_id, fixed_ip_address)]);
  // Its network or its port may have gone while this waited for them.
  const current = await floatingIps.get(tx, found.id);
  if (!current) throw new ApiError('FloatingIPNotFound', { id: found.id });
  requireNoForwardings(current);
  const next = { ...current, ...association(target) };
  if (next.port_id === current.port_id && next.fixed_ip_address === current.fixed_ip_address && next.router_id === current.router_id) return floatingIps.update(tx, current, rest);
  await requireSole(tx, next);
  return floatingIps.update(tx, current, { ...rest, ...association(target), status: 'DOWN', status_reason: null });
}

async function deleteFloatingIp(tx: Tx, current: FloatingIp): Promise<void> {
  requireNoForwardings(current);
  await deletePorts(tx, [{ id: current.floating_port_id, network_id: current.floating_network_id }]);
  await floatingIps.delete(tx, current.id);
}

/** The ports that a page of floating IPs leads to, and the forwardings of those that lead to many. */
async function presentFloatingIps(reader: Reader, objects: readonly FloatingIp[]): Promise<Record<string, unknown>[]> {
  const details = new Map((await ports.getMany(reader, [...new Set(objects.flatMap(({ port_id }) => port_id ?? []))])).map((one) => [one.id, portDetails(one)]));
  const forwardings = await shownInFloatingIp(reader, objects.filter(isForwarded).map(({ id }) => id));
  return objects.map(({ id, port_id }) => ({ port_details: details.get(port_id ?? '') ?? null, port_forwardings: forwardings.get(id) ?? [] }));
}

function portDetails({ name, network_id, mac_address, admin_state_up, status, device_id, device_owner }: Port): Record<string, unknown> {
  return { name, network_id, mac_address, admin_state_up, status, device_id, device_owner };
}

/** The port, its fixed address and the router that the floating IP would lead to. Throws ApiError as Neutron does for each that does not fit. */
async function targetOf(tx: Tx, context: Context, one: Pick<FloatingIp, 'project_id' | 'floating_network_id'>, portId: string, address?: string | null): Promise<Target> {
  const found = await requirePort(tx, context, portId);
  if (found.project_id !== one.project_id && !context.is_admin) throw bad(`Port ${portId} belongs to another project than the floating IP`);
  if (found.device_owner === 'network:dhcp') throw bad(`Port ${portId} serves DHCP and can have no floating IP`);
  const fixed = fixedOf(found, address);
  const router_id = await routerBetween(tx, fixed.subnet_id, one.floating_network_id);
  if (router_id === undefined) throw new ApiError('ExternalGatewayForFloatingIPNotFound', { subnet_id: fixed.subnet_id, port_id: portId, external_network_id: one.floating_network_id });
  return { port: found, fixed, router_id };
}

function fixedOf({ id, fixed_ips }: Port, address: string | null | undefined): Target['fixed'] {
  if (address && parseIp(address)?.version !== 4) throw bad(`${address} is not an IPv4 address`);
  const candidates = ipv4(fixed_ips).filter(({ ip_address }) => !address || ip_address === address);
  const [only] = candidates;
  if (!only) throw bad(address ? `Port ${id} does not have fixed ip ${address}` : `Port ${id} has no fixed IPv4 address`);
  if (candidates.length > 1) throw bad(`Port ${id} has multiple fixed IPv4 addresses: fixed_ip_address must say which`);
  return only;
}

async function requireExternal(tx: Tx, context: Context, id: string): Promise<void> {
  if (!(await requireNetwork(tx, context, id))['router:external']) throw bad(`Network ${id} is not a valid external network`);
}

/** One fixed address has at most one floating IP of an external network; the network lock of the port keeps others out meanwhile. */
async function requireSole(tx: Tx, { id, port_id, fixed_ip_address, floating_ip_address, floating_network_id }: FloatingIp): Promise<void> {
  if (port_id === null) return;
  const other = await tx.db.selectFrom(floatingIps.name).select('id').where('port_id', '=', port_id).where('fixed_ip_address', '=', fixed_ip_address)
    .where('floating_network_id', '=', floating_network_id).where('id', '<>', id).executeTakeFirst();
  if (other) throw new ApiError('FloatingIPPortAlreadyAssociated', { id, floating_ip_address, port_id, fixed_ip: fixed_ip_address, network_id: floating_network_id });
}

/** The address that the port on the external network was given. */
async function addressOf(tx: Tx, { network_id, fixed_ips }: Port): Promise<string> {
  const [first] = ipv4(fixed_ips);
  if (first) return first.ip_address;
  const subnet = await tx.db.selectFrom('subnets').select('id').where('network_id', '=', network_id).where('ip_version', '=', 4).limit(1).executeTakeFirst();
  throw subnet ? new ApiError('ExternalIpAddressExhausted', { network_id }) : bad(`Network ${network_id} does not contain any IPv4 subnet`);
}

function wishOf({ subnet_id, floating_ip_address }: GivenFloatingIp): { fixed_ips?: FixedIpWish[] } {
  return subnet_id || floating_ip_address ? { fixed_ips: [{ ...(subnet_id ? { subnet_id } : {}), ...(floating_ip_address ? { ip_address: floating_ip_address } : {}) }] } : {};
}

function association(target: Target | undefined): Association {
  return { port_id: target?.port.id ?? null, fixed_ip_address: target?.fixed.ip_address ?? null, router_id: target?.router_id ?? null };
}

/** A floating IP with port forwardings has a router and no port of its own. */
const isForwarded = ({ port_id, router_id }: FloatingIp): boolean => port_id === null && router_id !== null;

function requireNoForwardings(current: FloatingIp): void {
  if (isForwarded(current)) throw new ApiError('FipInUseByPortForwarding', { id: current.id });
}

function requirePair({ port_id, fixed_ip_address }: GivenFloatingIp): void {
  if (fixed_ip_address && !port_id) throw bad('fixed_ip_address cannot be specified without a port_id');
}

const bad = (reason: string): ApiError => new ApiError('BadRequest', { resource: 'floatingip', reason });
