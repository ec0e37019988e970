/** `patchbay bench`, small: every figure is there. How large they are depends on the machine and what else it does. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { Report } from '#cli/bench/report.ts';
import { BENCHMARKS } from '#cli/bench/run.ts';
import { processesWithEnvironment } from '#cli/datacentre/process.ts';

const PATCHBAY = fileURLToPath(new URL('../../patchbay', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'pb-bench-'));
after(() => rmSync(folder, { recursive: true, force: true }));

const bench = (...argv: string[]) => spawnSync(PATCHBAY, ['bench', ...argv, '--state', join(folder, 'state')], {
  encoding: 'utf8', maxBuffer: 1 << 26, env: { ...process.env, PATCHBAY_BENCH_TEST: folder },
});

test('bench measures every figure that its benchmarks declare, and leaves nothing', async () => {
  const { status, stdout, stderr } = bench('--json', '--scale', '0.05');
  assert.equal(status, 0, stderr);
  const report = JSON.parse(stdout) as Report;
  const declared = await Promise.all(Object.values(BENCHMARKS).map(async (load) => Object.keys((await load()).benchmark.figures)));
  assert.deepEqual(report.figures.map(({ name }) => name), declared.flat());
  for (const { name, value, limit } of report.figures) {
    assert.ok(Number.isFinite(value) && value > 0, `${name}: ${value}`);
    if (limit) assert.ok(Number.isFinite(limit.value) && limit.value > 0, `limit of ${name}: ${limit.value}`);
  }
  const onHosts = report.figures.filter(({ benchmark }) => ['server', 'dhcp', 'flows'].includes(benchmark));
  assert.deepEqual([...new Set(onHosts.flatMap(({ idle_ports }) => (idle_ports ? [Object.keys(idle_ports).join(' ')] : [])))], ['compute1 compute2']);
  assert.deepEqual(readdirSync(folder), []);
  assert.deepEqual(processesWithEnvironment(`PATCHBAY_BENCH_TEST=${folder}`), []);
});

test('bench refuses an unknown name and a wrong scale with one line', () => {
  for (const [argv, line] of [[['nonsense'], /^patchbay bench: no benchmark 'nonsense', only start /], [['--scale', 'x'], /^patchbay bench: --scale takes a number/]] as const) {
    const { status, stderr } = bench(...argv);
    assert.match(stderr, line);
    assert.equal(status, 2);
  }
  assert.deepEqual(readdirSync(folder), []);
});
