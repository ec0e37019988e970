/** Who reaches an object by its RBAC policies. Reads only; what may be shared, and how, stands in rbac-objects.ts. */
import { type RawBuilder, sql } from 'kysely';
import { boolean } from '#model/kind.ts';
import { ACCESS_AS_EXTERNAL, ACCESS_AS_SHARED, EVERY_PROJECT, type RbacAction } from '#model/rbac-policies.ts';
import type { Resource } from '#model/resource.ts';
import type { Reader } from '#store/store.ts';
import type { Context } from '../http/context.ts';
import { ownRows } from './policy.ts';

const CHUNK = 500;
const ANY_ACTION: readonly RbacAction[] = [ACCESS_AS_SHARED, ACCESS_AS_EXTERNAL];

/** Narrows to the project's own rows and those that a policy lets it use. */
export function ownOrReachedRows(resource: Resource, query: any, context: Context): any {
  if (!context.project_id) return ownRows(resource, query, context);
  const own = sql`select id from ${sql.table(resource.collection)} where project_id = ${context.project_id}`;
  return query.where(idIn(resource, own, reachedIds(resource, context, ANY_ACTION)));
}

/** True for rows with an id that any of the selects finds: of an `or` of conditions PostgreSQL makes a scan of the table, of this a walk along indexes. */
export function idIn(resource: Resource, ...selects: readonly RawBuilder<unknown>[]): RawBuilder<boolean> {
  return sql<boolean>`${sql.ref(`${resource.collection}.id`)} in (${sql.join(selects, sql` union all `)})`;
}

/** A select of the ids of the objects that policies of these actions let the project use. */
export function reachedIds(resource: Resource, { project_id }: Pick<Context, 'project_id'>, actions: readonly RbacAction[] = [ACCESS_AS_SHARED]): RawBuilder<unknown> {
  return sql`select object_id from rbac_policies where target_project in (${EVERY_PROJECT}, ${project_id ?? EVERY_PROJECT}) and object_type = ${resource.member} and action in (${sql.join(actions)})`;
}

/** The ids of all objects of these resources that policies let the project use. */
export async function reachedBy(reader: Reader, resources: readonly Resource[], { project_id }: Pick<Context, 'project_id'>): Promise<Set<string>> {
  const rows = await reader.db.selectFrom('rbac_policies').select('object_id').where('target_project', 'in', [EVERY_PROJECT, project_id ?? EVERY_PROJECT])
    .where('object_type', 'in', resources.map(({ member }) => member)).where('action', 'in', ANY_ACTION).execute();
  return new Set(rows.map((row) => row['object_id'] as string));
}

/** The filter `shared`: true and false as the asking project sees them. `column` holds the id of the object that is shared. */
export function sharedFilter(resource: Resource, column = `${resource.collection}.id`): (query: any, values: readonly string[], context: Context) => any {
  return (query, values, context) => {
    const wanted = new Set(values.map((value) => boolean.convert(value)));
    if (wanted.size > 1) return query;
    return query.where(wanted.has(true) ? sql<boolean>`${sql.ref(column)} in (${reachedIds(resource, context)})` : sql<boolean>`${sql.ref(column)} not in (${reachedIds(resource, context)})`);
  };
}

/** Which of the objects are shared with the project, by a policy that names it or everybody: the attribute `shared` as it sees it. */
export async function sharedWith(reader: Reader, resource: Resource, ids: readonly string[], projectId: string | null): Promise<Set<string>> {
  const found = new Set<string>();
  for (let i = 0; i < ids.length; i += CHUNK) {
    const rows = await policiesFor(reader, resource, ids.slice(i, i + CHUNK)).where('target_project', 'in', [EVERY_PROJECT, projectId ?? EVERY_PROJECT]).execute();
    for (const row of rows) found.add(row['object_id']);
  }
  return found;
}

/** True when a policy shares the object with this very project; one for everybody does not count. */
export async function isTarget(reader: Reader, resource: Resource, id: string, projectId: string | null): Promise<boolean> {
  return projectId !== null && (await policiesFor(reader, resource, [id]).where('target_project', '=', projectId).executeTakeFirst()) !== undefined;
}

function policiesFor(reader: Reader, resource: Resource, ids: readonly string[]) {
  return reader.db.selectFrom('rbac_policies').select('object_id').where('object_id', 'in', ids).where('object_type', '=', resource.member).where('action', '=', ACCESS_AS_SHARED);
}
