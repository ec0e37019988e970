/** Parses the arguments of the action learn. */
import type { LearnAction, LearnSource, LearnSpec } from './action.ts';
import { arrow, fail, integer, splitArguments, subfield } from './action-argument.ts';
import { parseSubfield, type Subfield } from './field.ts';
import { parseInteger, parseValue } from './field-value.ts';
import { FlowSyntaxError } from './flow-syntax-error.ts';

/** Parses what stands between the parentheses. Throws `FlowSyntaxError`. */
export function parseLearn(argument: string): LearnAction {
  const learn: { -readonly [K in keyof LearnAction]: LearnAction[K] } = {
    type: 'learn', table: 1, idle_timeout: 0, hard_timeout: 0, fin_idle_timeout: 0, fin_hard_timeout: 0,
    priority: 0x8000, cookie: 0n, send_flow_rem: false, delete_learned: false, specs: [],
  };
  const specs: LearnSpec[] = [];
  for (const part of splitArguments(argument)) {
    const [, name, value = ''] = /^([\w.[\]]+)(?:[=:](.*))?$/.exec(part) ?? [];
    switch (name) {
      case 'table':
        learn.table = integer(value, 8, part);
        break;
      case 'idle_timeout':
      case 'hard_timeout':
      case 'fin_idle_timeout':
      case 'fin_hard_timeout':
      case 'priority':
        learn[name] = integer(value, 16, part);
        break;
      case 'cookie':
        learn.cookie = parseInteger(value, 64) ?? fail(part);
        break;
      case 'send_flow_rem':
      case 'delete_learned':
        learn[name] = true;
        break;
      case 'load': {
        const [from, to] = arrow(value);
        const dst = subfield(to);
        specs.push({ type: 'load', dst, src: learnSource(from, dst, part) });
        break;
      }
      case 'output':
        specs.push({ type: 'output', src: subfield(value) });
        break;
      default: {
        const dst = subfield(name ?? part);
        specs.push({ type: 'match', dst, src: value === '' ? { subfield: dst } : learnSource(value, dst, part) });
      }
    }
  }
  learn.specs = specs;
  return learn;
}

function learnSource(text: string, dst: Subfield, part: string): LearnSource {
  const src = parseSubfield(text);
  if (src) {
    if (src.bits !== dst.bits) throw new FlowSyntaxError(`${part}: ${src.bits} bits do not fit ${dst.bits}`);
    return { subfield: src };
  }
  const value = dst.bits === dst.field.bits ? parseValue(dst.field, text) : parseInteger(text, dst.bits);
  return { value: value ?? fail(part) };
}
