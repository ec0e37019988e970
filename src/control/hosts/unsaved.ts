/** What hosts have said and the store does not hold yet. A word is kept until it is committed; a newer one on the same object replaces it. */
import type { Store, Tx } from '#store/store.ts';

export type Word = (tx: Tx) => Promise<void>;

export class Unsaved {
  readonly #store: Store;
  readonly #words = new Map<string, Word>();
  #saving: Promise<void> | undefined;

  constructor(store: Store) {
    this.#store = store;
  }

  get size(): number {
    return this.#words.size;
  }

  /** `object` is what the word is about: `port <id>`. */
  add(object: string, word: Word): void {
    // Last again: words on different objects keep the order in which they came.
    this.#words.delete(object);
    this.#words.set(object, word);
  }

  /**
   * Resolves when all that was added is committed, with the words that the store refuses while it takes others: they are
   * dropped, because they would stand in the way for ever (law 4). Throws when the store takes nothing; then all are kept.
   */
  save(): Promise<readonly Error[]> {
    const errors: Error[] = [];
    this.#saving ??= this.#saveAll(errors).finally(() => (this.#saving = undefined));
    return this.#saving.then(() => errors);
  }

  async #saveAll(errors: Error[]): Promise<void> {
    while (this.#words.size > 0) {
      const batch = [...this.#words];
      try {
        await this.#store.write(async (tx) => {
          for (const [, word] of batch) await word(tx);
        });
        this.#forget(batch);
      } catch (error) {
        if (batch.length === 1) throw error;
        await this.#saveEach(batch, errors, error as Error);
      }
    }
  }

  async #saveEach(batch: readonly (readonly [string, Word])[], errors: Error[], first: Error): Promise<void> {
    const refused: (readonly [string, Word])[] = [];
    for (const each of batch) {
      try {
        await this.#store.write(each[1]);
        this.#forget([each]);
      } catch (error) {
        refused.push(each);
        errors.push(error as Error);
      }
    }
    if (refused.length === batch.length) throw first;
    this.#forget(refused);
  }

  #forget(batch: readonly (readonly [string, Word])[]): void {
    for (const [object, word] of batch) if (this.#words.get(object) === word) this.#words.delete(object);
  }
}
