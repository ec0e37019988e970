/** What happens to other resources when networks and subnets change; the composition wires it to ports and DHCP scheduling. */
import type { Network, Port, Subnet } from '#model/networks.ts';
import type { Tx } from '#store/store.ts';
import type { Context } from '../http/context.ts';
import type { NetworkDeps } from './rule.ts';

export interface NetworkHooks {
  /** Removes a port that the system made (`network:dhcp`), with its addresses and bindings. */
  removePort(tx: Tx, context: Context, port: Port): Promise<void>;
  /**
   * After a subnet was made, changed or removed, in the same transaction and with the network locked: DHCP is
   * scheduled, ports get the addresses that an autoconfigured subnet gives. `subnet` is as it is now, or was.
   */
  onSubnetChanged(tx: Tx, context: Context, network: Network, subnet: Subnet, op: 'create' | 'update' | 'delete'): Promise<void>;
}

export interface NetworkRuleDeps extends NetworkDeps {
  readonly hooks: NetworkHooks;
}

/** Ports of these owners go with their network or subnet and never hold it back. */
export const AUTO_DELETE_PORT_OWNERS: readonly string[] = ['network:dhcp'];

export const ROUTER_INTERFACE_OWNERS: readonly string[] = ['network:router_interface', 'network:router_interface_distributed', 'network:ha_router_replicated_interface'];
