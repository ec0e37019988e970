/** The `networks` of a new server: what the body asks for, and what that means for this project. */
import { ApiError } from '#model/errors.ts';
import { enumeration, ipAddress, type Kind, list, nullable, object, text, uuid } from '#model/kind.ts';
import { type Network, network as networkResource, type Port, subnet as subnetResource } from '#model/networks.ts';
import type { Tx } from '#store/store.ts';
import { Table } from '#store/table.ts';
import type { Context } from '../http/context.ts';
import { checked } from './body.ts';
import type { NetworkCommands } from './network-port.ts';

const subnets = new Table(subnetResource);
export const networks = new Table(networkResource);

export interface NicRequest {
  readonly uuid?: string | null;
  readonly port?: string | null;
  readonly fixed_ip?: string;
  readonly tag?: string;
}

/** `auto` takes the only usable network or fails without one; `unset` does the same and boots without a NIC. */
export type RequestedNetworks = readonly NicRequest[] | 'auto' | 'none' | 'unset';

/** A NIC to be: an existing port, or a new one on a network. */
export type Nic = { readonly port: Port; readonly tag?: string } | { readonly network: Network; readonly fixed_ip?: string; readonly tag?: string };

const nicRequest = { uuid: nullable(uuid), port: nullable(uuid), fixed_ip: ipAddress };
const nic = list(object(nicRequest) as Kind<NicRequest>, { max: 64 });
const taggedNic = list(object({ ...nicRequest, tag: text(60) }) as Kind<NicRequest>, { max: 64 });
const choice = enumeration('auto', 'none');

/** Reads `networks` as the microversion has it: a list, and since 2.37 `auto` or `none` and never absent. */
export function readNetworks(given: unknown, microversion: number): RequestedNetworks {
  if (given === undefined || given === null) {
    if (microversion >= 37) throw new ApiError('badRequest', { reason: "Invalid input for field/attribute server. 'networks' is a required property." });
    return 'unset';
  }
  if (microversion >= 37 && typeof given === 'string') return checked(choice, given, 'networks');
  // 2.37 lost the tag by accident; 2.42 brought it back.
  const requests = checked(microversion >= 32 && microversion < 37 ? taggedNic : nic, given, 'networks');
  for (const { uuid: network, port } of requests) {
    if ((network ?? null) === null && (port ?? null) === null) throw new ApiError('badRequest', { reason: 'Bad network format: missing \'uuid\'' });
  }
  return requests.length === 0 ? 'unset' : requests;
}

/** Finds out which ports and networks are meant, for `count` servers alike. Throws what Nova answers for each that cannot be used. */
export async function resolveNetworks(tx: Tx, context: Context, network: NetworkCommands, requested: RequestedNetworks, count: number): Promise<Nic[]> {
  if (requested === 'none') return [];
  if (requested === 'auto' || requested === 'unset') {
    const only = await onlyUsableNetwork(tx, context, network);
    if (!only && requested === 'auto') throw new ApiError('UnableToAutoAllocateNetwork', { project_id: context.project_id });
    return only ? [{ network: only }] : [];
  }
  const wanted = [...new Set(requested.flatMap(({ uuid: id, port }) => (id && !port ? [id] : [])))];
  const visible = new Map((await network.networks(tx, context, wanted)).map((each) => [each.id, each]));
  const nics: Nic[] = [];
  const seen = new Set<string>();
  for (const { uuid: networkId, port: portId, fixed_ip, tag } of requested) {
    if (portId) {
      if (count > 1) throw new ApiError('badRequest', { reason: 'Failed to launch multiple instances with one requested port.' });
      nics.push({ port: await usablePort(tx, context, network, portId, seen), tag });
    } else {
      if (count > 1 && fixed_ip !== undefined) throw new ApiError('badRequest', { reason: 'Failed to launch instances: max_count cannot be greater than 1 if an fixed_ip is specified.' });
      const found = visible.get(networkId!);
      if (!found) throw new ApiError('ComputeNetworkNotFound', { id: networkId });
      await checkNetwork(tx, context, found);
      nics.push({ network: found, ...(fixed_ip === undefined ? {} : { fixed_ip }), tag });
    }
  }
  return nics;
}

/** The one network that the project owns or that is shared with it; none is `undefined`, several are 409. */
async function onlyUsableNetwork(tx: Tx, context: Context, network: NetworkCommands): Promise<Network | undefined> {
  const usable = (await network.networks(tx, context)).filter((each) =>
    each.shared || (each.project_id === context.project_id && (!each['router:external'] || context.is_admin)));
  if (usable.length > 1) throw new ApiError('NetworkAmbiguous');
  const [only] = usable;
  if (only) await checkNetwork(tx, context, only);
  return only;
}

async function checkNetwork(tx: Tx, context: Context, found: Network): Promise<void> {
  if (found['router:external'] && !found.shared && !context.is_admin) throw new ApiError('ExternalNetworkAttachForbidden', { id: found.id });
  if ((await subnets.list(tx, { filters: { network_id: [found.id] }, limit: 1 })).length === 0) throw new ApiError('NetworkRequiresSubnet', { id: found.id });
}

/** A visible port that no device holds and that this request does not name twice. */
export async function usablePort(tx: Tx, context: Context, network: NetworkCommands, id: string, seen: Set<string> = new Set()): Promise<Port> {
  const found = await network.port(tx, context, id);
  if (!found) throw new ApiError('ComputePortNotFound', { id });
  if (found.device_id !== '' || seen.has(id)) throw new ApiError('ComputePortInUse', { id });
  seen.add(id);
  return found;
}
