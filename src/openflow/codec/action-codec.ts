/** Action lists and instructions of OpenFlow 1.4 (§7.2.4, §7.2.5), with Open vSwitch's Nicira extensions (nicira-ext.h). */
import type { Action } from '../action.ts';
import { fieldOfHeader, type Subfield } from '../field.ts';
import { PORT, widenPort } from '../port-number.ts';
import { ByteWriter, numberOf } from './byte-writer.ts';
import { readCt, writeCt } from './ct-codec.ts';
import { readLearn, writeLearn } from './learn-codec.ts';
import { writeOxm } from './match-codec.ts';

const OFPAT = { OUTPUT: 0, PUSH_VLAN: 17, POP_VLAN: 18, SET_QUEUE: 21, GROUP: 22, DEC_NW_TTL: 24, SET_FIELD: 25, EXPERIMENTER: 0xffff } as const;
const OFPIT = { GOTO_TABLE: 1, APPLY_ACTIONS: 4, METER: 6 } as const;
const NICIRA = 0x2320;
/** Subtypes of Nicira's actions. */
export const NXAST = {
  RESUBMIT: 1, REG_MOVE: 6, REG_LOAD: 7, RESUBMIT_TABLE: 14, OUTPUT_REG: 15, LEARN: 16, CONJUNCTION: 34, CT: 35, NAT: 36, CONTROLLER2: 37, CT_CLEAR: 43,
} as const;
const ALL_TABLES = 0xff;
/** The one property of NXAST_CONTROLLER2 that we use. */
const NXAC2PT_METER_ID = 5;

const encoded = new WeakMap<readonly Action[], Buffer>();

/** The instructions of a flow that does `actions`. */
export function encodeInstructions(actions: readonly Action[]): Buffer {
  let bytes = encoded.get(actions);
  if (!bytes) {
    bytes = buildInstructions(actions);
    encoded.set(actions, bytes);
  }
  return bytes;
}

function buildInstructions(actions: readonly Action[]): Buffer {
  const out = new ByteWriter();
  const applied = actions.filter((action) => !isInstruction(action));
  for (const action of actions) if (action.type === 'meter') out.u16(OFPIT.METER).u16(8).u32(action.meter);
  if (applied.length > 0) {
    const start = out.length;
    out.u16(OFPIT.APPLY_ACTIONS).u16(0).zeros(4);
    for (const action of applied) writeAction(out, action);
    out.setU16(start + 2, out.length - start);
  }
  for (const action of actions) {
    if (action.type === 'goto_table') out.u16(OFPIT.GOTO_TABLE).u16(8).u8(action.table).zeros(3);
    else if (action.type === 'unknown' && action.instruction) out.bytes(Buffer.from(action.hex, 'hex'));
  }
  return out.take();
}

function isInstruction(action: Action): boolean {
  return action.type === 'meter' || action.type === 'goto_table' || (action.type === 'unknown' && action.instruction);
}

