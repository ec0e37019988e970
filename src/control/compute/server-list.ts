/** GET /servers: filters, sorting and paging as Nova has them. */
import { sql } from 'kysely';
import type { Server } from '#model/compute.ts';
import { ApiError } from '#model/errors.ts';
import type { Reader } from '#store/store.ts';
import type { Context } from '../http/context.ts';
import { flagOf, limitOf, type Query, valueOf, valuesOf } from './body.ts';
import { mustBeAdmin } from './policy.ts';
import { servers } from './servers.ts';

type Filters = Record<string, readonly unknown[]>;
type Narrow = (query: any) => any;
type Sort = readonly { readonly key: string; readonly dir: 'asc' | 'desc' }[];

/** One page of the servers that the token may see and the query asks for, and whether more follow. */
export async function listServers(reader: Reader, context: Context, query: Query, detail: boolean): Promise<{ page: Server[]; more: boolean }> {
  const filters: Filters = {};
  const narrowings: Narrow[] = [];
  const everybody = ['all_tenants', 'all_projects'].some((name) => flagOf(query, name));
  if (everybody) mustBeAdmin(context, `servers:${detail ? 'detail' : 'index'}:get_all_tenants`);
  else if (context.project_id === null) return { page: [], more: false };
  if (!everybody) filters['project_id'] = [context.project_id];
  addFilters(context, query, everybody, filters, narrowings);
  if (Object.values(filters).some((values) => values.length === 0)) return { page: [], more: false };

  const sort = sorting(query);
  const marker = valueOf(query, 'marker');
  if (marker !== undefined && marker !== '') narrowings.push(await behind(reader, filters, marker, sort));
  const limit = limitOf(query);
  if (limit === 0) return { page: [], more: false };
  narrowings.push((select) => sort.reduce((ordered, { key, dir }) => ordered.orderBy(comparable(key), dir), select));
  const found = await servers.list(reader, { filters, limit: limit + 1, where: (select) => narrowings.reduce((narrowed, narrow) => narrow(narrowed), select) });
  return { page: found.slice(0, limit), more: found.length > limit };
}

function addFilters(context: Context, query: Query, everybody: boolean, filters: Filters, narrowings: Narrow[]): void {
  const equal: [parameter: string, attribute: string][] = [['image', 'image_id'], ['flavor', 'flavor_id'], ['reservation_id', 'reservation_id'], ['uuid', 'id'], ['key_name', 'key_name']];
  if (context.is_admin) equal.push(['host', 'host'], ['node', 'host'], ['hypervisor_hostname', 'host'], ['user_id', 'user_id'], ['availability_zone', 'availability_zone'], ['task_state', 'task_state']);
  if (everybody) equal.push(['project_id', 'project_id'], ['tenant_id', 'project_id']);
  for (const [parameter, attribute] of equal) {
    const values = valuesOf(query, parameter).map((value) => (attribute.endsWith('_id') || attribute === 'id' ? value.split('/').at(-1)! : value));
    if (values.length > 0) filters[attribute] = values;
  }
  const statuses = valuesOf(query, 'status');
  if (statuses.length > 0) narrowings.push(withStatus(statuses.map((status) => status.toUpperCase())));
  const name = valueOf(query, 'name');
  if (name) narrowings.push((select) => select.where(like(sql.ref('servers.name'), name)));
  for (const [parameter, family] of [['ip', 4], ['ip6', 6]] as const) {
    const address = valueOf(query, parameter);
    if (address) narrowings.push(withAddress(address, family));
  }
  const since = valueOf(query, 'changes-since');
  if (since) narrowings.push((select) => select.where('servers.updated_at', '>=', timeOf(since)));
  // Deleted servers are not kept, so a list of only these is empty.
  if (context.is_admin && flagOf(query, 'deleted')) narrowings.push((select) => select.where(sql<boolean>`1 = 0`));
}

function withStatus(statuses: readonly string[]): Narrow {
  const rebooting: Record<string, string> = { REBOOT: 'rebooting', HARD_REBOOT: 'rebooting_hard' };
  return (select) => select.where((eb: any) => eb.or(statuses.map((status) => {
    const task = rebooting[status];
    if (task) return eb.and([eb('servers.status', '=', 'ACTIVE'), eb('servers.task_state', '=', task)]);
    if (status !== 'ACTIVE') return eb('servers.status', '=', status);
    return eb.and([eb('servers.status', '=', 'ACTIVE'), eb.or([eb('servers.task_state', 'is', null), eb('servers.task_state', 'not in', Object.values(rebooting))])]);
  })));
}

