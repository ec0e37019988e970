/**
 * What controller and agent say to each other: JSON messages, one a WebSocket frame. Hello, then a snapshot or the
 * deltas since the agent's watermark, then live deltas; each is acknowledged once it is applied.
 */
import type { Item } from '#hoststate/host-state.ts';

/** Raised when either side would misunderstand the other; a controller refuses agents of another version. */
export const PROTOCOL_VERSION = 2;

/** Where the agent's state stands: in which controller's life (`epoch`) of which store, after which change. */
export interface Watermark {
  readonly store_id: string;
  readonly epoch: string;
  readonly seq: number;
}

/** What a host is for: `compute` carries instances, `network` DHCP servers and routers (N-NN-1). */
export const HOST_ROLES = ['compute', 'network'] as const;
export type HostRole = (typeof HOST_ROLES)[number];

export interface AgentConfigurations {
  /** Where peers tunnel to; null for a host without tunnels. */
  readonly tunneling_ip: string | null;
  /** physical network → bridge. */
  readonly bridge_mappings: Readonly<Record<string, string>>;
  readonly tunnel_types: readonly string[];
  readonly datapath_type: string;
  readonly integration_bridge: string;
  readonly l2_population: boolean;
  readonly roles: readonly HostRole[];
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

/** Which instance asks for its metadata, by the address it asks from and the router or network that it asks through. */
export interface MetadataQuestion {
  readonly router_id?: string;
  readonly network_id?: string;
  readonly address: string;
}

/** Null when no port answers to the question. */
export type MetadataAnswer = { readonly instance_id: string; readonly project_id: string; /** Hex HMAC-SHA256 of the instance id (N-MD-8). */ readonly signature: string } | null;

export type AgentMessage =
  | Hello
  /** Everything up to `seq` is applied, or has failed as reported. */
  | { readonly type: 'ack'; readonly seq: number }
  | { readonly type: 'report'; readonly items: readonly ItemReport[]; readonly instances: readonly InstanceReport[] }
  | { readonly type: 'heartbeat'; readonly idle_ports: number; readonly errors: readonly { readonly object: string; readonly reason: string }[] }
  | { readonly type: 'answer'; readonly id: number; readonly result?: unknown; readonly error?: string }
  /** A question of this host's metadata proxy; the controller tells. */
  | { readonly type: 'ask'; readonly id: number; readonly method: 'metadata_instance'; readonly params: MetadataQuestion };

export type ControllerMessage =
  /** Replaces the agent's whole state. */
  | { readonly type: 'snapshot'; readonly watermark: Watermark; readonly items: readonly Item[] }
  | { readonly type: 'delta'; readonly seq: number; readonly upserts: readonly Item[]; readonly removals: readonly string[]; readonly request_ids: readonly string[] }
  | { readonly type: 'refused'; readonly reason: string }
  | { readonly type: 'told'; readonly id: number; readonly result?: MetadataAnswer; readonly error?: string }
  /** A question about this host: `console_output {server_id, lines}`. */
  | { readonly type: 'call'; readonly id: number; readonly method: 'console_output'; readonly params: { readonly server_id: string; readonly lines?: number } };

/** Bytes; a frame above this is refused. A snapshot of 20,000 items is about 10 MB. */
export const MAX_FRAME = 256 * 1024 * 1024;
