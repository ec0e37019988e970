/** One agent's connection: what it was sent, what it acknowledged, what it says of its objects. */
import type { Delta } from '#hoststate/host-state.ts';
import type { AgentMessage, ControllerMessage, Hello, MetadataAnswer, Watermark } from '#protocol/messages.ts';
import type { Item } from '#hoststate/host-state.ts';

/** What a session needs of a WebSocket. */
export interface Wire {
  send(text: string): void;
  close(): void;
  /** Bytes not yet taken by the kernel. */
  readonly bufferedAmount: number;
}

/** A slow agent is dropped to catch up by a snapshot; it never slows others. */
const MAX_BUFFERED = 64 * 1024 * 1024;
const CALL_TIMEOUT_MS = 10_000;

export class Session {
  readonly host: string;
  readonly hello: Hello;
  readonly #wire: Wire;
  /** Segments whose removal was sent: change number → networks. Their local VLANs are free once it is acknowledged. */
  readonly removedSegments = new Map<number, string[]>();
  sent = 0;
  acked = 0;
  lastSeen = Date.now();
  errors: readonly { object: string; reason: string }[] = [];
  idlePorts = 0;
  #callId = 0;
  readonly #calls = new Map<number, { resolve: (value: unknown) => void; reject: (error: Error) => void; timer: NodeJS.Timeout }>();

  constructor(hello: Hello, wire: Wire) {
    this.host = hello.host;
    this.hello = hello;
    this.#wire = wire;
  }

  snapshot(watermark: Watermark, items: Iterable<Item>): void {
    this.sent = watermark.seq;
    this.#send({ type: 'snapshot', watermark, items: [...items] });
  }

  delta(seq: number, { upserts, removals }: Delta, requestIds: readonly string[]): void {
    this.sent = seq;
    const segments = removals.filter((key) => key.startsWith('segment/')).map((key) => key.slice('segment/'.length));
    if (segments.length > 0) this.removedSegments.set(seq, segments);
    this.#send({ type: 'delta', seq, upserts, removals, request_ids: requestIds });
  }

  /** Up to which change the host is known to be right, when the world stands at `head`. */
  appliedAt(head: number): number {
    return this.acked >= this.sent ? head : this.acked;
  }

  /** Asks the host something; rejects after 10 s without an answer. */
  call(method: 'console_output', params: { server_id: string; lines?: number }): Promise<unknown> {
    const id = ++this.#callId;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => this.#settle(id, (call) => call.reject(new Error(`host ${this.host} does not answer`))), CALL_TIMEOUT_MS);
      this.#calls.set(id, { resolve, reject, timer });
      this.#send({ type: 'call', id, method, params });
    });
  }

  answered(message: Extract<AgentMessage, { type: 'answer' }>): void {
    this.#settle(message.id, (call) => (message.error === undefined ? call.resolve(message.result) : call.reject(new Error(message.error))));
  }

  /** Answers a question of the host. */
  tell(id: number, answer: { readonly result: MetadataAnswer } | { readonly error: string }): void {
    this.#send({ type: 'told', id, ...answer });
  }

  close(): void {
    for (const id of [...this.#calls.keys()]) this.#settle(id, (call) => call.reject(new Error(`host ${this.host} has gone`)));
    this.#wire.close();
  }

  #settle(id: number, act: (call: { resolve: (value: unknown) => void; reject: (error: Error) => void }) => void): void {
    const call = this.#calls.get(id);
    if (!call) return;
    clearTimeout(call.timer);
    this.#calls.delete(id);
    act(call);
  }

  #send(message: ControllerMessage): void {
    if (this.#wire.bufferedAmount > MAX_BUFFERED) return this.#wire.close();
    this.#wire.send(JSON.stringify(message));
  }
}
