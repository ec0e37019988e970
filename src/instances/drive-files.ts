/** The files of a config drive, as bytes and on disk. */

import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { InstanceItem } from '#hoststate/instance.ts';
import { InstanceError } from './instance-driver.ts';

/** Path below the drive's root to its bytes. */
export type DriveFiles = ReadonlyMap<string, Buffer>;

/** The tree of an instance's item as bytes. Throws `create_failed` when a path leaves its root. */
export function decodedTree(item: InstanceItem): DriveFiles {
  return new Map(Object.entries(item.config_drive).map(([path, content]) => {
    if (path.split('/').some((part) => part === '' || part === '.' || part === '..' || part.includes('\0')))
      throw new InstanceError('create_failed', `config drive path ${JSON.stringify(path)} is not below its root`);
    return [path, Buffer.from(content, 'base64')] as const;
  }));
}

/** Writes files into a new directory. */
export async function writeFiles(directory: string, files: DriveFiles): Promise<void> {
  for (const [path, content] of files) {
    await mkdir(dirname(join(directory, path)), { recursive: true });
    await writeFile(join(directory, path), content, { mode: 0o644 });
  }
}
