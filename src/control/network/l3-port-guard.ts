/** Ports that belong to a router or a floating IP go with it, and not by the port API. */
import { ApiError } from '#model/errors.ts';
import type { Port } from '#model/networks.ts';
import type { Tx } from '#store/store.ts';
import { ROUTER_INTERFACE_OWNERS } from './network-hooks.ts';

/** Throws ApiError ServicePortInUse while the owner of such a port exists. */
export async function requireNoL3Owner(tx: Tx, { id, device_id, device_owner }: Pick<Port, 'id' | 'device_id' | 'device_owner'>): Promise<void> {
  const table = device_owner === 'network:floatingip' ? 'floatingips' : device_owner === 'network:router_gateway' || ROUTER_INTERFACE_OWNERS.includes(device_owner) ? 'routers' : undefined;
  if (table === undefined) return;
  const owner = await tx.db.selectFrom(table).select('id').where('id', '=', device_id).executeTakeFirst();
  if (owner) throw new ApiError('ServicePortInUse', { id, reason: `it has device owner ${device_owner}` });
}
