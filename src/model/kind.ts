/** Kinds of attribute values: how one is read from the wire, checked, stored and described. */
import type { TSchema } from 'typebox';
import { parseCidr } from '#net/cidr.ts';
import { formatIp, parseIp } from '#net/ip.ts';
import { parseMac } from '#net/mac.ts';
import { types } from './type-builder.ts';

/** The column type of both engines; booleans are stored as 0 and 1, json as text. */
export type Column = 'text' | 'integer' | 'boolean' | 'json';

export interface Kind<T> {
  readonly column: Column;
  /** Returns the value as the model holds it; throws `InvalidValue` with the rule that was broken. */
  readonly convert: (value: unknown) => T;
  /** The JSON schema, made only when the API document is asked for. */
  readonly schema: () => TSchema;
}

/** A value that breaks a rule; the message is Neutron's "reason", without a final stop. */
export class InvalidValue extends Error {
  readonly attribute?: string;
  constructor(reason: string, attribute?: string) {
    super(reason);
    this.attribute = attribute;
  }
}

const shown = (value: unknown): string => (typeof value === 'string' ? `'${value}'` : JSON.stringify(value));

/** Text of at most `max` characters. */
export function text(max = 255): Kind<string> {
  return {
    column: 'text',
    schema: () => types().String({ maxLength: max }),
    convert(value) {
      if (typeof value !== 'string') throw new InvalidValue(`${shown(value)} is not a valid string`);
      if (value.length > max) throw new InvalidValue(`'${value.slice(0, 60)}…' exceeds maximum length of ${max}`);
      if (value.includes('\0')) throw new InvalidValue('the text holds a NUL character');
      return value;
    },
  };
}

/** Text with more in it than white space. */
export function filled(kind: Kind<string>): Kind<string> {
  return {
    ...kind,
    convert(value) {
      const given = kind.convert(value);
      if (given.trim() === '') throw new InvalidValue(`'${given}' Blank strings are not permitted`);
      return given;
    },
  };
}

const TRUE = new Set<unknown>([true, 1, '1', 'true', 'True', 'TRUE', 't', 'yes', 'on']);
const FALSE = new Set<unknown>([false, 0, '0', 'false', 'False', 'FALSE', 'f', 'no', 'off']);

/** Booleans in every spelling that Neutron takes: True, true, 1, "1". */
export const boolean: Kind<boolean> = {
  column: 'boolean',
  schema: () => types().Boolean(),
  convert(value) {
    const lower = typeof value === 'string' ? value.toLowerCase() : value;
    if (TRUE.has(lower)) return true;
    if (FALSE.has(lower)) return false;
    throw new InvalidValue(`${shown(value)} cannot be converted to boolean`);
  },
};

/** Whole numbers; digits in a string are taken too. */
export function integer(min = 0, max = 2 ** 31 - 1): Kind<number> {
  return {
    column: 'integer',
    schema: () => types().Integer({ minimum: min, maximum: max }),
    convert(value) {
      const number = typeof value === 'string' && /^-?[0-9]{1,15}$/.test(value) ? Number(value) : value;
      if (typeof number !== 'number' || !Number.isSafeInteger(number)) throw new InvalidValue(`'${String(value).slice(0, 60)}' is not an integer`);
      if (number < min) throw new InvalidValue(`'${number}' is too small - must be at least '${min}'`);
      if (number > max) throw new InvalidValue(`'${number}' is too large - must be no larger than '${max}'`);
      return number;
    },
  };
}

/** 4 or 6. */
export const ipVersion: Kind<number> = {
  column: 'integer',
  schema: () => types().Union([types().Literal(4), types().Literal(6)]),
  convert(value) {
    const version = integer().convert(value);
    if (version !== 4 && version !== 6) throw new InvalidValue(`'${version}' is not in [4, 6]`);
    return version;
  },
};

/** Transport ports as `FIRST:LAST`; one port, also as a number, is a range of one: `80:80`. */
export const portRange: Kind<string> = {
  column: 'text',
  schema: () => types().String({ pattern: '^[0-9]{1,5}(:[0-9]{1,5})?$' }),
  convert(value) {
    const match = typeof value === 'string' || typeof value === 'number' ? /^([0-9]{1,5})(?::([0-9]{1,5}))?$/.exec(String(value)) : null;
    if (!match) throw new InvalidValue(`${shown(value)} is not a port or two ports separated by a colon`);
    const [first, last] = [Number(match[1]), Number(match[2] ?? match[1])];
    for (const port of [first, last]) if (port < 1 || port > 65535) throw new InvalidValue(`Invalid port: ${port}, the port must be in the range [1, 65535]`);
    if (first > last) throw new InvalidValue(`the first port of '${value}' is higher than the last`);
    return `${first}:${last}`;
  },
};

const UUID = /^[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}$/i;

export const uuid: Kind<string> = {
  column: 'text',
  schema: () => types().String({ format: 'uuid' }),
  convert(value) {
    if (typeof value !== 'string' || !UUID.test(value)) throw new InvalidValue(`${shown(value)} is not a valid UUID`);
    return value;
  },
};

