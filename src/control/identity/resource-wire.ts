/** Bodies of declared Identity resources: read with Keystone's manners, shown with their links. */
import { ApiError } from '#model/errors.ts';
import { InvalidValue, json } from '#model/kind.ts';
import type { Held, Resource } from '#model/resource.ts';

/** What a body gives: converted values of declared attributes, and the rest as `extra` where the resource keeps that. */
export type Given<R extends Resource> = Partial<Held<R>>;

/**
 * Reads the fields of `{"project": {…}}`: for a new object with defaults, else as changes of `current`. Fields that
 * cannot change may be named with the value they have. Throws ValidationError naming the field.
 */
export function readFields<R extends Resource>(resource: R, fields: Readonly<Record<string, unknown>>, current?: Held<R>): Given<R> {
  const verb = current ? 'put' : 'post';
  const given: Record<string, unknown> = {};
  const extra: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(fields)) {
    if (name === 'links') continue;
    const attribute = Object.hasOwn(resource.attributes, name) ? resource.attributes[name] : undefined;
    if (!attribute) extra[name] = value;
    else if (!attribute[verb]) {
      if (!current || (current as Record<string, unknown>)[name] !== value) throw invalid(name, current ? 'it cannot be changed' : 'it is set by the service');
    } else given[name] = converted(name, () => attribute.kind.convert(value));
  }
  if (!current) fillDefaults(resource, given);
  if ('extra' in resource.attributes) {
    if (!current || Object.keys(extra).length > 0) given['extra'] = converted('extra attributes', () => json.convert({ ...(current as { extra?: object } | undefined)?.extra, ...extra }));
  } else if (Object.keys(extra).length > 0) {
    throw invalid(Object.keys(extra)[0] ?? '', 'it is not supported');
  }
  return given as Given<R>;
}

/** The object below its key; throws ValidationError when there is none. */
export function envelope(member: string, body: unknown): Record<string, unknown> {
  const value = typeof body === 'object' && body !== null ? (body as Record<string, unknown>)[member] : undefined;
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new ApiError('ValidationError', { reason: `The request body has to be an object with the key '${member}'.` });
  return value as Record<string, unknown>;
}

/** One object as the API shows it. */
export function show<R extends Resource>(resource: R, object: Held<R>, base: string): Record<string, unknown> {
  const { extra, ...declared } = object as Record<string, unknown>;
  return { ...(extra as object | undefined), ...declared, links: { self: `${base}/v3/${resource.collection}/${declared['id']}` } };
}

/** Exact filters of declared attributes; other keys of the query are not ours. */
export function readFilters(resource: Resource, query: Readonly<Record<string, unknown>>): Record<string, unknown[]> {
  const filters: Record<string, unknown[]> = {};
  for (const [name, value] of Object.entries(query)) {
    const attribute = Object.hasOwn(resource.attributes, name) ? resource.attributes[name] : undefined;
    if (!attribute?.filter) continue;
    const values = Array.isArray(value) ? value : [value];
    // `?enabled` alone means true (Keystone's query_filter_is_true).
    filters[name] = values.map((one) => converted(name, () => attribute.kind.convert(one === '' && attribute.kind.column === 'boolean' ? true : one)));
  }
  return filters;
}

export function invalid(field: string, reason: string): ApiError {
  return new ApiError('ValidationError', { reason: `Invalid input for field '${field}': ${reason}.` });
}

function converted<T>(field: string, convert: () => T): T {
  try {
    return convert();
  } catch (error) {
    if (error instanceof InvalidValue) throw invalid(field, error.message);
    throw error;
  }
}

function fillDefaults(resource: Resource, given: Record<string, unknown>): void {
  for (const [name, attribute] of Object.entries(resource.attributes)) {
    if (name in given) continue;
    if (attribute.initial === 'required') throw new ApiError('ValidationError', { reason: `'${name}' is a required property` });
    if (attribute.initial !== 'unset') given[name] = attribute.initial.default;
  }
}
