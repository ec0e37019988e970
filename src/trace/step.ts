/** What the tracer says: steps in the order of the packet's way, each with the object and the rule that decided. */
import type { Packet } from './packet.ts';

export const OBJECT_KINDS = ['port', 'network', 'router', 'security_group', 'address_group', 'floatingip', 'port_forwarding'] as const;
export type ObjectKind = (typeof OBJECT_KINDS)[number];

/** An object of the API. */
export interface Named {
  readonly kind: ObjectKind;
  readonly id: string;
  /** Its name, or the id where it has none or is not known. */
  readonly name: string;
}

interface Common {
  /** Null outside. */
  readonly host: string | null;
  /** What decided. */
  readonly object: Named | null;
  /** One line for an operator. */
  readonly text: string;
}

/** The packet leaves the guest, or comes in from outside. */
export interface PortStep extends Common { readonly type: 'port'; readonly packet: Packet }
/** A security group or port security let the packet pass. */
export interface FilterStep extends Common {
  readonly type: 'filter';
  readonly direction: 'ingress' | 'egress';
  readonly port_id: string;
  /** `rule` of a group; `base`: what every port may; `open`: no port security. */
  readonly by: 'rule' | 'base' | 'open';
  readonly rule_id: string | null;
  /** The port keeps the connection: its replies pass without a rule. */
  readonly remembered: boolean;
  /** As the filter sees it. */
  readonly packet: Packet;
}
/** A known connection let the packet pass: in a port by the rule that admits its question, null in a router. */
export interface ConntrackStep extends Common { readonly type: 'conntrack'; readonly direction: 'ingress' | 'egress' | 'forward'; readonly rule_id: string | null }
/** br-int sends the frame on. */
export interface SwitchStep extends Common { readonly type: 'switch' }
/** Through a tunnel to `to_host`. */
export interface TunnelStep extends Common { readonly type: 'tunnel'; readonly to_host: string; readonly network_type: string; readonly segmentation_id: number | null }
/** Onto a physical network. */
export interface WireStep extends Common { readonly type: 'wire'; readonly physical_network: string; readonly segmentation_id: number | null }
/** A router sends the packet on. `before` is how it came in, `after` how it leaves: what its conntrack knows of the connection. */
export interface RouteStep extends Common { readonly type: 'route'; readonly router_id: string; readonly destination: string; readonly nexthop: string | null; readonly before: Packet; readonly after: Packet }
/** An address or port is translated. */
export interface NatStep extends Common { readonly type: 'nat'; readonly kind: 'destination' | 'source'; readonly before: string; readonly after: string }
export interface ForkStep extends Common { readonly type: 'fork'; readonly branches: readonly Path[] }

export interface DeliverStep extends Common {
  readonly type: 'deliver';
  /** Who has it now; null for the world outside. */
  readonly port_id: string | null;
  /** `instance`, or a service of ours. */
  readonly to: 'instance' | 'router' | 'dhcp' | 'metadata' | 'outside';
  /** It was meant for this receiver; a copy that a flood brought along was not. */
  readonly addressed: boolean;
  /** As the receiver sees it. */
  readonly packet: Packet;
}

export const DROP_REASONS = [
  'unbound', 'down', 'port-security', 'security-group', 'no-connection', 'no-route', 'no-neighbour', 'unknown-mac', 'no-segment', 'no-tunnel', 'no-physical-network', 'forward', 'mtu', 'loop',
] as const;
export type DropReason = (typeof DROP_REASONS)[number];

export interface DropStep extends Common {
  readonly type: 'drop';
  readonly reason: DropReason;
  /** What would have to change, one line each; a command where there is one. */
  readonly repair: readonly string[];
}

export type Step = PortStep | FilterStep | ConntrackStep | SwitchStep | TunnelStep | WireStep | RouteStep | NatStep | ForkStep | DeliverStep | DropStep;
/** The last step is a delivery, a drop or a fork. */
export type Path = readonly Step[];

/** Where a packet ended up. */
export type Delivery = DeliverStep;

/** All ends of a path: its own and those of its forks. */
export function* endsOf(path: Path): Iterable<DeliverStep | DropStep> {
  for (const step of path) {
    if (step.type === 'fork') for (const branch of step.branches) yield* endsOf(branch);
    else if (step.type === 'deliver' || step.type === 'drop') yield step;
  }
}

/** The steps that lead to `end`, forks left out; empty when it is not there. */
export function wayTo(path: Path, end: Step): Step[] {
  const way: Step[] = [];
  for (const step of path) {
    if (step.type !== 'fork') {
      way.push(step);
      if (step === end) return way;
      continue;
    }
    for (const branch of step.branches) {
      const rest = wayTo(branch, end);
      if (rest.length > 0) return [...way, ...rest];
    }
  }
  return [];
}
