/** Values of fields as text: what `ovs-ofctl` accepts, and the one form that `dump-flows` prints. */
import { formatIp, parseIp } from '#net/ip.ts';
import { parseMac } from '#net/mac.ts';
import { type Field, fullMask } from './field.ts';
import { formatPort, parsePort } from './port-number.ts';

/** What a field must equal in the bits of `mask`; no mask means all bits. */
export interface FieldMatch {
  readonly value: bigint;
  readonly mask?: bigint;
}

const CT_STATE = ['new', 'est', 'rel', 'rpl', 'inv', 'trk', 'snat', 'dnat'];
const TCP_FLAGS = ['fin', 'syn', 'rst', 'psh', 'ack', 'urg', 'ece', 'cwr', 'ns', '[9]', '[10]', '[11]'];
const FRAG: Readonly<Record<string, FieldMatch>> = {
  no: { value: 0n, mask: 3n },
  yes: { value: 1n, mask: 1n },
  first: { value: 1n, mask: 3n },
  later: { value: 3n, mask: 3n },
  not_later: { value: 0n, mask: 2n },
};

/** Parses `value` or `value/mask`; `undefined` when `text` is no value of `field`. A full mask is dropped. */
export function parseFieldMatch(field: Field, text: string): FieldMatch | undefined {
  if (field.kind === 'ct_state' && !/^\d/.test(text)) return parseFlags(CT_STATE, text);
  if (field.kind === 'tcp_flags' && !/^\d/.test(text)) return parseFlags(TCP_FLAGS, text);
  if (field.kind === 'frag') return FRAG[text];
  const slash = text.indexOf('/');
  if (slash < 0) {
    const value = parseValue(field, text);
    return value === undefined ? undefined : { value };
  }
  const value = parseValue(field, text.slice(0, slash));
  const mask = parseMask(field, text.slice(slash + 1));
  return value === undefined || mask === undefined ? undefined : masked(field, value, mask);
}

/** `value` under `mask`, without the mask when it covers the whole field. */
export function masked(field: Field, value: bigint, mask: bigint): FieldMatch {
  return mask === fullMask(field) ? { value } : { value: value & mask, mask };
}

/** Parses one value of `field`, without mask; `undefined` when it is none or too wide. */
export function parseValue(field: Field, text: string): bigint | undefined {
  switch (field.kind) {
    case 'mac': {
      const mac = parseMac(text);
      return mac === undefined ? parseInteger(text, 48) : BigInt(`0x${mac.replaceAll(':', '')}`);
    }
    case 'ip':
    case 'ipv6': {
      const ip = parseIp(text);
      return ip?.version === (field.kind === 'ip' ? 4 : 6) ? ip.value : undefined;
    }
    case 'port': {
      const port = parsePort(text);
      return port === undefined ? undefined : BigInt(field.bytes === 2 ? port & 0xffff : port);
    }
    default:
      return parseInteger(text, field.bytes * 8);
  }
}

function parseMask(field: Field, text: string): bigint | undefined {
  if ((field.kind === 'ip' || field.kind === 'ipv6') && /^\d{1,3}$/.test(text)) {
    const bits = field.bytes * 8;
    const prefix = Number(text);
    return prefix > bits ? undefined : fullMask(field) >> BigInt(bits - prefix) << BigInt(bits - prefix);
  }
  return parseValue(field, text);
}

/** A decimal or 0x number of at most `bits` bits. */
export function parseInteger(text: string, bits: number): bigint | undefined {
  if (!/^(\d+|0[xX][0-9a-fA-F]+)$/.test(text)) return undefined;
  const value = BigInt(text);
  return value >> BigInt(bits) === 0n ? value : undefined;
}

/** `+est-rel` (these bits) or `est|trk` (exactly these). */
function parseFlags(names: readonly string[], text: string): FieldMatch | undefined {
  let value = 0n;
  let mask = 0n;
  if (/^[+-]/.test(text)) {
    for (const [, sign, name] of text.matchAll(/([+-])([^+-]*)/g)) {
      const bit = names.indexOf(name!);
      if (bit < 0) return undefined;
      mask |= 1n << BigInt(bit);
      if (sign === '+') value |= 1n << BigInt(bit);
    }
    return { value, mask };
  }
  for (const name of text.split('|')) {
    const bit = names.indexOf(name);
    if (bit < 0) return undefined;
    value |= 1n << BigInt(bit);
  }
  return { value, mask: (1n << BigInt(names.length)) - 1n };
}

/** `value` or `value/mask` as `dump-flows` prints it. */
export function formatFieldMatch(field: Field, { value, mask }: FieldMatch): string {
  switch (field.kind) {
    case 'ct_state':
      return formatFlags(CT_STATE, value, mask ?? 0xffn);
    case 'tcp_flags':
      return formatFlags(TCP_FLAGS, value, mask ?? 0xfffn);
    case 'frag':
      return formatFrag(value, mask ?? 3n);
  }
  if (mask === undefined) return formatValue(field, value);
  switch (field.kind) {
    case 'ip':
    case 'ipv6': {
      const prefix = prefixLength(mask, field.bytes * 8);
      return `${formatValue(field, value)}/${prefix ?? formatValue(field, mask)}`;
    }
    case 'mac':
    case 'hex':
      return `${formatValue(field, value)}/${formatValue(field, mask)}`;
    default:
      return `0x${value.toString(16)}/0x${mask.toString(16)}`;
  }
}

/** One value of `field` as `dump-flows` and `set_field` print it. */
export function formatValue(field: Field, value: bigint): string {
  switch (field.kind) {
    case 'mac':
      return value.toString(16).padStart(12, '0').replace(/..(?!$)/g, '$&:');
    case 'ip':
      return formatIp({ version: 4, value });
    case 'ipv6':
      return formatIp({ version: 6, value });
    case 'port':
      return formatPort(Number(value));
    case 'hex':
      return formatHex(value);
    default:
      return value.toString();
  }
}

/** C's `%#x`: zero has no prefix. */
export function formatHex(value: bigint): string {
  return value === 0n ? '0' : `0x${value.toString(16)}`;
}

function formatFlags(names: readonly string[], value: bigint, mask: bigint): string {
  let text = '';
  for (const [bit, name] of names.entries()) {
    const flag = 1n << BigInt(bit);
    if (mask & flag) text += (value & flag ? '+' : '-') + name;
  }
  return text;
}

function formatFrag(value: bigint, mask: bigint): string {
  const found = Object.entries(FRAG).find(([, frag]) => frag.mask === mask && frag.value === value);
  return found ? found[0] : `0x${value.toString(16)}/0x${mask.toString(16)}`;
}

/** The prefix length of a contiguous mask; `undefined` of another. */
function prefixLength(mask: bigint, bits: number): number | undefined {
  const inverse = ((1n << BigInt(bits)) - 1n) ^ mask;
  if ((inverse & (inverse + 1n)) !== 0n) return undefined;
  return inverse === 0n ? bits : bits - inverse.toString(2).length;
}
