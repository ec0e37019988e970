/** One TCP stream at full speed: `tcp-probe.ts sink ADDRESS` prints its port; `tcp-probe.ts source ADDRESS PORT SECONDS` prints Mbit/s. */
import { type AddressInfo, connect, createServer } from 'node:net';

const [role, address = '', port = '', seconds = ''] = process.argv.slice(2);
if (role === 'sink') {
  const server = createServer((socket) => {
    let bytes = 0;
    let first = 0;
    socket.on('data', (chunk) => {
      first ||= performance.now();
      bytes += chunk.length;
    });
    // What arrived counts, not what was sent.
    socket.on('end', () => socket.end(String((bytes * 8) / ((performance.now() - first) * 1000))));
  });
  server.listen(0, address, () => process.stdout.write(`${(server.address() as AddressInfo).port}\n`));
  process.stdin.on('end', () => process.exit(0)).resume();
} else {
  const block = Buffer.alloc(1 << 18);
  const socket = connect({ host: address, port: Number(port), allowHalfOpen: true });
  const end = performance.now() + Number(seconds) * 1000;
  const send = () => {
    while (performance.now() < end) if (!socket.write(block)) return;
    socket.end();
  };
  socket.on('connect', send).on('drain', send);
  socket.on('data', (text) => process.stdout.write(text));
  socket.setTimeout(20_000, () => process.exit(1));
}
