/** What a manager does whose items belong to owners (a router, a network): rounds one after the other, the check, the sweep, and reports of what is news. */
import type { ItemReport } from '#protocol/messages.ts';
import { OwnerQueue, type OwnerQueueOptions } from './owner-queue.ts';

/** What became of an item. */
export interface Verdict {
  /** Why it is not as it shall be, or '' when it is. */
  readonly reason: string;
  /** Packets pass all the same. */
  readonly partly?: boolean;
  /** No item any more: once it is told, nothing of it is remembered. */
  readonly gone?: boolean;
}

export interface Owners {
  /** Forgets what is believed of the host; answers every owner. */
  distrust(): Iterable<string>;
  /** Realises an owner and says of `keys`, and of whatever else of it, what became of them. Never throws; what is not `done` is tried again. */
  realise(owner: string, keys: ReadonlySet<string>): Promise<{ readonly done: boolean; readonly verdicts: ReadonlyMap<string, Verdict> }>;
  /** Removes what is ours on the host and belongs to no owner. */
  sweep(): Promise<void>;
}

export class OwnerRounds {
  readonly #owners: Owners;
  readonly #queue: OwnerQueue;
  /** The last report of each item: its reason, or ''. */
  readonly #reported = new Map<string, string>();
  #checkDue = false;
  #sweepDue = false;
  /** The round under way. */
  #work: Promise<unknown> = Promise.resolve();

  constructor(owners: Owners, options: OwnerQueueOptions) {
    this.#owners = owners;
    this.#queue = new OwnerQueue(options);
  }

  /** Notes that an item of `owner` has changed. */
  mark(owner: string, key: string): void {
    this.#queue.mark(owner, [key]);
  }

  /** Realises what changed, and what `inSync` and `check` asked for. Reports each changed item, and each other one whose outcome is news. */
  apply(): Promise<ItemReport[]> {
    const result = this.#work.then(() => this.#round());
    this.#work = result.catch(() => {});
    return result;
  }

  /** The next round sweeps. */
  inSync(): void {
    this.#sweepDue = true;
  }

  /** The next round believes nothing: it reads everything again and repairs what differs. */
  check(): void {
    this.#checkDue = true;
  }

  async #round(): Promise<ItemReport[]> {
    if (this.#checkDue) {
      this.#checkDue = false;
      for (const owner of this.#owners.distrust()) this.#queue.mark(owner);
    }
    const reports: ItemReport[] = [];
    await this.#queue.drain(async (owner, keys, fresh) => {
      const { done, verdicts } = await this.#owners.realise(owner, keys);
      for (const [key, verdict] of verdicts) if (this.#isNews(owner, key, verdict, fresh)) reports.push(reportOf(key, verdict));
      return done;
    });
    if (this.#sweepDue) {
      this.#sweepDue = false;
      await this.#owners.sweep();
    }
    return reports;
  }

  #isNews(owner: string, key: string, { reason, gone }: Verdict, fresh: ReadonlySet<string>): boolean {
    // It has changed again meanwhile: the next round knows more.
    if (this.#queue.isMarked(owner, key)) return false;
    if (!fresh.has(key) && this.#reported.get(key) === reason) return false;
    if (gone && reason === '') this.#reported.delete(key);
    else this.#reported.set(key, reason);
    return true;
  }
}

function reportOf(key: string, { reason, partly }: Verdict): ItemReport {
  return reason === '' ? { key, ok: true } : { key, ok: false, reason, ...(partly ? { partly } : {}) };
}
