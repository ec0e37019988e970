/** Meters of OpenFlow 1.4 (§7.3.4.5) of one kind: packets above a rate are dropped, counted by the band. */

export interface Meter {
  readonly id: number;
  /** Packets a second that pass. */
  readonly rate: number;
  /** Packets that may pass at once on top of it. */
  readonly burst: number;
}

const COMMAND = { add: 0, modify: 1, delete: 2 } as const;
const FLAG = { PKTPS: 2, BURST: 4, STATS: 8 } as const;
const BAND_DROP = 1;
const ALL_METERS = 0xffffffff;

/** The body of an OFPT_METER_MOD. */
export function encodeMeterMod(command: keyof typeof COMMAND, { id, rate, burst }: Meter): Buffer {
  const head = Buffer.alloc(8);
  head.writeUInt16BE(COMMAND[command], 0);
  head.writeUInt16BE(FLAG.PKTPS | FLAG.BURST | FLAG.STATS, 2);
  head.writeUInt32BE(id, 4);
  if (command === 'delete') return head;
  const band = Buffer.alloc(16);
  band.writeUInt16BE(BAND_DROP, 0);
  band.writeUInt16BE(band.length, 2);
  band.writeUInt32BE(rate, 4);
  band.writeUInt32BE(burst, 8);
  return Buffer.concat([head, band]);
}

/** The body of a request for OFPMP_METER or OFPMP_METER_CONFIG: of one meter, or of all. */
export function encodeMeterRequest(id: number = ALL_METERS): Buffer {
  const body = Buffer.alloc(8);
  body.writeUInt32BE(id, 0);
  return body;
}

/** The meters of our kind in the body of one reply to OFPMP_METER_CONFIG. */
export function decodeMeterConfig(body: Buffer): Meter[] {
  const meters: Meter[] = [];
  for (let at = 0; at < body.length; at += body.readUInt16BE(at)) {
    const [length, flags] = [body.readUInt16BE(at), body.readUInt16BE(at + 2)];
    if (length < 8) throw new RangeError(`a meter says it is ${length} bytes long`);
    if (length !== 24 || !(flags & FLAG.PKTPS) || body.readUInt16BE(at + 8) !== BAND_DROP) continue;
    meters.push({ id: body.readUInt32BE(at + 4), rate: body.readUInt32BE(at + 12), burst: body.readUInt32BE(at + 16) });
  }
  return meters;
}

/** How many packets the band of each meter has dropped, by meter, in the body of one reply to OFPMP_METER. */
export function decodeMeterDrops(body: Buffer): Map<number, bigint> {
  const drops = new Map<number, bigint>();
  for (let at = 0; at < body.length; at += body.readUInt16BE(at + 4)) {
    const length = body.readUInt16BE(at + 4);
    if (length < 40) throw new RangeError(`meter statistics say they are ${length} bytes long`);
    if (length >= 56) drops.set(body.readUInt32BE(at), body.readBigUInt64BE(at + 40));
  }
  return drops;
}
