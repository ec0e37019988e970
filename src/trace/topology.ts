/** What the tracer reads: the HostStates of all hosts, and of the intent only what a guest is told and what things are called. */
import type { HostState } from '#hoststate/host-state.ts';
import type { ObjectKind } from './step.ts';

export interface TracedSubnet {
  readonly cidr: string;
  readonly gateway_ip: string | null;
  readonly host_routes: readonly { readonly destination: string; readonly nexthop: string }[];
}

export interface Topology {
  readonly states: ReadonlyMap<string, HostState>;
  /** What DHCP and router advertisements tell the guests of a network, so that a guest's own routes are known. */
  readonly subnetsOf: (networkId: string) => readonly TracedSubnet[];
  /** Undefined where the object has no name, or the asker may not know it. */
  readonly nameOf: (kind: ObjectKind, id: string) => string | undefined;
}
