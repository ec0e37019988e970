/** The floor of every request: Node's HTTP server with nothing behind it, in a process of its own. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { nodeArgv } from '../../services.ts';
import { ApiClient } from '../api-client.ts';
import { residentMemory } from '../bare-controller.ts';
import { statisticsOf, timeEach } from '../statistics.ts';

const SERVER = fileURLToPath(new URL('bare-server.ts', import.meta.url));

export interface BareServer {
  /** p50 in milliseconds of an answer of so many bytes. */
  answer(bytes: number, count: number): Promise<number>;
  /** Resident memory in MB. */
  memory(): number;
  /** Milliseconds from the start of the process to its first answer. */
  readonly startTime: number;
  stop(): void;
}

export async function startBareServer(): Promise<BareServer> {
  const started = performance.now();
  const [command = '', ...args] = nodeArgv(SERVER);
  // It ends with its stdin, so also when we are killed.
  const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'inherit'] });
  const [line] = await once(child.stdout, 'data');
  const client = new ApiClient(`http://127.0.0.1:${String(line).trim()}`);
  await client.call('GET', '/100');
  const startTime = performance.now() - started;
  return {
    startTime,
    async answer(bytes, count) {
      await timeEach(Math.ceil(count / 10), () => client.call('GET', `/${bytes}`));
      return statisticsOf(await timeEach(count, () => client.call('GET', `/${bytes}`))).p50;
    },
    memory: () => residentMemory(child.pid!),
    stop() {
      client.close();
      child.stdin.end();
    },
  };
}
