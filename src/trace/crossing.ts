/** What each switch does on a path, as the tracer says it: what can be held against the switch itself. Pure. */
import type { Packet } from './packet.ts';
import type { Origin } from './probe.ts';
import type { Path, Step } from './step.ts';

/** Where a frame comes into the switches of a host by, or where it leaves them to. */
export type Gate =
  | { readonly port_id: string }
  /** A tunnel to, or from, another host. */
  | { readonly peer: string; readonly network_type: string; readonly segmentation_id: number | null }
  /** A physical network; a VLAN id, or null for untagged. */
  | { readonly physical_network: string; readonly segmentation_id: number | null };

/** A frame in the switches of one host. */
export interface Crossing {
  readonly host: string;
  readonly entry: Gate;
  readonly packet: Packet;
  /** Where copies of it leave; none when it is dropped there. */
  readonly ends: readonly Gate[];
}

/** The crossings of `path` in their order; `from` is who sent the packet. */
export function crossingsOf(path: Path, from: Origin): Crossing[] {
  const found: Open[] = [];
  follow(path, 'port_id' in from ? { ...NOWHERE } : { ...NOWHERE, wire: { physical_network: from.physical_network, segmentation_id: from.segmentation_id } }, found);
  return found;
}

interface Open extends Crossing {
  readonly ends: Gate[];
}

/** Where the frame is: in the switches of a host, on a wire before the next host, or in neither (with a router). */
interface Place {
  crossing: Open | undefined;
  wire: Extract<Gate, { physical_network: string }> | undefined;
  packet: Packet | undefined;
}

const NOWHERE: Place = { crossing: undefined, wire: undefined, packet: undefined };

function follow(path: Path, place: Place, found: Open[]): void {
  const enter = (host: string, entry: Gate): void => {
    place.crossing = { host, entry, packet: place.packet!, ends: [] };
    place.wire = undefined;
    found.push(place.crossing);
  };
  const leave = (end: Gate): void => {
    if (!place.crossing!.ends.some((other) => gateKey(other) === gateKey(end))) place.crossing!.ends.push(end);
  };
  for (const step of path) {
    if (step.type === 'port' || step.type === 'filter') place.packet = step.packet;
    if (step.type === 'port' && step.host !== null) enter(step.host, { port_id: step.object!.id });
    else if (step.type === 'filter' && step.direction === 'ingress') leave({ port_id: step.port_id });
    // What a router sends comes out of a port of its own.
    else if (step.type === 'filter' && !isEntry(place, step)) enter(step.host!, { port_id: step.port_id });
    else if (step.type === 'tunnel') {
      const { network_type, segmentation_id } = step;
      leave({ peer: step.to_host, network_type, segmentation_id });
      enter(step.to_host, { peer: step.host!, network_type, segmentation_id });
    } else if (step.type === 'wire') {
      place.wire = { physical_network: step.physical_network, segmentation_id: step.segmentation_id };
      leave(place.wire);
    } else if (step.type === 'switch' && place.wire) enter(step.host!, place.wire);
    else if (step.type === 'fork') for (const branch of step.branches) follow(branch, { ...place }, found);
  }
}

function isEntry({ crossing }: Place, step: Extract<Step, { type: 'filter' }>): boolean {
  return crossing !== undefined && 'port_id' in crossing.entry && crossing.entry.port_id === step.port_id;
}

/** Text that is equal for equal gates. */
export function gateKey(gate: Gate): string {
  if ('port_id' in gate) return `port ${gate.port_id}`;
  return 'peer' in gate ? `tunnel ${gate.peer} ${gate.network_type} ${gate.segmentation_id}` : `wire ${gate.physical_network} ${gate.segmentation_id ?? 'untagged'}`;
}
