/** Replaces this process by another program, so that terminal, signals and exit code are that program's own. */
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';

/** Does not return. */
export function become(argv: readonly string[], env: NodeJS.ProcessEnv = process.env): never {
  process.execve!(findProgram(argv[0]!), [...argv], env as Record<string, string>);
  throw new Error(`cannot start ${argv[0]}`);
}

function findProgram(name: string): string {
  if (name.includes('/')) return name;
  for (const folder of `${process.env['PATH'] ?? ''}:/usr/sbin:/usr/bin:/sbin:/bin`.split(delimiter)) {
    try {
      accessSync(join(folder, name), constants.X_OK);
      return join(folder, name);
    } catch {
      // look on
    }
  }
  throw new Error(`${name}: no such program`);
}
