/** Server ids as names of folders. */

import { readdir } from 'node:fs/promises';
import { InstanceError } from './instance-driver.ts';

/** The server ids that have a directory, however complete. */
export async function serverIds(stateDir: string): Promise<string[]> {
  const entries = await readdir(stateDir, { withFileTypes: true }).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return [];
    throw error;
  });
  return entries.filter((entry) => entry.isDirectory() && isServerId(entry.name)).map((entry) => entry.name).sort();
}

/** Throws `not_found` for what is no server id. */
export function checkServerId(text: string): void {
  if (!isServerId(text)) throw new InstanceError('not_found', `${JSON.stringify(text)} is no server id`);
}

/** A UUID, in any case and with or without dashes: nothing that could be a path. */
export function isServerId(text: string): boolean {
  return /^[0-9a-fA-F][0-9a-fA-F-]{7,35}$/.test(text);
}
