/** Whether a network leads outside: the attribute `router:external`, and the policies that say for whom (extension external-net). */
import { ApiError } from '#model/errors.ts';
import { type Network, network } from '#model/networks.ts';
import { ACCESS_AS_EXTERNAL } from '#model/rbac-policies.ts';
import type { Tx } from '#store/store.ts';
import { Table } from '#store/table.ts';

const networks = new Table(network);

/** A network is external as long as it is so for anybody; its revision tells of its policies too, as in Neutron. */
export async function followPolicies(tx: Tx, current: Network): Promise<void> {
  const external = (await tx.db.selectFrom('rbac_policies').select('id').where('object_id', '=', current.id).where('action', '=', ACCESS_AS_EXTERNAL).limit(1).executeTakeFirst()) !== undefined;
  if (current['router:external'] && !external) await requireNoGateway(tx, current);
  await networks.update(tx, current, external === current['router:external'] ? {} : { 'router:external': external });
}

/** Throws ApiError ExternalNetworkInUse. */
export async function requireNoGateway(tx: Tx, { id }: Network): Promise<void> {
  const gateway = await tx.db.selectFrom('ports').select('id').where('network_id', '=', id).where('device_owner', 'in', ['network:router_gateway', 'network:floatingip']).limit(1).executeTakeFirst();
  if (gateway) throw new ApiError('ExternalNetworkInUse', { id });
}
