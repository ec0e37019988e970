/** Watches for a probe on all devices of a host, by tcpdump. */
import { spawn } from 'node:child_process';
import { onHost } from '../datacentre/host.ts';

/** A copy of the probe on a device: `Out` is what the host's switch sends to whoever is behind it. */
export interface Sighting {
  readonly device: string;
  readonly direction: 'In' | 'Out';
}

export interface Watch {
  readonly host: string;
  readonly sightings: readonly Sighting[];
  stop(): Promise<void>;
}

/** Ends when its input does, hence with us however we end. */
const UNTIL_END_OF_INPUT = 'tcpdump "$@" </dev/null & pid=$!; read -r line; kill -TERM $pid; wait $pid';

/** Resolves once tcpdump listens; a device instead of all lets the filter see VLAN tags. */
export function watch(state: string, host: string, filter: string, device = 'any'): Promise<Watch> {
  const [program = '', ...args] = onHost(state, host, ['sh', '-c', UNTIL_END_OF_INPUT, 'sh', '-l', '--immediate-mode', '-n', '-i', device, '-Q', device === 'any' ? 'inout' : 'in', filter]);
  const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'pipe'] });
  const sightings: Sighting[] = [];
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve()));
  const stop = (): Promise<void> => {
    child.stdin.end();
    return ended;
  };
  child.stdin.on('error', () => {}); // it has ended by itself
  let rest = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    const lines = (rest + text).split('\n');
    rest = lines.pop()!;
    for (const line of lines) sightings.push(...readSighting(line, device));
  });
  return new Promise((resolve, reject) => {
    let errors = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      errors += text;
      if (errors.includes('listening on')) resolve({ host, sightings, stop });
    });
    child.once('error', reject);
    child.once('close', () => reject(new Error(`tcpdump on ${host} ended: ${errors.trim().split('\n').at(-1)}`)));
  });
}

/** `12:34:56.7 tap1 Out IP 10.0.0.3 > …` of the device `any`; of another device it came in. */
export function readSighting(line: string, device = 'any'): Sighting[] {
  if (!/^\d\d:\d\d:\d\d/.test(line)) return [];
  if (device !== 'any') return [{ device, direction: 'In' }];
  const [, name, direction] = /^\S+ (\S+)\s+(In|Out|P|B|M)\b/.exec(line) ?? [];
  return name === undefined ? [] : [{ device: name, direction: direction === 'Out' ? 'Out' : 'In' }];
}
