/** Which networks a project sees. */
import { ApiError } from '#model/errors.ts';
import { type Network, network } from '#model/networks.ts';
import type { Reader } from '#store/store.ts';
import { Table } from '#store/table.ts';
import type { Context } from '../http/context.ts';
import { ownOrReachedRows } from './rbac-visibility.ts';

const networks = new Table(network);

/** The network if `context` may see it. Throws ApiError NetworkNotFound. */
export async function requireNetwork(reader: Reader, context: Context, id: string): Promise<Network> {
  const [found] = await networks.list(reader, { filters: { id: [id] }, where: (query) => (context.is_admin ? query : visibleNetworks(query, context)) });
  if (!found) throw new ApiError('NetworkNotFound', { id });
  return found;
}

/** One's own, and those that are shared with the project (N-ML2-15) or external for it. */
export function visibleNetworks(query: any, context: Context): any {
  return ownOrReachedRows(network, query, context);
}
