/** Parses the actions of an `ovs-ofctl` line. */
import type { Action } from './action.ts';
import { arrow, integer, splitArguments, splitCall, subfield } from './action-argument.ts';
import { parseCt } from './ct-parse.ts';
import { findField, knownField, parseSubfield, type Field, type Subfield } from './field.ts';
import { parseFieldMatch, parseInteger, parseValue } from './field-value.ts';
import { FlowSyntaxError } from './flow-syntax-error.ts';
import { parseLearn } from './learn-parse.ts';
import { parsePort, PORT } from './port-number.ts';

const cache = new Map<string, readonly Action[]>();
const CACHE_LIMIT = 20_000;

/**
 * Parses a comma-separated list. Equal texts give the same (frozen) array.
 * `tagged` tells that every packet of the flow carries a VLAN tag: `mod_vlan_vid` pushes one only when not.
 * Throws `FlowSyntaxError`.
 */
export function parseActions(text: string, tagged: boolean): readonly Action[] {
  const key = tagged ? `tagged ${text}` : text;
  let actions = cache.get(key);
  if (!actions) {
    actions = Object.freeze(parseList(text, tagged));
    if (cache.size >= CACHE_LIMIT) cache.clear();
    cache.set(key, actions);
  }
  return actions;
}

function parseList(text: string, tagged: boolean): Action[] {
  const parts = splitArguments(text);
  if (parts.length === 0) throw new FlowSyntaxError('no actions: write actions=drop');
  if (parts.length === 1 && parts[0]!.toLowerCase() === 'drop') return [];
  const actions: Action[] = [];
  let hasTag = tagged;
  for (const part of parts) {
    if (actions.at(-1)?.type === 'goto_table') throw new FlowSyntaxError(`goto_table must come last, before "${part}"`);
    const made = parseAction(part, hasTag);
    if (made.some((action) => action.type === 'push_vlan')) hasTag = true;
    else if (made[0]?.type === 'strip_vlan') hasTag = false;
    if (made.some((action) => action.type === 'meter') && actions.length > 0) throw new FlowSyntaxError('meter must come first');
    actions.push(...made);
  }
  return actions;
}

const SET_FIELD_SYNONYMS: Readonly<Record<string, string>> = {
  mod_dl_src: 'eth_src', mod_dl_dst: 'eth_dst', mod_nw_src: 'ip_src', mod_nw_dst: 'ip_dst', set_tunnel: 'tun_id', set_tunnel64: 'tun_id',
};

function parseAction(text: string, tagged: boolean): Action[] {
  if (/^\d+$/.test(text)) return [output(text)];
  const { name, argument } = splitCall(text);
  const synonym = SET_FIELD_SYNONYMS[name];
  if (synonym !== undefined) return setField(argument, knownField(synonym));
  switch (name.toLowerCase()) {
    case 'output': {
      const src = /^\d/.test(argument) ? undefined : parseSubfield(argument);
      return [src && argument.includes('[') ? { type: 'output_reg', src } : output(argument)];
    }
    case 'in_port':
    case 'normal':
    case 'flood':
    case 'all':
    case 'local':
      return [output(name)];
    case 'controller':
      return [argument.includes('=') ? controller(argument) : output(name)];
    case 'group':
      return [{ type: 'group', group: integer(argument, 32, text) }];
    case 'meter':
      return [{ type: 'meter', meter: integer(argument, 32, text) }];
    case 'set_queue':
      return [{ type: 'set_queue', queue: integer(argument, 32, text) }];
    case 'resubmit':
      return [resubmit(argument, text)];
    case 'goto_table':
      return [{ type: 'goto_table', table: integer(argument, 8, text) }];
    case 'set_field': {
      const [value, fieldName] = arrow(argument);
      const target = findField(fieldName);
      if (!target) throw new FlowSyntaxError(`no field is called "${fieldName}"`);
      return setField(value, target);
    }
    case 'load': {
      const [value, dst] = arrow(argument);
      return [load(parseInteger(value, 64), subfield(dst), text)];
    }
    case 'move': {
      const [from, to] = arrow(argument);
      const src = subfield(from);
      const dst = subfield(to);
      if (src.bits !== dst.bits) throw new FlowSyntaxError(`${text}: ${src.bits} bits do not fit ${dst.bits}`);
      return [{ type: 'move', src, dst }];
    }
    case 'push_vlan':
      return [{ type: 'push_vlan', ethertype: integer(argument, 16, text) }];
    case 'mod_vlan_vid':
      return [
        ...(tagged ? [] : [{ type: 'push_vlan', ethertype: 0x8100 } as const]),
        { type: 'set_field', field: VLAN_VID, value: BigInt(0x1000 | integer(argument, 12, text)) },
      ];
    case 'strip_vlan':
    case 'pop_vlan':
      return [{ type: 'strip_vlan' }];
    case 'dec_ttl':
      return [{ type: 'dec_ttl' }];
    case 'ct':
      return [parseCt(argument)];
    case 'ct_clear':
      return [{ type: 'ct_clear' }];
    case 'conjunction':
      return [conjunction(argument, text)];
    case 'learn':
      return [parseLearn(argument)];
    default:
      throw new FlowSyntaxError(`no action is called "${name || text}"`);
  }
}

