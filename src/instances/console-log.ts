/** The console log of an instance: a file that the guest appends to. */

import { open } from 'node:fs/promises';

/** The guest fills its console; the host's disk is not its to fill. */
const MOST = 1024 * 1024;
const KEEP = 128 * 1024;

/** The end of a console's log, or its last lines; empty when there is none. */
export async function readConsole(file: string, tailLines?: number): Promise<string> {
  const log = await readEnd(file);
  if (tailLines === undefined) return log;
  const lines = log.split('\n');
  const end = lines.at(-1) === '' ? lines.length - 1 : lines.length;
  return lines.slice(Math.max(0, end - tailLines)).join('\n');
}

/** Cuts a console log that has grown large to its end. The guest appends, so it goes on behind the cut. */
export async function trimConsole(file: string): Promise<void> {
  const handle = await open(file, 'r+').catch(() => undefined);
  if (handle === undefined) return;
  try {
    const { size } = await handle.stat();
    if (size <= MOST) return;
    const kept = Buffer.alloc(KEEP);
    const { bytesRead } = await handle.read(kept, 0, KEEP, size - KEEP);
    await handle.truncate(0);
    await handle.write(kept, 0, bytesRead, 0);
  } finally {
    await handle.close();
  }
}

async function readEnd(file: string): Promise<string> {
  const handle = await open(file).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  });
  if (handle === undefined) return '';
  try {
    const { size } = await handle.stat();
    const from = Math.max(0, size - MOST);
    const buffer = Buffer.alloc(size - from);
    const { bytesRead } = await handle.read(buffer, 0, buffer.length, from);
    return buffer.toString('utf8', 0, bytesRead);
  } finally {
    await handle.close();
  }
}
