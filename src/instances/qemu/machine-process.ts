/** The qemu of a guest, as its pid file says and as /proc shows it now. */

import { readFile } from 'node:fs/promises';
import { type ProcessId, startTimeOf } from '../process.ts';

/** The living process, or `undefined`. A pid that another program has by now is recognised by its command line. */
export async function machineProcess(pidFile: string, server_id: string): Promise<ProcessId | undefined> {
  const pid = Number(await readFile(pidFile, 'utf8').catch(() => ''));
  if (!Number.isInteger(pid) || pid <= 0) return undefined;
  const command = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
  const startTime = await startTimeOf(pid);
  return startTime !== undefined && command.split('\0').includes(`guest=${server_id}`) ? { pid, startTime } : undefined;
}
