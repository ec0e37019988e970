/** What `ovs-appctl` does, without a process for it. */
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { JsonSplitter } from '#openflow/json-splitter.ts';

/** A switch that hangs must not hold up the agent for ever. */
const PATIENCE = 10_000;

/**
 * Commands of `ovs-appctl`, over one connection to the control socket of vswitchd in `runDir`; resolves with what it says to each.
 * Throws when it does not answer, or refuses one.
 */
export async function askVswitchd(runDir: string, commands: readonly (readonly [string, ...string[]])[]): Promise<string[]> {
  if (commands.length === 0) return [];
  const socket = connect(controlSocket(runDir));
  const names = [...new Set(commands.map(([method]) => method))].join(', ');
  try {
    return await new Promise<string[]>((resolve, reject) => {
      const splitter = new JsonSplitter();
      const answers: string[] = [];
      let left = commands.length;
      socket.setTimeout(PATIENCE, () => reject(new Error(`ovs-vswitchd has not answered ${names} within ${PATIENCE / 1000} s`)));
      socket.once('error', reject);
      socket.once('close', () => reject(new Error('ovs-vswitchd closed its control socket')));
      socket.on('data', (chunk: Buffer) => {
        for (const { id, error, result } of splitter.push(chunk) as { id: number; error: unknown; result: unknown }[]) {
          if (error !== null) return reject(new Error(`ovs-appctl ${commands[id]?.join(' ') ?? ''}: ${String(error).trim()}`));
          answers[id] = String(result ?? '');
          if (--left === 0) return resolve(answers);
        }
      });
      for (const [id, [method, ...params]] of commands.entries()) socket.write(JSON.stringify({ id, method, params }));
    });
  } finally {
    socket.destroy();
  }
}

/** `ovs-vswitchd.<pid>.ctl`: vswitchd writes its pid beside it. */
function controlSocket(runDir: string): string {
  return join(runDir, `ovs-vswitchd.${readFileSync(join(runDir, 'ovs-vswitchd.pid'), 'utf8').trim()}.ctl`);
}
