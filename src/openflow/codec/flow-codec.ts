/** Flow modifications and flow statistics of OpenFlow 1.4 (§7.3.4.1, §7.3.5.2). */
import { type Flow, type FlowStats, flowKey, formatFlow } from '../flow.ts';
import { formatMatch, type Match } from '../match.ts';
import { ByteWriter } from './byte-writer.ts';
import { decodeInstructions, encodeInstructions } from './action-codec.ts';
import { readMatch, writeMatch } from './match-codec.ts';

const OFPFC = { add: 0, modify_strict: 2, delete: 3, delete_strict: 4 } as const;
const ALL_TABLES = 0xff;
const ANY = 0xffffffff;
const NO_BUFFER = 0xffffffff;

/** One change of a bridge's flows. */
export type FlowMod =
  /** Adds, or replaces the flow of the same key: cookie, timeouts and counters start anew. */
  | { readonly command: 'add'; readonly flow: Flow }
  /** Replaces the actions of the flow of the same key and keeps its cookie, timeouts and counters; nothing when there is none. */
  | { readonly command: 'modify_strict'; readonly flow: Flow }
  /** Deletes the flow of this key. */
  | { readonly command: 'delete_strict'; readonly flow: Pick<Flow, 'table' | 'priority' | 'match'> }
  | ({ readonly command: 'delete' } & FlowFilter);

/** Flows with `cookie` in the bits of `cookieMask` (none = all), of `table` (all), that are as narrow as `match` or narrower. */
export interface FlowFilter {
  readonly cookie?: bigint;
  readonly cookieMask?: bigint;
  readonly table?: number;
  readonly match?: Match;
}

/** The modification as a line of `ovs-ofctl bundle`. */
export function formatFlowMod(mod: FlowMod): string {
  if (mod.command === 'delete') {
    const parts = [
      mod.table === undefined ? '' : `table=${mod.table}`,
      mod.cookieMask ? `cookie=0x${(mod.cookie ?? 0n).toString(16)}/0x${mod.cookieMask.toString(16)}` : '',
      mod.match ? formatMatch(mod.match) : '',
    ];
    return `delete ${parts.filter(Boolean).join(',')}`.trimEnd();
  }
  if (mod.command === 'delete_strict') return `delete_strict ${flowKey(mod.flow as Flow)}`;
  return `${mod.command} ${formatFlow(mod.flow)}`;
}

/** The body of an OFPT_FLOW_MOD, without the message header. */
export function encodeFlowMod(mod: FlowMod): Buffer {
  const out = new ByteWriter();
  const command = OFPFC[mod.command];
  const tail = (): ByteWriter => out.u32(NO_BUFFER).u32(ANY).u32(ANY).u16(0).u16(0);
  if (mod.command === 'delete') {
    out.u64(mod.cookie ?? 0n).u64(mod.cookieMask ?? 0n).u8(mod.table ?? ALL_TABLES).u8(command).u16(0).u16(0).u16(0);
    tail();
    writeMatch(out, mod.match ?? {});
  } else if (mod.command === 'delete_strict') {
    out.u64(0n).u64(0n).u8(mod.flow.table).u8(command).u16(0).u16(0).u16(mod.flow.priority);
    tail();
    writeMatch(out, mod.flow.match);
  } else {
    const { flow } = mod;
    out.u64(flow.cookie).u64(0n).u8(flow.table).u8(command);
    out.u16(flow.idle_timeout ?? 0).u16(flow.hard_timeout ?? 0).u16(flow.priority);
    tail();
    writeMatch(out, flow.match);
    out.bytes(encodeInstructions(flow.actions));
  }
  return out.take();
}

/** The body of a request for OFPMP_FLOW. */
export function encodeFlowStatsRequest(filter: FlowFilter): Buffer {
  const out = new ByteWriter();
  out.u8(filter.table ?? ALL_TABLES).zeros(3).u32(ANY).u32(ANY).zeros(4);
  out.u64(filter.cookie ?? 0n).u64(filter.cookieMask ?? 0n);
  writeMatch(out, filter.match ?? {});
  return out.take();
}

/** The flows in the body of one reply to OFPMP_FLOW. */
export function decodeFlowStats(bytes: Buffer): FlowStats[] {
  const flows: FlowStats[] = [];
  for (let at = 0; at < bytes.length; ) {
    const length = bytes.readUInt16BE(at);
    flows.push(decodeEntry(bytes.subarray(at, at + length)));
    at += length;
  }
  return flows;
}

function decodeEntry(entry: Buffer): FlowStats {
  const { match, end } = readMatch(entry, 48);
  const idle_timeout = entry.readUInt16BE(14);
  const hard_timeout = entry.readUInt16BE(16);
  return {
    table: entry[2]!,
    priority: entry.readUInt16BE(12),
    cookie: entry.readBigUInt64BE(24),
    ...(idle_timeout && { idle_timeout }),
    ...(hard_timeout && { hard_timeout }),
    match,
    actions: decodeInstructions(entry.subarray(end)),
    duration: entry.readUInt32BE(4) + entry.readUInt32BE(8) / 1e9,
    n_packets: entry.readBigUInt64BE(32),
    n_bytes: entry.readBigUInt64BE(40),
  };
}
