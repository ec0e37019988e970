/** docs/trace.md names every type of step, reason of a drop and kind of object. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { DROP_REASONS, OBJECT_KINDS, type Step } from '#trace/step.ts';

const PAGE = readFileSync(new URL('../../docs/trace.md', import.meta.url), 'utf8');
const STEPS: Readonly<Record<Step['type'], true>> = { port: true, filter: true, conntrack: true, switch: true, tunnel: true, wire: true, route: true, nat: true, fork: true, deliver: true, drop: true };

test('the tables of the page are the types of steps, the reasons of drops and the kinds of objects', () => {
  assert.deepEqual(named('| type | fields | |'), Object.keys(STEPS));
  assert.deepEqual(named('| `reason` of a drop | the packet |'), [...DROP_REASONS]);
  assert.deepEqual(named('| `kind` of an object | |'), [...OBJECT_KINDS]);
});

/** What the first column of the table with this head names. */
function named(head: string): string[] {
  const [, table = ''] = PAGE.split(`${head}\n`);
  const rows = table.split('\n\n')[0]!.split('\n').slice(1);
  return rows.flatMap((row) => [...row.split('|')[1]!.matchAll(/`([^`]+)`/g)].map(([, name]) => name!));
}
