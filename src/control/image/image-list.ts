/** GET /v2/images: filters, sorting and paging as Glance has them. */
import { ApiError } from '#model/errors.ts';
import { type Image, VISIBILITIES } from '#model/images.ts';
import type { Reader } from '#store/store.ts';
import type { Context } from '../http/context.ts';
import { images, owns } from './images.ts';

export type ImageQuery = Readonly<Record<string, string | string[] | undefined>>;

const CONTROL = new Set(['limit', 'marker', 'sort', 'sort_key', 'sort_dir', 'visibility', 'os_hidden', 'tag', 'size_min', 'size_max', 'member_status', 'protected']);
const SORT_KEYS = new Set(['name', 'status', 'container_format', 'disk_format', 'size', 'id', 'created_at', 'updated_at']);
const IN_COLUMNS = new Set(['id', 'name', 'status', 'container_format', 'disk_format', 'owner']);
const DEFAULT_LIMIT = 25;
const MAX_LIMIT = 1000;

/** A page of what the token may see and the query asks for, and whether more follow. */
export async function listImages(reader: Reader, context: Context, query: ImageQuery): Promise<{ page: Image[]; more: boolean }> {
  const found = (await candidates(reader, context, query)).filter((image) => matches(image, context, query));
  const order = sorting(query);
  found.sort((a, b) => order.reduce((result, { key, turn }) => result || turn * compare(a[key], b[key]), 0));
  const marker = last(query['marker']);
  const start = marker === undefined ? 0 : found.findIndex(({ id }) => id === marker) + 1;
  if (marker !== undefined && start === 0) throw new ApiError('badRequest', { reason: 'Invalid marker: Image could not be found.' });
  const limit = limitOf(query);
  return { page: found.slice(start, start + limit), more: limit > 0 && found.length > start + limit };
}

/** The address of the next page, or of the first without a marker, relative to the service as Glance gives it. */
export function pageLink(query: ImageQuery, marker?: string): string {
  const parameters = new URLSearchParams();
  for (const [name, values] of Object.entries(query)) if (name !== 'marker') for (const value of [values ?? []].flat()) parameters.append(name, value);
  if (marker !== undefined) parameters.set('marker', marker);
  return parameters.size > 0 ? `/v2/images?${parameters}` : '/v2/images';
}

/** Narrowed by the database: what is visible, and equality of columns. */
function candidates(reader: Reader, context: Context, query: ImageQuery): Promise<Image[]> {
  const filters: Record<string, readonly string[]> = {};
  for (const name of IN_COLUMNS) {
    const value = last(query[name]);
    if (value !== undefined) filters[name] = value.startsWith('in:') ? value.slice(3).split(',').map((each) => each.replace(/^"(.*)"$/, '$1')) : [value];
  }
  return images.list(reader, {
    filters,
    where: (select) => (context.is_admin ? select : select.where((eb: any) => eb.or([eb('images.owner', '=', context.project_id), eb('images.visibility', 'in', ['public', 'community'])]))),
  });
}

function matches(image: Image, context: Context, query: ImageQuery): boolean {
  const visibility = last(query['visibility']);
  if (visibility !== undefined && visibility !== 'all' && !VISIBILITIES.includes(visibility as Image['visibility'])) throw new ApiError('badRequest', { reason: `Invalid visibility value: ${visibility.slice(0, 60)}` });
  // Community images of others are found when asked for, so that nobody's list fills with them.
  if (visibility === undefined ? image.visibility === 'community' && !owns(context, image) : visibility !== 'all' && image.visibility !== visibility) return false;
  if (image.os_hidden !== flag('os_hidden', last(query['os_hidden']) ?? 'false')) return false;
  const guarded = last(query['protected']);
  if (guarded !== undefined && image.protected !== flag('protected', guarded)) return false;
  if (![query['tag'] ?? []].flat().every((tag) => image.tags.includes(tag))) return false;
  if ((image.size ?? 0) < bytes(query, 'size_min', 0) || (image.size ?? 0) > bytes(query, 'size_max', Infinity)) return false;
  return Object.entries(query).every(([name, value]) => CONTROL.has(name) || IN_COLUMNS.has(name) || valueOf(image, name) === last(value));
}

/** Filters by other attributes and by properties compare as text. */
function valueOf(image: Image, name: string): string | undefined {
  const value = name in image && name !== 'properties' ? image[name as keyof Image] : Object.hasOwn(image.properties, name) ? image.properties[name] : undefined;
  return value === undefined || value === null ? undefined : String(value);
}

function sorting(query: ImageQuery): { key: keyof Image; turn: 1 | -1 }[] {
  const joined = last(query['sort']);
  const keys = joined !== undefined ? joined.split(',').map((each) => each.split(':') as [string, string?]) : [query['sort_key'] ?? []].flat().map((key, i, all): [string, string?] => {
    const dirs = [query['sort_dir'] ?? []].flat();
    return [key, dirs.length === all.length ? dirs[i] : dirs[0]];
  });
  const order = (keys.length > 0 ? keys : [['created_at', last(query['sort_dir'])] as [string, string?]]).map(([key, dir = 'desc']) => {
    if (!SORT_KEYS.has(key)) throw new ApiError('badRequest', { reason: `Invalid sort key: ${key.slice(0, 60)}` });
    if (dir !== 'asc' && dir !== 'desc') throw new ApiError('badRequest', { reason: `Invalid sort direction: ${dir.slice(0, 60)}` });
    return { key: key as keyof Image, turn: dir === 'asc' ? 1 as const : -1 as const };
  });
  return [...order, { key: 'id', turn: order[0]!.turn }];
}

function compare(a: unknown, b: unknown): number {
  if (typeof a === 'number' && typeof b === 'number') return a - b;
  const [left, right] = [String(a ?? ''), String(b ?? '')];
  return left < right ? -1 : left > right ? 1 : 0;
}

function limitOf(query: ImageQuery): number {
  const given = last(query['limit']);
  if (given === undefined) return DEFAULT_LIMIT;
  if (!/^[0-9]{1,12}$/.test(given)) throw new ApiError('badRequest', { reason: 'limit param must be an integer that is not negative' });
  return Math.min(Number(given), MAX_LIMIT);
}

function bytes(query: ImageQuery, name: string, absent: number): number {
  const given = last(query[name]);
  if (given === undefined) return absent;
  if (!/^[0-9]{1,15}$/.test(given)) throw new ApiError('badRequest', { reason: `Invalid value for ${name}: ${given.slice(0, 60)}` });
  return Number(given);
}

function flag(name: string, given: string): boolean {
  const lower = given.toLowerCase();
  if (lower !== 'true' && lower !== 'false') throw new ApiError('badRequest', { reason: `Invalid value '${given.slice(0, 60)}' for '${name}' filter. Valid values are case sensitive 'true' or 'false'.` });
  return lower === 'true';
}

const last = (value: string | string[] | undefined): string | undefined => (Array.isArray(value) ? value.at(-1) : value);
