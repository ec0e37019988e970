/** `patchbay test`: types and tests, kind by kind, with what they need installed first. */
import { spawn } from 'node:child_process';
import { globSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Command, UsageError } from '../command.ts';
import { printFailures, readReport, type TestReport } from '../test-report.ts';
import { PACKAGES, TEST_PACKAGES, ensurePackages } from '../packages.ts';

const ROOT = dirname(fileURLToPath(new URL('../../../package.json', import.meta.url)));
const REPORTER = fileURLToPath(new URL('../test-report.ts', import.meta.url));
const SAME_SAMPLES = fileURLToPath(new URL('../../testkit/same-samples.ts', import.meta.url));

interface Kind {
  readonly files: readonly string[];
  /** Files at one time. Each has a cloud of its own; what measures time is slowed by a neighbour. */
  readonly atOnce: number;
  /** Only with its name or --all. */
  readonly onRequest?: boolean;
}

const KINDS: Readonly<Record<string, Kind>> = {
  unit: { files: ['src/**/*.test.ts', 'test/docs/*.test.ts'], atOnce: availableParallelism() },
  kernel: { files: ['test/kernel/*.test.ts'], atOnce: 1 },
  clients: { files: ['test/clients/*.test.ts'], atOnce: 2 },
  labs: { files: ['test/labs/*.test.ts'], atOnce: 1 },
  browser: { files: ['test/browser/*.test.ts'], atOnce: 1, onRequest: true },
};

export const command: Command = {
  usage: '[KIND...] [--all]',
  summary: `check the types and run the tests (${Object.keys(KINDS).join(', ')}; default: all but browser)`,
  options: { all: { type: 'boolean', help: 'every kind, and each test at its full length' } },
  async run({ positionals, options }) {
    const unknown = positionals.find((name) => !Object.hasOwn(KINDS, name));
    if (unknown !== undefined) throw new UsageError(`no kind '${unknown}' of tests, only ${Object.keys(KINDS).join(' ')}`);
    const all = options['all'] === true;
    const kinds = Object.entries(KINDS).filter(([name, kind]) => (positionals.length > 0 ? positionals.includes(name) : all || !kind.onRequest));
    if (process.getuid?.() === 0) await ensurePackages([...PACKAGES, ...TEST_PACKAGES], (line) => console.log(line));
    if ((await runInherit([`${ROOT}/node_modules/.bin/tsc`], process.env)) !== 0) throw new Error('the types do not hold; see above');
    const reports: TestReport[] = [];
    const failed: string[] = [];
    for (const [name, kind] of kinds) {
      const files = globSync(kind.files, { cwd: ROOT }).sort();
      if (files.length === 0) {
        console.log(`\n${name}: no tests`);
        continue;
      }
      console.log(`\n${name}: ${files.length} files`);
      const { code, report } = await runTests(files, kind.atOnce, { ...process.env, PATCHBAY_TEST_ALL: all ? '1' : '' });
      reports.push(report);
      console.log(`\n${name}: the slowest files: ${report.seconds.slice(0, 5).map(({ file, seconds }) => `${basename(file)} ${seconds.toFixed(0)} s`).join(', ')}`);
      if (code !== 0) failed.push(name);
    }
    const failures = reports.flatMap((report) => report.failures);
    const sum = (key: 'tests' | 'passed' | 'skipped'): number => reports.reduce((total, report) => total + report[key], 0);
    console.log(['', ...printFailures(failures, ROOT), `${sum('tests')} tests ran: ${sum('passed')} passed, ${sum('tests') - sum('passed') - sum('skipped')} failed, ${sum('skipped')} skipped`].join('\n'));
    if (failed.length === 0) return 0;
    throw new Error(`failed kinds: ${failed.join(', ')}`);
  },
};

/** Runs test files, which say what they find as they go; resolves with what there is to say of them at the end. */
async function runTests(files: readonly string[], atOnce: number, env: NodeJS.ProcessEnv): Promise<{ code: number; report: TestReport }> {
  const folder = mkdtempSync(join(tmpdir(), 'patchbay-test-'));
  try {
    const reporters = ['--test-reporter=spec', '--test-reporter-destination=stdout', `--test-reporter=${REPORTER}`, `--test-reporter-destination=${folder}/report`];
    const code = await runInherit([process.execPath, '--disable-warning=ExperimentalWarning', `--import=${SAME_SAMPLES}`, '--test', ...reporters, `--test-concurrency=${atOnce}`, ...files], env);
    return { code, report: readReport(readFileSync(`${folder}/report`, 'utf8')) };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function runInherit(argv: readonly string[], env: NodeJS.ProcessEnv): Promise<number> {
  return new Promise((resolve, reject) => {
    const child = spawn(argv[0]!, argv.slice(1), { cwd: ROOT, env, stdio: ['ignore', 'inherit', 'inherit'] });
    child.once('error', reject);
    child.once('close', (code) => resolve(code ?? 1));
  });
}
