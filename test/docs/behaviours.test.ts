/**
 * docs/behaviours.md lists every behaviour with the tests that cite it or the issue that owes it. PATCHBAY_WRITE_DOCS=1
 * writes the last column anew from the titles there are.
 */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { citations, filesOf, ROOT } from './titles.ts';

const FILE = `${ROOT}/docs/behaviours.md`;

/** How many behaviours each chapter of the requirements has. */
const CHAPTERS = { 'N-ML2': 26, 'N-OVS': 20, 'N-VX': 14, 'N-MTU': 8, 'N-L3': 23, 'N-DH': 12, 'N-DNS': 5, 'N-MD': 20, 'N-NN': 13, 'N-SG': 5 } as const;
const IDS = Object.entries(CHAPTERS).flatMap(([chapter, last]) => Array.from({ length: last }, (_, i) => `${chapter}-${i + 1}`));

/** id → the test files with a title that cites it. */
const CITED = citations(idsOf);

if (process.env['PATCHBAY_WRITE_DOCS']) writeFileSync(FILE, readFileSync(FILE, 'utf8').split('\n').map(withProof).join('\n'));

const rows = new Map([...readFileSync(FILE, 'utf8').matchAll(/^\| (N-[A-Z0-9]+-\d+) \| (.+) \| (.+) \|$/gm)].map(([, id = '', , proof = '']) => [id, proof]));

test('every behaviour has its row, and there is no other', () => {
  assert.deepEqual([...rows.keys()], IDS);
});

test('each row names test files or an issue', () => {
  const wrong = [...rows].filter(([, proof]) => !/^(issue [234]( \(owed\))?|[\w/.-]+\.test\.ts(, [\w/.-]+\.test\.ts)*(; rest: issue [34])?)$/.test(proof));
  assert.deepEqual(wrong, []);
});

test('a test file that a row names has a title with its id', () => {
  const wrong = [...rows].flatMap(([id, proof]) => filesOf(proof).filter((file) => !CITED.get(id)?.has(file)).map((file) => `${id}: no title of ${file} cites it`));
  assert.deepEqual(wrong, []);
});

test('every id that a title cites exists and is not listed as unproven', () => {
  const wrong = [...CITED].filter(([id]) => filesOf(rows.get(id) ?? '').length === 0).map(([id, files]) => `${id}: cited by ${[...files].join(', ')}`);
  assert.deepEqual(wrong, [], 'PATCHBAY_WRITE_DOCS=1 ./patchbay test unit writes the rows anew');
});

/** `N-OVS-7…11` cites five ids. */
function* idsOf(title: string): Iterable<string> {
  for (const [, chapter = '', first = '', last = first] of title.matchAll(/\b(N-[A-Z0-9]+)-(\d+)(?:…(\d+))?/g)) {
    for (let n = Number(first); n <= Number(last); n++) yield `${chapter}-${n}`;
  }
}

/** The line of the page with the files that prove it now; what is owed to a later issue stays said. */
function withProof(line: string): string {
  const [, id = '', behaviour = '', proof = ''] = /^\| (N-[A-Z0-9]+-\d+) \| (.+) \| (.+) \|$/.exec(line) ?? [];
  if (id === '') return line;
  const files = [...(CITED.get(id) ?? [])].sort();
  const issue = /issue [234]/.exec(proof)?.[0] ?? 'issue 2';
  if (files.length === 0) return `| ${id} | ${behaviour} | ${issue === 'issue 2' ? 'issue 2 (owed)' : issue} |`;
  return `| ${id} | ${behaviour} | ${files.join(', ')}${issue === 'issue 2' ? '' : `; rest: ${issue}`} |`;
}