export function enumeration<const V extends string>(...values: V[]): Kind<V> {
  return {
    column: 'text',
    schema: () => types().Union(values.map((value) => types().Literal(value))),
    convert(value) {
      if (!values.includes(value as V)) throw new InvalidValue(`${shown(value)} is not in [${values.map((v) => `'${v}'`).join(', ')}]`);
      return value as V;
    },
  };
}

/** A unicast MAC address, normalised. */
export const macAddress: Kind<string> = {
  column: 'text',
  schema: () => types().String({ pattern: '^([0-9A-Fa-f]{2}:){5}[0-9A-Fa-f]{2}$' }),
  convert(value) {
    const mac = typeof value === 'string' ? parseMac(value) : undefined;
    if (!mac || mac === '00:00:00:00:00:00') throw new InvalidValue(`${shown(value)} is not a valid MAC address`);
    return mac;
  },
};

/** An IPv4 or IPv6 address, normalised. */
export const ipAddress: Kind<string> = {
  column: 'text',
  schema: () => types().Union([types().String({ format: 'ipv4' }), types().String({ format: 'ipv6' })]),
  convert(value) {
    const ip = typeof value === 'string' ? parseIp(value) : undefined;
    if (!ip) throw new InvalidValue(`${shown(value)} is not a valid IP address`);
    return formatIp(ip);
  },
};

/** `address/prefix`, kept as it was given: rules decide whether host bits are allowed. */
export const cidr: Kind<string> = {
  column: 'text',
  schema: () => types().String(),
  convert(value) {
    if (typeof value !== 'string' || !value.includes('/') || !parseCidr(value)) throw new InvalidValue(`${shown(value)} is not a valid IP subnet`);
    return value;
  },
};

export function nullable<T>(kind: Kind<T>): Kind<T | null> {
  return {
    column: kind.column,
    schema: () => types().Union([kind.schema(), types().Null()]),
    convert: (value) => (value === null ? null : kind.convert(value)),
  };
}

/** What `isNone` recognises, null as a rule, means `none`; everything else is of `kind`. */
export function orElse<T>(none: NoInfer<T>, kind: Kind<T>, isNone = (value: unknown): boolean => value === null): Kind<T> {
  // Rules get a `none` of their own: what they are given they may change.
  return { ...kind, schema: nullable(kind).schema, convert: (value) => (isNone(value) ? structuredClone(none) : kind.convert(value)) };
}

/** A list of values of one kind; `unique` refuses a value given twice. */
export function list<T>(kind: Kind<T>, { unique = false, max = 1000 } = {}): Kind<T[]> {
  return {
    column: 'json',
    schema: () => types().Array(kind.schema(), { uniqueItems: unique }),
    convert(value) {
      if (!Array.isArray(value)) throw new InvalidValue(`'${String(value).slice(0, 60)}' is not a list`);
      if (value.length > max) throw new InvalidValue(`a list of ${value.length} exceeds the maximum of ${max}`);
      const items = value.map((item) => kind.convert(item));
      if (unique && new Set(items.map((item) => JSON.stringify(item))).size < items.length) throw new InvalidValue(`Duplicate items in the list: '${items.join(', ')}'`);
      return items;
    },
  };
}

type Fields = Readonly<Record<string, Kind<unknown>>>;
type FieldsOf<F extends Fields> = { [K in keyof F]?: F[K] extends Kind<infer T> ? T : never };

/** An object whose keys are known; keys not declared are refused, keys in `required` must be there. */
export function object<F extends Fields>(fields: F, required: (keyof F & string)[] = []): Kind<FieldsOf<F>> {
  return {
    column: 'json',
    schema: () => types().Object(Object.fromEntries(Object.entries(fields).map(([key, kind]) => [key, required.includes(key) ? kind.schema() : types().Optional(kind.schema())]))),
    convert(value) {
      if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new InvalidValue(`${shown(value)} is not a dictionary`);
      for (const key of required) if (!(key in value)) throw new InvalidValue(`Expected keys: ['${required.join("', '")}'], given: ['${Object.keys(value).join("', '")}']`);
      const result: Record<string, unknown> = {};
      for (const [key, given] of Object.entries(value)) {
        const kind = Object.hasOwn(fields, key) ? fields[key] : undefined;
        if (!kind) throw new InvalidValue(`Unknown key '${key}'`);
        result[key] = kind.convert(given);
      }
      return result as FieldsOf<F>;
    },
  };
}

/** Any JSON object of bounded size, stored as given (binding:profile). */
export const json: Kind<Record<string, unknown>> = {
  column: 'json',
  schema: () => types().Object({}, { additionalProperties: true }),
  convert(value) {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new InvalidValue(`${shown(value)} is not a dictionary`);
    if (JSON.stringify(value).length > 4095) throw new InvalidValue('the value exceeds 4095 bytes');
    return value as Record<string, unknown>;
  },
};
