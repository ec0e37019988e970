/** The first process of a container as crun recorded it and as /proc shows it now. */

import { access, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type ProcessId, isAlive } from '../process.ts';

export interface GuestProcess extends ProcessId {
  /** Has not been started: crun waits behind its fifo. */
  readonly waiting: boolean;
}

/** The living process of a container, or `undefined`. Reads crun's own status files, so that no program has to run. */
export async function guestProcess(crunRoot: string, server_id: string): Promise<GuestProcess | undefined> {
  const directory = join(crunRoot, server_id);
  const text = await readFile(join(directory, 'status'), 'utf8').catch(() => undefined);
  if (text === undefined) return undefined;
  let status: { pid?: number; 'process-start-time'?: number };
  try {
    status = JSON.parse(text) as typeof status;
  } catch {
    // crun was killed while it wrote.
    return undefined;
  }
  const { pid, 'process-start-time': startTime } = status;
  if (pid === undefined || pid <= 0 || startTime === undefined) return undefined;
  const waiting = await access(join(directory, 'exec.fifo')).then(() => true, () => false);
  const found = { pid, startTime: String(startTime), waiting };
  return (await isAlive(found)) ? found : undefined;
}
