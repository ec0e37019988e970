/**
 * Work that is done owner by owner (a router, a network): what of each has changed, a few owners at once, and what
 * failed tried again by and by, so that one that cannot be realised holds up no other (DESIGN law 4).
 */

export interface OwnerQueueOptions {
  /** Asks for the next round; without it, what failed waits for the next change. */
  readonly wake?: () => void;
  /** Until the second attempt at what failed; each later one waits twice as long, up to a minute. */
  readonly retryMs?: number;
}

const RETRY_MS = { first: 1_000, most: 60_000 };
/** Owners that are worked on at once: each waits mostly for programs. */
const AT_ONCE = 4;

export class OwnerQueue {
  readonly #options: OwnerQueueOptions;
  #dirty = new Map<string, Set<string>>();
  /** Failed attempts in a row, what they were about, and the next one, by owner. */
  readonly #failures = new Map<string, { readonly count: number; readonly keys: ReadonlySet<string>; readonly timer: NodeJS.Timeout }>();

  constructor(options: OwnerQueueOptions = {}) {
    this.#options = options;
  }

  /** Notes that `keys` of `owner` must be looked at; without keys the owner as such. */
  mark(owner: string, keys: Iterable<string> = []): void {
    const noted = this.#dirty.get(owner) ?? new Set();
    for (const key of keys) noted.add(key);
    this.#dirty.set(owner, noted);
  }

  /** True when the key has changed again since its round began. */
  isMarked(owner: string, key: string): boolean {
    return this.#dirty.get(owner)?.has(key) ?? false;
  }

  /** Works on every owner that is noted now, each with all its keys since its last success, and with those noted since the last attempt. `work` says whether it succeeded, and never throws. */
  async drain(work: (owner: string, keys: ReadonlySet<string>, fresh: ReadonlySet<string>) => Promise<boolean>): Promise<void> {
    const round = this.#dirty;
    this.#dirty = new Map();
    const queue = round.entries();
    await Promise.all(Array.from({ length: Math.min(AT_ONCE, round.size) }, async () => {
      for (const [owner, noted] of queue) {
        const failure = this.#failures.get(owner);
        clearTimeout(failure?.timer);
        const keys = new Set([...noted, ...(failure?.keys ?? [])]);
        if (await work(owner, keys, noted)) this.#failures.delete(owner);
        else this.#tryAgain(owner, keys);
      }
    }));
  }

  #tryAgain(owner: string, keys: ReadonlySet<string>): void {
    const { wake, retryMs = RETRY_MS.first } = this.#options;
    const count = this.#failures.get(owner)?.count ?? 0;
    const timer = setTimeout(() => {
      this.mark(owner);
      wake?.();
    }, Math.min(retryMs * 2 ** count, RETRY_MS.most)).unref();
    this.#failures.set(owner, { count: count + 1, keys, timer });
  }
}
