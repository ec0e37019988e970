/** The action learn (nicira-ext.h: nx_action_learn and its flow_mod_specs). */
import type { LearnAction, LearnSource, LearnSpec } from '../action.ts';
import { fieldOfHeader, type Subfield } from '../field.ts';
import { type ByteWriter, numberOf } from './byte-writer.ts';

const FLAG = { SEND_FLOW_REM: 1, DELETE_LEARNED: 2 } as const;
/** Bits of a spec's header, above the number of bits it copies. */
const IMMEDIATE = 1 << 13;
const DESTINATION = { match: 0, load: 1 << 11, output: 2 << 11 } as const;
const DESTINATION_MASK = 3 << 11;
const BITS_MASK = 0x3ff;

/** Writes the body of a learn action, behind the Nicira header. */
export function writeLearn(out: ByteWriter, learn: LearnAction): void {
  out.u16(learn.idle_timeout).u16(learn.hard_timeout).u16(learn.priority).u64(learn.cookie);
  out.u16((learn.send_flow_rem ? FLAG.SEND_FLOW_REM : 0) | (learn.delete_learned ? FLAG.DELETE_LEARNED : 0));
  out.u8(learn.table).zeros(1).u16(learn.fin_idle_timeout).u16(learn.fin_hard_timeout);
  for (const spec of learn.specs) writeSpec(out, spec);
}

function writeSpec(out: ByteWriter, spec: LearnSpec): void {
  const source: LearnSource = spec.type === 'output' ? { subfield: spec.src } : spec.src;
  const bits = spec.type === 'output' ? spec.src.bits : spec.dst.bits;
  out.u16(('value' in source ? IMMEDIATE : 0) | DESTINATION[spec.type] | bits);
  if ('value' in source) out.number(source.value, 2 * Math.ceil(bits / 16));
  else writeSubfield(out, source.subfield);
  if (spec.type !== 'output') writeSubfield(out, spec.dst);
}

function writeSubfield(out: ByteWriter, sub: Subfield): void {
  out.u32(sub.field.subfieldHeader).u16(sub.offset);
}

/** Reads a whole learn action; `undefined` when it names a field this library does not know. */
export function readLearn(bytes: Buffer): LearnAction | undefined {
  const specs: LearnSpec[] = [];
  // A header of zero is padding: a spec copies at least one bit.
  for (let at = 32; at + 2 <= bytes.length && bytes.readUInt16BE(at) !== 0; ) {
    const header = bytes.readUInt16BE(at);
    const bits = header & BITS_MASK;
    at += 2;
    let source: LearnSource;
    if (header & IMMEDIATE) {
      const size = 2 * Math.ceil(bits / 16);
      source = { value: numberOf(bytes.subarray(at, at + size)) };
      at += size;
    } else {
      const subfield = readSubfield(bytes, at, bits);
      if (!subfield) return undefined;
      source = { subfield };
      at += 6;
    }
    if ((header & DESTINATION_MASK) === DESTINATION.output) {
      if (!('subfield' in source)) return undefined;
      specs.push({ type: 'output', src: source.subfield });
      continue;
    }
    const dst = readSubfield(bytes, at, bits);
    if (!dst) return undefined;
    at += 6;
    specs.push({ type: (header & DESTINATION_MASK) === DESTINATION.load ? 'load' : 'match', dst, src: source });
  }
  const flags = bytes.readUInt16BE(24);
  return {
    type: 'learn',
    table: bytes[26]!,
    idle_timeout: bytes.readUInt16BE(10),
    hard_timeout: bytes.readUInt16BE(12),
    fin_idle_timeout: bytes.readUInt16BE(28),
    fin_hard_timeout: bytes.readUInt16BE(30),
    priority: bytes.readUInt16BE(14),
    cookie: bytes.readBigUInt64BE(16),
    send_flow_rem: (flags & FLAG.SEND_FLOW_REM) !== 0,
    delete_learned: (flags & FLAG.DELETE_LEARNED) !== 0,
    specs,
  };
}

function readSubfield(bytes: Buffer, at: number, bits: number): Subfield | undefined {
  const field = fieldOfHeader(bytes.readUInt32BE(at));
  return field && { field, offset: bytes.readUInt16BE(at + 4), bits };
}
