import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decodeMeterConfig, decodeMeterDrops, encodeMeterMod, encodeMeterRequest } from './meter-codec.ts';

const meter = { id: 9, rate: 100, burst: 25 };

test('a meter_mod is the bytes of the specification', () => {
  assert.equal(encodeMeterMod('add', meter).toString('hex'), '0000' + '000e' + '00000009' + '0001' + '0010' + '00000064' + '00000019' + '00000000');
  assert.equal(encodeMeterMod('modify', meter).toString('hex').slice(0, 4), '0001');
  assert.equal(encodeMeterMod('delete', meter).toString('hex'), '0002' + '000e' + '00000009');
  assert.equal(encodeMeterRequest().toString('hex'), 'ffffffff00000000');
});

test('meters of other kinds are passed over', () => {
  const ours = '0018' + '000e' + '00000009' + '0001' + '0010' + '00000064' + '00000019' + '00000000';
  const kilobits = '0018' + '000d' + '00000005' + '0001' + '0010' + '00000064' + '00000019' + '00000000';
  const withoutBand = '0008' + '000e' + '00000006';
  assert.deepEqual(decodeMeterConfig(Buffer.from(kilobits + withoutBand + ours, 'hex')), [meter]);
  assert.throws(() => decodeMeterConfig(Buffer.from('0000000e00000009', 'hex')), RangeError, 'a length of nothing ends it instead of looping');
});

test('the drops of a meter are those of its band', () => {
  const head = (id: string, length: string) => id + length + '000000000000' + '00000001' + '0000000000002710' + '0000000000100000' + '00000001' + '00000002';
  const stats = head('00000009', '0038') + '00000000000028ff' + '0000000000001000' + head('00000005', '0028');
  assert.deepEqual(decodeMeterDrops(Buffer.from(stats, 'hex')), new Map([[9, 10495n]]));
  assert.throws(() => decodeMeterDrops(Buffer.alloc(40)), RangeError);
});
