/** The newest deltas of one host, for an agent that comes back: it gets what it missed instead of everything. */
import type { Delta } from '#hoststate/host-state.ts';

export interface Sent {
  readonly seq: number;
  readonly delta: Delta;
  readonly requestIds: readonly string[];
}

const MOST = { deltas: 500, items: 20_000 };

export class KeptDeltas {
  readonly #sent: Sent[] = [];
  #items = 0;
  /** Every delta after this change is here. */
  #from: number;

  constructor(from: number) {
    this.#from = from;
  }

  add(sent: Sent): void {
    this.#sent.push(sent);
    this.#items += sizeOf(sent);
    while (this.#sent.length > MOST.deltas || this.#items > MOST.items) {
      const oldest = this.#sent.shift()!;
      this.#items -= sizeOf(oldest);
      this.#from = oldest.seq;
    }
  }

  /** What was sent after `seq`; undefined when some of it is not kept any more. */
  since(seq: number): Sent[] | undefined {
    return seq < this.#from ? undefined : this.#sent.filter((sent) => sent.seq > seq);
  }
}

const sizeOf = ({ delta }: Sent): number => delta.upserts.length + delta.removals.length;
