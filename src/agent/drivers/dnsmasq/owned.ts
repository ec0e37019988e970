/** Which dnsmasq processes are ours: their command line names a pid file below our folder. */
import { readFileSync, readdirSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';

export interface DnsmasqProcess {
  readonly pid: number;
  /** Without the program. */
  readonly args: readonly string[];
}

/** The process `pid` if it is a dnsmasq of `folder`: a pid alone may long belong to somebody else. */
export function readProcess(pid: number, folder: string): DnsmasqProcess | undefined {
  const found = readCommandLine(pid);
  return found && folderOf(found) === folder ? found : undefined;
}

/** All our processes below `root`, by folder: one pass over /proc. */
export function findProcesses(root: string): Map<string, DnsmasqProcess[]> {
  const byFolder = new Map<string, DnsmasqProcess[]>();
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    const found = readCommandLine(Number(name));
    const folder = found && folderOf(found);
    if (!folder || dirname(folder) !== root) continue;
    byFolder.set(folder, [...(byFolder.get(folder) ?? []), found]);
  }
  return byFolder;
}

function readCommandLine(pid: number): DnsmasqProcess | undefined {
  try {
    // A process that has ended and waits to be reaped has an empty command line.
    const [program, ...args] = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').slice(0, -1);
    return program !== undefined && basename(program) === 'dnsmasq' ? { pid, args } : undefined;
  } catch {
    return undefined; // gone meanwhile
  }
}

function folderOf({ args }: DnsmasqProcess): string | undefined {
  const option = args.find((arg) => arg.startsWith('--pid-file='));
  return option && basename(option) === 'pid' ? dirname(option.slice('--pid-file='.length)) : undefined;
}

/** The folders of networks below `root`. */
export function readFolders(root: string): string[] {
  try {
    return readdirSync(root).map((name) => join(root, name));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}
