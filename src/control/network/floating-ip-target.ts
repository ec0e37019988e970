/** Where a floating IP or a port forwarding may lead: a fixed address of a port, and the router between it and the external network. */
import { type RawBuilder, sql } from 'kysely';
import { ApiError } from '#model/errors.ts';
import { type FixedIp, network, type Port, port } from '#model/networks.ts';
import { parseIp } from '#net/ip.ts';
import type { Tx } from '#store/store.ts';
import { Table } from '#store/table.ts';
import type { Context } from '../http/context.ts';
import { ROUTER_INTERFACE_OWNERS } from './network-hooks.ts';
import { ownsNetwork } from './port-policy.ts';
import { lockNetworks, lockRouter } from './router-legs.ts';

const networks = new Table(network);
const ports = new Table(port);
const OWNERS = sql.join(ROUTER_INTERFACE_OWNERS);

export interface Target {
  readonly port: Port;
  readonly fixed: FixedIp;
  readonly router_id: string;
}

/**
 * What `find` answers, with its routers, its networks and the `external` ones held against change to the end of the
 * transaction: routers before networks, each in one order. `find` reads again under the locks; where it then means a
 * router that is not locked yet, that one is locked too.
 */
export async function lockedTargets<T extends Pick<Target, 'port' | 'router_id'> | undefined>(tx: Tx, external: readonly string[], find: () => Promise<readonly T[]>): Promise<readonly T[]> {
  const held = new Set<string>();
  for (;;) {
    const found = await find();
    const wanted = found.filter((one) => one !== undefined);
    const missing = (ids: readonly string[]) => [...new Set(ids)].filter((id) => !held.has(id)).sort();
    const routerIds = missing(wanted.map(({ router_id }) => router_id));
    const networkIds = missing([...external, ...wanted.map((one) => one.port.network_id)]);
    if (routerIds.length + networkIds.length === 0) return found;
    for (const id of routerIds) await lockRouter(tx, id);
    await lockNetworks(tx, networkIds);
    for (const id of [...routerIds, ...networkIds]) held.add(id);
  }
}

/** The port if `context` may see it. Throws ApiError PortNotFound. */
export async function requirePort(tx: Tx, context: Context, id: string): Promise<Port> {
  const found = await ports.get(tx, id);
  if (!found || (found.project_id !== context.project_id && !ownsNetwork(context, await networks.get(tx, found.network_id)))) throw new ApiError('PortNotFound', { id });
  return found;
}

/**
 * The router with a leg on the subnet and its gateway on the external network: the one that holds the subnet's gateway
 * address, else the first. That one is found by keys; only without it are the addresses of the subnet read.
 */
export async function routerBetween(tx: Tx, subnetId: string, externalId: string): Promise<string | undefined> {
  const leading = async (narrowed: RawBuilder<unknown>) => (await sql<{ router_id: string }>`select leg.device_id as router_id
    from ip_allocations address join ports leg on leg.id = address.port_id join ports gateway on gateway.device_id = leg.device_id
    where address.subnet_id = ${subnetId} and leg.device_owner in (${OWNERS}) and gateway.device_owner = 'network:router_gateway' and gateway.network_id = ${externalId} ${narrowed} limit 1`.execute(tx.db)).rows[0];
  const found = await leading(sql`and address.ip_address = (select gateway_ip from subnets where id = ${subnetId})`) ?? await leading(sql`order by leg.device_id`);
  return found?.router_id;
}

export function ipv4(fixedIps: Port['fixed_ips']): FixedIp[] {
  return (fixedIps as FixedIp[]).filter(({ ip_address }) => parseIp(ip_address)?.version === 4);
}
