import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isSessionToken, sessionToken } from './session-token.ts';
import { instanceSignature, sameSecretText } from './signature.ts';

test('N-MD-8: the signature is the HMAC-SHA256 of the id in hex (RFC 4231, test case 2)', () => {
  assert.equal(instanceSignature('Jefe', 'what do ya want for nothing?'), '5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843');
});

test('texts of any length and script are compared without an error', () => {
  assert.deepEqual([['a', 'a'], ['a', 'b'], ['a', 'aa'], ['', ''], ['é', 'ee'], ['a', '']].map(([a, b]) => sameSecretText(a!, b!)), [true, false, false, true, false, false]);
});

test('a session token ends when it said, and is of one instance and one secret', () => {
  const token = sessionToken('s', 'vm', 1_000.9, 60);
  assert.deepEqual([1_000, 1_059.9, 1_060, 1_061].map((now) => isSessionToken('s', 'vm', token, now)), [true, true, false, false]);
  assert.deepEqual([isSessionToken('t', 'vm', token, 1_000), isSessionToken('s', 'wm', token, 1_000), isSessionToken('s', 'vm', '', 1_000), isSessionToken('s', 'vm', '.', 1_000)], [false, false, false, false]);
});
