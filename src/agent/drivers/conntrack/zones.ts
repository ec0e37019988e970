/** Which network has which conntrack zone on this host: empty when another network gets it (DESIGN §4), and bounded. */

export interface ZoneUse {
  readonly network_id: string;
  /** The local VLAN, which is also the zone. */
  readonly local_vlan: number;
}

export class Zones {
  readonly #flush: (zones: readonly number[]) => Promise<void>;
  readonly #limit: (zones: readonly number[]) => Promise<void>;
  /** Zone → the network whose connections it may hold. */
  readonly #holder = new Map<number, string>();
  /** Zones of which the switch has not been told how much they may hold. */
  readonly #unlimited = new Set<number>();

  /** `limit` tells the switch how many connections each of some zones may hold. */
  constructor(flush: (zones: readonly number[]) => Promise<void>, limit: (zones: readonly number[]) => Promise<void>) {
    this.#flush = flush;
    this.#limit = limit;
  }

  /** The switch may have started anew, and knows no limits then. */
  switchOpened(): void {
    for (const zone of this.#holder.keys()) this.#unlimited.add(zone);
  }

  /**
   * Empties the zones of `uses` that were another network's, or nobody's that we know. `inUse` tells of a zone whose
   * flows stand in the switch already: an agent without memory takes it over as it is, connections keep flowing (law 3).
   * Called before flows of `uses` are written. Throws when the zones cannot be emptied; then they are tried again.
   */
  async take(uses: Iterable<ZoneUse>, inUse: (zone: number) => boolean): Promise<void> {
    const stale: ZoneUse[] = [];
    for (const use of uses) {
      const holder = this.#holder.get(use.local_vlan);
      if (holder === use.network_id) continue;
      this.#unlimited.add(use.local_vlan);
      if (holder === undefined && inUse(use.local_vlan)) this.#holder.set(use.local_vlan, use.network_id);
      else stale.push(use);
    }
    if (this.#unlimited.size > 0) await this.#limit([...this.#unlimited]);
    this.#unlimited.clear();
    if (stale.length === 0) return;
    await this.#flush(stale.map(({ local_vlan }) => local_vlan));
    for (const { local_vlan, network_id } of stale) this.#holder.set(local_vlan, network_id);
  }
}
