/** What a simulated data centre consists of: names and addresses, computed from a host's number and never from order of start. */
import { createHash } from 'node:crypto';

/** Management legs 192.168.1.0/24, tunnel endpoints 192.168.2.0/24 (the labs' addresses), the outside 172.16.0.1/24. */
const FIRST_HOST_ADDRESS = 21;
export const MAX_HOSTS = 200;

export interface HostPlan {
  readonly name: string;
  /** 1, 2, …: all addresses follow from it. */
  readonly number: number;
  /** Address of the kernel NIC `mgmt`, in 192.168.1.0/24. */
  readonly mgmt_ip: string;
  /** Address of `br-underlay`, to which peers tunnel (Neutron's `local_ip`), in 192.168.2.0/24; routed, never on one segment. */
  readonly local_ip: string;
}

export interface DataCentrePlan {
  /** Six characters that name this state wherever the machine itself shows a name (cgroups). */
  readonly id: string;
  readonly state: string;
  readonly hosts: readonly HostPlan[];
  /** `ADDR:PORT` of the public API in the machine's own namespace; each host forwards 127.0.0.1:PORT to it. */
  readonly listen: string;
  /** MTU of the physical segment `physnet`; the underlay takes 100 bytes more, so that a tenant's 1500 fits through a tunnel. */
  readonly physnet_mtu: number;
}

export interface PlanOptions {
  readonly state: string;
  readonly hosts: number;
  readonly listen?: string;
  readonly physnetMtu?: number;
}

export const DEFAULT_LISTEN = '127.0.0.1:8770';

/** The plan of a data centre with `hosts` hosts named compute1, compute2, …; throws one line when that is impossible. */
export function planDataCentre(options: PlanOptions): DataCentrePlan {
  if (!Number.isInteger(options.hosts) || options.hosts < 1 || options.hosts > MAX_HOSTS) {
    throw new Error(`--hosts takes a number from 1 to ${MAX_HOSTS}, not ${options.hosts}`);
  }
  return {
    id: stateId(options.state),
    state: options.state,
    hosts: Array.from({ length: options.hosts }, (_, index) => planHost(index + 1)),
    listen: options.listen ?? DEFAULT_LISTEN,
    physnet_mtu: options.physnetMtu ?? 1500,
  };
}

function planHost(number: number): HostPlan {
  const octet = FIRST_HOST_ADDRESS + number - 1;
  return { name: `compute${number}`, number, mgmt_ip: `192.168.1.${octet}`, local_ip: `192.168.2.${octet}` };
}

/** A short id of a state folder, stable over time. */
export function stateId(state: string): string {
  return createHash('sha256').update(state).digest('hex').slice(0, 6);
}

/** The port that `listen` names. */
export function listenPort(listen: string): number {
  return Number(listen.slice(listen.lastIndexOf(':') + 1));
}
