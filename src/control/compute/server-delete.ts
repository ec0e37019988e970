/** Deleting a server: its own ports go with it, given ones are free again; the host removes the instance. */
import type { Server } from '#model/compute.ts';
import type { Port } from '#model/networks.ts';
import type { Tx } from '#store/store.ts';
import type { Context } from '../http/context.ts';
import type { Deps } from './deps.ts';
import type { NetworkCommands } from './network-port.ts';
import { lockServer, portsOf, servers, serverToChange, updateServer } from './servers.ts';

export async function deleteServer({ store, network }: Deps, context: Context, id: string): Promise<void> {
  await store.write(async (tx) => {
    const server = await serverToChange(tx, context, id, 'servers:delete');
    await letGo(tx, context, network, server, (await portsOf(tx, [server])).get(id)!);
    await servers.delete(tx, id);
  }, context.request_id);
}

/** Deletes those of `ports` that were made for the server, and unbinds the others. */
export async function letGo(tx: Tx, context: Context, network: NetworkCommands, server: Server, ports: readonly Port[]): Promise<void> {
  const owned = new Set(server.ports.filter((each) => each.owned).map(({ port_id }) => port_id));
  await network.deletePorts(tx, context, ports.filter(({ id }) => owned.has(id)));
  for (const port of ports) if (!owned.has(port.id)) await network.releasePort(tx, context, port);
}

/** A port of a server was deleted in Networking: the server goes on without it. No server's port: nothing. */
export async function forgetPort(tx: Tx, port: Pick<Port, 'id' | 'device_id'>): Promise<void> {
  if (port.device_id === '') return;
  await lockServer(tx, port.device_id);
  const server = await servers.get(tx, port.device_id);
  if (!server?.ports.some(({ port_id }) => port_id === port.id)) return;
  await updateServer(tx, server, { ports: server.ports.filter(({ port_id }) => port_id !== port.id) });
}
