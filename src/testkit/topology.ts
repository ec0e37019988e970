/**
 * Random topologies of the reachability oracle as plain data: networks, routers, groups and endpoints that refer to each other by
 * place in their list. An index too large counts from the start again, so that every shrunk topology is one too.
 */
import fc from 'fast-check';

export const NETWORK_TYPES = ['vxlan', 'vlan', 'local', 'geneve'] as const;

export interface NetworkPart {
  readonly type: (typeof NETWORK_TYPES)[number];
  /** Which of three prefixes: two networks may have the same. */
  readonly prefix: number;
  readonly ipv6: boolean;
  /** Of a VLAN network; else one that no host uses as a local VLAN. */
  readonly segmentation_id?: number;
}

export interface RouterPart {
  readonly gateway: boolean;
  readonly snat: boolean;
  /** Networks without a router yet and without an overlap get a leg, which has their gateway address. */
  readonly networks: readonly number[];
}

export type RemotePart =
  | { readonly kind: 'any' }
  | { readonly kind: 'group'; readonly group: number }
  | { readonly kind: 'address group'; readonly address_group: number }
  /** A prefix around the address of an endpoint. */
  | { readonly kind: 'prefix'; readonly endpoint: number; readonly length: 'host' | 'half' | 'subnet' };

export interface RulePart {
  readonly direction: 'ingress' | 'egress';
  readonly family: 4 | 6;
  /** `icmp` is each family's own. */
  readonly protocol: null | 'tcp' | 'udp' | 'icmp' | 'sctp' | 'vrrp';
  /** Of tcp, udp and sctp. */
  readonly ports: null | readonly [number, number];
  /** Of icmp: echo request, echo reply, or destination unreachable. */
  readonly icmp_type: null | 'echo' | 'reply' | 'unreachable';
  readonly remote: RemotePart;
}

export interface GroupPart {
  /** False takes away the rules that a new group comes with. */
  readonly egress: boolean;
  /** Alone in a topology of stateful groups. */
  readonly stateless?: boolean;
  readonly rules: readonly RulePart[];
}

export interface EndpointPart {
  /** -1 is the external network, which is flat and has no VLAN. */
  readonly network: number;
  readonly host: number;
  /** Null: port security off. */
  readonly groups: readonly number[] | null;
  /** An address that it may use beside its own, with its own MAC or another. */
  readonly pair: null | 'address' | 'address and mac' | 'prefix';
  readonly floating: boolean;
  readonly up: boolean;
}

export interface TopologyPart {
  readonly networks: readonly NetworkPart[];
  readonly routers: readonly RouterPart[];
  readonly stateless: boolean;
  readonly groups: readonly GroupPart[];
  /** Each the addresses of some endpoints. */
  readonly address_groups: readonly (readonly number[])[];
  readonly endpoints: readonly EndpointPart[];
}

/** What the probes ask for; rules name ranges around them. */
export const PROBED = { tcp: [80, 443], udp: [53, 5000], sctp: [5000] } as const;
const RANGES = [[80, 80], [443, 443], [53, 53], [5000, 5000], [79, 81], [81, 442], [50, 60], [1, 65535], [4096, 8191], [54, 79]] as const;

const index = fc.nat({ max: 7 });
const rarely = fc.integer({ min: 0, max: 9 }).map((number) => number === 9);

const remote: fc.Arbitrary<RemotePart> = fc.oneof(
  { weight: 3, arbitrary: fc.constant({ kind: 'any' as const }) },
  { weight: 3, arbitrary: index.map((group) => ({ kind: 'group' as const, group })) },
  { weight: 2, arbitrary: index.map((address_group) => ({ kind: 'address group' as const, address_group })) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('prefix' as const), endpoint: index, length: fc.constantFrom('host' as const, 'half' as const, 'subnet' as const) }) },
);

const rule: fc.Arbitrary<RulePart> = fc.record({
  direction: fc.oneof({ weight: 3, arbitrary: fc.constant('ingress' as const) }, { weight: 1, arbitrary: fc.constant('egress' as const) }),
  family: fc.constantFrom(4 as const, 6 as const),
  protocol: fc.constantFrom(null, 'tcp' as const, 'tcp' as const, 'udp' as const, 'udp' as const, 'icmp' as const, 'sctp' as const, 'vrrp' as const),
  ports: fc.option(fc.constantFrom(...RANGES), { nil: null }),
  icmp_type: fc.constantFrom(null, 'echo' as const, 'reply' as const, 'unreachable' as const),
  remote,
});

const group: fc.Arbitrary<GroupPart> = fc.record({ egress: fc.integer({ min: 0, max: 3 }).map((number) => number < 3), rules: fc.array(rule, { maxLength: 6 }) });

const endpoint: fc.Arbitrary<EndpointPart> = fc.record({
  network: fc.oneof({ weight: 9, arbitrary: index }, { weight: 1, arbitrary: fc.constant(-1) }),
  host: fc.nat({ max: 2 }),
  groups: fc.oneof({ weight: 6, arbitrary: fc.uniqueArray(index, { maxLength: 2 }) }, { weight: 1, arbitrary: fc.constant(null) }),
  pair: fc.constantFrom(null, null, null, 'address' as const, 'address and mac' as const, 'prefix' as const),
  floating: fc.boolean(),
  up: rarely.map((down) => !down),
});

export const topologyArbitrary: fc.Arbitrary<TopologyPart> = fc.record({
  networks: fc.array(fc.record({ type: fc.constantFrom('vxlan' as const, 'vxlan' as const, 'vlan' as const, 'geneve' as const, 'local' as const), prefix: fc.nat({ max: 2 }), ipv6: fc.boolean() }), { minLength: 1, maxLength: 3 }),
  routers: fc.array(fc.record({ gateway: fc.integer({ min: 0, max: 3 }).map((number) => number > 0), snat: fc.integer({ min: 0, max: 3 }).map((number) => number > 0), networks: fc.uniqueArray(index, { minLength: 1, maxLength: 3 }) }), { maxLength: 2 }),
  stateless: fc.integer({ min: 0, max: 4 }).map((number) => number === 4),
  groups: fc.array(group, { minLength: 1, maxLength: 3 }),
  address_groups: fc.array(fc.uniqueArray(index, { minLength: 1, maxLength: 3 }), { minLength: 1, maxLength: 2 }),
  endpoints: fc.array(endpoint, { minLength: 2, maxLength: 8 }),
});
