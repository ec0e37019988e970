/** An HTTP server that does nothing: `/N` answers N bytes. A process of its own; prints its port. */
import type { AddressInfo } from 'node:net';

// Not an import: see src/control/controller.ts.
const { createServer } = process.getBuiltinModule('node:http');

const bodies = new Map<number, Buffer>();
const server = createServer((request, response) => {
  const size = Number(request.url!.slice(1));
  const body = bodies.get(size) ?? Buffer.alloc(size, ' ');
  bodies.set(size, body);
  request.resume().on('end', () => response.writeHead(200, { 'content-type': 'application/json', 'content-length': size }).end(body));
});
server.listen(0, '127.0.0.1', () => process.stdout.write(`${(server.address() as AddressInfo).port}\n`));
process.stdin.on('end', () => process.exit(0)).resume();
