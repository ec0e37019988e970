/** Which networks a project sees. */
import { ApiError } from '#model/errors.ts';
import { type Network, network } from '#model/networks.ts';
import type { Reader } from '#store/store.ts';
import { Table } from '#store/table.ts';
import type { Context } from '../http/context.ts';
import { ownRows } from './policy.ts';

const networks = new Table(network);

/** The network if `context` may see it. Throws ApiError NetworkNotFound. */
export async function requireNetwork(reader: Reader, context: Context, id: string): Promise<Network> {
  const [found] = await networks.list(reader, { filters: { id: [id] }, where: (query) => (context.is_admin ? query : visibleNetworks(query, context)) });
  if (!found) throw new ApiError('NetworkNotFound', { id });
  return found;
}

/** One's own, shared ones (N-ML2-15), and external ones. */
export function visibleNetworks(query: any, context: Context): any {
  if (!context.project_id) return ownRows(network, query, context);
  return query.where((e: any) => e.or([e('networks.project_id', '=', context.project_id), e('networks.shared', '=', 1), e('networks.router_external', '=', 1)]));
}
