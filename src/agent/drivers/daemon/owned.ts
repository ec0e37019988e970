/**
 * Long-running programs that the agent starts and that outlive it (dnsmasq, HAProxy): each has a folder of its own and
 * writes its pid file there. That file's path on the command line is the birth mark: nothing else is touched.
 */
import { readFileSync, readdirSync, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { readText } from './files.ts';

export interface OwnedProcess {
  readonly pid: number;
  /** Without the program. */
  readonly args: readonly string[];
}

/** The process `pid` if it is `program` for `folder`: a pid alone may long belong to somebody else. */
export function readProcess(program: string, pid: number, folder: string): OwnedProcess | undefined {
  const found = readCommandLine(program, pid);
  return found && folderOf(found) === folder ? found : undefined;
}

/** True once the process holds nothing any more: its command line goes before its sockets do, which the next one wants. */
export function hasEnded(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return /^[ZX]/.test(stat.slice(stat.lastIndexOf(')') + 2));
  } catch {
    return true; // reaped
  }
}

/** All processes of `program` with a folder below `root`, by folder: one pass over /proc. */
export function findProcesses(program: string, root: string): Map<string, OwnedProcess[]> {
  const byFolder = new Map<string, OwnedProcess[]>();
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    const found = readCommandLine(program, Number(name));
    const folder = found && folderOf(found);
    if (!folder || dirname(folder) !== root) continue;
    byFolder.set(folder, [...(byFolder.get(folder) ?? []), found]);
  }
  return byFolder;
}

/** Which of `pids`, and of what the pid file says before them, are processes of `folder`; helpers that such a one keeps (radvd's) are not. */
export function runningProcesses(program: string, folder: string, pids: readonly number[] = []): OwnedProcess[] {
  const recorded = Number(readText(join(folder, 'pid')));
  const candidates = [...new Set([...(recorded > 0 ? [recorded] : []), ...pids])];
  const found = candidates.flatMap((pid) => readProcess(program, pid, folder) ?? []);
  return found.filter(({ pid }) => !found.some((other) => other.pid === parentOf(pid)));
}

function parentOf(pid: number): number | undefined {
  try {
    return Number(/^PPid:\s*(\d+)$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]);
  } catch {
    return undefined; // gone meanwhile
  }
}

/** True when a process is not in the namespace that bears this name now: a namespace lives on without its name. */
export function isElsewhere(pid: number, namespace: string): boolean {
  const [own, named] = [statSync(`/proc/${pid}/ns/net`), statSync(`/run/netns/${namespace}`)];
  return own.ino !== named.ino || own.dev !== named.dev;
}

/** The folders below `root`. */
export function readFolders(root: string): string[] {
  try {
    return readdirSync(root).map((name) => join(root, name));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}

function readCommandLine(wanted: string, pid: number): OwnedProcess | undefined {
  try {
    // A process that has ended and waits to be reaped has an empty command line.
    const [program, ...args] = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').slice(0, -1);
    return program !== undefined && basename(program) === wanted ? { pid, args } : undefined;
  } catch {
    return undefined; // gone meanwhile
  }
}

/** From `--pid-file=FOLDER/pid`, or the bare path. */
function folderOf({ args }: OwnedProcess): string | undefined {
  const mark = args.find((arg) => basename(arg) === 'pid');
  return mark?.includes('/') ? dirname(mark.slice(mark.indexOf('/'))) : undefined;
}
