/** Where agents connect: a WebSocket endpoint of its own, never on the public listener. */
import { chmodSync, rmSync } from 'node:fs';
import type { Server } from 'node:http';
import { WebSocketServer } from 'ws';
import { type AgentMessage, MAX_FRAME } from '#protocol/messages.ts';
import type { Log } from '../http/log.ts';
import type { Hosts } from './hosts.ts';
import type { Session } from './session.ts';

// An import makes Node read every export, and that loads its fetch client: 55 ms.
const { createServer } = process.getBuiltinModule('node:http');

/** Listens on the unix socket `path`, for root only. Messages of one agent are taken in order. */
export async function listenForAgents(path: string, hosts: Hosts, log: Log): Promise<Server> {
  const server = createServer((_request, response) => response.writeHead(426).end());
  const sockets = new WebSocketServer({ server, path: '/agent', maxPayload: MAX_FRAME, perMessageDeflate: false });
  sockets.on('connection', (socket) => {
    let session: Session | undefined;
    let turn = Promise.resolve();
    const inTurn = (work: () => Promise<void>): void => {
      turn = turn.then(work).catch((error: Error) => {
        log.error('an agent said what we cannot take', { host: session?.host, error: String(error.stack) });
        socket.close();
      });
    };
    socket.on('message', (data) => inTurn(async () => {
      const message = JSON.parse(String(data)) as AgentMessage;
      if (session) return hosts.receive(session, message);
      if (message.type !== 'hello') return socket.close();
      session = await hosts.join(message, {
        send: (text) => socket.send(text),
        close: () => {
          socket.close();
          // One that reads nothing any more would keep what is buffered for it.
          setTimeout(() => socket.terminate(), 1_000).unref();
        },
        get bufferedAmount() {
          return socket.bufferedAmount;
        },
      });
    }));
    socket.on('close', () => inTurn(async () => {
      if (session) await hosts.leave(session);
    }));
    socket.on('error', () => socket.terminate());
  });
  rmSync(path, { force: true });
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(path, resolve));
  chmodSync(path, 0o600);
  return server;
}
