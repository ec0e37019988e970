/** What a simulated data centre consists of: names and addresses, computed from a host's place in the list and never from order of start. */
import { createHash } from 'node:crypto';
import { type ExternalBridge, type HostEntry, MAX_HOSTS } from '#model/data-centre.ts';
import { HOST_ROLES, type HostRole } from '#protocol/messages.ts';

/** Last numbers of the labs' addresses: compute1 has 192.168.1.21 and 192.168.2.21, a host that carries no instances 192.168.x.12. */
const FIRST_ADDRESS = { compute: 21, network: 12 };

export interface HostPlan {
  readonly name: string;
  readonly roles: readonly HostRole[];
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
  /** Null: a wire, `physnet`, joins the hosts' NICs `phys` and the outside. */
  readonly external_bridge: ExternalBridge | null;
}

export interface PlanOptions {
  readonly state: string;
  readonly hosts: number | readonly HostEntry[];
  readonly listen?: string;
  readonly physnetMtu?: number;
  readonly externalBridge?: ExternalBridge | null;
}

export const DEFAULT_LISTEN = '127.0.0.1:8770';

/** The plan of a data centre with those hosts, or with as many named compute1, compute2, …; throws one line when that is impossible. */
export function planDataCentre({ state, hosts, listen, physnetMtu, externalBridge }: PlanOptions): DataCentrePlan {
  if (typeof hosts === 'number' && (!Number.isInteger(hosts) || hosts < 1 || hosts > MAX_HOSTS)) {
    throw new Error(`--hosts takes a number from 1 to ${MAX_HOSTS}, not ${hosts}`);
  }
  const entries = typeof hosts === 'number' ? Array.from({ length: hosts }, (_, i) => ({ name: `compute${i + 1}`, roles: HOST_ROLES })) : hosts;
  return {
    id: stateId(state),
    state,
    hosts: planHosts(entries),
    listen: listen ?? DEFAULT_LISTEN,
    physnet_mtu: physnetMtu ?? 1500,
    external_bridge: externalBridge ?? null,
  };
}

function planHosts(entries: readonly HostEntry[]): HostPlan[] {
  const next = { ...FIRST_ADDRESS };
  return entries.map(({ name, roles }) => {
    const last = next[roles.includes('compute') ? 'compute' : 'network']++;
    return { name, roles, mgmt_ip: `192.168.1.${last}`, local_ip: `192.168.2.${last}` };
  });
}

/** A short id of a state folder, stable over time. */
export function stateId(state: string): string {
  return createHash('sha256').update(state).digest('hex').slice(0, 6);
}

/** The port that `listen` names. */
export function listenPort(listen: string): number {
  return Number(listen.slice(listen.lastIndexOf(':') + 1));
}
