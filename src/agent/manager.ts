/** The shape of a manager: takes items cheaply, realises them later, and says of each what became of it. */
import type { Item } from '#hoststate/host-state.ts';
import type { ItemReport } from '#protocol/messages.ts';

export interface Manager {
  /** Takes note; touches nothing outside. */
  update(upserts: readonly Item[], removals: readonly string[]): void;
  /** Realises what is noted. One item that cannot be realised is reported and hurts no other (law 4). */
  apply(): Promise<ItemReport[]>;
  /** The state is complete: what is ours on the host and not in it may be swept, from the next `apply` on. */
  inSync(): void;
  /** Compares the host with the state in full; the slow timer calls it. */
  check(): Promise<unknown>;
}
