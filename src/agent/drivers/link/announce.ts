/** Tells the neighbours where an address is now: gratuitous ARP, so that nobody sends to where it was (N-L3-16). */
import { spawn } from 'node:child_process';

/**
 * Three rounds, a second apart: a neighbour does not believe a second word within a second of the first, and the first
 * may be lost while the port is being wired. arping ends a second after its one frame.
 */
const ANNOUNCE = `for round in 1 2 3; do
  for each; do arping -q -U -c 1 -w 1 -I "\${each%% *}" "\${each#* }" & done
  wait
done`;

/** Begins to announce IPv4 addresses of devices of a namespace and does not wait for it; IPv6 ones the kernel announces. */
export function announce(namespace: string, addresses: readonly (readonly [device: string, address: string])[]): void {
  const all = addresses.filter(([, address]) => !address.includes(':')).map((each) => each.join(' '));
  if (all.length === 0) return;
  const child = spawn('ip', ['netns', 'exec', namespace, 'sh', '-c', ANNOUNCE, 'sh', ...all], { cwd: '/', stdio: 'ignore' });
  // Without it neighbours ask again by and by.
  child.once('error', () => {});
  child.unref();
}
