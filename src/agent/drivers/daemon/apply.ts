/** Reads and changes one long-running program: its config file and its process. */
import { chmodSync, existsSync, linkSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { inNamespace } from '#agent/drivers/command.ts';
import { readText, replaceFile } from './files.ts';
import { isElsewhere, type OwnedProcess, readProcess, runningProcesses } from './owned.ts';
import type { DaemonPlan, DesiredDaemon, FoundDaemon } from './plan.ts';
import { stopProcess, tellReload } from './signal.ts';

/** Reads folder and process; `pids` is what else was seen of the folder. A second process is ended. The namespace exists. */
export async function readDaemon({ program, folder, namespace }: DesiredDaemon, pids: readonly number[]): Promise<FoundDaemon> {
  const [serving, ...others] = runningProcesses(program, folder, pids);
  for (const other of others) await stopProcess(program, other.pid, folder);
  return {
    process: serving ? { ...serving, elsewhere: isElsewhere(serving.pid, namespace) } : null,
    config: readText(join(folder, 'config')),
    loaded: readText(join(folder, 'loaded')),
  };
}

/**
 * Carries out a plan that is not empty; resolves with the process that serves afterwards. Throws when the program does not
 * start: then one that ran before still runs, unless it had to make room.
 */
export async function applyDaemon(desired: DesiredDaemon, plan: DaemonPlan, found: FoundDaemon): Promise<OwnedProcess> {
  const { program, folder, namespace, args, config, change } = desired;
  const old = found.process;
  mkdirSync(folder, { recursive: true });
  chmodSync(folder, 0o755);
  // Not there while a change is under way: an agent that dies in it leaves that trace.
  rmSync(join(folder, 'loaded'), { force: true });
  if (plan.write) replaceFile(join(folder, 'config'), config);
  let serving: OwnedProcess | undefined = old ?? undefined;
  if (plan.action === 'reload') await tellReload(program, old!.pid, folder);
  else {
    if (old && change === 'SIGHUP') await stopProcess(program, old.pid, folder);
    // Returns when it serves: only then does its first process end.
    await inNamespace(namespace, program, args);
    serving = readProcess(program, Number(readText(join(folder, 'pid'))), folder);
    if (!serving) throw new Error(`${program} ended at once after its start`);
    if (old && change === 'successor') await stopProcess(program, old.pid, folder, ['SIGUSR1', 'SIGTERM']);
  }
  linkSync(join(folder, 'config'), join(folder, 'loaded'));
  return serving!;
}

/** Ends the program and removes its folder, whatever of them is there; the lines of what was done. */
export async function removeDaemon(program: string, folder: string, pids: readonly number[]): Promise<string[]> {
  const lines: string[] = [];
  for (const { pid } of runningProcesses(program, folder, pids)) {
    await stopProcess(program, pid, folder);
    lines.push(`stop ${program} ${pid}`);
  }
  if (existsSync(folder)) lines.push(`rm -r ${folder}`);
  rmSync(folder, { recursive: true, force: true });
  return lines;
}
