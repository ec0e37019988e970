/** The arguments of actions in an `ovs-ofctl` line. Each function throws `FlowSyntaxError`. */
import { parseSubfield, type Subfield } from './field.ts';
import { parseInteger } from './field-value.ts';
import { FlowSyntaxError } from './flow-syntax-error.ts';

/** Splits at commas and blanks outside of parentheses. */
export function splitArguments(text: string): string[] {
  const parts: string[] = [];
  let depth = 0;
  let start = 0;
  for (let i = 0; i <= text.length; i++) {
    const char = text[i];
    if (char === '(') depth++;
    else if (char === ')') depth--;
    if (i === text.length || (depth === 0 && (char === ',' || char === ' ' || char === '\t' || char === '\n'))) {
      if (i > start) parts.push(text.slice(start, i));
      start = i + 1;
    }
  }
  if (depth !== 0) throw new FlowSyntaxError(`parentheses do not match in "${text}"`);
  return parts;
}

/** `name`, `name:argument`, `name(arguments)` or `name=argument`. */
export function splitCall(text: string): { name: string; argument: string } {
  const [, name = '', rest = ''] = /^(\w*)(.*)$/s.exec(text)!;
  if (rest === '') return { name, argument: '' };
  if (rest.startsWith('(') && rest.endsWith(')')) return { name, argument: rest.slice(1, -1) };
  return { name, argument: rest.slice(1) };
}

/** `NXM_NX_REG5[0..15]` */
export function subfield(text: string): Subfield {
  return parseSubfield(text.trim()) ?? fail(text, 'no field with bits');
}

/** The two sides of `value->field`. */
export function arrow(text: string): [string, string] {
  const at = text.indexOf('->');
  return at < 0 ? fail(text, 'no value->field') : [text.slice(0, at), text.slice(at + 2)];
}

/** A number of at most `bits` bits; `where` is what an error names. */
export function integer(text: string, bits: number, where: string): number {
  const value = parseInteger(text.trim(), bits);
  return value === undefined ? fail(where) : Number(value);
}

export function fail(text: string, why = 'a wrong number'): never {
  throw new FlowSyntaxError(`"${text}": ${why}`);
}
