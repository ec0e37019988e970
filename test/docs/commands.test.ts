/** Every command line of Patchbay's that a document shows is one that the program knows. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { globSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const DOCUMENTS = globSync(['*.md', 'docs/**/*.md', 'labs/**/*.md'], { cwd: ROOT }).sort();

const lines = DOCUMENTS.flatMap((file) => commandLines(readFileSync(`${ROOT}/${file}`, 'utf8')).map((line) => ({ file, line })));

test('subcommands and options of the documents exist', () => {
  const helps = new Map<string, string>();
  const help = (...argv: string[]): string => {
    const key = argv.join(' ');
    if (!helps.has(key)) helps.set(key, execFileSync(process.execPath, [`${ROOT}/src/cli/main.ts`, ...argv, '--help'], { encoding: 'utf8' }));
    return helps.get(key)!;
  };
  const known = new Set([...help().matchAll(/^ {2}(\w+) /gm)].map(([, name]) => name!));
  const wrong = lines.flatMap(({ file, line }) => {
    const { name, options } = readLine(line);
    if (name === undefined) return options.every((option) => option === '--help' || help().includes(option)) ? [] : [`${file}: ${line}`];
    if (!known.has(name)) return [`${file}: ${line}: no command ${name}`];
    return options.filter((option) => !help(name).includes(option)).map((option) => `${file}: ${line}: no option ${option}`);
  });
  assert.deepEqual(wrong, []);
});

test('the documents show commands, and every command is shown', () => {
  const shown = new Set(lines.map(({ line }) => readLine(line).name));
  for (const name of ['up', 'down', 'status', 'openrc', 'exec', 'host', 'wait', 'logs', 'test']) assert.ok(shown.has(name), `no document shows patchbay ${name}`);
});

test('the options of a line are those before the command that it hands on', () => {
  assert.deepEqual(readLine('host outside --state X -- ssh --nonsense a'), { name: 'host', options: ['--state'] });
  assert.deepEqual(readLine('up --hosts=3 && rm --force x'), { name: 'up', options: ['--hosts'] });
  assert.deepEqual(readLine('--help'), { name: undefined, options: ['--help'] });
});

/** What follows `./patchbay` or, in code, `patchbay`. */
function commandLines(markdown: string): string[] {
  return [...markdown.matchAll(/(?:\.\/patchbay|`patchbay|PATCHBAY_WRITE_DOCS=1 \.\/patchbay)(?= [a-z-])([^`\n|)]*)/g)].map(([, rest]) => rest!.trim());
}

function readLine(line: string): { name: string | undefined; options: string[] } {
  const words = line.split(/ -- | && |[;>]/)[0]!.trim().split(/\s+/);
  const [first = ''] = words;
  return { name: first.startsWith('-') ? undefined : first, options: words.filter((word) => word.startsWith('--')).map((word) => word.split('=')[0]!) };
}
