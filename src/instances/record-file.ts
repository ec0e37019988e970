/** What a driver knows of an instance, as JSON in one file that is always whole. */

import { readFile, rename, writeFile } from 'node:fs/promises';

/** `undefined` when the instance was never made, or its removal was interrupted. */
export async function readRecord<T>(file: string): Promise<T | undefined> {
  const text = await readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return undefined;
    throw error;
  });
  return text === undefined ? undefined : (JSON.parse(text) as T);
}

/** Replaces the record in one step. */
export async function writeRecord(file: string, record: object): Promise<void> {
  await writeFile(`${file}.new`, JSON.stringify(record), { mode: 0o600 });
  await rename(`${file}.new`, file);
}
