import assert from 'node:assert/strict';
import { test } from 'node:test';
import { OwnerQueue } from './owner-queue.ts';

test('law 4: what failed is tried again by itself, with all it was about; others are not held up', async () => {
  const woken: (() => void)[] = [];
  const queue = new OwnerQueue({ retryMs: 5, wake: () => woken.shift()?.() });
  const rounds: string[] = [];
  let sick = true;
  const round = () => queue.drain(async (owner, keys, fresh) => {
    rounds.push(`${owner}: ${[...keys].sort()} of which new ${[...fresh].sort()}`);
    return owner !== 'a' || !sick;
  });
  queue.mark('a', ['1']);
  queue.mark('b', ['2']);
  await round();
  queue.mark('a', ['3']);
  assert.ok(queue.isMarked('a', '3') && !queue.isMarked('a', '1'));
  await round();
  await new Promise<void>((resolve) => void woken.push(resolve));
  sick = false;
  await round();
  await round();
  assert.deepEqual(rounds, ['a: 1 of which new 1', 'b: 2 of which new 2', 'a: 1,3 of which new 3', 'a: 1,3 of which new ']);
});

test('a few owners at once, and each of them alone', async () => {
  const queue = new OwnerQueue();
  for (let i = 0; i < 10; i++) queue.mark(`o${i}`);
  let [now, most] = [0, 0];
  await queue.drain(async () => {
    most = Math.max(most, ++now);
    await new Promise((resolve) => setImmediate(resolve));
    now--;
    return true;
  });
  assert.equal(most, 4);
});
