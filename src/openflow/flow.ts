/** Flows of a bridge, written and printed as `ovs-ofctl` lines. */
import type { Action } from './action.ts';
import { splitArguments } from './action-argument.ts';
import { formatActions } from './action-format.ts';
import { parseActions } from './action-parse.ts';
import { parseInteger } from './field-value.ts';
import { FlowSyntaxError } from './flow-syntax-error.ts';
import { formatMatch, hasVlanTag, type Match, parseMatch } from './match.ts';

export interface Flow {
  readonly table: number;
  readonly priority: number;
  readonly cookie: bigint;
  /** Seconds; absent = never. */
  readonly idle_timeout?: number;
  /** Seconds; absent = never. */
  readonly hard_timeout?: number;
  readonly match: Match;
  readonly actions: readonly Action[];
}

/** A flow as the switch reported it. */
export interface FlowStats extends Flow {
  readonly n_packets: bigint;
  readonly n_bytes: bigint;
  /** Seconds since it was added. */
  readonly duration: number;
}

/** What a flow without `priority=` has (OFP_DEFAULT_PRIORITY). */
export const DEFAULT_PRIORITY = 0x8000;

/**
 * Parses a line like `table=71, priority=65, ct_state=-trk, ip, reg5=0xb, actions=ct(table=72,zone=NXM_NX_REG6[0..15])`.
 * Blanks and commas separate alike. The table defaults to 0, the priority to 32768, the cookie to 0, as in ovs-ofctl;
 * counters and the age in a line of `dump-flows` are skipped. Stricter than ovs-ofctl: a field whose protocol is not
 * matched is an error. `mod_vlan_vid` and `set_tunnel` become what OpenFlow 1.4 has for them.
 * Throws `FlowSyntaxError` that ends with the line.
 */
export function parseFlow(line: string): Flow {
  try {
    return parse(line);
  } catch (error) {
    if (error instanceof FlowSyntaxError) throw new FlowSyntaxError(`${error.message} in flow: ${line.trim()}`);
    throw error;
  }
}

const SKIPPED = new Set(['duration', 'n_packets', 'n_bytes', 'idle_age', 'hard_age']);

function parse(line: string): Flow {
  const at = line.search(/(^|[\s,])actions\s*=/);
  if (at < 0) throw new FlowSyntaxError('no actions=');
  const flow = { table: 0, priority: DEFAULT_PRIORITY, cookie: 0n, idle_timeout: 0, hard_timeout: 0 };
  const matchParts: string[] = [];
  for (const part of splitArguments(line.slice(0, at))) {
    const equals = part.indexOf('=');
    const name = equals < 0 ? part : part.slice(0, equals);
    const value = part.slice(equals + 1);
    if (name === 'table') flow.table = number(name, value, 8);
    else if (name === 'priority' || name === 'idle_timeout' || name === 'hard_timeout') flow[name] = number(name, value, 16);
    else if (name === 'cookie') flow.cookie = parseInteger(value, 64) ?? wrong(name, value);
    else if (!SKIPPED.has(name)) matchParts.push(part);
  }
  const match = parseMatch(matchParts);
  const { table, priority, cookie, idle_timeout, hard_timeout } = flow;
  return {
    table,
    priority,
    cookie,
    ...(idle_timeout && { idle_timeout }),
    ...(hard_timeout && { hard_timeout }),
    match,
    actions: parseActions(line.slice(line.indexOf('=', at) + 1), hasVlanTag(match)),
  };
}

function number(name: string, text: string, bits: number): number {
  return Number(parseInteger(text, bits) ?? wrong(name, text));
}

function wrong(name: string, text: string): never {
  throw new FlowSyntaxError(`"${text}" is no value of ${name}`);
}

/** The whole flow as one canonical line that `parseFlow` and `ovs-ofctl add-flow` take. */
export function formatFlow(flow: Flow): string {
  const head = [`cookie=0x${flow.cookie.toString(16)}`];
  if (flow.idle_timeout) head.push(`idle_timeout=${flow.idle_timeout}`);
  if (flow.hard_timeout) head.push(`hard_timeout=${flow.hard_timeout}`);
  return `${head.join(',')},${flowKey(flow)} actions=${formatActions(flow.actions)}`;
}

const keys = new WeakMap<Flow, string>();

/** The identity of a flow in a switch, table + priority + match: two flows of one key cannot exist. */
export function flowKey(flow: Flow): string {
  const known = keys.get(flow);
  if (known !== undefined) return known;
  const match = formatMatch(flow.match);
  const key = `table=${flow.table},priority=${flow.priority}${match && `,${match}`}`;
  keys.set(flow, key);
  return key;
}

/** True when both do the same under the same key: actions, cookie and timeouts. */
export function sameFlow(a: Flow, b: Flow): boolean {
  return (
    flowKey(a) === flowKey(b) &&
    a.cookie === b.cookie &&
    (a.idle_timeout ?? 0) === (b.idle_timeout ?? 0) &&
    (a.hard_timeout ?? 0) === (b.hard_timeout ?? 0) &&
    formatActions(a.actions) === formatActions(b.actions)
  );
}
