/** Where the metadata API is asked: a unix socket for the agents of the machine, never the public listener. */
import { chmodSync, rmSync } from 'node:fs';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { buffer } from 'node:stream/consumers';
import type { Log } from '../http/log.ts';
import type { MetadataService } from './metadata-service.ts';

// An import makes Node read every export, and that loads its fetch client: 55 ms.
const { createServer } = process.getBuiltinModule('node:http');

/** Listens on the unix socket `path`, for root only. */
export async function listenForMetadata(path: string, service: MetadataService, log: Log): Promise<Server> {
  // Longer than the agents keep a connection that nobody uses: none is closed while a request is on its way.
  const server = createServer({ keepAliveTimeout: 120_000, requestTimeout: 30_000 }, (request, response) => {
    answer(service, request, response).catch((error: Error) => {
      log.error('metadata: a request failed', { url: request.url, error: String(error.stack) });
      if (!response.headersSent) response.writeHead(500, { 'content-type': 'text/plain' });
      response.end('the metadata service failed; try again\n');
    });
  });
  rmSync(path, { force: true });
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(path, resolve));
  chmodSync(path, 0o600);
  return server;
}

async function answer(service: MetadataService, request: IncomingMessage, response: ServerResponse): Promise<void> {
  // Agents take no long ones.
  const body = await buffer(request);
  const { status, headers, body: content } = await service.answer({ method: request.method ?? 'GET', url: request.url ?? '/', headers: request.headersDistinct, body });
  response.writeHead(status, { 'content-type': 'text/plain; charset=UTF-8', 'content-length': Buffer.byteLength(content), ...headers }).end(content);
}
