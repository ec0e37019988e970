/** The query string of a list: filters, fields, sorting, pages (extensions filter-validation, sorting, pagination, …). */
import { sql } from 'kysely';
import type { Config } from '#model/config.ts';
import { ApiError } from '#model/errors.ts';
import { InvalidValue, macAddress } from '#model/kind.ts';
import type { Attribute, Resource } from '#model/resource.ts';
import { normalizeIp } from '#net/ip.ts';
import { parseMac } from '#net/mac.ts';
import { columnOf } from '#store/schema.ts';
import type { Context } from '../http/context.ts';
import { invalidInput } from './body.ts';
import type { Rule } from './rule.ts';
import { TAG_FILTERS } from './tag-filters.ts';

export type Query = Readonly<Record<string, string | readonly string[] | undefined>>;

export interface SortKey {
  readonly key: string;
  readonly dir: 'asc' | 'desc';
}

export interface Listing {
  /** Undefined: all. */
  readonly fields: ReadonlySet<string> | undefined;
  /** Always ends with `id`, so that pages are well defined. */
  readonly sort: readonly SortKey[];
  readonly limit: number | undefined;
  readonly marker: string | undefined;
  readonly reverse: boolean;
  /** Narrows a select by all filters. */
  readonly where: (query: any) => any;
}

const RESERVED = new Set(['fields', 'sort_key', 'sort_dir', 'limit', 'marker', 'page_reverse']);

type Filter = (query: any, values: readonly string[], context: Context) => any;

/** Reads the query strings of one resource's lists; made once per resource. */
export class ListQueryParser {
  readonly #filters = new Map<string, Filter>();
  readonly #sortable = new Set<string>();
  readonly #maxLimit: number;

  constructor(rule: Rule, config: Config) {
    const { collection, attributes } = rule.resource as Resource;
    this.#maxLimit = config.pagination_max_limit;
    for (const [name, attribute] of Object.entries(attributes)) {
      if (!attribute.stored || attribute.readers === 'nobody') continue;
      if (attribute.filter) this.#filters.set(name, columnFilter(`${collection}.${columnOf(name)}`, name, attribute));
      if (attribute.sort) this.#sortable.add(name);
    }
    if ('updated_at' in attributes) this.#filters.set('changed_since', changedSince(`${collection}.updated_at`));
    if ('tags' in attributes) for (const [name, filter] of Object.entries(TAG_FILTERS)) this.#filters.set(name, (query, values) => filter(query, `${collection}.tags`, values));
    for (const [name, filter] of Object.entries(rule.filters ?? {})) this.#filters.set(name, (query, given, context) => described(name, () => filter(query, given, context)));
  }

  /** Throws ApiError: HTTPBadRequest for an unknown filter, a bad sort key or value; BadRequest for a bad limit. */
  parse(query: Query, context: Context): Listing {
    const fields = values(query['fields']).filter((field) => field !== '');
    return {
      fields: fields.length > 0 ? new Set(fields) : undefined,
      sort: this.#sort(query),
      limit: this.#limit(query),
      marker: last(query['marker']) || undefined,
      reverse: last(query['page_reverse'])?.toLowerCase() === 'true',
      where: this.#where(query, context),
    };
  }

  #where(query: Query, context: Context): (select: any) => any {
    const names = Object.keys(query).filter((name) => !RESERVED.has(name));
    const invalid = names.filter((name) => !this.#filters.has(attributeOf(name)));
    if (invalid.length > 0) throw bad(`${listed(invalid)} is invalid attribute for filtering`);
    return (select) => names.reduce((narrowed, name) => this.#filters.get(attributeOf(name))!(narrowed, values(query[name]), context), select);
  }

  #sort(query: Query): SortKey[] {
    const keys = values(query['sort_key']).filter((key) => key !== '').map(attributeOf);
    const dirs = values(query['sort_dir']).filter((dir) => dir !== '');
    if (keys.length !== dirs.length) throw bad('The number of sort_keys and sort_dirs must be same');
    const invalidKeys = keys.filter((key) => !this.#sortable.has(key));
    if (invalidKeys.length > 0) throw bad(`${listed(invalidKeys)} is invalid attribute for sort_keys`);
    const invalidDirs = dirs.filter((dir) => dir !== 'asc' && dir !== 'desc');
    if (invalidDirs.length > 0) throw bad(`${listed(invalidDirs)} is invalid value for sort_dirs, valid value is 'asc' and 'desc'`);
    const sort = keys.map((key, i) => ({ key, dir: dirs[i] as SortKey['dir'] }));
    return sort.some(({ key }) => key === 'id') ? sort : [...sort, { key: 'id', dir: 'asc' }];
  }

  #limit(query: Query): number | undefined {
    const text = last(query['limit']) ?? '0';
    if (!/^[0-9]{1,9}$/.test(text)) throw new ApiError('BadRequest', { resource: 'limit', reason: `Limit must be an integer 0 or greater and not '${text.slice(0, 60)}'` });
    const limit = Number(text) || undefined;
    return this.#maxLimit > 0 ? Math.min(this.#maxLimit, limit ?? this.#maxLimit) : limit;
  }
}

