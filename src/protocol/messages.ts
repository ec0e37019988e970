/**
 * What controller and agent say to each other: JSON messages, one a WebSocket frame. Hello, then a snapshot or the
 * deltas since the agent's watermark, then live deltas; each is acknowledged once it is applied.
 */
import type { Item } from '#hoststate/host-state.ts';

/** Raised when either side would misunderstand the other; a controller refuses agents of another version. */
export const PROTOCOL_VERSION = 1;

/** Where the agent's state stands: in which controller's life (`epoch`) of which store, after which change. */
export interface Watermark {
  readonly store_id: string;
  readonly epoch: string;
  readonly seq: number;
}

export interface AgentConfigurations {
  /** Where peers tunnel to; null for a host without tunnels. */
  readonly tunneling_ip: string | null;
  /** physical network → bridge. */
  readonly bridge_mappings: Readonly<Record<string, string>>;
  readonly tunnel_types: readonly string[];
  readonly datapath_type: string;
  readonly integration_bridge: string;
  readonly l2_population: boolean;
}

export interface HostResources {
  readonly vcpus: number;
  /** MiB. */
  readonly memory_mb: number;
  /** GiB. */
  readonly local_gb: number;
}

export interface Hello {
  readonly type: 'hello';
  readonly version: number;
  readonly host: string;
  /** What the agent is made for, as Neutron's OVS agent reports it: shown by the agents API. */
  readonly configurations: AgentConfigurations;
  readonly resources: HostResources;
  /** Null with an empty memory. */
  readonly watermark: Watermark | null;
  /** Up to which change of the watermark's life the state is applied: it may have been received and not be applied yet. */
  readonly applied?: number;
}

/** What became of one item on the host, or of an object that the agent found by itself. */
export interface ItemReport {
  readonly key: string;
  readonly ok: boolean;
  readonly reason?: string;
  /** It waits for somebody else, as a port that nobody has plugged: no fault of this host. */
  readonly waits?: boolean;
  /** It works, but for what the reason names: a lease without the one DHCP option that dnsmasq refuses. */
  readonly partly?: boolean;
}

export interface InstanceReport {
  readonly server_id: string;
  /** `ended` has stopped by itself: it is not started again unasked. */
  readonly state: 'running' | 'stopped' | 'ended' | 'error' | 'absent';
  /** Of the item that the report is about. */
  readonly generation?: number;
  readonly reason?: string;
}

export type AgentMessage =
  | Hello
  /** Everything up to `seq` is applied, or has failed as reported. */
  | { readonly type: 'ack'; readonly seq: number }
  | { readonly type: 'report'; readonly items: readonly ItemReport[]; readonly instances: readonly InstanceReport[] }
  | { readonly type: 'heartbeat'; readonly idle_ports: number; readonly errors: readonly { readonly object: string; readonly reason: string }[] }
  | { readonly type: 'answer'; readonly id: number; readonly result?: unknown; readonly error?: string };

export type ControllerMessage =
  /** Replaces the agent's whole state. */
  | { readonly type: 'snapshot'; readonly watermark: Watermark; readonly items: readonly Item[] }
  | { readonly type: 'delta'; readonly seq: number; readonly upserts: readonly Item[]; readonly removals: readonly string[]; readonly request_ids: readonly string[] }
  | { readonly type: 'refused'; readonly reason: string }
  /** A question about this host: `console_output {server_id, lines}`. */
  | { readonly type: 'call'; readonly id: number; readonly method: 'console_output'; readonly params: { readonly server_id: string; readonly lines?: number } };

/** Bytes; a frame above this is refused. A snapshot of 20,000 items is about 10 MB. */
export const MAX_FRAME = 256 * 1024 * 1024;
