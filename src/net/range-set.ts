/** Sets of integers kept as sorted, disjoint, inclusive ranges: pools of addresses, VNIs, VLAN ids. */

export interface Range {
  readonly first: bigint;
  readonly last: bigint;
}

export class RangeSet {
  /** Sorted by `first`; neighbours never touch. */
  readonly #ranges: Range[];

  constructor(ranges: Iterable<Range> = []) {
    const sorted = [...ranges].filter((r) => r.first <= r.last).sort((a, b) => (a.first < b.first ? -1 : 1));
    this.#ranges = [];
    for (const range of sorted) {
      const last = this.#ranges.at(-1);
      if (last && range.first <= last.last + 1n) {
        if (range.last > last.last) this.#ranges[this.#ranges.length - 1] = { first: last.first, last: range.last };
      } else this.#ranges.push(range);
    }
  }

  get ranges(): readonly Range[] {
    return this.#ranges;
  }

  /** How many integers the set holds. */
  get size(): bigint {
    return this.#ranges.reduce((sum, r) => sum + r.last - r.first + 1n, 0n);
  }

  has(value: bigint): boolean {
    return this.#ranges.some((r) => r.first <= value && value <= r.last);
  }

  /** True when the sets share an integer. */
  overlaps(other: RangeSet): boolean {
    return this.without(other.ranges).size < this.size;
  }

  /** The set without the integers of `others`, in time that both sets' ranges add up to. */
  without(others: Iterable<Range>): RangeSet {
    const cuts = new RangeSet(others).ranges;
    const rest: Range[] = [];
    let next = 0;
    for (const { first, last } of this.#ranges) {
      let from = first;
      for (; next < cuts.length && cuts[next]!.first <= last; next++) {
        const cut = cuts[next]!;
        if (from < cut.first) rest.push({ first: from, last: cut.first - 1n });
        if (from <= cut.last) from = cut.last + 1n;
        // It may reach into the next range too.
        if (cut.last > last) break;
      }
      if (from <= last) rest.push({ first: from, last });
    }
    return new RangeSet(rest);
  }
}
