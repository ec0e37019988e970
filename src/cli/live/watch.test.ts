import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readSighting } from './watch.ts';

test('tcpdump on all devices names device and direction, on one device neither', () => {
  assert.deepEqual(readSighting('15:09:22.945167 tap1f3c9a2b-04 Out IP 10.0.0.1.61000 > 10.0.0.2.80: Flags [S], seq 4275878552:4275878576, win 65535, length 24: HTTP'), [{ device: 'tap1f3c9a2b-04', direction: 'Out' }]);
  assert.deepEqual(readSighting('15:09:22.945180 vb    P   IP 10.0.0.1.61000 > 10.0.0.2.80: Flags [S], seq 4275878552:4275878576, win 65535, length 24: HTTP'), [{ device: 'vb', direction: 'In' }]);
  assert.deepEqual(readSighting('15:09:26.757041 IP 10.0.0.1.61000 > 10.0.0.2.80: UDP, length 36', 'phys'), [{ device: 'phys', direction: 'In' }]);
  assert.deepEqual(readSighting(''), []);
});
