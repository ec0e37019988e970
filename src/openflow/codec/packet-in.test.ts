import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decodePacketIn } from './packet-in.ts';

/** The body that Open vSwitch 3.1 sent for a UDP packet of a new connection, out of a flow of table 93. */
const BODY = Buffer.from(
  'ffffffff' + '003c' + '01' + '5d' + '5061746368626179' +
    '0001005d' + '8000000400000004' + '80000a020800' + '00010a0400000004' + '00010c0400000001' + '0001100400000007' + '0001d30800000021000000ff' + '0001d4020001' +
    '0001f0040a000001' + '0001f2040a000002' + '0001ee0111' + '0001f80203e8' + '0001fa020035' + '000000' + '0000' +
    'fa163e000002fa163e00000108004500002100000000401166ca0a0000010a00000203e80035000da3e268656c6c6f00000000000000000000000000',
  'hex',
);

test('a packet-in says which flow sent it, what the pipeline knew, and holds the packet', () => {
  const { table, cookie, total_len, fields, data } = decodePacketIn(BODY);
  assert.deepEqual([table, cookie, total_len, data.length], [93, 0x5061746368626179n, 60, 60]);
  const { in_port, reg5, reg6, reg8, reg9, ct_state, ct_zone } = fields;
  assert.deepEqual([in_port?.value, reg5?.value, reg6?.value, reg8?.value, reg9?.value, ct_zone?.value], [4n, 4n, 1n, 7n, undefined, 1n]);
  assert.deepEqual(ct_state, { value: 0x21n, mask: 0xffn });
  assert.equal(data.subarray(0, 14).toString('hex'), 'fa163e000002fa163e0000010800');
});

test('a packet-in that ends within its match is refused', () => {
  for (const length of [24, 60, 110]) assert.throws(() => decodePacketIn(BODY.subarray(0, length)), RangeError);
});
