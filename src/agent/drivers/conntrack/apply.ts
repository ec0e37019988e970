/** The conntrack zones of Open vSwitch's datapath, userspace or kernel: a zone is emptied before another network gets its number (DESIGN §4). */
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { JsonSplitter } from '#openflow/json-splitter.ts';

/** A switch that hangs must not hold up the agent for ever. */
const PATIENCE = 10_000;

/**
 * Forgets every connection of `zones`, as `ovs-appctl dpctl/flush-conntrack zone=N` does, over one connection to the
 * control socket of vswitchd in `runDir`. Throws when vswitchd does not answer or refuses.
 */
export async function flushZones(runDir: string, zones: readonly number[]): Promise<void> {
  if (zones.length === 0) return;
  const socket = connect(controlSocket(runDir));
  try {
    await new Promise<void>((resolve, reject) => {
      const splitter = new JsonSplitter();
      let left = zones.length;
      socket.setTimeout(PATIENCE, () => reject(new Error(`ovs-vswitchd has not flushed conntrack zones ${zones.join(', ')} within ${PATIENCE / 1000} s`)));
      socket.once('error', reject);
      socket.once('close', () => reject(new Error('ovs-vswitchd closed its control socket')));
      socket.on('data', (chunk: Buffer) => {
        for (const { error } of splitter.push(chunk) as { error: unknown }[]) {
          if (error !== null) reject(new Error(`ovs-appctl dpctl/flush-conntrack: ${String(error).trim()}`));
          else if (--left === 0) resolve();
        }
      });
      // Never without a zone: that would forget the connections of all networks.
      for (const [id, zone] of zones.entries()) socket.write(JSON.stringify({ id, method: 'dpctl/flush-conntrack', params: [`zone=${zone}`] }));
    });
  } finally {
    socket.destroy();
  }
}

/** `ovs-vswitchd.<pid>.ctl`: vswitchd writes its pid beside it. */
function controlSocket(runDir: string): string {
  return join(runDir, `ovs-vswitchd.${readFileSync(join(runDir, 'ovs-vswitchd.pid'), 'utf8').trim()}.ctl`);
}
