/** What Compute asks of Networking, inside its own transactions. */
import type { Network, Port } from '#model/networks.ts';
import type { SecurityGroup } from '#model/security-groups.ts';
import type { Reader, Tx } from '#store/store.ts';
import type { Context } from '../http/context.ts';

/** A wish for one address of a port; Networking chooses what is left out. */
export interface FixedIpRequest {
  readonly subnet_id?: string;
  readonly ip_address?: string;
}

export interface NewPort {
  readonly network_id: string;
  readonly fixed_ips?: readonly FixedIpRequest[];
  /** Ids; the project's default group when left out. */
  readonly security_groups?: readonly string[];
  readonly project_id: string;
  readonly device_id: string;
  /** `compute:` and the availability zone. */
  readonly device_owner: string;
  readonly host: string;
  /** The server's hostname. */
  readonly dns_name: string;
}

/** Which server on which host a port belongs to. */
export interface PortBinding {
  readonly device_id: string;
  readonly device_owner: string;
  readonly host: string;
  readonly dns_name: string;
}

/** Rules of Networking (quota, addresses, overlap) are its errors, thrown as they are. */
export interface NetworkCommands {
  /** Ports carry the names of their servers (extension dns-integration); otherwise a `dns_name` is not passed on. */
  readonly namesPorts: boolean;
  /** The networks that the token may see, or those of `ids` among them; `shared` as its project sees it. */
  networks(reader: Reader, context: Context, ids?: readonly string[]): Promise<Network[]>;
  /** The port, if the token may see it. */
  port(reader: Reader, context: Context, id: string): Promise<Port | undefined>;
  /** The groups with this id or name of the token's project, else such that are shared with it; makes the project's `default` group if it has none yet. */
  securityGroups(tx: Tx, context: Context, idOrName: string): Promise<SecurityGroup[]>;
  /** Creates ports, in this order, bound to their host. */
  createPorts(tx: Tx, context: Context, ports: readonly NewPort[]): Promise<Port[]>;
  /** Gives an existing port to a server on a host. */
  bindPort(tx: Tx, context: Context, port: Port, binding: PortBinding): Promise<Port>;
  /** Takes a port from its server again: no device, no host, no name. */
  releasePort(tx: Tx, context: Context, port: Port): Promise<void>;
  changePort(tx: Tx, context: Context, port: Port, changes: { fixed_ips?: readonly FixedIpRequest[]; security_groups?: readonly string[] }): Promise<Port>;
  deletePorts(tx: Tx, context: Context, ports: readonly Port[]): Promise<void>;
}
