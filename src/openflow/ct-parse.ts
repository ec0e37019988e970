/** Parses the arguments of the action ct, with those of nat. */
import { parseIp } from '#net/ip.ts';
import type { CtAction, Nat } from './action.ts';
import { integer, splitArguments, splitCall, subfield } from './action-argument.ts';
import { ALG_NAMES } from './action-format.ts';
import { parseActions } from './action-parse.ts';
import { FlowSyntaxError } from './flow-syntax-error.ts';

/** Parses what stands between the parentheses. Throws `FlowSyntaxError`. */
export function parseCt(argument: string): CtAction {
  const ct: { -readonly [K in keyof CtAction]: CtAction[K] } = { type: 'ct' };
  for (const part of splitArguments(argument)) {
    const { name, argument: value } = splitCall(part);
    if (name === 'commit') ct.commit = true;
    else if (name === 'force') ct.force = true;
    else if (name === 'table') ct.table = integer(value, 8, part);
    else if (name === 'zone') {
      const zone = /^\d/.test(value) ? integer(value, 16, part) : subfield(value);
      if (zone !== 0) ct.zone = zone;
    } else if (name === 'nat') ct.nat = parseNat(value);
    else if (name === 'exec') ct.exec = parseActions(value, false);
    else if (name === 'alg') ct.alg = Number(Object.keys(ALG_NAMES).find((port) => ALG_NAMES[Number(port)] === value) ?? integer(value, 16, part));
    else throw new FlowSyntaxError(`ct has no argument "${part}"`);
  }
  if (ct.force && !ct.commit) throw new FlowSyntaxError('ct(force) needs commit');
  if (ct.exec && !ct.commit) throw new FlowSyntaxError('ct(exec(…)) needs commit');
  return ct;
}

function parseNat(argument: string): Nat {
  const nat: { -readonly [K in keyof Nat]: Nat[K] } = {};
  for (const part of splitArguments(argument)) {
    const equals = part.indexOf('=');
    const name = equals < 0 ? part : part.slice(0, equals);
    if (name === 'src' || name === 'dst') {
      nat.kind = name;
      if (equals >= 0) Object.assign(nat, parseNatRange(part.slice(equals + 1)));
    } else if (name === 'persistent' || name === 'hash' || name === 'random') nat[name] = true;
    else throw new FlowSyntaxError(`nat has no argument "${part}"`);
  }
  return nat;
}

/** `10.0.0.1`, `10.0.0.1-10.0.0.9:1024-2047`, `[fd00::1]:80`, `fd00::1-fd00::9`. */
function parseNatRange(text: string): Pick<Nat, 'addresses' | 'ports'> {
  const shape = /^(?:(\[[^\]]*\]|[\d.]+)(?:-(\[[^\]]*\]|[\d.]+))?)?(?::(\d+)(?:-(\d+))?)?$/.exec(text) ?? /^([^-]+)(?:-([^-]+))?()()$/.exec(text);
  const [, firstText, lastText, low, high] = shape ?? [];
  const first = firstText === undefined ? undefined : parseIp(firstText.replace(/^\[|\]$/g, ''));
  const last = lastText === undefined ? undefined : parseIp(lastText.replace(/^\[|\]$/g, ''));
  if (!shape || (firstText !== undefined && !first) || (lastText !== undefined && last?.version !== first?.version)) {
    throw new FlowSyntaxError(`"${text}" is no range for nat`);
  }
  const portFirst = low ? integer(low, 16, text) : undefined;
  const portLast = high ? integer(high, 16, text) : undefined;
  return {
    ...(first && { addresses: { version: first.version, first: first.value, ...(last && last.value !== first.value && { last: last.value }) } }),
    ...(portFirst !== undefined && { ports: { first: portFirst, ...(portLast !== undefined && portLast !== portFirst && { last: portLast }) } }),
  };
}
