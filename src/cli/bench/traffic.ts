/** Round trips and throughput between two places that can run a command. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { run } from '../datacentre/run.ts';
import { type Statistics, round, statisticsOf } from './statistics.ts';

const PROBE = fileURLToPath(new URL('tcp-probe.ts', import.meta.url));

/** Wraps a command line so that it runs at the place. */
export type Inside = (argv: readonly string[]) => string[];

/** Milliseconds of each of `count` pings of 64 bytes, 5 ms apart. */
export async function pingTimes(from: Inside, address: string, count: number): Promise<Statistics> {
  const output = await run(from(['ping', '-n', '-i', '0.005', '-c', String(count), '-W', '2', address]), { timeout: 60_000 });
  const times = [...output.matchAll(/ time=([0-9.]+) ms/g)].map(([, time]) => Number(time));
  return statisticsOf(times);
}

/** Mbit/s of one TCP stream from one place to the other. */
export async function tcpRate(from: Inside, to: Inside, address: string, seconds: number): Promise<number> {
  const [command = '', ...args] = to([process.execPath, PROBE, 'sink', address]);
  const sink = spawn(command, args, { stdio: ['pipe', 'pipe', 'inherit'] });
  try {
    const [port] = await once(sink.stdout, 'data', { signal: AbortSignal.timeout(10_000) });
    return round(Number(await run(from([process.execPath, PROBE, 'source', address, String(port).trim(), String(seconds)]), { timeout: seconds * 1000 + 30_000 })));
  } finally {
    sink.stdin.end();
  }
}

/** Pings every 5 ms from now on; resolves with the time (ms since 1970) of the first answer. */
export async function firstPing(from: Inside, address: string): Promise<number> {
  const [command = '', ...args] = from(['ping', '-n', '-D', '-i', '0.005', address]);
  // Not ping's own deadline (-w): with one, the first "host unreachable" ends it.
  const ping = spawn(command, args, { stdio: ['ignore', 'pipe', 'inherit'], timeout: 60_000 });
  const ended = once(ping, 'exit');
  let output = '';
  try {
    for await (const text of ping.stdout.setEncoding('utf8')) {
      output += text;
      const at = /^\[([0-9.]+)\] \d+ bytes from /m.exec(output)?.[1];
      if (at) return Number(at) * 1000;
      output = output.slice(-500);
    }
    throw new Error(`${address} did not answer a ping within 60 s`);
  } finally {
    ping.kill();
    await ended;
  }
}
