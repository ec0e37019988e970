/** Counters of pairs: how many ports of a network a host has, how many members hold an address. */

export class PairCounts {
  readonly #counts = new Map<string, Map<string, number>>();

  /** Adds `by` (±1) to (a, b); returns true when the pair has just appeared or vanished. */
  add(a: string, b: string, by: 1 | -1): boolean {
    let row = this.#counts.get(a);
    if (!row) this.#counts.set(a, (row = new Map()));
    const next = (row.get(b) ?? 0) + by;
    if (next === 0) {
      row.delete(b);
      if (row.size === 0) this.#counts.delete(a);
      return true;
    }
    row.set(b, next);
    return next === 1 && by === 1;
  }

  has(a: string, b: string): boolean {
    return this.#counts.get(a)?.has(b) ?? false;
  }

  count(a: string, b: string): number {
    return this.#counts.get(a)?.get(b) ?? 0;
  }

  /** Every b with a count for `a`. */
  of(a: string): Iterable<string> {
    return this.#counts.get(a)?.keys() ?? [];
  }
}

/** A map of sets: which ports a network has. */
export class Index {
  readonly #sets = new Map<string, Set<string>>();

  add(key: string, value: string): void {
    const set = this.#sets.get(key);
    if (set) set.add(value);
    else this.#sets.set(key, new Set([value]));
  }

  delete(key: string, value: string): void {
    const set = this.#sets.get(key);
    if (set?.delete(value) && set.size === 0) this.#sets.delete(key);
  }

  of(key: string): ReadonlySet<string> {
    return this.#sets.get(key) ?? EMPTY;
  }
}

const EMPTY: ReadonlySet<string> = new Set();
