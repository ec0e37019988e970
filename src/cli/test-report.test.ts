import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { printFailures, readReport } from './test-report.ts';

test('failures of a real run are told with file, the tests around them and the beginning of what they said', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'patchbay-report-'));
  t.after(() => rmSync(folder, { recursive: true }));
  writeFileSync(join(folder, 'a.test.mjs'), `import { test } from 'node:test';
    test('outer', async (t) => {
      await t.test('inner', () => { throw new Error('first\\nsecond'); });
      await t.test('later', { skip: true }, () => {});
    });
    test('fine', () => {});
    test('long', () => { throw new Error(Array.from({ length: 20 }, (_, i) => \`line \${i}\`).join('\\n')); });`);
  writeFileSync(join(folder, 'b.test.mjs'), 'import "./no-such-file.mjs";');
  const to = join(folder, 'report');
  const { NODE_TEST_CONTEXT: _, ...env } = process.env;
  const { status } = spawnSync(process.execPath, ['--test', `--test-reporter=${fileURLToPath(new URL('test-report.ts', import.meta.url))}`, `--test-reporter-destination=${to}`, `${folder}/a.test.mjs`, `${folder}/b.test.mjs`], { env });
  assert.equal(status, 1);
  const { tests, passed, skipped, failures, seconds } = readReport(readFileSync(to, 'utf8'));
  assert.deepEqual({ tests, passed, skipped }, { tests: 6, passed: 1, skipped: 1 });
  assert.deepEqual(seconds.map(({ file }) => file), [join(folder, 'a.test.mjs')]);
  assert.deepEqual(printFailures(failures, folder).slice(0, 6), ['✖ a.test.mjs: outer › inner', '    first', '    second', '✖ a.test.mjs: long', '    line 0', '    line 1']);
  assert.ok(printFailures(failures, folder).includes('    … 8 lines more above'));
  assert.match(printFailures(failures, folder).find((line) => line.startsWith('✖ b'))!, /b\.test\.mjs/);
});

test('a run that wrote nothing has no tests', () => {
  assert.deepEqual(readReport(''), { tests: 0, passed: 0, skipped: 0, failures: [], seconds: [] });
});
