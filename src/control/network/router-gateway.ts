/** A router's way to an external network: its gateway port, source NAT, the addresses outside (N-L3-3; extension ext-gw-mode). */
import type { Config } from '#model/config.ts';
import { ApiError } from '#model/errors.ts';
import { type FixedIp, type Network, type Port, port, type Subnet, subnet } from '#model/networks.ts';
import type { ExternalGatewayInfo, Router } from '#model/routers.ts';
import type { Tx } from '#store/store.ts';
import { Table } from '#store/table.ts';
import type { Context } from '../http/context.ts';
import { SERVICE_CONTEXT } from './dhcp-scheduling.ts';
import { changeAddresses, isAutoAddress } from './ipam.ts';
import { requireNetwork } from './network-visibility.ts';
import { deletePorts, updatePort } from './port-update.ts';
import { bad, GATEWAY, requireDistinct, requireNoFloatingIps, subnetsOfAddresses } from './router-legs.ts';
import { requireReachable } from './router-routes.ts';
import { createLeg, type Held, releaseIfEmpty, takeHold } from './router-scheduling.ts';

const subnets = new Table(subnet);
const ports = new Table(port);

/** What a gateway is to the row of its router. */
export type Gateway = Pick<Router, 'gw_port_id' | 'enable_snat'>;

/** Refuses what only admins say of a gateway (Neutron's router policy). Throws ApiError PolicyNotAuthorized. */
export function requireGatewayPolicy(context: Context, action: 'create' | 'update', info: ExternalGatewayInfo): void {
  if (context.is_admin) return;
  for (const name of ['enable_snat', 'external_fixed_ips'] as const) {
    if (info?.[name] !== undefined) throw new ApiError('PolicyNotAuthorized', { rule: `${action}_router:external_gateway_info:${name}` });
  }
}

/**
 * Makes the router's gateway what `info` says; null takes it away. On its present network it keeps its port, and its
 * addresses unless others are wished. The router's lock is held; the caller stores what is answered.
 */
export async function changeGateway(tx: Tx, context: Context, config: Config, current: Router, info: ExternalGatewayInfo): Promise<Gateway> {
  const enable_snat = info?.enable_snat ?? config.enable_snat_by_default;
  const home = info ? await requireExternal(tx, context, info.network_id!) : undefined;
  const held = await takeHold(tx, current.id, (legs) => [...legs.filter((leg) => leg.device_owner === GATEWAY).map((leg) => leg.network_id), ...(home ? [home.id] : [])]);
  const outside = home ? await subnets.list(tx, { filters: { network_id: [home.id] } }) : [];
  const wished = info?.external_fixed_ips ?? [];
  const theirs = wished.find(({ ip_address }) => ip_address !== undefined && outside.some((one) => one.gateway_ip === ip_address));
  if (theirs) throw bad(`External IP ${theirs.ip_address} is the same as the gateway IP`);
  const present = held.legs.find((leg) => leg.device_owner === GATEWAY);
  const others = held.legs.filter((leg) => leg !== present);
  await requireRoutesReachable(tx, current, others, outside);
  if (present && present.network_id === home?.id) {
    if (wished.length > 0) await updatePort(tx, config, SERVICE_CONTEXT, present, { fixed_ips: wished });
    return { gw_port_id: present.id, enable_snat };
  }
  if (present) await removeGateway(tx, current.id, present);
  if (home) return { gw_port_id: (await addGateway(tx, config, current, { ...held, legs: others }, home, outside, wished)).id, enable_snat };
  await releaseIfEmpty(tx, current.id, held, others);
  return { gw_port_id: null, enable_snat };
}

/** Takes the gateway port away. Throws ApiError RouterExternalGatewayInUseByFloatingIp. */
export async function removeGateway(tx: Tx, routerId: string, gateway: Port): Promise<void> {
  await requireNoFloatingIps(tx, routerId, gateway.network_id);
  await deletePorts(tx, [gateway]);
}

/**
 * A new subnet of an external network gives gateways that have no address of its kind one, as Neutron does for IPv6 and
 * for subnets that are made for gateways. The network is locked.
 */
export async function addGatewayAddresses(tx: Tx, home: Network, added: Subnet): Promise<void> {
  const forGateways = added.service_types.includes(GATEWAY);
  if (!home['router:external'] || isAutoAddress(added) || !(forGateways || (added.ip_version === 6 && added.service_types.length === 0))) return;
  const all = await subnets.list(tx, { filters: { network_id: [home.id] } });
  const version = new Map(all.filter((one) => !isAutoAddress(one)).map((one) => [one.id, one.ip_version]));
  for (const one of await ports.list(tx, { filters: { network_id: [home.id], device_owner: [GATEWAY] } })) {
    const fixed_ips = one.fixed_ips as FixedIp[];
    const held = fixed_ips.flatMap((ip) => version.get(ip.subnet_id) ?? []);
    if (held.length > 1 || held[0] === added.ip_version) continue;
    const wish = { port_id: one.id, mac_address: one.mac_address, device_owner: one.device_owner, fixed_ips: [...fixed_ips, { subnet_id: added.id }] };
    await ports.update(tx, one, { fixed_ips: await changeAddresses(tx, home.id, all, fixed_ips, wish) });
  }
}

async function addGateway(tx: Tx, config: Config, current: Router, held: Held, home: Network, outside: readonly Subnet[], wished: readonly Partial<FixedIp>[]): Promise<Port> {
  await requireDistinct(tx, held.legs, outside);
  // Without a project its tenants do not see it (N-ML2-25).
  return createLeg(tx, config, current, held, home, { project_id: '', device_owner: GATEWAY, ...(wished.length > 0 ? { fixed_ips: [...wished] } : {}) });
}

async function requireExternal(tx: Tx, context: Context, id: string): Promise<Network> {
  const home = await requireNetwork(tx, context, id);
  if (!home['router:external']) throw bad(`Network ${id} is not an external network`);
  return home;
}

/** The routes stay reachable by what the router will have; like Neutron, nothing is asked of a router that will have nothing. */
async function requireRoutesReachable(tx: Tx, { routes }: Router, others: readonly Port[], outside: readonly Subnet[]): Promise<void> {
  if (routes.length === 0) return;
  const reached = [...await subnetsOfAddresses(tx, others), ...outside];
  if (reached.length > 0) requireReachable(routes, reached, others);
}
