/** What a subnet pool may be, as pure checks: its prefixes, and the lengths of what is taken from it. Throws ApiErrors as Neutron answers them. */
import type { SubnetPool } from '#model/address-scopes.ts';
import { ApiError } from '#model/errors.ts';
import { type Cidr, formatCidr, parseCidr } from '#net/cidr.ts';
import { IP_BITS } from '#net/ip.ts';
import { addressesOf, compactPrefixes } from '#net/prefix-pool.ts';
import type { RangeSet } from '#net/range-set.ts';

export type Lengths = Pick<SubnetPool, 'min_prefixlen' | 'max_prefixlen' | 'default_prefixlen'>;

const DEFAULT_MIN = { 4: 8, 6: 64 } as const;
/** A pool's quota counts prefixes of this length. */
const QUOTA_UNIT = { 4: 32, 6: 64 } as const;

export const versionOf = ({ ip_version }: Pick<SubnetPool, 'ip_version'>): 4 | 6 => ip_version as 4 | 6;

/** The prefixes of a new pool, normalised. */
export function newPrefixes(given: readonly string[]): Pick<SubnetPool, 'prefixes' | 'ip_version'> {
  const [first] = given;
  if (first === undefined) throw new ApiError('EmptySubnetPoolPrefixList');
  const ip_version = parseCidr(first)!.version;
  return { ip_version, prefixes: merged(ip_version, given) };
}

/** The prefixes that an update gives to a pool, normalised; what it has, it keeps. */
export function grownPrefixes(current: SubnetPool, given: readonly string[]): string[] {
  if (prefixAddresses(current).without(addressesOf(cidrsOf(current, given)).ranges).size > 0n) throw new ApiError('IllegalSubnetPoolPrefixUpdate', { reason: 'the existing prefixes must be a subset of the new ones' });
  if (given.length === 0) throw new ApiError('EmptySubnetPoolPrefixList');
  return merged(versionOf(current), given);
}

/** The addresses of a pool. */
export function prefixAddresses(pool: Pick<SubnetPool, 'prefixes' | 'ip_version'>): RangeSet {
  return addressesOf(cidrsOf(pool, pool.prefixes));
}

/** Those of the given prefixes that are of the pool's version. */
export function cidrsOf({ ip_version }: Pick<SubnetPool, 'ip_version'>, prefixes: readonly string[]): Cidr[] {
  return prefixes.map((each) => parseCidr(each)!).filter(({ version }) => version === ip_version);
}

/** The bounds of a pool, with defaults for what is not given. */
export function prefixLengths(version: 4 | 6, given: Partial<Lengths>): Lengths {
  const min_prefixlen = given.min_prefixlen ?? DEFAULT_MIN[version];
  const lengths: Lengths = { min_prefixlen, max_prefixlen: given.max_prefixlen ?? IP_BITS[version], default_prefixlen: given.default_prefixlen ?? min_prefixlen };
  const all = { ...lengths, ip_version_max: IP_BITS[version] };
  const require = (low: keyof typeof all, high: keyof typeof all, blamed: keyof typeof all) => {
    const base = blamed === low ? high : low;
    if (all[low] > all[high]) throw new ApiError('IllegalSubnetPoolPrefixBounds', { prefix_type: blamed, prefixlen: all[blamed], base_prefix_type: base, base_prefixlen: all[base] });
  };
  require('min_prefixlen', 'max_prefixlen', 'min_prefixlen');
  require('max_prefixlen', 'ip_version_max', 'max_prefixlen');
  require('min_prefixlen', 'default_prefixlen', 'default_prefixlen');
  require('default_prefixlen', 'max_prefixlen', 'default_prefixlen');
  return lengths;
}

/** How many units of a pool's quota a prefix takes; a small one of IPv6 takes a part of one. */
export function quotaUnits({ version, prefix }: Cidr): number {
  return 2 ** (QUOTA_UNIT[version] - prefix);
}

function merged(version: 4 | 6, given: readonly string[]): string[] {
  const cidrs = given.map((each) => parseCidr(each)!);
  if (cidrs.some((each) => each.version !== version)) throw new ApiError('PrefixVersionMismatch');
  return compactPrefixes(version, cidrs).map(formatCidr);
}
