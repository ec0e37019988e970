/** Prefixes of both families. A `Cidr` keeps the network address only; host bits are reported, not kept. */
import { type Ip, IP_BITS, formatIp, parseIp } from './ip.ts';

export interface Cidr {
  readonly version: 4 | 6;
  /** The network address: host bits are zero. */
  readonly base: bigint;
  readonly prefix: number;
}

/** Parses `address/prefix` or a bare address (a host route); host bits are cleared. `undefined` when it is neither. */
export function parseCidr(text: string): Cidr | undefined {
  const slash = text.indexOf('/');
  const ip = parseIp(slash < 0 ? text : text.slice(0, slash));
  if (!ip) return undefined;
  const bits = IP_BITS[ip.version];
  const suffix = slash < 0 ? String(bits) : text.slice(slash + 1);
  if (!/^(0|[1-9][0-9]{0,2})$/.test(suffix) || Number(suffix) > bits) return undefined;
  return cidrOf(ip, Number(suffix));
}

/** The prefix of `length` bits that holds `ip`. */
export function cidrOf(ip: Ip, length: number): Cidr {
  const host = BigInt(IP_BITS[ip.version] - length);
  return { version: ip.version, base: (ip.value >> host) << host, prefix: length };
}

/** Canonical `network/prefix` text. */
export function formatCidr(cidr: Cidr): string {
  return `${formatIp({ version: cidr.version, value: cidr.base })}/${cidr.prefix}`;
}

/** Canonical text of `text`, or `undefined` when it is no prefix. */
export function normalizeCidr(text: string): string | undefined {
  const cidr = parseCidr(text);
  return cidr && formatCidr(cidr);
}

/** The one spelling of an address or prefix as an element of a set: no host bits, and no length behind a single address. `undefined` when it is neither. */
export function setElement(text: string): string | undefined {
  const cidr = parseCidr(text);
  return cidr && (cidr.prefix === IP_BITS[cidr.version] ? formatIp({ version: cidr.version, value: cidr.base }) : formatCidr(cidr));
}

/** How many addresses the prefix spans. */
export function cidrSize(cidr: Cidr): bigint {
  return 1n << BigInt(IP_BITS[cidr.version] - cidr.prefix);
}

/** The last address of the prefix: the broadcast address of an IPv4 subnet. */
export function cidrLast(cidr: Cidr): bigint {
  return cidr.base + cidrSize(cidr) - 1n;
}

export function cidrContains(cidr: Cidr, ip: Ip): boolean {
  return cidr.version === ip.version && ip.value >= cidr.base && ip.value <= cidrLast(cidr);
}

export function cidrOverlaps(a: Cidr, b: Cidr): boolean {
  return a.version === b.version && a.base <= cidrLast(b) && b.base <= cidrLast(a);
}

/** The dotted mask of an IPv4 prefix, or the mask in IPv6 form. */
export function cidrMask(cidr: Cidr): string {
  const bits = BigInt(IP_BITS[cidr.version]);
  const host = bits - BigInt(cidr.prefix);
  return formatIp({ version: cidr.version, value: ((1n << bits) - 1n) >> host << host });
}
