/**
 * The flows of one bridge: what shall be there, by owner, and a verified mirror of what is. A change plans against the
 * mirror, so it costs its own flows and no dump; learned flows (another cookie) are never looked at.
 */
import type { FlowMod } from '#openflow/codec/flow-codec.ts';
import { type Flow, flowKey, formatFlow, parseFlow, sameFlow } from '#openflow/flow.ts';
import { COOKIE, LEARNED_COOKIE } from '../../pipeline/tables.ts';

export class FlowTable {
  /** Ours alone: every flow there that we do not want is swept. On br-phys only flows with our cookie are. */
  readonly exclusive: boolean;
  /** Owner (`port/<id>`) → the lines it wants, by key. */
  readonly #wanted = new Map<string, Map<string, Flow>>();
  /** The same by key. A key may pass from one owner to another (an ofport used again), in either order of their calls. */
  readonly #desired = new Map<string, Flow>();
  readonly #ownerOf = new Map<string, string>();
  #actual = new Map<string, Flow>();
  /** Keys whose desired or actual flow changed since the last plan. */
  readonly #dirty = new Set<string>();

  constructor(exclusive: boolean) {
    this.exclusive = exclusive;
  }

  /** `lines` replace all that `owner` wanted before. Lines that parse to one key twice keep the last. */
  want(owner: string, lines: readonly string[]): void {
    const before = this.#wanted.get(owner);
    const after = new Map<string, Flow>();
    for (const line of lines) {
      const flow: Flow = { ...parseFlow(line), cookie: COOKIE };
      after.set(flowKey(flow), flow);
    }
    for (const key of before?.keys() ?? []) {
      if (after.has(key) || this.#ownerOf.get(key) !== owner) continue;
      this.#desired.delete(key);
      this.#ownerOf.delete(key);
      this.#dirty.add(key);
    }
    for (const [key, flow] of after) {
      const known = this.#desired.get(key);
      this.#desired.set(key, flow);
      this.#ownerOf.set(key, owner);
      if (!known || !sameFlow(known, flow)) this.#dirty.add(key);
    }
    if (after.size > 0) this.#wanted.set(owner, after);
    else this.#wanted.delete(owner);
  }

  /** Takes a full dump of the switch as the truth; everything that differs is planned anew. */
  verify(dump: readonly Flow[]): void {
    this.#actual = new Map();
    for (const flow of dump) {
      if (flow.cookie === LEARNED_COOKIE || (!this.exclusive && flow.cookie !== COOKIE)) continue;
      const key = flowKey(flow);
      this.#actual.set(key, flow);
      const wanted = this.#desired.get(key);
      if (!wanted || !sameFlow(wanted, flow)) this.#dirty.add(key);
    }
    for (const key of this.#desired.keys()) if (!this.#actual.has(key)) this.#dirty.add(key);
  }

  /**
   * What to send to the switch. Until `sweep`, flows that nobody wants stay: an agent without memory must not cut
   * traffic before it knows all that it shall hold (law 3).
   */
  plan(sweep: boolean): FlowMod[] {
    const mods: FlowMod[] = [];
    for (const key of this.#dirty) {
      const [wanted, actual] = [this.#desired.get(key), this.#actual.get(key)];
      if (wanted && (!actual || !sameFlow(wanted, actual))) mods.push({ command: 'add', flow: wanted });
      else if (!wanted && actual && sweep) mods.push({ command: 'delete_strict', flow: actual });
    }
    return mods;
  }

  /** The switch has taken `mods`. What was wanted otherwise meanwhile stays dirty. */
  applied(mods: readonly FlowMod[]): void {
    for (const mod of mods) {
      if (mod.command === 'add') this.#actual.set(flowKey(mod.flow), mod.flow);
      else if (mod.command === 'delete_strict') this.#actual.delete(flowKey(mod.flow as Flow));
    }
    for (const key of this.#dirty) {
      const [wanted, actual] = [this.#desired.get(key), this.#actual.get(key)];
      if (wanted === actual || (wanted && actual && sameFlow(wanted, actual))) this.#dirty.delete(key);
    }
  }

  /** Who wants the flow of this key. */
  ownerOf(key: string): string | undefined {
    return this.#ownerOf.get(key);
  }

  /** Gives up one flow that the switch refuses, so that the others of the bundle can go in (law 4). */
  giveUp(key: string): void {
    this.#desired.delete(key);
    this.#ownerOf.delete(key);
    this.#dirty.delete(key);
  }

  /** The desired flows as sorted `ovs-ofctl` lines. */
  print(): string {
    return [...this.#desired.values()].map(formatFlow).sort().join('\n');
  }

  get size(): number {
    return this.#desired.size;
  }
}
