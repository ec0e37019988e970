/** The QEMU Machine Protocol as far as the driver speaks it: one command after the other, and waiting for an event. */

import { connect, type Socket } from 'node:net';

interface QmpMessage {
  readonly QMP?: unknown;
  readonly return?: unknown;
  readonly error?: { readonly desc: string };
  readonly event?: string;
}

/** Milliseconds; a living qemu answers within a few. */
const PATIENCE = 5000;

/** Connects to the socket of a running qemu for as long as `work` takes. Rejects when nobody answers there. */
export async function withQmp<T>(socketPath: string, work: (qmp: Qmp) => Promise<T>): Promise<T> {
  const socket = connect(socketPath);
  const qmp = new Qmp(socket);
  try {
    await qmp.next(({ QMP }) => QMP !== undefined);
    await qmp.execute('qmp_capabilities');
    return await work(qmp);
  } finally {
    socket.destroy();
  }
}

export class Qmp {
  readonly #socket: Socket;
  #text = '';
  readonly #messages: QmpMessage[] = [];
  #ended: Error | undefined;
  #wake = (): void => {};

  constructor(socket: Socket) {
    this.#socket = socket.setEncoding('utf8');
    socket.on('data', (chunk: string) => {
      const lines = (this.#text + chunk).split('\n');
      this.#text = lines.pop()!;
      for (const line of lines) if (line.trim() !== '') this.#messages.push(JSON.parse(line) as QmpMessage);
      this.#wake();
    });
    socket.on('error', (error) => this.#end(error));
    socket.on('close', () => this.#end(new Error('qemu has closed its QMP socket')));
  }

  /** Runs a command to its answer. Rejects with qemu's words when it refuses. */
  async execute(command: string, args: Readonly<Record<string, unknown>> = {}): Promise<unknown> {
    this.#socket.write(`${JSON.stringify({ execute: command, arguments: args })}\n`);
    const answer = await this.next((message) => message.return !== undefined || message.error !== undefined);
    if (answer.error !== undefined) throw new Error(`qemu: ${command}: ${answer.error.desc}`);
    return answer.return;
  }

  /** The next message that `matches`; those before it are dropped. Rejects when none comes in time. */
  async next(matches: (message: QmpMessage) => boolean, timeout = PATIENCE): Promise<QmpMessage> {
    const timer = setTimeout(() => this.#end(new Error('qemu does not answer on its QMP socket')), timeout);
    try {
      for (;;) {
        for (let message = this.#messages.shift(); message !== undefined; message = this.#messages.shift()) if (matches(message)) return message;
        if (this.#ended !== undefined) throw this.#ended;
        await new Promise<void>((resolve) => (this.#wake = resolve));
      }
    } finally {
      clearTimeout(timer);
    }
  }

  #end(error: Error): void {
    this.#ended ??= error;
    this.#wake();
  }
}
