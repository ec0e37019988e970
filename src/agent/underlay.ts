/** The way to a tunnel endpoint, known to OVS before the first frame needs it. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

const run = promisify(execFile);

/**
 * Makes OVS learn the MAC of the next hop towards `remoteIp`: userspace tunnels drop the first packet to a hop that
 * they do not know (dataplane.md trap 11), and OVS learns from any ARP reply that it sees. A peer that does not answer
 * is no error here: OVS asks again with each packet.
 */
export async function resolvePeer(remoteIp: string): Promise<void> {
  try {
    const { stdout } = await run('ip', ['-json', 'route', 'get', remoteIp]);
    const [route] = JSON.parse(stdout) as { gateway?: string; dev: string }[];
    if (route) await run('arping', ['-c', '1', '-w', '1', '-I', route.dev, route.gateway ?? remoteIp]);
  } catch {
    // No route or no answer yet.
  }
}
