/** Finds the flow of a packet as Open vSwitch's classifier does (lib/classifier.c), conjunctions included. */
import { fullMask } from '#openflow/field.ts';
import type { Flow } from '#openflow/flow.ts';
import { fieldOf, MATCH_FIELDS, type Match } from '#openflow/match.ts';
import type { Packet } from './fake-packet.ts';

/** All flows of one shape of match: field and mask, in a fixed order. */
interface Subtable {
  readonly shape: readonly (readonly [name: string, mask: bigint])[];
  /** Masked values → flows, the highest priority first. */
  readonly rows: Map<string, Flow[]>;
}

/** One table. */
export class FakeClassifier {
  readonly #subtables = new Map<string, Subtable>();

  /** The caller has removed a flow of the same key before. */
  insert(flow: Flow): void {
    const { shape, row } = keysOf(flow.match);
    const name = shape.map(([field, mask]) => `${field}/${mask}`).join();
    let subtable = this.#subtables.get(name);
    if (!subtable) this.#subtables.set(name, (subtable = { shape, rows: new Map() }));
    const flows = subtable.rows.get(row) ?? [];
    subtable.rows.set(row, [...flows, flow].sort((a, b) => b.priority - a.priority));
  }

  remove(flow: Flow): void {
    const { shape, row } = keysOf(flow.match);
    const name = shape.map(([field, mask]) => `${field}/${mask}`).join();
    const subtable = this.#subtables.get(name);
    const rest = subtable?.rows.get(row)?.filter((each) => each.priority !== flow.priority) ?? [];
    if (rest.length > 0) subtable!.rows.set(row, rest);
    else subtable?.rows.delete(row);
    if (subtable?.rows.size === 0) this.#subtables.delete(name);
  }

  lookup(packet: Packet): Flow | undefined {
    return this.#lookup(packet, true);
  }

  #lookup(packet: Packet, conjunctive: boolean): Flow | undefined {
    let hard: Flow | undefined;
    /** Parts of conjunctions: each with the flows of lower priority and the same match behind it. */
    let soft: (readonly Flow[])[] = [];
    for (const { shape, rows } of this.#subtables.values()) {
      const flows = rows.get(rowOf(shape, packet));
      if (!flows) continue;
      if (!isConjunctive(flows[0]!)) hard = higher(hard, flows[0]!);
      else if (conjunctive) soft.push(flows);
      // A lookup with a conj_id set takes no parts of conjunctions, and does not look behind them either.
    }
    for (;;) {
      soft = soft.filter(([first]) => !hard || first!.priority > hard.priority);
      if (soft.length === 0) return hard;
      const top = Math.max(...soft.map(([first]) => first!.priority));
      for (const id of complete(soft.flatMap(([first]) => (first!.priority === top ? [first!] : [])))) {
        const found = this.#lookup({ ...packet, conj_id: BigInt(id) }, false);
        if (found) return found;
      }
      soft = soft.flatMap((flows) => {
        if (flows[0]!.priority !== top) return [flows];
        const rest = flows.slice(1);
        if (rest.length > 0 && isConjunctive(rest[0]!)) return [rest];
        if (rest.length > 0) hard = higher(hard, rest[0]!);
        return [];
      });
    }
  }
}

function higher(a: Flow | undefined, b: Flow): Flow {
  return a && a.priority >= b.priority ? a : b;
}

export function isConjunctive(flow: Flow): boolean {
  return flow.actions.some(({ type }) => type === 'conjunction');
}

/** The conjunctions of which every clause is there; a flow never makes one by itself (find_conjunctive_match). */
function complete(flows: readonly Flow[]): number[] {
  const clauses = new Map<number, Set<number>>();
  const found: number[] = [];
  for (const flow of flows) {
    if (flows.length < Math.min(...flow.actions.map((action) => (action.type === 'conjunction' ? action.clauses : Infinity)))) continue;
    for (const action of flow.actions) {
      if (action.type !== 'conjunction') continue;
      const seen = clauses.get(action.id) ?? new Set();
      clauses.set(action.id, seen.add(action.clause));
      if (seen.size === action.clauses && !found.includes(action.id)) found.push(action.id);
    }
  }
  return found;
}

function keysOf(match: Match): { shape: [string, bigint][]; row: string } {
  const shape: [string, bigint][] = [];
  const values: bigint[] = [];
  for (const name of MATCH_FIELDS) {
    const entry = match[name];
    if (!entry) continue;
    shape.push([name, entry.mask ?? fullMask(fieldOf(name, match))]);
    values.push(entry.value);
  }
  return { shape, row: values.join() };
}

function rowOf(shape: Subtable['shape'], packet: Packet): string {
  return shape.map(([name, mask]) => (packet[name] ?? 0n) & mask).join();
}
