/** One thing at a time for each server, in the order of the calls. */

export class Turns {
  readonly #last = new Map<string, Promise<unknown>>();

  async take<T>(server_id: string, work: () => Promise<T>): Promise<T> {
    const before = this.#last.get(server_id);
    const turn = (before ?? Promise.resolve()).catch(() => {}).then(work);
    this.#last.set(server_id, turn);
    try {
      return await turn;
    } finally {
      if (this.#last.get(server_id) === turn) this.#last.delete(server_id);
    }
  }
}
