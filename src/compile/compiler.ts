/**
 * Intent to HostState. A change of a row becomes upserts and removals for the hosts it concerns; what a host shall
 * hold is also compiled from nothing, and both ways must agree (oracle 1).
 */
import { type Delta, type HostState, type Item, diffStates, keyOf, sameItem } from '#hoststate/host-state.ts';
import type { Node } from './node.ts';
import { NODES } from './nodes.ts';
import { Touched, touch } from './touch.ts';
import type { Settings, TableName, Tables } from './world.ts';
import { World } from './world.ts';

/** A row as it is now; undefined when it is gone. */
export type RowChange = { readonly [T in TableName]: { readonly table: T; readonly id: string; readonly row: Tables[T] | undefined } }[TableName];

const NODE_OF = new Map<string, Node>(NODES.map((node) => [node.type, node]));

export class Compiler {
  readonly world: World;
  /** The states of the hosts that somebody follows, kept up to date change by change. */
  readonly #states = new Map<string, Map<string, Item>>();
  /** `host key` → why that item cannot be compiled: it stays as it was, alone (law 4). */
  readonly errors = new Map<string, string>();

  constructor(settings: Settings) {
    this.world = new World(settings);
  }

  /** Takes changes in order; returns what each followed host must be told, or is asked to say again. Hosts without either are left out. */
  apply(changes: Iterable<RowChange>): Map<string, Delta> {
    const touched = new Touched();
    for (const change of changes) {
      const before = this.world.get(change.table, change.id);
      if (change.row) this.world.put(change.table, change.row);
      else this.world.remove(change.table, change.id);
      if (before || change.row) touch(this.world, change.table, before, change.row, touched);
    }
    const deltas = new Map<string, Delta>();
    for (const [host, state] of this.#states) {
      const { upserts, removals } = touched.hosts.has(host) ? this.#recompile(host, state) : this.#update(host, state, touched.keys.get(host) ?? []);
      const told = new Set(upserts);
      for (const key of touched.asked.get(host) ?? []) if (state.has(key)) told.add(state.get(key)!);
      const delta = { upserts: [...told], removals };
      if (delta.upserts.length + delta.removals.length > 0) deltas.set(host, delta);
    }
    return deltas;
  }

  /** The state of `host`, kept from now on. */
  follow(host: string): HostState {
    let state = this.#states.get(host);
    if (!state) this.#states.set(host, (state = new Map(this.fromScratch(host))));
    return state;
  }

  unfollow(host: string): void {
    this.#states.delete(host);
    for (const key of this.errors.keys()) if (key.startsWith(`${host} `)) this.errors.delete(key);
  }

  /** The state of `host` as it is followed, or compiled for the one who asks. */
  stateOf(host: string): HostState {
    return this.#states.get(host) ?? this.fromScratch(host);
  }

  /** The state of `host` compiled from the whole world. */
  fromScratch(host: string): HostState {
    const state = new Map<string, Item>();
    for (const node of NODES) {
      for (const parts of node.all(this.world, host)) {
        const item = this.#item(node, host, [node.type, ...parts].join('/'), parts);
        if (item) state.set(keyOf(item), item);
      }
    }
    return state;
  }

  #item(node: Node, host: string, key: string, parts: readonly string[]): Item | undefined {
    try {
      const item = node.item(this.world, host, parts);
      this.errors.delete(`${host} ${key}`);
      return item;
    } catch (error) {
      this.errors.set(`${host} ${key}`, (error as Error).message);
      return this.#states.get(host)?.get(key);
    }
  }

  #recompile(host: string, state: Map<string, Item>): Delta {
    const next = this.fromScratch(host);
    const delta = diffStates(state, next);
    for (const key of delta.removals) state.delete(key);
    for (const item of delta.upserts) state.set(keyOf(item), item);
    return delta;
  }

  #update(host: string, state: Map<string, Item>, keys: Iterable<string>): Delta {
    const upserts: Item[] = [];
    const removals: string[] = [];
    for (const key of keys) {
      const [type = '', ...parts] = key.split('/');
      const node = NODE_OF.get(type);
      const item = node && this.#item(node, host, key, parts);
      if (item && !sameItem(state.get(key), item)) {
        upserts.push(item);
        state.set(key, item);
      } else if (!item && state.delete(key)) removals.push(key);
    }
    return { upserts, removals };
  }
}
