/** OFPT_PACKET_IN of OpenFlow 1.4 (§7.4.1): the copy of a packet that a flow sent to the controller, with what the pipeline knew of it. */
import type { Match } from '../match.ts';
import { readMatch } from './match-codec.ts';

export interface PacketIn {
  /** The table of the flow that sent it. */
  readonly table: number;
  /** Of that flow. */
  readonly cookie: bigint;
  /** Length of the packet, of which `data` may hold the beginning only. */
  readonly total_len: number;
  /** in_port, registers and what connection tracking said; what is zero is absent. */
  readonly fields: Match;
  readonly data: Buffer;
}

/** Reads the body of the message. Throws RangeError when it is cut off. */
export function decodePacketIn(body: Buffer): PacketIn {
  const { match, end } = readMatch(body, 16);
  // Two bytes align the packet's IP header.
  if (end + 2 > body.length) throw new RangeError(`a packet-in of ${body.length} bytes ends within its match`);
  return { table: body[7]!, cookie: body.readBigUInt64BE(8), total_len: body.readUInt16BE(4), fields: match, data: body.subarray(end + 2) };
}
