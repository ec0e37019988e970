import assert from 'node:assert/strict';
import { test } from 'node:test';
import { encodeMessage, errorName, MessageReader, OFPT } from './message.ts';

test('messages are found wherever the stream is cut', () => {
  const stream = Buffer.concat([encodeMessage(OFPT.HELLO, 1, Buffer.alloc(0)), encodeMessage(OFPT.ECHO_REQUEST, 2, Buffer.from('abc')), encodeMessage(OFPT.BARRIER_REPLY, 3, Buffer.alloc(0))]);
  for (let cut = 0; cut <= stream.length; cut++) {
    const reader = new MessageReader();
    const messages = [...reader.push(stream.subarray(0, cut)), ...reader.push(stream.subarray(cut))];
    assert.deepEqual(messages.map(({ type, xid, body }) => [type, xid, body.toString()]), [[0, 1, ''], [2, 2, 'abc'], [21, 3, '']]);
  }
});

test('a length below the header ends the stream instead of looping', () => {
  assert.throws(() => new MessageReader().push(Buffer.from('0500000000000001', 'hex')), RangeError);
});

test('errors are named as the specification names them', () => {
  assert.equal(errorName(Buffer.from('0002000a', 'hex')), 'OFPET_BAD_ACTION MATCH_INCONSISTENT');
  assert.equal(errorName(Buffer.from('00630001', 'hex')), 'error type 99 code 1');
});
