/**
 * docs/attacks.md lists every attack of the requirements with the tests that cite it, or with why there is none.
 * PATCHBAY_WRITE_DOCS=1 writes the last column anew from the titles there are.
 */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { citations, filesOf, ROOT } from './titles.ts';

const FILE = `${ROOT}/docs/attacks.md`;
const ROW = /^\| ([A-Z][\w -]+) \| (.+) \| (.+) \| (.+) \|$/;
/** Ids of advisories, and ours for what has none. */
const ID = /\b(?:(?:OSSA|CVE)-\d{4}-\d+|OSSN-\d+|LP \d+|ATT-[a-z]+)\b/g;

const ids = new Set(readFileSync(FILE, 'utf8').split('\n').flatMap((line) => ROW.exec(line)?.[1] ?? []));
/** id → the test files with a title that cites it. */
const CITED = citations((title) => title.match(ID) ?? []);

if (process.env['PATCHBAY_WRITE_DOCS']) writeFileSync(FILE, readFileSync(FILE, 'utf8').split('\n').map(withProof).join('\n'));

const rows = readFileSync(FILE, 'utf8').split('\n').flatMap((line) => {
  const [, id = '', wrong = '', withstands = '', proof = ''] = ROW.exec(line) ?? [];
  return id === '' || id === 'Id' ? [] : [{ id, wrong, withstands, proof }];
});

test('every row has an id of its own, what went wrong, what withstands, and its proof or the issue that owes it', () => {
  assert.ok(rows.length >= 70);
  assert.equal(new Set(rows.map(({ id }) => id)).size, rows.length);
  const bad = rows.filter(({ id, proof }) => !new RegExp(`^${ID.source}$`).test(id) || !/^([\w/.-]+\.test\.ts(, [\w/.-]+\.test\.ts)*|issue 4 \(owed\)|no test: .+)$/.test(proof));
  assert.deepEqual(bad, []);
});

test('a row names exactly the test files that have a title with its id', () => {
  const wrong = rows.filter(({ id, proof }) => filesOf(proof).join() !== [...(CITED.get(id) ?? [])].sort().join()).map(({ id }) => id);
  assert.deepEqual(wrong, [], 'PATCHBAY_WRITE_DOCS=1 ./patchbay test unit writes the rows anew');
});

test('every attack that a title cites has its row', () => {
  assert.deepEqual([...CITED].filter(([id]) => !ids.has(id)).map(([id, files]) => `${id}: cited by ${[...files].join(', ')}`), []);
});

/** The line with the files that prove it now; a reason stays while there is no test. */
function withProof(line: string): string {
  const [, id = '', wrong = '', withstands = '', proof = ''] = ROW.exec(line) ?? [];
  const files = [...(CITED.get(id) ?? [])].sort();
  if (id === '' || (files.length === 0 && filesOf(proof).length === 0)) return line;
  return `| ${id} | ${wrong} | ${withstands} | ${files.join(', ') || 'issue 4 (owed)'} |`;
}
