/** What a project may ask of a port on a network that it does not own (OSSA-2015-018, Neutron's port policy). */
import { ApiError } from '#model/errors.ts';
import { type Network, network, type Port } from '#model/networks.ts';
import type { Reader } from '#store/store.ts';
import type { Context } from '../http/context.ts';
import { sharedWith } from './rbac-visibility.ts';

type Asked = Partial<Pick<Port, 'device_owner' | 'mac_address' | 'fixed_ips'>>;

/** Ports of the network's own services: not filtered, and not for everybody to declare. */
export function isNetworkService(deviceOwner: string): boolean {
  return deviceOwner.startsWith('network:');
}

export function ownsNetwork(context: Context, home: Pick<Network, 'project_id'> | undefined): boolean {
  return context.is_admin || (context.project_id !== null && home?.project_id === context.project_id);
}

/** Refuses addresses, MACs and service owners that only the network's owner or an admin may choose. Throws PolicyNotAuthorized. */
export async function requirePortPolicy(reader: Reader, context: Context, home: Network, action: 'create' | 'update', asked: Asked): Promise<void> {
  const deny = (attribute: string): never => {
    throw new ApiError('PolicyNotAuthorized', { rule: `${action}_port:${attribute}` });
  };
  if (context.is_admin) return;
  if (action === 'update' && asked.mac_address !== undefined) deny('mac_address');
  if (ownsNetwork(context, home)) return;
  if (asked.device_owner !== undefined && isNetworkService(asked.device_owner)) deny('device_owner');
  if (asked.mac_address !== undefined) deny('mac_address');
  if (!asked.fixed_ips?.length) return;
  if (asked.fixed_ips.some(({ ip_address }) => ip_address !== undefined)) deny('fixed_ips:ip_address');
  if ((await sharedWith(reader, network, [home.id], context.project_id)).size === 0) deny('fixed_ips:subnet_id');
}
