/** Connections that were written down a short while ago, so that each is once. */

/** As long as conntrack of Open vSwitch remembers a connection that nobody answered. */
const FORGET_MS = 60_000;

export class RecentConnections {
  readonly #now: () => number;
  /** Connection → when its last packet came, the oldest first. */
  readonly #seen = new Map<string, number>();

  constructor(now: () => number) {
    this.#now = now;
  }

  /** Notes a packet; true unless there was one of its connection within the last minute. */
  isFirst(connection: string): boolean {
    const now = this.#now();
    for (const [old, at] of this.#seen) {
      if (now - at < FORGET_MS) break;
      this.#seen.delete(old);
    }
    // Deleted first, so that it goes to the end.
    const first = !this.#seen.delete(connection);
    this.#seen.set(connection, now);
    return first;
  }

  get size(): number {
    return this.#seen.size;
  }
}
