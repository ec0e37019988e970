/**
 * The flows of one bridge: what shall be there, by owner, and a verified mirror of what is. A change plans against the
 * mirror, so it costs its own flows and no dump; learned flows (another cookie) are never looked at.
 */
import type { FlowMod } from '#openflow/codec/flow-codec.ts';
import { type Flow, flowKey, formatFlow, parseFlow, sameFlow } from '#openflow/flow.ts';
import { COOKIE, LEARNED_COOKIE } from '../../pipeline/tables.ts';

interface Claim {
  readonly owner: string;
  readonly flow: Flow;
}

export class FlowTable {
  /** Ours alone: every flow there that we do not want is swept. On br-phys only flows with our cookie are. */
  readonly exclusive: boolean;
  /** Owner (`port/<id>`) → the lines it wants, by key. */
  readonly #wanted = new Map<string, Map<string, Flow>>();
  /**
   * The same by key, the owner that comes first by name in front: it has its way. Two may want one key for a moment (an
   * ofport used again) or for good; the outcome must not depend on who came last.
   */
  readonly #claims = new Map<string, readonly Claim[]>();
  #actual = new Map<string, Flow>();
  /** Keys whose desired or actual flow changed since the last plan. */
  readonly #dirty = new Set<string>();

  constructor(exclusive: boolean) {
    this.exclusive = exclusive;
  }

  /**
   * `lines` replace all that `owner` wanted before. Lines that parse to one key twice keep the last. A line that is no
   * flow is left out, and the first error thrown when the others are in.
   */
  want(owner: string, lines: readonly string[]): void {
    const before = this.#wanted.get(owner);
    const after = new Map<string, Flow>();
    let failure: unknown;
    for (const line of lines) {
      try {
        const flow: Flow = { ...parseFlow(line), cookie: COOKIE };
        after.set(flowKey(flow), flow);
      } catch (error) {
        failure ??= error;
      }
    }
    for (const key of before?.keys() ?? []) if (!after.has(key)) this.#claim(key, owner, undefined);
    for (const [key, flow] of after) this.#claim(key, owner, flow);
    if (after.size > 0) this.#wanted.set(owner, after);
    else this.#wanted.delete(owner);
    if (failure !== undefined) throw failure;
  }

  /** Whether the switch has a flow of this key, as far as we know. */
  holds(key: string): boolean {
    return this.#actual.has(key);
  }

  #claim(key: string, owner: string, flow: Flow | undefined): void {
    const claims = this.#claims.get(key) ?? [];
    const others = claims.filter((claim) => claim.owner !== owner);
    const now = flow ? [...others, { owner, flow }].sort((a, b) => (a.owner < b.owner ? -1 : 1)) : others;
    if (now.length > 0) this.#claims.set(key, now);
    else this.#claims.delete(key);
    const [old, current] = [claims[0]?.flow, now[0]?.flow];
    if (!old || !current || !sameFlow(old, current)) this.#dirty.add(key);
  }

  #desired(key: string): Flow | undefined {
    return this.#claims.get(key)?.[0]?.flow;
  }

  /** Takes a full dump of the switch as the truth; everything that differs is planned anew. */
  verify(dump: readonly Flow[]): void {
    this.#actual = new Map();
    for (const flow of dump) {
      if (flow.cookie === LEARNED_COOKIE || (!this.exclusive && flow.cookie !== COOKIE)) continue;
      const key = flowKey(flow);
      this.#actual.set(key, flow);
      const wanted = this.#desired(key);
      if (!wanted || !sameFlow(wanted, flow)) this.#dirty.add(key);
    }
    for (const key of this.#claims.keys()) if (!this.#actual.has(key)) this.#dirty.add(key);
  }

  /**
   * What to send to the switch. Until `sweep`, flows that nobody wants stay: an agent without memory must not cut
   * traffic before it knows all that it shall hold (law 3).
   */
  plan(sweep: boolean): FlowMod[] {
    const mods: FlowMod[] = [];
    for (const key of this.#dirty) {
      const [wanted, actual] = [this.#desired(key), this.#actual.get(key)];
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
      const [wanted, actual] = [this.#desired(key), this.#actual.get(key)];
      if (wanted === actual || (wanted && actual && sameFlow(wanted, actual))) this.#dirty.delete(key);
    }
  }

  /** Who wants the flow of this key. */
  ownerOf(key: string): string | undefined {
    return this.#claims.get(key)?.[0]?.owner;
  }

  /** Gives up one flow that the switch refuses, so that the others of the bundle can go in (law 4); its predecessor is swept. */
  giveUp(key: string): void {
    const [first, ...others] = this.#claims.get(key) ?? [];
    if (first && others.length > 0) this.#claims.set(key, others);
    else {
      this.#claims.delete(key);
      if (!this.#actual.has(key)) this.#dirty.delete(key);
    }
  }

  /** The desired flows as sorted `ovs-ofctl` lines. */
  print(): string {
    return [...this.#claims.values()].map(([claim]) => formatFlow(claim!.flow)).sort().join('\n');
  }

  get size(): number {
    return this.#claims.size;
  }
}
