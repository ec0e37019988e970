import assert from 'node:assert/strict';
import { test } from 'node:test';
import { OwnerRounds, type Verdict } from './owner-rounds.ts';

function rounds(verdicts: ReadonlyMap<string, Verdict>): OwnerRounds {
  return new OwnerRounds({ distrust: () => ['a'], realise: async () => ({ done: true, verdicts: new Map(verdicts) }), sweep: async () => {} }, {});
}

test('what changed is reported always, the others of its owner when their outcome is news', async () => {
  const verdicts = new Map<string, Verdict>([['1', { reason: '' }], ['2', { reason: 'sick', partly: true }]]);
  const made = rounds(verdicts);
  made.mark('a', '1');
  assert.deepEqual(await made.apply(), [{ key: '1', ok: true }, { key: '2', ok: false, reason: 'sick', partly: true }]);
  made.mark('a', '1');
  assert.deepEqual(await made.apply(), [{ key: '1', ok: true }]);
  verdicts.set('2', { reason: '' });
  made.mark('a', '1');
  assert.deepEqual(await made.apply(), [{ key: '1', ok: true }, { key: '2', ok: true }]);
});

test('nothing is remembered of an item that is gone: one of its name is news again', async () => {
  const verdicts = new Map<string, Verdict>([['1', { reason: '', gone: true }]]);
  const made = rounds(verdicts);
  made.mark('a', '1');
  await made.apply();
  verdicts.set('1', { reason: '' });
  made.check();
  assert.deepEqual(await made.apply(), [{ key: '1', ok: true }]);
});

test('of an item that changes during its round only the next round speaks', async () => {
  let change = () => {};
  const made = new OwnerRounds({
    distrust: () => [],
    realise: async () => (change(), { done: true, verdicts: new Map([['1', { reason: '' }]]) }),
    sweep: async () => {},
  }, {});
  change = () => made.mark('a', '1');
  made.mark('a', '1');
  assert.deepEqual(await made.apply(), []);
  change = () => {};
  assert.deepEqual(await made.apply(), [{ key: '1', ok: true }]);
});

test('a check and a sweep happen once, by the next round, and rounds never overlap', async () => {
  const did: string[] = [];
  const made = new OwnerRounds({
    distrust: () => (did.push('distrust'), ['a']),
    realise: async (owner) => {
      did.push(`begin ${owner}`);
      await new Promise((resolve) => setImmediate(resolve));
      did.push(`end ${owner}`);
      return { done: true, verdicts: new Map() };
    },
    sweep: async () => void did.push('sweep'),
  }, {});
  made.check();
  made.inSync();
  const first = made.apply();
  await Promise.resolve();
  made.mark('b', '1');
  await Promise.all([first, made.apply()]);
  assert.deepEqual(did, ['distrust', 'begin a', 'end a', 'sweep', 'begin b', 'end b']);
});