/** Writes one action, padded to 8 bytes. */
export function writeAction(out: ByteWriter, action: Action): void {
  switch (action.type) {
    case 'output':
      out.u16(OFPAT.OUTPUT).u16(16).u32(action.port).u16(action.port === PORT.CONTROLLER ? 0xffff : 0).zeros(6);
      return;
    case 'group':
      out.u16(OFPAT.GROUP).u16(8).u32(action.group);
      return;
    case 'set_queue':
      out.u16(OFPAT.SET_QUEUE).u16(8).u32(action.queue);
      return;
    case 'push_vlan':
      out.u16(OFPAT.PUSH_VLAN).u16(8).u16(action.ethertype).zeros(2);
      return;
    case 'strip_vlan':
      out.u16(OFPAT.POP_VLAN).u16(8).zeros(4);
      return;
    case 'dec_ttl':
      out.u16(OFPAT.DEC_NW_TTL).u16(8).zeros(4);
      return;
    case 'set_field': {
      const start = out.length;
      out.u16(OFPAT.SET_FIELD).u16(0);
      writeOxm(out, action.field, action.value);
      out.padTo8(start).setU16(start + 2, out.length - start);
      return;
    }
    case 'resubmit':
      nicira(out, NXAST.RESUBMIT_TABLE, () => out.u16((action.in_port ?? PORT.IN_PORT) & 0xffff).u8(action.table ?? ALL_TABLES).zeros(3));
      return;
    case 'output_reg':
      nicira(out, NXAST.OUTPUT_REG, () => out.u16(bitRange(action.src)).u32(action.src.field.subfieldHeader).u16(0xffff).zeros(6));
      return;
    case 'controller':
      nicira(out, NXAST.CONTROLLER2, () => out.zeros(6).u16(NXAC2PT_METER_ID).u16(8).u32(action.meter_id));
      return;
    case 'load':
      nicira(out, NXAST.REG_LOAD, () => out.u16(bitRange(action.dst)).u32(action.dst.field.subfieldHeader).u64(action.value));
      return;
    case 'move':
      nicira(out, NXAST.REG_MOVE, () =>
        out.u16(action.src.bits).u16(action.src.offset).u16(action.dst.offset).u32(action.src.field.subfieldHeader).u32(action.dst.field.subfieldHeader),
      );
      return;
    case 'conjunction':
      nicira(out, NXAST.CONJUNCTION, () => out.u8(action.clause - 1).u8(action.clauses).u32(action.id));
      return;
    case 'ct':
      nicira(out, NXAST.CT, () => writeCt(out, action));
      return;
    case 'ct_clear':
      nicira(out, NXAST.CT_CLEAR, () => out);
      return;
    case 'learn':
      nicira(out, NXAST.LEARN, () => writeLearn(out, action));
      return;
    case 'unknown':
      out.bytes(Buffer.from(action.hex, 'hex'));
      return;
    case 'meter':
    case 'goto_table':
      throw new Error(`${action.type} is an instruction, not an action`);
  }
}

/** Header of a Nicira action around what `body` writes, padded to 8 bytes. */
export function nicira(out: ByteWriter, subtype: number, body: () => unknown): void {
  const start = out.length;
  out.u16(OFPAT.EXPERIMENTER).u16(0).u32(NICIRA).u16(subtype);
  body();
  out.padTo8(start).setU16(start + 2, out.length - start);
}

/** Nicira's `(ofs << 6) | (n_bits - 1)`. */
export function bitRange(sub: Subfield): number {
  return (sub.offset << 6) | (sub.bits - 1);
}

/** The inverse of `bitRange`; `undefined` when the field is unknown. */
export function readBitRange(header: number, range: number): Subfield | undefined {
  const field = fieldOfHeader(header);
  return field && { field, offset: range >> 6, bits: (range & 0x3f) + 1 };
}

const decoded = new Map<string, readonly Action[]>();
const CACHE_LIMIT = 20_000;

/** The inverse of `encodeInstructions`. What it does not know becomes `unknown`. Equal bytes give the same array. */
export function decodeInstructions(bytes: Buffer): readonly Action[] {
  const key = bytes.toString('latin1');
  let actions = decoded.get(key);
  if (!actions) {
    actions = Object.freeze(readInstructions(bytes));
    if (decoded.size >= CACHE_LIMIT) decoded.clear();
    decoded.set(key, actions);
  }
  return actions;
}

function readInstructions(bytes: Buffer): Action[] {
  const actions: Action[] = [];
  for (let at = 0; at < bytes.length; ) {
    const length = bytes.readUInt16BE(at + 2);
    const instruction = bytes.subarray(at, at + length);
    const type = instruction.readUInt16BE(0);
    if (type === OFPIT.APPLY_ACTIONS) actions.push(...readActions(instruction.subarray(8)));
    else if (type === OFPIT.GOTO_TABLE) actions.push({ type: 'goto_table', table: instruction[4]! });
    else if (type === OFPIT.METER) actions.push({ type: 'meter', meter: instruction.readUInt32BE(4) });
    else actions.push({ type: 'unknown', instruction: true, hex: instruction.toString('hex') });
    at += length;
  }
  return actions;
}

