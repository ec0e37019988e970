/** Processes known by pid and start time, so that a reused pid is never taken for ours. */
import { closeSync, mkdirSync, openSync, readFileSync, readdirSync } from 'node:fs';
import { spawn } from 'node:child_process';
import { dirname } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

export interface ProcessId {
  readonly pid: number;
  /** Field 22 of /proc/PID/stat: clock ticks between boot and start. */
  readonly start_time: string;
}

/** The identity of a running process; `undefined` when there is none, or only a zombie that waits to be reaped. */
export function processId(pid: number): ProcessId | undefined {
  const fields = statFields(pid);
  if (!fields || fields[0] === 'Z' || fields[0] === 'X') return undefined;
  return { pid, start_time: fields[19]! };
}

/** True while this very process runs. A zombie is gone: pid 1 of some machines reaps late. */
export function isAlive(id: ProcessId | undefined): boolean {
  return id !== undefined && processId(id.pid)?.start_time === id.start_time;
}

/** Fields of /proc/PID/stat from the third (state) on; the second may hold blanks and parentheses. */
function statFields(pid: number): string[] | undefined {
  const stat = readProc(`${pid}/stat`);
  return stat?.slice(stat.lastIndexOf(')') + 2).split(' ');
}

/**
 * Ends processes with `signal` and, those that outlive `graceMs`, with SIGKILL. Returns when all are gone; throws naming those that are
 * still there 10 s later (a process in uninterruptible sleep).
 */
export async function endProcesses(ids: readonly ProcessId[], signal: NodeJS.Signals = 'SIGKILL', graceMs = 5_000): Promise<void> {
  let left = ids.filter(isAlive);
  for (const id of left) signalProcess(id, signal);
  const started = Date.now();
  let killed = signal === 'SIGKILL';
  while ((left = left.filter(isAlive)).length > 0) {
    if (!killed && Date.now() - started > graceMs) {
      killed = true;
      for (const id of left) signalProcess(id, 'SIGKILL');
    }
    if (Date.now() - started > graceMs + 10_000) throw new Error(`cannot end the processes ${left.map(({ pid }) => pid).join(', ')}`);
    await delay(5);
  }
}

function signalProcess(id: ProcessId, signal: NodeJS.Signals): void {
  try {
    if (isAlive(id)) process.kill(id.pid, signal);
  } catch {
    // It ended between the look and the signal.
  }
}

/** Starts a process in a session of its own that outlives us, its output appended to `logFile`. */
export async function startDetached(argv: readonly string[], options: { logFile: string; env?: NodeJS.ProcessEnv }): Promise<ProcessId> {
  mkdirSync(dirname(options.logFile), { recursive: true });
  const log = openSync(options.logFile, 'a', 0o600);
  try {
    const child = spawn(argv[0]!, argv.slice(1), { detached: true, cwd: '/', env: options.env ?? process.env, stdio: ['ignore', log, log] });
    await new Promise((resolve, reject) => {
      child.once('spawn', resolve);
      child.once('error', reject);
    });
    child.unref();
    return processId(child.pid!) ?? { pid: child.pid!, start_time: '' };
  } finally {
    closeSync(log);
  }
}

/** Every running process whose environment holds `entry` (`NAME=value`), e.g. one that an interrupted run started and did not record. */
export function processesWithEnvironment(entry: string): ProcessId[] {
  return allPids().flatMap((pid) => {
    if (pid === process.pid || !readProc(`${pid}/environ`)?.split('\0').includes(entry)) return [];
    return processId(pid) ?? [];
  });
}

/** Machine-wide pids of the direct children of a process. */
export function childrenOf(pid: number): number[] {
  return (readProc(`${pid}/task/${pid}/children`) ?? '').split(' ').filter(Boolean).map(Number);
}

/** The pid that a process has in its own pid namespace. */
export function innerPid(pid: number): number | undefined {
  const line = /^NSpid:\s+(.*)$/m.exec(readProc(`${pid}/status`) ?? '');
  return line ? Number(line[1]!.split(/\s+/).at(-1)) : undefined;
}

function allPids(): number[] {
  return readdirSync('/proc').filter((name) => /^[0-9]+$/.test(name)).map(Number);
}

function readProc(path: string): string | undefined {
  try {
    return readFileSync(`/proc/${path}`, 'latin1');
  } catch {
    return undefined; // ended meanwhile
  }
}
