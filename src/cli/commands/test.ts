/** `patchbay test`: types and tests, kind by kind, with what they need installed first. */
import { spawn } from 'node:child_process';
import { globSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { type Command, UsageError } from '../command.ts';
import { PACKAGES, TEST_PACKAGES, ensurePackages } from '../packages.ts';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));

interface Kind {
  readonly files: readonly string[];
  /** Needs root, hosts and the machine for itself: one file after the other. */
  readonly exclusive: boolean;
  /** Only with its name or --all. */
  readonly onRequest?: boolean;
}

const KINDS: Readonly<Record<string, Kind>> = {
  unit: { files: ['src/**/*.test.ts', 'test/docs/*.test.ts'], exclusive: false },
  kernel: { files: ['test/kernel/*.test.ts'], exclusive: true },
  clients: { files: ['test/clients/*.test.ts'], exclusive: true },
  labs: { files: ['test/labs/*.test.ts'], exclusive: true },
  browser: { files: ['test/browser/*.test.ts'], exclusive: true, onRequest: true },
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
    if ((await runInherit([`${ROOT}/node_modules/.bin/tsc`], {})).code !== 0) throw new Error('the types do not hold; see above');
    const total = { tests: 0, pass: 0, fail: 0, skipped: 0 };
    const failed: string[] = [];
    for (const [name, kind] of kinds) {
      const files = globSync(kind.files, { cwd: ROOT }).sort();
      if (files.length === 0) {
        console.log(`\n${name}: no tests`);
        continue;
      }
      console.log(`\n${name}: ${files.length} files`);
      const env = { ...process.env, PATCHBAY_TEST_ALL: all ? '1' : '' };
      const argv = [process.execPath, '--disable-warning=ExperimentalWarning', '--test', '--test-reporter=spec', ...(kind.exclusive ? ['--test-concurrency=1'] : []), ...files];
      const { code, output } = await runInherit(argv, env);
      const counts = readCounts(output);
      for (const key of Object.keys(total) as (keyof typeof total)[]) total[key] += counts[key];
      if (code !== 0) failed.push(name);
    }
    console.log(`\n${total.tests} tests ran: ${total.pass} passed, ${total.fail} failed, ${total.skipped} skipped`);
    if (failed.length === 0) return 0;
    throw new Error(`failed kinds: ${failed.join(', ')}`);
  },
};

/** The counts at the end of the spec reporter's text. */
export function readCounts(output: string): { tests: number; pass: number; fail: number; skipped: number } {
  const count = (name: string) => Number(output.matchAll(new RegExp(`^(?:\\x1b\\[[0-9;]*m)*ℹ ${name} (\\d+)`, 'gm')).toArray().at(-1)?.[1] ?? 0);
  return { tests: count('tests'), pass: count('pass'), fail: count('fail'), skipped: count('skipped') };
}

/** Runs a command whose output is shown as it comes, and kept. */
function runInherit(argv: readonly string[], env: NodeJS.ProcessEnv): Promise<{ code: number; output: string }> {
  return new Promise((resolve, reject) => {
    const child = spawn(argv[0]!, argv.slice(1), { cwd: ROOT, env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'inherit'] });
    let output = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      output = (output + text).slice(-65_536);
      process.stdout.write(text);
    });
    child.once('error', reject);
    child.once('close', (code) => resolve({ code: code ?? 1, output }));
  });
}
