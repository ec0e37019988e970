/** One trace under way: the hosts it has come to, and what is remembered of the connection when the packet is an answer. */
import { HostIndex } from './host-index.ts';
import type { Packet } from './packet.ts';
import type { DropReason, DropStep, Named, ObjectKind, RouteStep } from './step.ts';
import { usualRepair } from './usual-repair.ts';
import type { Topology } from './topology.ts';

/** What the way there has left behind on the hosts. */
export interface Connection {
  /** How it looked where a rule of a stateful port let it pass: all ports of a network on a host share what they remember (`zoneOf`). */
  readonly zones: ReadonlyMap<string, readonly Packet[]>;
  /** By router: how it went in and came out. */
  readonly routers: ReadonlyMap<string, RouteStep>;
}

export class Walk {
  readonly topology: Topology;
  /** Undefined for the first packet of a connection. */
  readonly connection: Connection | undefined;
  readonly #hosts: Map<string, HostIndex>;
  /** Routers that are left before the packet's TTL is used up. */
  hops = 64;

  constructor(topology: Topology, connection?: Connection, before?: Walk) {
    this.topology = topology;
    this.connection = connection;
    this.#hosts = before ? before.#hosts : new Map();
  }

  host(name: string): HostIndex | undefined {
    let index = this.#hosts.get(name);
    const state = index ? undefined : this.topology.states.get(name);
    if (state) this.#hosts.set(name, (index = new HostIndex(name, state)));
    return index;
  }

  /** The host that a port is bound to. */
  hostOfPort(portId: string): HostIndex | undefined {
    for (const [name, state] of this.topology.states) if (state.has(`port/${portId}`)) return this.host(name);
    return undefined;
  }

  /** The hosts that have ports of a network. */
  *hostsOfNetwork(networkId: string): Iterable<HostIndex> {
    for (const [name, state] of this.topology.states) if (state.has(`segment/${networkId}`)) yield this.host(name)!;
  }

  named(kind: ObjectKind, id: string): Named {
    return { kind, id, name: this.topology.nameOf(kind, id) || id };
  }
}

/** `port web (3f1c9a2b)`, `port 3f1c9a2b-…` without a name. */
export function nameText({ kind, id, name }: Named): string {
  const noun = kind.replaceAll('_', ' ').replace('floatingip', 'floating IP');
  return name === id ? `${noun} ${id}` : `${noun} ${name} (${id.slice(0, 8)})`;
}

/** Where `repair` says nothing of this packet, what usually has to change is said. */
export function drop(host: string | null, object: Named | null, reason: DropReason, text: string, repair: readonly string[] = []): readonly [DropStep] {
  return [{ type: 'drop', host, object, reason, text, repair: repair.length > 0 ? repair : [usualRepair(reason, object)] }];
}

/** True when `packet` is the answer to what `after` sent on. */
export function answers(packet: Packet, after: Packet): boolean {
  return packet.source_ip === after.destination_ip && packet.destination_ip === after.source_ip && packet.protocol === after.protocol
    && packet.source_port === after.destination_port && packet.destination_port === after.source_port;
}

/** The connections that a host keeps for one network. */
export function zoneOf(host: string, networkId: string): string {
  return `${host} ${networkId}`;
}
