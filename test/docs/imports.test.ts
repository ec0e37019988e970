/** The rooms of DESIGN §3 (ARCHITECTURE.md has the table), and what every source file owes its reader. */
import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** What each room may import besides itself. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  net: [],
  model: ['net'],
  hoststate: ['net'],
  store: ['model', 'net'],
  compile: ['model', 'hoststate', 'net'],
  protocol: ['hoststate', 'net'],
  control: ['net', 'model', 'hoststate', 'store', 'compile', 'protocol', 'trace'],
  openflow: ['net'],
  agent: ['protocol', 'hoststate', 'openflow', 'net'],
  instances: ['hoststate', 'net'],
  trace: ['hoststate', 'model', 'net'],
  cli: ['net', 'model', 'hoststate', 'store', 'compile', 'protocol', 'control', 'openflow', 'agent', 'instances', 'trace', 'testkit'],
  testkit: ['net', 'model', 'hoststate', 'store', 'compile', 'protocol', 'control', 'openflow', 'agent', 'instances', 'trace', 'cli'],
};

/** The composition roots: only they know real adapters. */
const ROOTS = ['src/control/server.ts', 'src/control/controller.ts', 'src/agent/main.ts', 'src/cli/main.ts'];

const MAX_LINES = 500;

const files = globSync('src/**/*.ts', { cwd: ROOT }).sort();
const program = files.filter((file) => !file.endsWith('.test.ts'));

test('every room imports only what the table allows', () => {
  const wrong = program.filter((file) => !ROOTS.includes(file)).flatMap((file) => {
    const room = roomOf(file);
    const allowed = MAY_IMPORT[room];
    if (!allowed) return [`${file}: room '${room}' is not in the table`];
    return importsOf(file).filter((target) => target !== room && !allowed.includes(target)).map((target) => `${file} imports ${target}`);
  });
  assert.deepEqual(wrong, []);
});

test('imports of every form are seen', () => {
  assert.ok(importsOf('src/control/hosts/hosts.ts').includes('compile'));
  assert.deepEqual(roomsOf(`import type { A } from '#net/ip.ts';\nconst b = await import('#store/store.ts');\nexport * from '../agent/agent.ts';\nimport '#cli/up.ts';`, 'src/control/x.ts'), ['net', 'store', 'agent', 'cli']);
});

test('the table of ARCHITECTURE.md says the same', () => {
  const rows = readFileSync(join(ROOT, 'ARCHITECTURE.md'), 'utf8').matchAll(/^\| `src\/(\w+)` \|[^|]*\| ([^|]*) \|$/gm);
  const documented = Object.fromEntries([...rows].map(([, room = '', allowed = '']) => [room, allowed.replace('–', '').split(', ').filter(Boolean).sort()]));
  assert.deepEqual(documented, Object.fromEntries(Object.entries(MAY_IMPORT).map(([room, allowed]) => [room, [...allowed].sort()])));
});

test('composition roots exist', () => {
  assert.deepEqual(ROOTS.filter((file) => !files.includes(file)), []);
});

test('no room for what has no name', () => {
  assert.deepEqual(files.filter((file) => /\/(utils?|common|helpers?|misc|shared)(\/|\.ts$)/.test(file)), []);
});

test(`no file is longer than ${MAX_LINES} lines`, () => {
  const all = [...files, ...globSync('test/**/*.ts', { cwd: ROOT })];
  assert.deepEqual(all.filter((file) => read(file).trimEnd().split('\n').length > MAX_LINES), []);
});

test('every source file begins with a comment that says what it is', () => {
  assert.deepEqual(program.filter((file) => !/^\/\*\*/.test(read(file))), []);
});

function read(file: string): string {
  return readFileSync(join(ROOT, file), 'utf8');
}

function roomOf(file: string): string {
  return file.split('/')[1]!;
}

/** The rooms that a file imports, its own left out; static, dynamic and type imports, by `#room/` or by path. */
function importsOf(file: string): string[] {
  return roomsOf(read(file), file);
}

function roomsOf(text: string, file: string): string[] {
  const specifiers = [...text.matchAll(/(?:\bfrom\s+|\bimport\s*\(?\s*)'([^']+)'/g)].map(([, specifier]) => specifier!);
  const rooms = specifiers.flatMap((specifier) => {
    if (specifier.startsWith('#')) return [specifier.slice(1).split('/')[0]!];
    if (specifier.startsWith('.')) return [roomOf(normalize(join(dirname(file), specifier)))];
    return [];
  });
  return [...new Set(rooms)].filter((room) => room !== roomOf(file));
}
