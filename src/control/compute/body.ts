/** Request bodies and queries, checked by the model's kinds; what breaks a rule is answered in Nova's words. */
import { ApiError } from '#model/errors.ts';
import { InvalidValue, type Kind } from '#model/kind.ts';

/** Converts `value` of the field `name`; 400 with the rule that it breaks. */
export function checked<T>(kind: Kind<T>, value: unknown, name: string): T {
  try {
    return kind.convert(value);
  } catch (error) {
    if (!(error instanceof InvalidValue)) throw error;
    throw new ApiError('badRequest', { reason: `Invalid input for field/attribute ${name}. ${error.message}.` });
  }
}

/** The object below `member` of a body: `{"server": {…}}`. */
export function memberOf(body: unknown, member: string): Record<string, unknown> {
  const value = isObject(body) ? body[member] : undefined;
  if (!isObject(value)) throw new ApiError('badRequest', { reason: `Invalid input for field/attribute ${member}. '${member}' is a required property.` });
  return value;
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export type Query = Readonly<Record<string, string | string[] | undefined>>;

/** All values of a query parameter, repeated or not. */
export function valuesOf(query: Query, name: string): string[] {
  const value = query[name];
  return value === undefined ? [] : Array.isArray(value) ? value : [value];
}

/** The last value of a query parameter. */
export function valueOf(query: Query, name: string): string | undefined {
  return valuesOf(query, name).at(-1);
}

/** A query flag in any of Python's spellings; a bare `all_tenants` is true, anything unknown is 400. */
export function flagOf(query: Query, name: string): boolean {
  const value = valueOf(query, name)?.toLowerCase();
  if (value === undefined || ['0', 'false', 'f', 'no', 'n', 'off', 'none'].includes(value)) return false;
  if (['', '1', 'true', 't', 'yes', 'y', 'on'].includes(value)) return true;
  throw new ApiError('badRequest', { reason: `Invalid value for ${name}: '${value.slice(0, 60)}'` });
}

/** Nova gives at most this many of a list at once (`max_limit`). */
const MAX_LIMIT = 1000;

/** The page's size; 400 for a negative one. */
export function limitOf(query: Query): number {
  const given = valueOf(query, 'limit');
  if (given === undefined || given === '') return MAX_LIMIT;
  if (!/^[0-9]{1,12}$/.test(given)) throw new ApiError('badRequest', { reason: `limit must be an integer that is not negative, not '${given.slice(0, 60)}'` });
  return Math.min(Number(given), MAX_LIMIT);
}

/** The address of the next page: this request with another marker. */
export function nextLink(base: string, path: string, query: Query, marker: string): { rel: 'next'; href: string } {
  const parameters = new URLSearchParams();
  for (const name of Object.keys(query)) if (name !== 'marker') for (const value of valuesOf(query, name)) parameters.append(name, value);
  parameters.set('marker', marker);
  return { rel: 'next', href: `${base}${path}?${parameters}` };
}

/** What is missing is the request's fault here, not the address's: 400 in Nova's words. */
export function otherwise(type: ApiError['type'], reason: string): (error: unknown) => never {
  return (error) => {
    throw error instanceof ApiError && error.type === type ? new ApiError('badRequest', { reason }) : error;
  };
}
