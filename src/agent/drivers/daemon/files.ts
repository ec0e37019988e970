/** Small files that programs read: in the page cache, so read and written at once, a fifth of what turns of the thread pool take on a busy host. */
import { chmodSync, readFileSync, renameSync, writeFileSync } from 'node:fs';

/** The text of a file; undefined when there is none. */
export function readText(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/** At once: nobody ever reads half a file. Readable for all, because a program may have given up root when it reads again. */
export function replaceFile(file: string, text: string): void {
  writeFileSync(`${file}.new`, text);
  chmodSync(`${file}.new`, 0o644);
  renameSync(`${file}.new`, file);
}
