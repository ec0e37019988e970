/** Connection tracking of Open vSwitch's datapath, userspace or kernel: what is forgotten, and how much is remembered. */
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { JsonSplitter } from '#openflow/json-splitter.ts';

/** A switch that hangs must not hold up the agent for ever. */
const PATIENCE = 10_000;

/**
 * Forgets every connection of `zones`, as `ovs-appctl dpctl/flush-conntrack zone=N` does: a zone is emptied before another
 * network gets its number (DESIGN §4). Throws when vswitchd in `runDir` does not answer or refuses.
 */
export async function flushZones(runDir: string, zones: readonly number[]): Promise<void> {
  // Never without a zone: that would forget the connections of all networks.
  await ask(runDir, zones.map((zone) => ['dpctl/flush-conntrack', `zone=${zone}`]));
}

/**
 * Lets each of `zones` remember `most` connections and no more; 0: as many as the datapath holds. vswitchd forgets it when it ends.
 * Not by the datapath's default, which all zones without a limit of their own share. `say` hears the line of a change before it is
 * made. Throws when vswitchd in `runDir` does not answer or refuses.
 */
export async function limitZones(runDir: string, zones: readonly number[], most: number, say: (line: string) => void): Promise<void> {
  if (zones.length === 0) return;
  const [said = ''] = await ask(runDir, [['dpctl/ct-get-limits', `zone=${zones.join(',')}`]]);
  const held = new Map([...said.matchAll(/^zone=(\d+),limit=(\d+)/gm)].map(([, zone, limit]) => [Number(zone), Number(limit)]));
  const other = zones.filter((zone) => (held.get(zone) ?? 0) !== most);
  if (other.length === 0) return;
  const command = most === 0 ? ['dpctl/ct-del-limits', `zone=${other.join(',')}`] as const : ['dpctl/ct-set-limits', ...other.map((zone) => `zone=${zone},limit=${most}`)] as const;
  say(`ovs-appctl ${command.join(' ')}`);
  await ask(runDir, [command]);
}

/** Commands of `ovs-appctl`, over one connection to the control socket of vswitchd; resolves with what it says to each. */
async function ask(runDir: string, commands: readonly (readonly [string, ...string[]])[]): Promise<string[]> {
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
