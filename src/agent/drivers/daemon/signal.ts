/** Signals to programs that the agent started, or that an agent before it did. */
import { readFileSync } from 'node:fs';
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

/**
 * Has a process of `folder` read its configuration again. radvd detaches itself before it has a handler for SIGHUP, which
 * ends it until then: a change right after its start killed it. Throws when the process ends first, or never has one.
 */
export async function tellReload(program: string, pid: number, folder: string): Promise<void> {
  for (const end = Date.now() + PATIENCE; !catchesHangup(pid); await sleep(POLL)) {
    if (!readProcess(program, pid, folder)) throw new Error(`${program} (pid ${pid}) ended before it was told of its new configuration`);
    if (Date.now() >= end) throw new Error(`${program} (pid ${pid}) does not read its configuration again: it has no handler for SIGHUP`);
  }
  process.kill(pid, 'SIGHUP');
}

/** True when the process has a handler for SIGHUP, signal 1: the lowest bit of what /proc lists as caught. */
function catchesHangup(pid: number): boolean {
  try {
    const [, caught = ''] = /^SigCgt:\s*([0-9a-f]+)$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
    return (Number.parseInt(caught.slice(-1), 16) & 1) === 1;
  } catch {
    return false; // gone meanwhile
  }
}
