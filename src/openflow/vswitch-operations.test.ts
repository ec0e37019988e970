import assert from 'node:assert/strict';
import { test } from 'node:test';
import { addPortOps, setInterfaceOps, setPortTagOps } from './vswitch-operations.ts';

test('the names of rows in one transaction do not collide', () => {
  const names = ['tap-1', 'tap_1', 'tap.1', 'tap1'].flatMap((name) => addPortOps({ bridge: 'br-int', name }).map((op) => op['uuid-name']).filter((id) => id !== undefined));
  assert.equal(new Set(names).size, names.length);
  for (const name of names) assert.match(String(name), /^[A-Za-z_][A-Za-z0-9_]*$/);
});

test('N-OVS-5: a tag is set or cleared, other columns are not touched', () => {
  assert.deepEqual(setPortTagOps('tap1', 5).at(-1)?.['row'], { tag: 5 });
  assert.deepEqual(setPortTagOps('tap1', undefined).at(-1)?.['row'], { tag: ['set', []] });
});

test('a key of a map is replaced, or removed by null', () => {
  assert.deepEqual(setInterfaceOps('tap1', { external_ids: { a: '1', b: null } }).at(-1)?.['mutations'], [
    ['external_ids', 'delete', ['set', ['a', 'b']]],
    ['external_ids', 'insert', ['map', [['a', '1']]]],
  ]);
});
