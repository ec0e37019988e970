/** The flows and ports of one bridge of the fake switch: takes modifications as Open vSwitch does. */
import { formatFlowMod, type FlowFilter, type FlowMod } from '#openflow/codec/flow-codec.ts';
import { type Flow, flowKey, formatFlow } from '#openflow/flow.ts';
import type { Match, MatchField } from '#openflow/match.ts';
import { fullMask } from '#openflow/field.ts';
import { fieldOf } from '#openflow/match.ts';
import { OpenFlowError } from '#openflow/openflow-client.ts';
import { FakeClassifier } from './fake-classifier.ts';
import type { Packet } from './fake-packet.ts';
import { refusalOf } from './flow-refusal.ts';

/** A port is a wire, or one end of a patch. */
export interface FakePort {
  readonly peer?: { readonly bridge: string; readonly port: number };
}

export class FakeBridge {
  readonly name: string;
  readonly ports = new Map<number, FakePort>();
  /** `vlan mac` → port, as NORMAL has learned it. */
  readonly macs = new Map<string, number>();
  readonly #flows = new Map<string, Flow>();
  readonly #tables = new Map<number, FakeClassifier>();

  constructor(name: string) {
    this.name = name;
  }

  /** All of `mods`, in order, or none: rejects with the `OpenFlowError` that the real client gives. */
  async bundle(mods: readonly FlowMod[]): Promise<void> {
    const refused = mods.flatMap((mod) => {
      const reason = refusalOf(mod);
      return reason === undefined ? [] : [{ mod, reason }];
    });
    if (refused.length > 0) throw new OpenFlowError(refused.map(({ mod, reason }) => `${reason}: ${formatFlowMod(mod)}`).join('\n'), refused);
    for (const mod of mods) this.#apply(mod);
  }

  async dumpFlows(filter: FlowFilter = {}): Promise<Flow[]> {
    return [...this.#flows.values()].filter((flow) => passes(flow, filter));
  }

  /** Sorted `ovs-ofctl` lines. */
  print(): string {
    return [...this.#flows.values()].map(formatFlow).sort().join('\n');
  }

  /** Adds or replaces; also what the action learn does. */
  add(flow: Flow): void {
    const key = flowKey(flow);
    const before = this.#flows.get(key);
    if (before) this.#table(flow.table).remove(before);
    this.#flows.set(key, flow);
    this.#table(flow.table).insert(flow);
  }

  lookup(table: number, packet: Packet): Flow | undefined {
    return this.#tables.get(table)?.lookup(packet);
  }

  #apply(mod: FlowMod): void {
    switch (mod.command) {
      case 'add': return this.add(mod.flow);
      case 'modify_strict': {
        const before = this.#flows.get(flowKey(mod.flow));
        if (before) this.add({ ...before, actions: mod.flow.actions });
        return;
      }
      case 'delete_strict': return this.#delete(flowKey(mod.flow as Flow));
      case 'delete':
        for (const [key, flow] of this.#flows) if (passes(flow, mod)) this.#delete(key);
    }
  }

  #delete(key: string): void {
    const flow = this.#flows.get(key);
    if (!flow) return;
    this.#table(flow.table).remove(flow);
    this.#flows.delete(key);
  }

  #table(number: number): FakeClassifier {
    let table = this.#tables.get(number);
    if (!table) this.#tables.set(number, (table = new FakeClassifier()));
    return table;
  }
}

/** OpenFlow's non-strict rule: the flow's match is as narrow as the filter's or narrower. */
function passes(flow: Flow, { cookie = 0n, cookieMask = 0n, table, match = {} }: FlowFilter): boolean {
  if ((flow.cookie & cookieMask) !== (cookie & cookieMask) || (table !== undefined && flow.table !== table)) return false;
  return Object.entries(match as Record<string, { value: bigint; mask?: bigint }>).every(([name, wanted]) => {
    const entry = (flow.match as Record<string, { value: bigint; mask?: bigint }>)[name];
    if (!entry) return false;
    const full = fullMask(fieldOf(name as MatchField, flow.match as Match));
    const mask = wanted.mask ?? full;
    return ((entry.mask ?? full) & mask) === mask && (entry.value & mask) === wanted.value;
  });
}
