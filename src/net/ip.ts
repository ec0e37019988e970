/** IP addresses of both families as `{version, value}`; text in canonical form (RFC 5952 for IPv6). */

export interface Ip {
  readonly version: 4 | 6;
  /** The address as an unsigned integer of 32 or 128 bits. */
  readonly value: bigint;
}

export const IP_BITS = { 4: 32, 6: 128 } as const;

/** Parses an address without prefix or zone; `undefined` when `text` is none. Leading zeros in IPv4 are refused. */
export function parseIp(text: string): Ip | undefined {
  return text.includes(':') ? parseIpv6(text) : parseIpv4(text);
}

function parseIpv4(text: string): Ip | undefined {
  const parts = text.split('.');
  if (parts.length !== 4) return undefined;
  let value = 0n;
  for (const part of parts) {
    if (!/^(0|[1-9][0-9]{0,2})$/.test(part) || Number(part) > 255) return undefined;
    value = (value << 8n) | BigInt(part);
  }
  return { version: 4, value };
}

function parseIpv6(text: string): Ip | undefined {
  let body = text;
  const lastColon = body.lastIndexOf(':');
  if (body.slice(lastColon + 1).includes('.')) {
    const tail = parseIpv4(body.slice(lastColon + 1));
    if (!tail) return undefined;
    body = `${body.slice(0, lastColon + 1)}${(tail.value >> 16n).toString(16)}:${(tail.value & 0xffffn).toString(16)}`;
  }
  const halves = body.split('::');
  if (halves.length > 2) return undefined;
  const groups = halves.map((half) => (half === '' ? [] : half.split(':')));
  const head = groups[0]!;
  const tail = groups[1] ?? [];
  const missing = 8 - head.length - tail.length;
  if (halves.length === 2 ? missing < 1 : missing !== 0) return undefined;
  let value = 0n;
  for (const group of [...head, ...Array<string>(missing).fill('0'), ...tail]) {
    if (!/^[0-9a-fA-F]{1,4}$/.test(group)) return undefined;
    value = (value << 16n) | BigInt(`0x${group}`);
  }
  return { version: 6, value };
}

/** Canonical text: dotted quad, or RFC 5952 with the longest run of zero groups shortened. */
export function formatIp(ip: Ip): string {
  if (ip.version === 4) return [24n, 16n, 8n, 0n].map((shift) => (ip.value >> shift) & 0xffn).join('.');
  const groups = Array.from({ length: 8 }, (_, i) => Number((ip.value >> BigInt(112 - 16 * i)) & 0xffffn));
  let best = { start: -1, length: 1 };
  for (let i = 0; i < 8; i++) {
    let length = 0;
    while (i + length < 8 && groups[i + length] === 0) length++;
    if (length > best.length) best = { start: i, length };
  }
  const hex = groups.map((group) => group.toString(16));
  if (best.start < 0) return hex.join(':');
  return `${hex.slice(0, best.start).join(':')}::${hex.slice(best.start + best.length).join(':')}`;
}

/** Canonical text of `text`, or `undefined` when it is no address. */
export function normalizeIp(text: string): string | undefined {
  const ip = parseIp(text);
  return ip && formatIp(ip);
}

/** The 4 or 16 bytes in network order. */
export function ipBytes(ip: Ip): Uint8Array {
  const bytes = new Uint8Array(ip.version === 4 ? 4 : 16);
  let rest = ip.value;
  for (let i = bytes.length - 1; i >= 0; i--) {
    bytes[i] = Number(rest & 0xffn);
    rest >>= 8n;
  }
  return bytes;
}

/** IPv4 before IPv6, then by number. */
export function compareIp(a: Ip, b: Ip): number {
  if (a.version !== b.version) return a.version - b.version;
  return a.value < b.value ? -1 : a.value > b.value ? 1 : 0;
}

/** The modified EUI-64 address of a MAC inside a /64 (RFC 4291 appendix A). */
export function eui64(prefix: Ip, mac: string): Ip {
  const bytes = mac.split(':').map((pair) => BigInt(`0x${pair}`));
  const id = [bytes[0]! ^ 2n, bytes[1]!, bytes[2]!, 0xffn, 0xfen, bytes[3]!, bytes[4]!, bytes[5]!];
  return { version: 6, value: (prefix.value >> 64n << 64n) | id.reduce((value, byte) => (value << 8n) | byte, 0n) };
}

/** The link-local address that a station with this MAC gives itself (RFC 4862 §5.3). */
export function linkLocalOf(mac: string): string {
  return formatIp(eui64({ version: 6, value: 0xfe80n << 112n }, mac));
}

/** True in fe80::/10 (RFC 4291 §2.4). */
export function isLinkLocal({ version, value }: Ip): boolean {
  return version === 6 && value >> 118n === 0xfe80n >> 6n;
}

/** The MAC that an address was made of by `eui64`; `undefined` for any other. */
export function macOfEui64({ version, value }: Ip): string | undefined {
  if (version !== 6 || ((value >> 24n) & 0xffffn) !== 0xfffen) return undefined;
  const mac = (((value >> 40n) & 0xffffffn) << 24n | (value & 0xffffffn)) ^ (2n << 40n);
  return mac.toString(16).padStart(12, '0').match(/../g)!.join(':');
}
