/** The titles of all tests: strings that open an argument list or a row of a table of cases. */
import { globSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

export const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** id → the test files with a title that cites it; `idsOf` reads the ids of a title. */
export function citations(idsOf: (title: string) => Iterable<string>): Map<string, Set<string>> {
  const cited = new Map<string, Set<string>>();
  for (const file of globSync(['src/**/*.test.ts', 'test/**/*.test.ts'], { cwd: ROOT }).sort()) {
    const text = readFileSync(`${ROOT}/${file}`, 'utf8').replace(/^\s*(\/\/|\*|\/\*).*$/gm, '');
    for (const [, , title = ''] of text.matchAll(/[([{:]\s*(['"`])((?:\\.|(?!\1)[^\\\n])*)\1/g)) {
      for (const id of idsOf(title)) cited.set(id, (cited.get(id) ?? new Set()).add(file));
    }
  }
  return cited;
}

/** The test files that a table's cell names. */
export function filesOf(proof: string): string[] {
  return proof.match(/[\w/.-]+\.test\.ts/g) ?? [];
}
