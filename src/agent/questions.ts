/** What this host asks its controller: each question waits for its answer, for a while. */
import type { AgentMessage, ControllerMessage, MetadataAnswer, MetadataQuestion } from '#protocol/messages.ts';

const PATIENCE_MS = 5_000;

interface Asked {
  readonly resolve: (answer: MetadataAnswer) => void;
  readonly reject: (error: Error) => void;
  readonly timer: NodeJS.Timeout;
}

export class Questions {
  readonly #send: (message: AgentMessage) => boolean;
  readonly #asked = new Map<number, Asked>();
  #id = 0;

  /** `send` is false without a connection. */
  constructor(send: (message: AgentMessage) => boolean) {
    this.#send = send;
  }

  /** Rejects without a connection, when it is lost, and after 5 s. */
  ask(params: MetadataQuestion): Promise<MetadataAnswer> {
    const id = ++this.#id;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => this.#settle(id)?.reject(new Error('the controller does not answer')), PATIENCE_MS);
      this.#asked.set(id, { resolve, reject, timer });
      if (!this.#send({ type: 'ask', id, method: 'metadata_instance', params })) this.#settle(id)!.reject(new Error('the controller is not connected'));
    });
  }

  told({ id, result = null, error }: Extract<ControllerMessage, { type: 'told' }>): void {
    const asked = this.#settle(id);
    if (error === undefined) asked?.resolve(result);
    else asked?.reject(new Error(error));
  }

  /** The connection that they went over is gone, and the answers with it. */
  lost(): void {
    for (const id of [...this.#asked.keys()]) this.#settle(id)!.reject(new Error('the controller went away'));
  }

  #settle(id: number): Asked | undefined {
    const asked = this.#asked.get(id);
    clearTimeout(asked?.timer);
    this.#asked.delete(id);
    return asked;
  }
}
