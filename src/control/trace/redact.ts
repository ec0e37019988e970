/** A trace as a project may see it: its own objects, and of everything else only that it lies outside the project. */
import type { Named, Path, Step } from '#trace/step.ts';
import { endsOf } from '#trace/step.ts';
import type { Trace } from '#trace/trace.ts';

/** Where the packet leaves what the asker owns. What becomes of it there is not said, nor whether anybody is there. */
export interface OutsideStep {
  readonly type: 'outside';
  readonly host: null;
  readonly object: null;
  readonly text: 'outside your project';
}
export type ShownStep = Step | OutsideStep;

export interface ShownTrace {
  readonly verdict: 'deliver' | 'drop' | 'outside';
  readonly path: readonly ShownStep[];
  readonly reply: ShownTrace | null;
}

const OUTSIDE: OutsideStep = { type: 'outside', host: null, object: null, text: 'outside your project' };
/** How the cloud is built is the operator's: hosts, tunnels, physical networks. */
const OPERATORS: ReadonlySet<string> = new Set(['switch', 'tunnel', 'wire']);
const OPERATORS_DROPS: ReadonlySet<string> = new Set(['no-segment', 'no-tunnel', 'no-physical-network', 'unknown-mac']);

export function redact(trace: Trace, owns: (object: Named) => boolean): ShownTrace {
  const path = shown(trace.path, owns);
  const ends = [...shownEnds(path)];
  const verdict = ends.some((end) => end.type === 'deliver' && end.addressed) ? 'deliver' : ends.some((end) => end.type === 'outside') ? 'outside' : 'drop';
  return { verdict, path, reply: trace.reply && verdict === 'deliver' ? redact(trace.reply, owns) : null };
}

function shown(path: Path, owns: (object: Named) => boolean): ShownStep[] {
  const kept: ShownStep[] = [];
  for (const step of path) {
    if (step.type === 'fork') {
      const branches = step.branches.map((branch) => shown(branch, owns));
      const own = branches.filter((branch) => branch.at(-1)!.type !== 'outside');
      // Copies for others are nobody's business; where all go to others, so does the packet.
      if (own.length === 0) return cut(kept);
      if (own.length === 1) return [...kept, ...own[0]!];
      return [...kept, { ...step, host: null, text: 'several ports get a copy', branches: own as Path[] }];
    }
    if (!isOwn(step, owns)) return cut(kept);
    if (OPERATORS.has(step.type)) continue;
    kept.push(withoutHosts(step));
  }
  return kept;
}

/** Back to the last router of one's own: what was seen after it would tell whether somebody is there. */
function cut(kept: readonly ShownStep[]): ShownStep[] {
  const last = kept.findLastIndex((step) => step.type === 'route' || step.type === 'nat');
  return [...kept.slice(0, last + 1), OUTSIDE];
}

/** A filter is its port's, whoever the group belongs to. */
function isOwn(step: Step, owns: (object: Named) => boolean): boolean {
  if (OPERATORS.has(step.type)) return true;
  if (step.type === 'filter') return owns({ kind: 'port', id: step.port_id, name: step.port_id });
  return step.object !== null && owns(step.object);
}

function withoutHosts<S extends Step>(step: S): S {
  const told = step.type === 'drop' && OPERATORS_DROPS.has(step.reason) ? { text: 'the cloud does not carry it there: ask its operator', repair: [] } : {};
  const shownPacket = 'packet' in step ? { packet: { ...step.packet, destination_mac: null } } : {};
  return { ...step, host: null, ...told, ...shownPacket };
}

function* shownEnds(path: readonly ShownStep[]): Iterable<ReturnType<typeof endsOf> extends Iterable<infer E> ? E | OutsideStep : never> {
  for (const step of path) {
    if (step.type === 'outside') yield step;
    else yield* endsOf([step]);
  }
}
