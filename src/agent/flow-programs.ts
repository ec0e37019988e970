/**
 * The flow programs of a host's bridges: what HostState and OVS's port numbers ask for, kept as one table a bridge.
 * A change renders its owners anew, and only what differs is sent. One refused flow hurts its owner alone (law 4).
 */
import type { Item } from '#hoststate/host-state.ts';
import { formatFlowMod } from '#openflow/codec/flow-codec.ts';
import { flowKey } from '#openflow/flow.ts';
import { type OpenFlowClient, OpenFlowError } from '#openflow/openflow-client.ts';
import { FlowTable } from './drivers/ovs/flow-table.ts';
import { HostView, type OfPorts } from './pipeline/host-view.ts';
import { allOwners, linesOf, ownersOf, portOwners, tunnelOwners } from './pipeline/owners.ts';
import type { BridgeLines } from './pipeline/segment-flows.ts';

export interface FlowProgramsOptions {
  readonly ofports: OfPorts;
  /** Hears each non-empty plan as `ovs-ofctl` lines, before it is carried out. */
  readonly onPlan: (bridge: string, lines: readonly string[]) => void;
  /** Hears of each owner (`port/<id>`) whose flows the switch, or their syntax, refused. */
  readonly onFailure: (owner: string, reason: string) => void;
}

export class FlowPrograms {
  readonly view = new HostView();
  readonly #options: FlowProgramsOptions;
  readonly #tables = new Map<string, FlowTable>();
  readonly #dirty = new Set<string>(['base']);
  /** Reason of the last failure of an owner. */
  readonly #failed = new Map<string, string>();

  constructor(options: FlowProgramsOptions) {
    this.#options = options;
  }

  /** The table of `bridge`, made on the first call. On an exclusive one every flow but learned ones is ours. */
  tableOf(bridge: string, exclusive: boolean): FlowTable {
    let table = this.#tables.get(bridge);
    if (!table) this.#tables.set(bridge, (table = new FlowTable(exclusive)));
    return table;
  }

  /** Takes items that came, changed (the new one) or went (their keys); `changed` hears each old and new item. */
  update(upserts: readonly Item[], removals: readonly string[], changed: (item: Item) => void = () => {}): void {
    const touch = (item: Item): void => {
      for (const owner of ownersOf(this.view, item)) this.#dirty.add(owner);
      changed(item);
    };
    for (const key of removals) {
      const gone = this.view.items().get(key);
      if (gone) touch(gone);
      this.view.remove(key);
    }
    for (const item of upserts) {
      const before = this.view.put(item);
      if (before) touch(before);
      touch(item);
    }
  }

  /** A Neutron port was plugged, unplugged or given another ofport. */
  portMoved(portId: string): void {
    for (const owner of portOwners(portId)) this.#dirty.add(owner);
    const item = this.view.get('port', portId);
    if (item) this.#dirty.add(`segment/${item.network_id}`);
  }

  /** A tunnel port came, went or was given another ofport. */
  tunnelMoved(type: string, remoteIp: string): void {
    for (const owner of tunnelOwners(this.view, type, remoteIp)) this.#dirty.add(owner);
  }

  /** Patches have moved, or everything may have: all is rendered anew. */
  allMoved(): void {
    for (const owner of allOwners(this.view)) this.#dirty.add(owner);
  }

  /** Why the flows of `owner` do not stand as they should; undefined when they do. */
  failure(owner: string): string | undefined {
    return this.#failed.get(owner);
  }

  /** Renders what is dirty into the tables. */
  render(): void {
    for (const owner of this.#dirty) {
      const { lines, failure } = this.#linesOf(owner);
      // The state may have named a bridge since the bridges were opened: the owner waits for the next round.
      if (lines.every(({ bridge }) => this.#tables.has(bridge))) this.#dirty.delete(owner);
      this.#failed.delete(owner);
      if (failure !== undefined) this.#fail(owner, failure);
      for (const [name, table] of this.#tables) {
        const wanted = lines.filter((each) => each.bridge === name).flatMap((each) => [...each.lines]);
        try {
          table.want(owner, wanted);
        } catch (error) {
          this.#fail(owner, (error as Error).message);
        }
      }
    }
  }

  /** What `owner` wants; of one that the switch cannot hold nothing, and the reason (law 4). */
  #linesOf(owner: string): { lines: BridgeLines[]; failure?: string } {
    try {
      return { lines: linesOf(this.view, this.#options.ofports, owner) };
    } catch (error) {
      return { lines: [], failure: (error as Error).message };
    }
  }

  /** Sends what differs on `bridge`; resolves with whether anything did. A refused flow is taken out, its owner told, and the rest goes in without it. */
  async send(bridge: string, client: Pick<OpenFlowClient, 'bundle'>, sweep: boolean): Promise<boolean> {
    const table = this.#tables.get(bridge);
    for (;;) {
      const mods = table?.plan(sweep) ?? [];
      if (!table || mods.length === 0) return false;
      this.#options.onPlan(bridge, mods.map(formatFlowMod));
      try {
        await client.bundle(mods);
        table.applied(mods);
        return true;
      } catch (error) {
        if (!(error instanceof OpenFlowError) || !error.refused.some(({ mod }) => mod.command === 'add')) throw error;
        for (const { mod, reason } of error.refused) {
          if (mod.command !== 'add') continue;
          const key = flowKey(mod.flow);
          this.#fail(table.ownerOf(key) ?? bridge, reason);
          table.giveUp(key);
        }
      }
    }
  }

  /** The desired flows of every bridge, for tests that compare agents. */
  print(): string {
    return [...this.#tables].map(([name, table]) => `# ${name}\n${table.print()}`).join('\n');
  }

  /** How many flow changes are still owed to the switch: 0 when state and switch agree (oracles 2 and 3). */
  pending(): number {
    return [...this.#tables.values()].reduce((sum, table) => sum + table.plan(true).length, 0);
  }

  #fail(owner: string, reason: string): void {
    this.#failed.set(owner, reason);
    this.#options.onFailure(owner, reason);
  }
}