/** Reads a list of actions that fills `bytes`. */
export function readActions(bytes: Buffer): Action[] {
  const actions: Action[] = [];
  for (let at = 0; at < bytes.length; ) {
    const length = bytes.readUInt16BE(at + 2);
    const action = bytes.subarray(at, at + length);
    actions.push(readAction(action) ?? { type: 'unknown', instruction: false, hex: action.toString('hex') });
    at += length;
  }
  return actions;
}

function readAction(bytes: Buffer): Action | undefined {
  switch (bytes.readUInt16BE(0)) {
    case OFPAT.OUTPUT:
      return { type: 'output', port: bytes.readUInt32BE(4) };
    case OFPAT.GROUP:
      return { type: 'group', group: bytes.readUInt32BE(4) };
    case OFPAT.SET_QUEUE:
      return { type: 'set_queue', queue: bytes.readUInt32BE(4) };
    case OFPAT.PUSH_VLAN:
      return { type: 'push_vlan', ethertype: bytes.readUInt16BE(4) };
    case OFPAT.POP_VLAN:
      return { type: 'strip_vlan' };
    case OFPAT.DEC_NW_TTL:
      return { type: 'dec_ttl' };
    case OFPAT.SET_FIELD: {
      const field = fieldOfHeader(bytes.readUInt32BE(4));
      return field && { type: 'set_field', field, value: numberOf(bytes.subarray(8, 8 + field.bytes)) };
    }
    case OFPAT.EXPERIMENTER:
      return bytes.readUInt32BE(4) === NICIRA ? readNicira(bytes) : undefined;
    default:
      return undefined;
  }
}

function readNicira(bytes: Buffer): Action | undefined {
  switch (bytes.readUInt16BE(8)) {
    case NXAST.RESUBMIT:
      return resubmit(bytes.readUInt16BE(10), ALL_TABLES);
    case NXAST.RESUBMIT_TABLE:
      return resubmit(bytes.readUInt16BE(10), bytes[12]!);
    case NXAST.OUTPUT_REG: {
      const src = readBitRange(bytes.readUInt32BE(12), bytes.readUInt16BE(10));
      return src && { type: 'output_reg', src };
    }
    case NXAST.REG_LOAD: {
      const dst = readBitRange(bytes.readUInt32BE(12), bytes.readUInt16BE(10));
      return dst && { type: 'load', dst, value: bytes.readBigUInt64BE(16) };
    }
    case NXAST.REG_MOVE: {
      const bits = bytes.readUInt16BE(10);
      const src = fieldOfHeader(bytes.readUInt32BE(16));
      const dst = fieldOfHeader(bytes.readUInt32BE(20));
      return src && dst && {
        type: 'move',
        src: { field: src, offset: bytes.readUInt16BE(12), bits },
        dst: { field: dst, offset: bytes.readUInt16BE(14), bits },
      };
    }
    case NXAST.CONJUNCTION:
      return { type: 'conjunction', clause: bytes[10]! + 1, clauses: bytes[11]!, id: bytes.readUInt32BE(12) };
    case NXAST.CONTROLLER2:
      return readController(bytes);
    case NXAST.CT:
      return readCt(bytes);
    case NXAST.CT_CLEAR:
      return { type: 'ct_clear' };
    case NXAST.LEARN:
      return readLearn(bytes);
    default:
      return undefined;
  }
}

function readController(bytes: Buffer): Action | undefined {
  return bytes.length === 24 && bytes.readUInt16BE(16) === NXAC2PT_METER_ID ? { type: 'controller', meter_id: bytes.readUInt32BE(20) } : undefined;
}

function resubmit(inPort: number, table: number): Action {
  const in_port = widenPort(inPort);
  return { type: 'resubmit', ...(in_port !== PORT.IN_PORT && { in_port }), ...(table !== ALL_TABLES && { table }) };
}