function withAddress(pattern: string, family: 4 | 6): Narrow {
  return (select) => select.where('servers.id', 'in', (eb: any) => eb.selectFrom('ports').select('ports.device_id')
    .innerJoin('ip_allocations', 'ip_allocations.port_id', 'ports.id')
    .where(like(sql.ref('ip_allocations.ip_address'), pattern))
    .where('ip_allocations.ip_address', family === 6 ? 'like' : 'not like', '%:%'));
}

/**
 * Nova takes a regular expression here. Clients send a part of the name, or the name between ^ and $; these two
 * anchors count, everything else stands for itself.
 */
function like(column: unknown, pattern: string) {
  const anchored = { start: pattern.startsWith('^'), end: pattern.endsWith('$') };
  const body = pattern.slice(anchored.start ? 1 : 0, anchored.end ? -1 : undefined).replace(/\\(.)/g, '$1').toLowerCase();
  const escaped = body.replace(/[!%_]/g, '!$&');
  return sql<boolean>`lower(${column}) like ${`${anchored.start ? '' : '%'}${escaped}${anchored.end ? '' : '%'}`} escape '!'`;
}

const SORT_KEYS = new Map([
  ['created_at', 'created_at'], ['updated_at', 'updated_at'], ['display_name', 'name'], ['name', 'name'], ['uuid', 'id'], ['id', 'id'], ['host', 'host'],
  ['instance_type_id', 'flavor_id'], ['image_ref', 'image_id'], ['key_name', 'key_name'], ['launch_index', 'launch_index'], ['launched_at', 'launched_at'],
  ['project_id', 'project_id'], ['user_id', 'user_id'], ['task_state', 'task_state'], ['vm_state', 'status'], ['power_state', 'status'],
  ['availability_zone', 'availability_zone'], ['root_device_name', 'id'], ['display_description', 'description'], ['config_drive', 'config_drive'],
]);

/** The sort of the query, made total by the id; newest first without one. */
function sorting(query: Query): Sort {
  const keys = valuesOf(query, 'sort_key');
  const dirs = valuesOf(query, 'sort_dir');
  const sort = (keys.length > 0 ? keys : ['created_at']).map((name, i) => {
    const key = SORT_KEYS.get(name);
    if (!key) throw new ApiError('badRequest', { reason: `Invalid sort key: ${name.slice(0, 60)}` });
    const dir = dirs[i] ?? dirs.at(-1) ?? 'desc';
    if (dir !== 'asc' && dir !== 'desc') throw new ApiError('badRequest', { reason: `Unknown sort direction, must be one of: asc, desc` });
    return { key, dir } as const;
  });
  return [...sort, { key: 'id', dir: sort[0]!.dir }];
}

/** What sorts after the marker; 400 for a marker that the token may not see. */
async function behind(reader: Reader, filters: Filters, marker: string, sort: Sort): Promise<Narrow> {
  const found = await servers.get(reader, marker) as Record<string, any> | undefined;
  if (!found || (filters['project_id'] && !filters['project_id'].includes(found['project_id']))) throw new ApiError('badRequest', { reason: `marker [${marker}] not found` });
  const value = (key: string): unknown => (NUMBERS.has(key) ? Number(found[key]) : found[key] ?? '');
  return (select) => select.where((eb: any) => eb.or(sort.map(({ key, dir }, i) => eb.and([
    ...sort.slice(0, i).map((before) => sql<boolean>`${comparable(before.key)} = ${value(before.key)}`),
    sql<boolean>`${comparable(key)} ${sql.raw(dir === 'asc' ? '>' : '<')} ${value(key)}`,
  ]))));
}

const NUMBERS = new Set(['launch_index', 'config_drive']);

/** NULLs sort first on one engine and last on the other: as '' they sort alike, and take part in comparisons. */
function comparable(key: string) {
  return NUMBERS.has(key) || key === 'id' || key === 'created_at' ? sql.ref(`servers.${key}`) : sql`coalesce(${sql.ref(`servers.${key}`)}, '')`;
}

function timeOf(given: string): string {
  const time = new Date(/[zZ]|[+-][0-9]{2}:?[0-9]{2}$/.test(given) ? given : `${given}Z`);
  if (Number.isNaN(time.getTime())) throw new ApiError('badRequest', { reason: `Invalid filter field: changes-since.` });
  return `${time.toISOString().slice(0, 19)}Z`;
}
