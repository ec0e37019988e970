/** Programs of the host that a driver needs. */

import { constants } from 'node:fs';
import { access } from 'node:fs/promises';
import { join } from 'node:path';

/** Where a program is; `undefined` when this host has not got it. */
export async function findProgram(name: string): Promise<string | undefined> {
  for (const directory of (process.env['PATH'] ?? '').split(':').concat('/usr/sbin', '/usr/bin', '/sbin', '/bin')) {
    if (directory !== '' && (await access(join(directory, name), constants.X_OK).then(() => true, () => false))) return join(directory, name);
  }
  return undefined;
}
