/** The rows of servers: finding one that a token may see, and changing it. */
import { type Server, server as serverResource } from '#model/compute.ts';
import { ApiError } from '#model/errors.ts';
import { type Port, port as portResource } from '#model/networks.ts';
import type { Reader, Tx } from '#store/store.ts';
import { Table } from '#store/table.ts';
import type { Context } from '../http/context.ts';
import { mayWrite, sees } from './policy.ts';

export const servers = new Table(serverResource);
const ports = new Table(portResource);

/** The server, if it is the token's project's or the token an admin's; 404 otherwise. */
export async function serverOf(reader: Reader, context: Context, id: string): Promise<Server> {
  const found = await servers.get(reader, id);
  if (!found || !sees(context, found.project_id)) throw new ApiError('InstanceNotFound', { id });
  return found;
}

/** The server, for a change: 403 for readers, 409 when somebody locked it. `policy` is Nova's name of the rule. */
export async function serverToChange(tx: Tx, context: Context, id: string, policy: string): Promise<Server> {
  await lockServer(tx, id);
  const found = await serverOf(tx, context, id);
  mayWrite(context, policy);
  if (found.locked && !context.is_admin) throw new ApiError('InstanceIsLocked', { id });
  return found;
}

/** Waits until no other transaction changes this server, and keeps others out to the end of this one. */
export function lockServer(tx: Tx, id: string): Promise<void> {
  return tx.lock(`servers:${id}`);
}

export function updateServer(tx: Tx, current: Server, changes: Partial<Server>): Promise<Server> {
  return servers.update(tx, current, { ...changes, updated_at: tx.now });
}

/** The ports of servers, in each server's NIC order; a port that Networking bound by itself comes last. */
export async function portsOf(reader: Reader, of: readonly Server[]): Promise<Map<string, Port[]>> {
  const found = new Map(of.map(({ id }): [string, Port[]] => [id, []]));
  const ids = [...found.keys()];
  for (let i = 0; i < ids.length; i += 500) {
    for (const port of await ports.list(reader, { filters: { device_id: ids.slice(i, i + 500) } })) found.get(port.device_id)?.push(port);
  }
  for (const server of of) {
    const rank = new Map(server.ports.map(({ port_id }, index) => [port_id, index]));
    found.get(server.id)!.sort((a, b) => (rank.get(a.id) ?? Infinity) - (rank.get(b.id) ?? Infinity) || (a.id < b.id ? -1 : 1));
  }
  return found;
}

/** Nova's words for a status. */
export const VM_STATES = { BUILD: 'building', ACTIVE: 'active', SHUTOFF: 'stopped', ERROR: 'error' } as const;

/** Throws 409 unless the server is in one of `statuses`. */
export function mustBeIn(server: Server, action: string, ...statuses: Server['status'][]): void {
  if (!statuses.includes(server.status)) throw new ApiError('InstanceInvalidState', { action, id: server.id, attribute: 'vm_state', state: VM_STATES[server.status] });
}
