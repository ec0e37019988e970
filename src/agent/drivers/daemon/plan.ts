/** A long-running program with one config file, as it shall run in a namespace, and the difference from what is there. Pure. */

export interface DesiredDaemon {
  /** As it is found in PATH. It detaches itself once it serves, and survives the agent. */
  readonly program: string;
  /** Its own: holds `config`, `pid` and `loaded`. */
  readonly folder: string;
  readonly namespace: string;
  /** One of them is `FOLDER/pid`, bare or behind a `--…=`: the birth mark. */
  readonly args: readonly string[];
  /** The text of `FOLDER/config`. */
  readonly config: string;
  /**
   * How another config gets in: `SIGHUP` has it read again; `successor` starts a second process, which shares the ports
   * of the first until that has finished what it is at (SIGUSR1, as HAProxy understands it).
   */
  readonly change: 'SIGHUP' | 'successor';
}

export interface FoundDaemon {
  /** The process that serves; null when none does. `elsewhere`: it is in another namespace than the named one. */
  readonly process: { readonly pid: number; readonly args: readonly string[]; readonly elsewhere: boolean } | null;
  /** What the config file holds, and what it held when the process last took it; undefined where a file is missing. */
  readonly config: string | undefined;
  readonly loaded: string | undefined;
}

export interface DaemonPlan {
  readonly write: boolean;
  readonly action: 'none' | 'start' | 'restart' | 'reload';
}

export function planDaemon(desired: DesiredDaemon, found: FoundDaemon): DaemonPlan {
  const write = found.config !== desired.config;
  if (!found.process) return { write, action: 'start' };
  if (found.process.elsewhere || !sameArgs(found.process.args, desired.args)) return { write, action: 'restart' };
  if (!write && found.loaded === desired.config) return { write, action: 'none' };
  return { write, action: desired.change === 'SIGHUP' ? 'reload' : 'restart' };
}

export function sameArgs(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((arg, index) => arg === b[index]);
}

/** The plan as an operator would say it; no lines when nothing is to be done. */
export function printDaemonPlan({ program, folder }: DesiredDaemon, { write, action }: DaemonPlan): string[] {
  return [
    ...(write ? [`write ${folder}/config`] : []),
    ...(action === 'none' ? [] : [`${action === 'reload' ? 'kill -HUP' : action} ${program}`]),
  ];
}
