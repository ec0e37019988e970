/** Pools of prefixes: sets of addresses from which whole prefixes are taken. */
import { type Cidr, cidrLast } from './cidr.ts';
import { IP_BITS } from './ip.ts';
import { type Range, RangeSet } from './range-set.ts';

/** The fewest prefixes that together hold exactly the addresses of `cidrs`, which are of one version; lowest first. */
export function compactPrefixes(version: 4 | 6, cidrs: Iterable<Cidr>): Cidr[] {
  return prefixesOf(version, addressesOf(cidrs));
}

/** The addresses of all `cidrs`. */
export function addressesOf(cidrs: Iterable<Cidr>): RangeSet {
  return new RangeSet(Array.from(cidrs, rangeOf));
}

/** The fewest prefixes that hold exactly these addresses, lowest first. */
export function prefixesOf(version: 4 | 6, addresses: RangeSet): Cidr[] {
  return addresses.ranges.flatMap((range) => [...prefixesOfRange(version, range)]);
}

/**
 * The prefix of `length` bits to take next from the `free` addresses: the start of the smallest free prefix that holds
 * one, and of equal ones the lowest, so that large ones stay whole (as Neutron's SubnetAllocator). Undefined when none fits.
 */
export function freePrefix(version: 4 | 6, free: RangeSet, length: number): Cidr | undefined {
  let best: Cidr | undefined;
  for (const prefix of prefixesOf(version, free)) if (prefix.prefix <= length && prefix.prefix > (best?.prefix ?? -1)) best = prefix;
  return best && { version, base: best.base, prefix: length };
}

function* prefixesOfRange(version: 4 | 6, { first, last }: Range): Iterable<Cidr> {
  const bits = IP_BITS[version];
  for (let base = first; base <= last;) {
    let host = 0;
    while (host < bits && (base & ((2n << BigInt(host)) - 1n)) === 0n && base + (2n << BigInt(host)) - 1n <= last) host++;
    yield { version, base, prefix: bits - host };
    base += 1n << BigInt(host);
  }
}

function rangeOf(cidr: Cidr): Range {
  return { first: cidr.base, last: cidrLast(cidr) };
}
