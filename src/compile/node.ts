/**
 * One kind of item and how it follows from the world. A node is a pure function of the world: it keeps no state, and
 * compiling all its keys from nothing gives what touching them one change at a time gave (DESIGN §6, oracle 1).
 */
import type { ItemOf, ItemType } from '#hoststate/host-state.ts';
import type { World } from './world.ts';

export interface Node<T extends ItemType = ItemType> {
  readonly type: T;
  /** What identifies each item of this kind on `host`: the parts of its key. May list parts that compile to nothing. */
  all(world: World, host: string): Iterable<readonly string[]>;
  /** The item that `parts` name, or undefined when the host shall not hold it. */
  item(world: World, host: string, parts: readonly string[]): ItemOf<T> | undefined;
}
