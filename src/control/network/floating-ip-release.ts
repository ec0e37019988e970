/** What becomes of floating IPs and port forwardings when the ports that they lead to go, or lose addresses. */
import { sql } from 'kysely';
import { ApiError } from '#model/errors.ts';
import type { FixedIp, Port } from '#model/networks.ts';
import type { Tx } from '#store/store.ts';
import type { Context } from '../http/context.ts';
import { ipv4 } from './floating-ip-target.ts';

const CHUNK = 500;

/**
 * Holds the number of a floating IP's forwardings to the end of the transaction. Whoever deletes a port has its network
 * locked and may not lock a floating IP any more, so this lock comes behind all others.
 */
export const lockForwardings = (tx: Tx, floatingIpId: string): Promise<void> => tx.lock(`port_forwardings:${floatingIpId}`);

/**
 * Disassociates floating IPs from deleted ports and deletes their port forwardings, in one statement where there are
 * none. The caller holds the ports' networks. Throws ApiError FipAssociated when `context` is given and a floating IP
 * is not its own.
 */
export async function releasePorts(tx: Tx, portIds: readonly string[], context?: Context): Promise<void> {
  for (let i = 0; i < portIds.length; i += CHUNK) {
    const part = portIds.slice(i, i + CHUNK);
    const leading = await tx.db.selectFrom('floatingips').select(['port_id', 'project_id', sql<string | null>`cast(null as text)`.as('floatingip_id')]).where('port_id', 'in', part)
      .union(tx.db.selectFrom('port_forwardings').select(['internal_port_id as port_id', 'project_id', 'floatingip_id']).where('internal_port_id', 'in', part)).execute();
    const associated = leading.filter((row) => row['floatingip_id'] === null);
    const foreign = context && !context.is_admin ? associated.find((row) => row['project_id'] !== context.project_id) : undefined;
    if (foreign) throw new ApiError('FipAssociated', { port_id: foreign['port_id'] });
    // By the ports again: one that is being moved to another port stays with that.
    if (associated.length > 0) await unlink(tx, (e) => e('port_id', 'in', part));
    await dropForwardings(tx, leading.flatMap((row) => (row['floatingip_id'] as string | null) ?? []), (e) => e('internal_port_id', 'in', part));
  }
}

/**
 * Refuses to take an address from a port that a floating IP leads to, as Neutron does, and deletes the port forwardings
 * to addresses that go. The caller holds the port's network.
 */
export async function releaseLostAddresses(tx: Tx, { id, fixed_ips }: Pick<Port, 'id' | 'fixed_ips'>, kept: readonly FixedIp[]): Promise<void> {
  const lost = ipv4(fixed_ips).map(({ ip_address }) => ip_address).filter((ip) => !kept.some(({ ip_address }) => ip_address === ip));
  if (lost.length === 0) return;
  const used = await tx.db.selectFrom('floatingips').select('floating_ip_address').where('port_id', '=', id).where('fixed_ip_address', 'in', lost).limit(1).executeTakeFirst();
  if (used) throw new ApiError('BadRequest', { resource: 'port', reason: `port ${id} cannot lose an address that floating IP ${used['floating_ip_address']} leads to` });
  const owners = await tx.db.selectFrom('port_forwardings').select('floatingip_id').distinct().where('internal_port_id', '=', id).where('internal_ip_address', 'in', lost).execute();
  await dropForwardings(tx, owners.map((row) => row['floatingip_id']), (e) => e.and([e('internal_port_id', '=', id), e('internal_ip_address', 'in', lost)]));
}

/** Deletes the forwardings that `which` names, all of the floating IPs `owners`; one that has none left has no router either. */
export async function dropForwardings(tx: Tx, owners: readonly string[], which: (e: any) => any): Promise<void> {
  if (owners.length === 0) return;
  const ids = [...new Set(owners)].sort();
  for (const id of ids) await lockForwardings(tx, id);
  const gone = await tx.db.deleteFrom('port_forwardings').where(which).returning('id').execute();
  for (const row of gone) tx.record('port_forwardings', row['id'], 'delete');
  await unlink(tx, (e) => e.and([
    e('id', 'in', ids), e('port_id', 'is', null), e('router_id', 'is not', null),
    e.not(e.exists(e.selectFrom('port_forwardings').select('id').whereRef('port_forwardings.floatingip_id', '=', 'floatingips.id'))),
  ]));
}

async function unlink(tx: Tx, which: (e: any) => any): Promise<void> {
  const freed = await tx.db.updateTable('floatingips').set({
    port_id: null, fixed_ip_address: null, router_id: null, status: 'DOWN', status_reason: null, updated_at: tx.now, revision_number: sql`revision_number + 1`,
  }).where(which).returning('id').execute();
  for (const row of freed) tx.record('floatingips', row['id'], 'update');
}
