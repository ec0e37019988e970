import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type Cidr, cidrOf, cidrOverlaps, cidrSize, formatCidr, parseCidr } from './cidr.ts';
import { addressesOf, compactPrefixes, freePrefix, prefixesOf } from './prefix-pool.ts';
import { type Range, RangeSet } from './range-set.ts';

const cidrs = (...texts: string[]): Cidr[] => texts.map((text) => parseCidr(text)!);
const compact = (...texts: string[]) => compactPrefixes(texts[0]!.includes(':') ? 6 : 4, cidrs(...texts)).map(formatCidr);

test('prefixes are merged to the fewest', () => {
  assert.deepEqual(compact('10.0.1.0/24', '10.0.0.0/24'), ['10.0.0.0/23']);
  assert.deepEqual(compact('10.0.1.0/24', '10.0.2.0/24'), ['10.0.1.0/24', '10.0.2.0/24']);
  assert.deepEqual(compact('10.0.0.0/8', '10.9.0.0/16', '192.168.0.0/16'), ['10.0.0.0/8', '192.168.0.0/16']);
  assert.deepEqual(compact('0.0.0.0/1', '128.0.0.0/1'), ['0.0.0.0/0']);
  assert.deepEqual(compact('fd00::/64', 'fd00:0:0:1::/64', '::/128'), ['::/128', 'fd00::/63']);
});

test('the smallest free prefix that is large enough is used up first, the lowest of equals', () => {
  const next = (length: number, free: string[], ...taken: string[]) => {
    const found = freePrefix(free[0]!.includes(':') ? 6 : 4, addressesOf(cidrs(...free)).without(addressesOf(cidrs(...taken)).ranges), length);
    return found && formatCidr(found);
  };
  assert.equal(next(24, ['10.0.0.0/16']), '10.0.0.0/24');
  assert.equal(next(24, ['10.0.0.0/16'], '10.0.0.0/24'), '10.0.1.0/24');
  assert.equal(next(23, ['10.0.0.0/16'], '10.0.0.0/24'), '10.0.2.0/23');
  assert.equal(next(26, ['10.0.0.0/24', '10.1.0.0/26', '10.2.0.0/26']), '10.1.0.0/26');
  assert.equal(next(24, ['10.0.0.0/24'], '10.0.0.255/32'), undefined);
  assert.equal(next(0, ['0.0.0.0/0']), '0.0.0.0/0');
  assert.equal(next(64, ['fd00::/48'], 'fd00::/64'), 'fd00:0:0:1::/64');
});

/** Small enough to check every number: the last 8 bits of an address. */
const small = fc.tuple(fc.integer({ min: 0, max: 255 }), fc.integer({ min: 24, max: 32 })).map(([value, length]) => cidrOf({ version: 4, value: BigInt(value) }, length));
const numbers = (ranges: Iterable<Range>): number[] => [...ranges].flatMap(({ first, last }) => Array.from({ length: Number(last - first) + 1 }, (_, i) => Number(first) + i));

test('whatever is free: what is taken lies inside, overlaps nothing that is taken, and is the lowest of its kind', () => {
  fc.assert(fc.property(fc.array(small, { maxLength: 6 }), fc.array(small, { maxLength: 6 }), fc.integer({ min: 24, max: 32 }), (pool, taken, length) => {
    const free = addressesOf(pool).without(addressesOf(taken).ranges);
    const found = freePrefix(4, free, length);
    const room = new Set(numbers(free.ranges));
    const size = 1 << (32 - length);
    const fitting = Array.from({ length: 256 / size }, (_, i) => i * size).filter((base) => Array.from({ length: size }, (_, i) => base + i).every((number) => room.has(number)));
    assert.equal(found !== undefined, fitting.length > 0, 'one is found exactly if there is one');
    if (!found) return;
    assert.ok(fitting.includes(Number(found.base)), 'inside the pool, and free');
    assert.ok(!taken.some((each) => cidrOverlaps(each, found)));
    // Growing the free block around each place that fits says which one Neutron would use up.
    const block = (base: number): number => {
      let width = size;
      while (width < 256 && Array.from({ length: width * 2 }, (_, i) => base - (base % (width * 2)) + i).every((number) => room.has(number))) width *= 2;
      return width;
    };
    const [best] = fitting.sort((a, b) => block(a) - block(b) || a - b);
    assert.equal(Number(found.base), best);
  }), { numRuns: 1000 });
});

test('taking until nothing is left uses every address of the pool once', () => {
  fc.assert(fc.property(fc.array(small, { minLength: 1, maxLength: 5 }), fc.array(fc.integer({ min: 26, max: 32 }), { maxLength: 30 }), (pool, lengths) => {
    let free = addressesOf(pool);
    const taken: Cidr[] = [];
    for (const length of [...lengths, ...Array<number>(256).fill(32)]) {
      const found = freePrefix(4, free, length);
      if (!found) continue;
      taken.push(found);
      free = free.without(addressesOf([found]).ranges);
    }
    assert.equal(free.size, 0n);
    assert.equal(taken.reduce((sum, each) => sum + cidrSize(each), 0n), addressesOf(pool).size);
    assert.deepEqual(addressesOf(taken).ranges, addressesOf(pool).ranges);
  }), { numRuns: 200 });
});

const ranges = fc.array(fc.tuple(fc.integer({ min: 0, max: 60 }), fc.integer({ min: 0, max: 12 })).map(([first, length]) => ({ first: BigInt(first), last: BigInt(first + length) })), { maxLength: 8 });

test('a set without another holds what only it holds', () => {
  fc.assert(fc.property(ranges, ranges, (own, others) => {
    const cut = new Set(numbers(others));
    assert.deepEqual(numbers(new RangeSet(own).without(others).ranges), [...new Set(numbers(own))].filter((number) => !cut.has(number)).sort((a, b) => a - b));
  }));
  const set = addressesOf(cidrs('10.0.0.0/30'));
  assert.deepEqual(prefixesOf(4, set.without([])).map(formatCidr), ['10.0.0.0/30']);
});
