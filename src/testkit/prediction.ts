/** What the tracer says of a probe, in the words of an `Outcome`: what each station, the outside and each wire will see. */
import { wireNames } from '#cli/datacentre/fabric.ts';
import type { DataCentrePlan } from '#cli/datacentre/plan.ts';
import { type HostState, type Item, keyOf } from '#hoststate/host-state.ts';
import type { Path } from '#trace/step.ts';
import type { Topology } from '#trace/topology.ts';
import { trace } from '#trace/trace.ts';
import { protocolNumber } from './probe-frame.ts';
import { type Outcome, sightLine } from './probe-lab.ts';
import type { MatrixProbe } from './probe-matrix.ts';
import { type BuiltTopology, OUTSIDE } from './topology-build.ts';

/** A probe of which the tracer and the packets tell different stories. */
export interface Difference {
  readonly probe: string;
  readonly predicted: readonly string[];
  readonly seen: readonly string[];
}

export class Prediction {
  readonly #plan: DataCentrePlan;
  readonly #built: BuiltTopology;
  readonly #traced: Topology;

  constructor(plan: DataCentrePlan, built: BuiltTopology, states: ReadonlyMap<string, readonly Item[]>) {
    this.#plan = plan;
    this.#built = built;
    const names = new Map(built.endpoints.map(({ port_id, name }) => [port_id, name]));
    this.#traced = {
      states: new Map([...states].map(([host, items]): [string, HostState] => [host, new Map(items.map((item) => [keyOf(item), item]))])),
      subnetsOf: (networkId) => built.subnets.filter(({ network_id }) => network_id === networkId).map(({ cidr, gateway_ip }) => ({ cidr, gateway_ip, host_routes: [] })),
      nameOf: (_, id) => names.get(id),
    };
  }

  /** Empty when all is as predicted. A stray probe has a sender that the tracer does not know of. */
  differences(outcomes: readonly Outcome[]): Difference[] {
    return outcomes.flatMap(({ probe, seen }) => {
      if (probe.stray) return [];
      const { lines: predicted, down } = this.of(probe);
      // A port that is down may still be known by its MAC: only that it gets nothing is certain.
      const told = down ? seen.filter((line) => line.startsWith(`${down} `)) : seen;
      return JSON.stringify(down ? [] : predicted) === JSON.stringify(told) ? [] : [{ probe: probe.title, predicted, seen }];
    });
  }

  /** `down` is the endpoint that should get it and is switched off. */
  of(probe: MatrixProbe): { lines: string[]; down: string | undefined } {
    const { frame, from, spoofed } = probe;
    const told = trace(this.#traced, {
      from: from === 'outside' ? { physical_network: 'physnet', segmentation_id: null, source_ip: frame.source_ip } : { port_id: from.port_id },
      destination_ip: frame.destination_ip, protocol: protocolNumber(frame.protocol, frame.source_ip), source_port: frame.source_port, destination_port: frame.destination_port,
      ...(spoofed ? { spoofed } : {}),
    });
    const there = this.#lines(told.path, frame.protocol, false);
    const arrived = told.deliveries.find((end) => end.addressed);
    const answers = arrived && told.reply && frame.answered && (arrived.to === 'router' ? frame.protocol === 'icmp' : this.#owns(arrived.port_id, arrived.packet.destination_ip));
    return {
      lines: [...there, ...(answers ? this.#lines(told.reply!.path, frame.protocol, true) : [])].sort(),
      down: told.drops.find(({ reason }) => reason === 'down')?.object?.name,
    };
  }

  *#ends(path: Path, protocol: string, answer: boolean): Iterable<string> {
    for (const step of this.#sent(path)) {
      if (step.type === 'fork') for (const branch of step.branches) yield* this.#ends(branch, protocol, answer);
      if (step.type === 'tunnel' || step.type === 'wire') {
        const host = this.#plan.hosts.find(({ name }) => name === step.host);
        if (host) yield `${answer ? 'answer on ' : ''}wire ${wireNames(this.#plan, host)[step.type === 'tunnel' ? 'underlay' : 'segment']}`;
      }
      if (step.type !== 'deliver') continue;
      const place = step.to === 'outside' ? 'outside' : step.to === 'instance' ? this.#traced.nameOf('port', step.port_id!) : undefined;
      if (place === undefined) continue;
      const { source_ip, destination_ip, source_port, destination_port } = step.packet;
      yield sightLine(place, answer, protocol, { source_ip, destination_ip, source_port: source_port ?? 0, destination_port: destination_port ?? 0 });
    }
  }

  /** The tracer takes it that somebody on the wire answers for an address that is not ours; of our wires only the flat network has such a one. */
  #sent(path: Path): Path {
    const end = path.at(-1);
    const unanswered = end?.type === 'deliver' && end.to === 'outside' && end.packet.destination_mac === null && end.object?.id !== this.#built.external;
    return unanswered ? path.slice(0, path.findLastIndex(({ type }) => type === 'route') + 1) : path;
  }

  #lines(path: Path, protocol: string, answer: boolean): string[] {
    return [...this.#ends(path, protocol, answer)];
  }

  /** A station answers only what is sent to its own address. */
  #owns(portId: string | null, address: string): boolean {
    if (portId === null) return (OUTSIDE.addresses as readonly string[]).includes(address);
    return this.#built.endpoints.some((endpoint) => endpoint.port_id === portId && endpoint.addresses.includes(address));
  }
}
