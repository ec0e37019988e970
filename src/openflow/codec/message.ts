/** OpenFlow messages: header, framing, error names (OpenFlow 1.4 §7.1, §7.4.4). */

export const OFP_VERSION = 5;

export const OFPT = {
  HELLO: 0, ERROR: 1, ECHO_REQUEST: 2, ECHO_REPLY: 3, SET_CONFIG: 9, PACKET_IN: 10, FLOW_MOD: 14, MULTIPART_REQUEST: 18, MULTIPART_REPLY: 19,
  BARRIER_REQUEST: 20, BARRIER_REPLY: 21, METER_MOD: 29, BUNDLE_CONTROL: 33, BUNDLE_ADD: 34,
} as const;

export const OFPMP = { FLOW: 1, METER: 9, METER_CONFIG: 10, PORT_DESC: 13 } as const;

export const HEADER_LENGTH = 8;

export interface Message {
  readonly version: number;
  readonly type: number;
  readonly xid: number;
  readonly body: Buffer;
}

/** One message with its header. Throws when the body does not fit the 16-bit length. */
export function encodeMessage(type: number, xid: number, body: Uint8Array): Buffer {
  const length = HEADER_LENGTH + body.length;
  if (length > 0xffff) throw new RangeError(`an OpenFlow message of ${length} bytes is longer than 65535`);
  const out = Buffer.allocUnsafe(length);
  out[0] = OFP_VERSION;
  out[1] = type;
  out.writeUInt16BE(length, 2);
  out.writeUInt32BE(xid >>> 0, 4);
  out.set(body, HEADER_LENGTH);
  return out;
}

/** Cuts a byte stream into messages. */
export class MessageReader {
  #rest: Buffer = Buffer.alloc(0);

  /** The messages that are complete with `chunk`. */
  push(chunk: Buffer): Message[] {
    const bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    const messages: Message[] = [];
    let at = 0;
    while (bytes.length - at >= HEADER_LENGTH) {
      const length = bytes.readUInt16BE(at + 2);
      if (length < HEADER_LENGTH) throw new RangeError(`an OpenFlow message says it is ${length} bytes long`);
      if (bytes.length - at < length) break;
      messages.push({
        version: bytes[at]!,
        type: bytes[at + 1]!,
        xid: bytes.readUInt32BE(at + 4),
        body: bytes.subarray(at + HEADER_LENGTH, at + length),
      });
      at += length;
    }
    this.#rest = bytes.subarray(at);
    return messages;
  }
}

const ERROR_TYPES: Readonly<Record<number, readonly [name: string, codes: Readonly<Record<number, string>>]>> = {
  0: ['OFPET_HELLO_FAILED', { 0: 'INCOMPATIBLE', 1: 'EPERM' }],
  1: ['OFPET_BAD_REQUEST', { 0: 'BAD_VERSION', 1: 'BAD_TYPE', 2: 'BAD_MULTIPART', 3: 'BAD_EXPERIMENTER', 6: 'BAD_LEN', 9: 'BAD_TABLE_ID' }],
  2: ['OFPET_BAD_ACTION', {
    0: 'BAD_TYPE', 1: 'BAD_LEN', 2: 'BAD_EXPERIMENTER', 3: 'BAD_EXP_TYPE', 4: 'BAD_OUT_PORT', 5: 'BAD_ARGUMENT', 7: 'TOO_MANY', 8: 'BAD_QUEUE',
    9: 'BAD_OUT_GROUP', 10: 'MATCH_INCONSISTENT', 11: 'UNSUPPORTED_ORDER', 12: 'BAD_TAG', 13: 'BAD_SET_TYPE', 14: 'BAD_SET_LEN', 15: 'BAD_SET_ARGUMENT',
  }],
  3: ['OFPET_BAD_INSTRUCTION', { 0: 'UNKNOWN_INST', 1: 'UNSUP_INST', 2: 'BAD_TABLE_ID' }],
  4: ['OFPET_BAD_MATCH', {
    0: 'BAD_TYPE', 1: 'BAD_LEN', 2: 'BAD_TAG', 5: 'BAD_WILDCARDS', 6: 'BAD_FIELD', 7: 'BAD_VALUE', 8: 'BAD_MASK', 9: 'BAD_PREREQ', 10: 'DUP_FIELD',
  }],
  5: ['OFPET_FLOW_MOD_FAILED', { 0: 'UNKNOWN', 1: 'TABLE_FULL', 2: 'BAD_TABLE_ID', 3: 'OVERLAP', 4: 'EPERM', 5: 'BAD_TIMEOUT', 6: 'BAD_COMMAND' }],
  12: ['OFPET_METER_MOD_FAILED', { 1: 'METER_EXISTS', 2: 'INVALID_METER', 3: 'UNKNOWN_METER', 4: 'BAD_COMMAND', 5: 'BAD_FLAGS', 6: 'BAD_RATE', 7: 'BAD_BURST', 8: 'BAD_BAND', 10: 'OUT_OF_METERS', 11: 'OUT_OF_BANDS' }],
  17: ['OFPET_BUNDLE_FAILED', {
    0: 'UNKNOWN', 1: 'EPERM', 2: 'BAD_ID', 3: 'BUNDLE_EXIST', 4: 'BUNDLE_CLOSED', 5: 'OUT_OF_BUNDLES', 6: 'BAD_TYPE', 7: 'BAD_FLAGS',
    8: 'MSG_BAD_LEN', 9: 'MSG_BAD_XID', 10: 'MSG_UNSUP', 11: 'MSG_CONFLICT', 12: 'MSG_TOO_MANY', 13: 'MSG_FAILED', 14: 'TIMEOUT', 15: 'BUNDLE_IN_PROGRESS',
  }],
};

/** `OFPET_BAD_MATCH BAD_PREREQ`, or numbers where the names are unknown, of the body of an OFPT_ERROR. */
export function errorName(body: Buffer): string {
  const type = body.readUInt16BE(0);
  const code = body.readUInt16BE(2);
  if (type === 0xffff) return `experimenter error ${code} of 0x${body.length >= 8 ? body.readUInt32BE(4).toString(16) : '?'}`;
  const known = ERROR_TYPES[type];
  return known ? `${known[0]} ${known[1][code] ?? `code ${code}`}` : `error type ${type} code ${code}`;
}
