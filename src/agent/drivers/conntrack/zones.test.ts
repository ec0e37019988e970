import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Zones } from './zones.ts';

const use = (network_id: string, local_vlan: number) => ({ network_id, local_vlan });

function recorded(): { zones: Zones; flushed: number[][]; limited: number[][]; fail: { with?: Error } } {
  const flushed: number[][] = [];
  const limited: number[][] = [];
  const fail: { with?: Error } = {};
  const zones = new Zones(async (numbers) => {
    if (fail.with) throw fail.with;
    flushed.push([...numbers]);
  }, async (numbers) => void limited.push([...numbers]));
  return { zones, flushed, limited, fail };
}

test('N-OVS-6: a zone is emptied before its first network and before each other one, once', async () => {
  const { zones, flushed } = recorded();
  await zones.take([use('a', 1), use('b', 2)], () => false);
  await zones.take([use('a', 1)], () => true);
  await zones.take([use('a', 1)], () => false); // the switch lost its flows: the network keeps its connections
  await zones.take([use('c', 1)], () => true);
  assert.deepEqual(flushed, [[1, 2], [1]]);
});

test('law 3: an agent without memory takes over a zone that is in use as it is', async () => {
  const { zones, flushed } = recorded();
  await zones.take([use('a', 1), use('b', 2)], (zone) => zone === 1);
  await zones.take([use('a', 1)], () => false);
  assert.deepEqual(flushed, [[2]]);
});

test('a zone that could not be emptied is tried again', async () => {
  const { zones, flushed, fail } = recorded();
  fail.with = new Error('ovs-vswitchd is dead');
  await assert.rejects(zones.take([use('a', 1)], () => false), /dead/);
  delete fail.with;
  await zones.take([use('a', 1)], () => false);
  assert.deepEqual(flushed, [[1]]);
});

test('ATT-conntrack: a zone is limited before its network uses it, and all of them when the switch is there again', async () => {
  const { zones, limited } = recorded();
  await zones.take([use('a', 1), use('b', 2)], (zone) => zone === 1);
  await zones.take([use('a', 1)], () => true);
  await zones.take([use('c', 3)], () => false);
  zones.switchOpened();
  await zones.take([], () => false);
  await zones.take([], () => false);
  assert.deepEqual(limited, [[1, 2], [3], [1, 2, 3]]);
});
