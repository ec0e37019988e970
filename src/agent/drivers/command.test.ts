import assert from 'node:assert/strict';
import { test } from 'node:test';
import { refusedLines } from './command.ts';

const LINES = ['link set lo up', 'address add ff02::5/64 dev tapa nodad', 'route replace 10.9.0.0/24 via 10.1.0.255 dev tapa'];

test('law 4: of a batch the lines that ip did not carry out are told, each with its reason', () => {
  const said = 'RTNETLINK answers: Invalid argument\nCommand failed -:2\nError: Nexthop has invalid gateway.\nCommand failed -:3\n';
  assert.deepEqual(refusedLines(LINES, said), [{ line: LINES[1], reason: 'Invalid argument' }, { line: LINES[2], reason: 'Nexthop has invalid gateway' }]);
});

test('a batch that ip stopped reading, or that it said something else of, is not taken for one whose other lines are done', () => {
  assert.deepEqual(refusedLines(LINES, 'Cannot find device "x"\nCommand failed -:1\nError: any valid prefix is expected rather than "bad".\n'), []);
  assert.deepEqual(refusedLines(LINES, 'Cannot open network namespace "x": No such file or directory\n'), []);
  assert.deepEqual(refusedLines(LINES, ''), []);
});
