/** Ends programs that the agent started, or that an agent before it did. */
import { setTimeout as sleep } from 'node:timers/promises';
import { hasEnded, readProcess } from './owned.ts';

const POLL = 2;
/** Milliseconds for a process to end by each signal. */
const PATIENCE = 1_000;

/** Ends a process of `folder`, by SIGTERM unless told otherwise, and waits until it is gone; throws when it does not go. */
export async function stopProcess(program: string, pid: number, folder: string, first: readonly NodeJS.Signals[] = ['SIGTERM']): Promise<void> {
  if (!readProcess(program, pid, folder)) return;
  for (const signal of [...first, 'SIGKILL'] as const) {
    try {
      if (readProcess(program, pid, folder)) process.kill(pid, signal);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
    }
    for (const end = Date.now() + PATIENCE; Date.now() < end; await sleep(POLL)) if (hasEnded(pid)) return;
  }
  throw new Error(`${program} (pid ${pid}) does not end`);
}
