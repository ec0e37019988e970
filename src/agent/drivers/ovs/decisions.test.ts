import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Decisions, keepsDecisions } from './decisions.ts';

test('which Open vSwitch may keep a decision', () => {
  const keeps = (version: string) => keepsDecisions(`ovs-vswitchd (Open vSwitch) ${version}\n`);
  assert.deepEqual(['2.15.0', '2.17.7', '3.0.4', '3.1.0', '3.1.2'].map(keeps), [true, true, true, true, true]);
  assert.deepEqual(['2.17.8', '3.0.5', '3.1.3', '3.2.0', '3.3.0', '10.1.0', 'unknown'].map(keeps), [false, false, false, false, false, false, false]);
});

test('once for changes that follow each other, and not never for a row without an end', (t) => {
  t.mock.timers.enable({ apis: ['setTimeout', 'Date'] });
  let forgotten = 0;
  const decisions = new Decisions(async () => void forgotten++, assert.fail);
  decisions.changed();
  t.mock.timers.tick(200);
  decisions.changed();
  t.mock.timers.tick(299);
  assert.equal(forgotten, 0);
  t.mock.timers.tick(1);
  assert.equal(forgotten, 1);
  for (let passed = 0; passed < 4_000; passed += 100) {
    decisions.changed();
    t.mock.timers.tick(100);
  }
  assert.equal(forgotten, 3);
});

test('a switch that does not answer is told, and asked again by the next change', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout', 'Date'] });
  const heard: string[] = [];
  const decisions = new Decisions(async () => { throw new Error('no answer'); }, ({ message }) => heard.push(message));
  for (let i = 0; i < 2; i++) {
    decisions.changed();
    t.mock.timers.tick(300);
    await Promise.resolve();
    await Promise.resolve();
  }
  assert.deepEqual(heard, ['no answer', 'no answer']);
});