const VLAN_VID = knownField('vlan_vid');

function output(text: string): Action {
  const port = parsePort(text);
  if (port === undefined) throw new FlowSyntaxError(`"${text}" is no port`);
  return { type: 'output', port };
}

/** Only the argument that we write ourselves. */
function controller(argument: string): Action {
  const { name, argument: meter } = splitCall(argument);
  if (name !== 'meter_id') throw new FlowSyntaxError(`controller has no argument "${name}"`);
  return { type: 'controller', meter_id: integer(meter, 32, argument) };
}

function resubmit(argument: string, text: string): Action {
  const [portText = '', tableText = ''] = argument.split(',').map((part) => part.trim());
  const in_port = portText === '' ? PORT.IN_PORT : parsePort(portText);
  if (in_port === undefined) throw new FlowSyntaxError(`"${portText}" is no port`);
  return {
    type: 'resubmit',
    ...(in_port === PORT.IN_PORT ? {} : { in_port }),
    ...(tableText === '' ? {} : { table: integer(tableText, 8, text) }),
  };
}

/** A masked set_field becomes the loads that the switch would hand back for it. */
function setField(text: string, target: Field): Action[] {
  const whole = text.includes('/') ? undefined : parseValue(target, text);
  if (whole !== undefined) {
    // The tag is present in a tag that is set: OpenFlow wants the bit said (OFPVID_PRESENT).
    if (target === VLAN_VID && (whole & 0x1000n) === 0n) throw new FlowSyntaxError(`set_field of vlan_vid needs 4096 added: ${text}`);
    return [{ type: 'set_field', field: target, value: whole }];
  }
  const parsed = parseFieldMatch(target, text);
  if (!parsed?.mask) throw new FlowSyntaxError(`"${text}" is no value of ${target.name}`);
  const loads: Action[] = [];
  for (let offset = 0; offset < target.bits; ) {
    let bits = 0;
    while (bits < 64 && (parsed.mask >> BigInt(offset + bits)) & 1n) bits++;
    if (bits > 0) {
      const value = (parsed.value >> BigInt(offset)) & ((1n << BigInt(bits)) - 1n);
      loads.push({ type: 'load', dst: { field: target, offset, bits }, value });
    }
    offset += Math.max(bits, 1);
  }
  return loads;
}

function load(value: bigint | undefined, dst: Subfield, text: string): Action {
  if (value === undefined || value >> BigInt(dst.bits) !== 0n) throw new FlowSyntaxError(`${text}: the value does not fit ${dst.bits} bits`);
  if (dst.bits > 64) throw new FlowSyntaxError(`${text}: a load writes at most 64 bits`);
  return { type: 'load', dst, value };
}

function conjunction(argument: string, text: string): Action {
  const parts = /^\s*(\w+)\s*,\s*(\d+)\/(\d+)\s*$/.exec(argument);
  const clause = Number(parts?.[2]);
  const clauses = Number(parts?.[3]);
  if (!parts || clause < 1 || clause > clauses || clauses < 2 || clauses > 64) {
    throw new FlowSyntaxError(`"${text}" is not conjunction(id,k/n) with 1 ≤ k ≤ n, 2 ≤ n ≤ 64`);
  }
  return { type: 'conjunction', id: integer(parts[1]!, 32, text), clause, clauses };
}
