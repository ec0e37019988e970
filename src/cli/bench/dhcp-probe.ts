/**
 * Asks for an address as a guest does, but every 10 ms: `dhcp-probe.ts MAC`, in the guest's namespace.
 * Prints `ready`, then for each line on stdin the time (ms since 1970) of the first offer to a new transaction.
 */
import { createSocket } from 'node:dgram';
import { createInterface } from 'node:readline';

const mac = Buffer.from((process.argv[2] ?? '').replaceAll(':', ''), 'hex');
const socket = createSocket('udp4');
let transaction = 0;
let asking: NodeJS.Timeout | undefined;

/** RFC 2131 §2, with the broadcast flag: a guest without an address hears nothing else. */
function discover(): Buffer {
  const packet = Buffer.alloc(300);
  packet.set([1, 1, 6, 0]);
  packet.writeUInt32BE(transaction, 4);
  packet.writeUInt16BE(0x8000, 10);
  packet.set(mac, 28);
  packet.set([0x63, 0x82, 0x53, 0x63, 53, 1, 1, 255], 236);
  return packet;
}

const ask = () => socket.send(discover(), 67, '255.255.255.255', () => {});

socket.on('message', (packet) => {
  const isOffer = packet[0] === 2 && packet.readUInt32BE(4) === transaction && packet.indexOf(Buffer.from([53, 1, 2]), 240) > 0;
  if (!asking || !isOffer) return;
  clearInterval(asking);
  asking = undefined;
  process.stdout.write(`${performance.timeOrigin + performance.now()}\n`);
});
socket.bind(68, '0.0.0.0', () => {
  socket.setBroadcast(true);
  process.stdout.write('ready\n');
});
createInterface({ input: process.stdin }).on('line', () => {
  transaction++;
  asking = setInterval(ask, 10);
  ask();
}).on('close', () => process.exit(0));
