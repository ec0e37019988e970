/** Links of the documents lead somewhere, and the paths they name in code are there. */
import assert from 'node:assert/strict';
import { existsSync, globSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const DOCUMENTS = globSync(['*.md', 'docs/**/*.md', 'labs/**/*.md'], { cwd: ROOT }).sort();

test('every relative link leads to a file or folder', () => {
  const broken = DOCUMENTS.flatMap((file) => {
    const targets = [...read(file).matchAll(/\]\(([^)#\s]+)(?:#[^)]*)?\)/g)].map(([, target]) => target!).filter((target) => !/^[a-z]+:/.test(target));
    return targets.filter((target) => !existsSync(join(ROOT, dirname(file), target))).map((target) => `${file}: ${target}`);
  });
  assert.deepEqual(broken, []);
});

test('every path below a room or folder that a document names in code exists', () => {
  const broken = DOCUMENTS.flatMap((file) => {
    const paths = [...read(file).matchAll(/`((?:src|test|docs|labs)\/[\w.-]+\/[\w./-]+)`/g)].map(([, path]) => path!);
    return paths.filter((path) => !existsSync(join(ROOT, path))).map((path) => `${file}: ${path}`);
  });
  assert.deepEqual(broken, []);
});

test('every decision has a number of its own and says what it costs', () => {
  const records = globSync('docs/decisions/*.md', { cwd: ROOT }).sort();
  assert.ok(records.length > 0);
  records.forEach((file, i) => {
    assert.match(file, new RegExp(`/${String(i + 1).padStart(4, '0')}-`));
    assert.match(read(file), new RegExp(`^# ${i + 1} · `));
    for (const part of ['Situation', 'Decision', 'Costs']) assert.match(read(file), new RegExp(`^\\*\\*${part}\\.\\*\\*`, 'm'), `${file}: ${part}`);
  });
});

function read(file: string): string {
  return readFileSync(join(ROOT, file), 'utf8');
}
