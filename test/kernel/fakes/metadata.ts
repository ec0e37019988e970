/**
 * A small metadata service for tests of what instances do with one: serves a table of paths, can ask for session tokens,
 * and remembers what it was asked.
 */

import { once } from 'node:events';
import { createServer, type Server } from 'node:http';

const TOKEN = 'the-session-token';

export class FakeMetadata {
  readonly tree: Record<string, string | Buffer>;
  readonly asked: string[] = [];
  tokens = false;
  readonly #servers: Server[] = [];

  constructor(tree: Record<string, string | Buffer>) {
    this.tree = tree;
  }

  async listen(...addresses: string[]): Promise<void> {
    for (const address of addresses) {
      const server = createServer((request, response) => {
        const { method = '', url = '', headers } = request;
        this.asked.push(`${method} ${url}`);
        const answer = (code: number, body: string | Buffer) => void response.writeHead(code, { 'content-length': Buffer.byteLength(body) }).end(body);
        if (method === 'PUT') return answer(this.tokens ? 200 : 404, TOKEN);
        if (this.tokens && headers['x-aws-ec2-metadata-token'] !== TOKEN) return answer(401, 'a token, please');
        // Not at once, as a service that asks others first.
        setTimeout(() => (Object.hasOwn(this.tree, url) ? answer(200, this.tree[url]!) : answer(404, 'no such thing')), 20);
      });
      server.listen(80, address);
      await once(server, 'listening');
      this.#servers.push(server);
    }
  }

  async close(): Promise<void> {
    for (const server of this.#servers.splice(0)) {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    }
  }
}
