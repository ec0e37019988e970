/** What a project may ask of a port on a network that it does not own (OSSA-2015-018, Neutron's port policy). */
import { ApiError } from '#model/errors.ts';
import type { Network, Port } from '#model/networks.ts';
import type { Context } from '../http/context.ts';

type Asked = Partial<Pick<Port, 'device_owner' | 'mac_address' | 'fixed_ips'>>;

/** Ports of the network's own services: not filtered, and not for everybody to declare. */
export function isNetworkService(deviceOwner: string): boolean {
  return deviceOwner.startsWith('network:');
}

export function ownsNetwork(context: Context, network: Pick<Network, 'project_id'> | undefined): boolean {
  return context.is_admin || (context.project_id !== null && network?.project_id === context.project_id);
}

/** Refuses addresses, MACs and service owners that only the network's owner or an admin may choose. Throws PolicyNotAuthorized. */
export function requirePortPolicy(context: Context, network: Network, action: 'create' | 'update', asked: Asked): void {
  const deny = (attribute: string): never => {
    throw new ApiError('PolicyNotAuthorized', { rule: `${action}_port:${attribute}` });
  };
  if (context.is_admin) return;
  if (action === 'update' && asked.mac_address !== undefined) deny('mac_address');
  if (ownsNetwork(context, network)) return;
  if (asked.device_owner !== undefined && isNetworkService(asked.device_owner)) deny('device_owner');
  if (asked.mac_address !== undefined) deny('mac_address');
  for (const fixed of asked.fixed_ips ?? []) {
    if (fixed.ip_address !== undefined) deny('fixed_ips:ip_address');
    if (!network.shared) deny('fixed_ips:subnet_id');
  }
}
