/** A process that outlives its driver: known by its pid and the time it began. */

import { readFile } from 'node:fs/promises';
import { setTimeout } from 'node:timers/promises';

export interface ProcessId {
  readonly pid: number;
  /** In clock ticks since boot: with it a reused pid is not taken for the guest. */
  readonly startTime: string;
}

/** Whether it still runs; a zombie does not (pid 1 of a host may reap late, dataplane.md trap 16). */
export async function isAlive({ pid, startTime }: ProcessId): Promise<boolean> {
  return (await startTimeOf(pid)) === startTime;
}

/** When the process with this pid began; `undefined` when none runs. */
export async function startTimeOf(pid: number): Promise<string | undefined> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => undefined);
  if (stat === undefined) return undefined;
  // The name in parentheses may hold spaces and parentheses itself.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return fields[0] === 'Z' || fields[0] === 'X' ? undefined : fields[19];
}

/** Waits until the process is gone, at most so many milliseconds. False when it still runs. */
export async function untilGone(id: ProcessId, timeout: number): Promise<boolean> {
  const end = performance.now() + timeout;
  while (await isAlive(id)) {
    if (performance.now() >= end) return false;
    await setTimeout(4);
  }
  return true;
}
