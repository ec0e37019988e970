/** Actions as the one text that `ovs-ofctl dump-flows` prints for them. */
import { formatIp } from '#net/ip.ts';
import type { Action, CtAction, LearnAction, LearnSource, LearnSpec, Nat } from './action.ts';
import { formatSubfield, type Subfield } from './field.ts';
import { formatHex, formatValue } from './field-value.ts';
import { formatPort, PORT } from './port-number.ts';

const cache = new WeakMap<readonly Action[], string>();

/** The canonical text: equal actions have equal texts. `drop` when there are none. */
export function formatActions(actions: readonly Action[]): string {
  const known = cache.get(actions);
  if (known !== undefined) return known;
  const text = actions.length === 0 ? 'drop' : actions.map(formatAction).join(',');
  cache.set(actions, text);
  return text;
}

function formatAction(action: Action): string {
  switch (action.type) {
    case 'output':
      if (action.port === PORT.CONTROLLER) return 'CONTROLLER:65535';
      return action.port >= PORT.IN_PORT ? formatPort(action.port) : `output:${action.port}`;
    case 'output_reg':
      return `output:${formatSubfield(action.src)}`;
    case 'controller':
      return `controller(meter_id=${action.meter_id})`;
    case 'group':
      return `group:${action.group}`;
    case 'resubmit': {
      const port = action.in_port === undefined ? '' : formatPort(action.in_port);
      return action.table === undefined && port ? `resubmit:${port}` : `resubmit(${port},${action.table ?? ''})`;
    }
    case 'goto_table':
      return `goto_table:${action.table}`;
    case 'meter':
      return `meter:${action.meter}`;
    case 'set_field':
      return `set_field:${formatValue(action.field, action.value)}->${action.field.name}`;
    case 'load':
      return `load:${formatHex(action.value)}->${formatSubfield(action.dst)}`;
    case 'move':
      return `move:${formatSubfield(action.src)}->${formatSubfield(action.dst)}`;
    case 'push_vlan':
      return `push_vlan:${formatHex(BigInt(action.ethertype))}`;
    case 'strip_vlan':
    case 'dec_ttl':
    case 'ct_clear':
      return action.type;
    case 'set_queue':
      return `set_queue:${action.queue}`;
    case 'ct':
      return formatCt(action);
    case 'conjunction':
      return `conjunction(${action.id},${action.clause}/${action.clauses})`;
    case 'learn':
      return formatLearn(action);
    case 'unknown':
      return `unknown(${action.hex})`;
  }
}

function formatCt(ct: CtAction): string {
  const args: string[] = [];
  if (ct.commit) args.push('commit');
  if (ct.force) args.push('force');
  if (ct.table !== undefined) args.push(`table=${ct.table}`);
  if (typeof ct.zone === 'object') args.push(`zone=${formatSubfield(ct.zone)}`);
  else if (ct.zone) args.push(`zone=${ct.zone}`);
  if (ct.nat) args.push(formatNat(ct.nat));
  if (ct.exec?.length) args.push(`exec(${formatActions(ct.exec)})`);
  if (ct.alg) args.push(`alg=${ALG_NAMES[ct.alg] ?? ct.alg}`);
  return `ct(${args.join(',')})`;
}

export const ALG_NAMES: Readonly<Record<number, string>> = { 21: 'ftp', 69: 'tftp' };

function formatNat({ kind, addresses, ports, persistent, hash, random }: Nat): string {
  if (!kind) return 'nat';
  let range = '';
  if (addresses) {
    const address = (value: bigint): string => {
      const text = formatIp({ version: addresses.version, value });
      return addresses.version === 6 && ports ? `[${text}]` : text;
    };
    range = `=${address(addresses.first)}`;
    if (addresses.last !== undefined) range += `-${address(addresses.last)}`;
  } else if (ports) range = '=';
  if (ports) range += `:${ports.first}${ports.last === undefined ? '' : `-${ports.last}`}`;
  const flags = [persistent && 'persistent', hash && 'hash', random && 'random'].filter(Boolean);
  return `nat(${[kind + range, ...flags].join(',')})`;
}

function formatLearn(learn: LearnAction): string {
  const args = [`table=${learn.table}`];
  for (const name of ['idle_timeout', 'hard_timeout', 'fin_idle_timeout', 'fin_hard_timeout'] as const) {
    if (learn[name]) args.push(`${name}=${learn[name]}`);
  }
  if (learn.priority !== 0x8000) args.push(`priority=${learn.priority}`);
  if (learn.send_flow_rem) args.push('send_flow_rem');
  if (learn.delete_learned) args.push('delete_learned');
  if (learn.cookie) args.push(`cookie=${formatHex(learn.cookie)}`);
  return `learn(${[...args, ...learn.specs.map(formatLearnSpec)].join(',')})`;
}

function formatLearnSpec(spec: LearnSpec): string {
  if (spec.type === 'output') return `output:${formatSubfield(spec.src)}`;
  if (spec.type === 'load') return `load:${formatSource(spec.src)}->${formatSubfield(spec.dst)}`;
  const { dst, src } = spec;
  if ('value' in src && isWhole(dst)) return `${dst.field.name}=${formatValue(dst.field, src.value)}`;
  if ('subfield' in src && src.subfield.field === dst.field && src.subfield.offset === dst.offset) return formatSubfield(dst);
  return `${formatSubfield(dst)}=${formatSource(src)}`;
}

function formatSource(src: LearnSource): string {
  return 'value' in src ? formatHex(src.value) : formatSubfield(src.subfield);
}

function isWhole(sub: Subfield): boolean {
  return sub.offset === 0 && sub.bits === sub.field.bits;
}
