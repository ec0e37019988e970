/** The agent's end of the channel: connects, says hello with its watermark, hands messages on, and comes back after a loss. */
import WebSocket from 'ws';
import { type AgentMessage, type ControllerMessage, type Hello, MAX_FRAME } from '#protocol/messages.ts';

const RETRY_MS = { first: 50, most: 5_000 };

export interface LinkOptions {
  /** `unix:/path` or `host:port`. */
  readonly controller: string;
  readonly hello: () => Hello;
  readonly receive: (message: ControllerMessage) => void;
  /** The connection is gone. */
  readonly lost: () => void;
  readonly log: (message: string, fields?: Readonly<Record<string, unknown>>) => void;
}

export class ControllerLink {
  readonly #options: LinkOptions;
  #socket: WebSocket | undefined;
  #retry = RETRY_MS.first;
  #timer: NodeJS.Timeout | undefined;
  #stopped = false;

  constructor(options: LinkOptions) {
    this.#options = options;
    this.#connect();
  }

  get connected(): boolean {
    return this.#socket?.readyState === WebSocket.OPEN;
  }

  /** False and lost when there is no connection: what matters is said again after the next hello. */
  send(message: AgentMessage): boolean {
    if (!this.connected) return false;
    this.#socket!.send(JSON.stringify(message));
    return true;
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
    this.#socket?.terminate();
  }

  #connect(): void {
    const { controller } = this.#options;
    const url = controller.startsWith('unix:') ? `ws+unix:${controller.slice('unix:'.length)}:/agent` : `ws://${controller}/agent`;
    const socket = new WebSocket(url, { maxPayload: MAX_FRAME, perMessageDeflate: false, handshakeTimeout: 10_000 });
    this.#socket = socket;
    let opened = Infinity;
    socket.on('open', () => {
      opened = Date.now();
      this.#options.log('connected to the controller', { controller });
      this.send(this.#options.hello());
    });
    socket.on('message', (data) => {
      const message = JSON.parse(String(data)) as ControllerMessage;
      if (message.type === 'refused') this.#options.log('the controller refuses this agent', { reason: message.reason });
      else {
        this.#retry = RETRY_MS.first;
        this.#options.receive(message);
      }
    });
    socket.on('error', () => {});
    socket.on('close', () => {
      this.#options.lost();
      if (this.#stopped) return;
      // One that takes us and lets us go at once (its store is away, it speaks another version) is not asked again and again.
      if (Date.now() - opened > RETRY_MS.most) this.#retry = RETRY_MS.first;
      this.#timer = setTimeout(() => this.#connect(), this.#retry);
      this.#retry = Math.min(this.#retry * 2, RETRY_MS.most);
    });
  }
}
