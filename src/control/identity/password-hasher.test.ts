import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ApiError } from '#model/errors.ts';
import { PasswordHasher } from './password-hasher.ts';

test('a password matches its own hash only, and nobody matches anything', async () => {
  const hasher = new PasswordHasher();
  const hash = await hasher.hash('s3cret');
  assert.match(hash, /^\$scrypt\$ln=14,r=8,p=1\$[A-Za-z0-9+/]{22}\$[A-Za-z0-9+/]{43}$/);
  assert.notEqual(await hasher.hash('s3cret'), hash);
  assert.deepEqual(await Promise.all([hasher.verify('s3cret', hash), hasher.verify('S3cret', hash), hasher.verify('s3cret', undefined), hasher.verify('s3cret', null), hasher.verify('', '$scrypt$ln=14,r=8,p=1$$')]), [true, false, false, false, false]);
});

test('OSSA-2026-009: a flood of logins is refused beyond the queue, and the queue is worked off', async () => {
  const hasher = new PasswordHasher();
  const results = await Promise.allSettled(Array.from({ length: 80 }, () => hasher.verify('x', undefined)));
  const refused = results.filter((result) => result.status === 'rejected');
  assert.ok(refused.length >= 80 - 64 - 4 && refused.length < 80);
  assert.ok(refused.every((result) => result.reason instanceof ApiError && result.reason.status === 503));
  assert.equal(await hasher.verify('x', undefined), false);
});
