import assert from 'node:assert/strict';
import { test } from 'node:test';
import { JsonSplitter } from './json-splitter.ts';
import { OvsdbMonitor, type RowChange, type TableUpdates } from './ovsdb-monitor.ts';
import { type Column, columnOf } from './ovsdb-value.ts';

const SCHEMA = new Map<string, ReadonlyMap<string, Column>>([
  [
    'Port',
    new Map([
      ['name', columnOf('string')],
      ['tag', columnOf({ key: { type: 'integer', minInteger: 0, maxInteger: 4095 }, min: 0, max: 1 })],
      ['trunks', columnOf({ key: { type: 'integer' }, min: 0, max: 4096 })],
      ['external_ids', columnOf({ key: 'string', value: 'string', min: 0, max: 'unlimited' })],
      ['protected', columnOf('boolean')],
    ]),
  ],
]);

function monitor(): { changes: RowChange[]; rows: OvsdbMonitor; apply: (rows: TableUpdates[string]) => void } {
  const changes: RowChange[] = [];
  const rows = new OvsdbMonitor(SCHEMA, { Port: ['name', 'tag', 'trunks', 'external_ids', 'protected'] }, (more) => changes.push(...more));
  return { changes, rows, apply: (updates) => rows.apply({ Port: updates }) };
}

test('columns that the server leaves out of a new row have their initial values', () => {
  const { rows, apply } = monitor();
  apply({ u1: { initial: { name: 'tap1' } } });
  assert.deepEqual(rows.rows('Port').get('u1'), { _uuid: 'u1', name: 'tap1', tag: undefined, trunks: [], external_ids: {}, protected: false });
});

test('sets and maps change by their difference, atoms and optional values are replaced', () => {
  const { rows, apply } = monitor();
  apply({ u1: { insert: { name: 'tap1', tag: 5, trunks: ['set', [1, 2]], external_ids: ['map', [['a', '1'], ['b', '2'], ['c', '3']]] } } });
  apply({ u1: { modify: { tag: ['set', []], trunks: ['set', [2, 3]], external_ids: ['map', [['a', '1'], ['b', '9'], ['d', '4']]], protected: true } } });
  assert.deepEqual(rows.rows('Port').get('u1'), {
    _uuid: 'u1', name: 'tap1', tag: undefined, trunks: [1, 3], external_ids: { b: '9', c: '3', d: '4' }, protected: true,
  });
  apply({ u1: { modify: { trunks: 3 } } });
  assert.deepEqual(rows.rows('Port').get('u1')?.['trunks'], [1]);
});

test('changes tell the row before and after', () => {
  const { changes, rows, apply } = monitor();
  apply({ u1: { insert: { name: 'tap1' } } });
  apply({ u1: { modify: { tag: 5 } } });
  apply({ u1: { delete: null } });
  assert.deepEqual(changes.map(({ before, after }) => [before?.['tag'] ?? before?.['name'], after?.['tag'] ?? after?.['name']]), [
    [undefined, 'tap1'],
    ['tap1', 5],
    [5, undefined],
  ]);
  assert.equal(rows.rows('Port').size, 0);
});

test('a column that the database does not have is refused by name', () => {
  assert.throws(() => new OvsdbMonitor(SCHEMA, { Port: ['nmae'] }, () => {}), /no column Port\.nmae/);
});

test('JSON values are found wherever the stream is cut', () => {
  const values = [{ a: '}{"\\', b: [1, { c: 'ü' }] }, [], { d: null }];
  const stream = Buffer.from(values.map((value) => JSON.stringify(value)).join(''));
  for (let cut = 0; cut <= stream.length; cut++) {
    const splitter = new JsonSplitter();
    assert.deepEqual([...splitter.push(stream.subarray(0, cut)), ...splitter.push(stream.subarray(cut))], values);
  }
});
