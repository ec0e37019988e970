/** docs/dependencies.md has a line for everything that is installed, with the version of the lockfile. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { PACKAGES, TEST_PACKAGES } from '#cli/packages.ts';

const ROOT = new URL('../../', import.meta.url);
const page = readFileSync(new URL('docs/dependencies.md', ROOT), 'utf8');
const [npm = '', debian = ''] = page.split('\n## Debian packages');

/** Rows of four filled cells: package → the last one. */
function rows(part: string): Map<string, string> {
  return new Map([...part.matchAll(/^\| `([^`]+)` \| [^|]+ \| [^|]+ \| ([^|]+) \|$/gm)].map(([, name = '', release = '']) => [name, release]));
}

test('every npm package of package.json has a row, with the version that the lockfile pins', () => {
  const manifest = JSON.parse(readFileSync(new URL('package.json', ROOT), 'utf8'));
  const lock = JSON.parse(readFileSync(new URL('package-lock.json', ROOT), 'utf8'));
  const names = Object.keys({ ...manifest.dependencies, ...manifest.optionalDependencies, ...manifest.devDependencies });
  const documented = rows(npm);
  assert.deepEqual([...documented.keys()].sort(), names.sort());
  for (const name of names) {
    const { version } = lock.packages[`node_modules/${name}`];
    assert.ok(documented.get(name)!.split(',')[0] === version, `${name} is ${version} in package-lock.json, ${documented.get(name)} on the page`);
  }
});

test('every Debian package that is installed has a row', () => {
  assert.deepEqual([...rows(debian).keys()].sort(), [...PACKAGES, ...TEST_PACKAGES].map(({ name }) => name).sort());
});