/** The column of a sort key with nulls made comparable: SQLite puts them first, PostgreSQL last. */
export function sortColumn(collection: string, key: string, attribute: Attribute<any>) {
  const column = sql.ref(`${collection}.${columnOf(key)}`);
  if (key === 'id') return column;
  return attribute.kind.column === 'text' ? sql`coalesce(${column}, '')` : sql`coalesce(${column}, -1)`;
}

/** A value as `sortColumn` compares it. */
export function sortValue(value: unknown, attribute: Attribute<any>): unknown {
  if (value === null || value === undefined) return attribute.kind.column === 'text' ? '' : -1;
  return typeof value === 'boolean' ? Number(value) : value;
}

/** Any of the values; an empty one means unset (empty-string-filtering). */
function columnFilter(column: string, name: string, attribute: Attribute<any>): Filter {
  const ref = sql.ref(column);
  return (query, given) => {
    const wanted = given.filter((value) => value !== '').map((value) => filterValue(name, attribute, value));
    const orEmpty = wanted.length < given.length;
    if (!orEmpty) return wanted.length === 1 ? query.where(column, '=', wanted[0]) : query.where(column, 'in', wanted);
    const empty = attribute.kind.column === 'text' ? sql<boolean>`coalesce(${ref}, '') = ''` : sql<boolean>`${ref} is null`;
    return wanted.length === 0 ? query.where(empty) : query.where((e: any) => e.or([empty, e(column, 'in', wanted)]));
  };
}

/** Text is compared as it is (a name that looks like an address is a name), addresses in their one normal form. */
function filterValue(name: string, attribute: Attribute<any>, value: string): unknown {
  if (value.includes('\0')) throw invalidInput(name, 'the text holds a NUL character');
  if (attribute.kind.column === 'text') return (attribute.kind === macAddress ? parseMac(value) : /_ip$|ip_address$/.test(name) ? normalizeIp(value) : undefined) ?? value;
  const converted = described(name, () => attribute.kind.convert(value));
  return typeof converted === 'boolean' ? Number(converted) : converted;
}

function described<T>(name: string, convert: () => T): T {
  try {
    return convert();
  } catch (error) {
    if (error instanceof InvalidValue) throw invalidInput(name, error.message);
    throw error;
  }
}

function changedSince(column: string): Filter {
  return (query, given) => {
    const time = Date.parse(/Z|[+-]\d\d:?\d\d$/.test(given[0] ?? '') ? given[0]! : `${given[0]}Z`);
    if (Number.isNaN(time)) throw new ApiError('InvalidInput', { reason: `The input changed_since must be in the following format: YYYY-MM-DDTHH:MM:SS[Z]` });
    return query.where(column, '>=', `${new Date(time).toISOString().slice(0, 19)}Z`);
  };
}

const attributeOf = (name: string): string => (name === 'tenant_id' ? 'project_id' : name);
const listed = (names: readonly string[]): string => `[${names.slice(0, 20).map((name) => `'${name.slice(0, 100)}'`).join(', ')}]`;
const bad = (reason: string): ApiError => new ApiError('HTTPBadRequest', { reason });

function values(given: Query[string]): readonly string[] {
  return given === undefined ? [] : typeof given === 'string' ? [given] : given;
}

function last(given: Query[string]): string | undefined {
  return values(given).at(-1);
}
