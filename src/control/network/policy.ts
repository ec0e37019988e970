/** Who may see and change what: rows by project, verbs by role, attributes by their definition. */
import { sql } from 'kysely';
import { ApiError } from '#model/errors.ts';
import type { Resource, Who } from '#model/resource.ts';
import type { Reader } from '#store/store.ts';
import type { Context } from '../http/context.ts';
import type { Given, Rule } from './rule.ts';

export type Action = 'create' | 'update' | 'delete';

/** Narrows a select to the rows that the rule lets `context` see. */
export function visibleRows(rule: Rule, query: any, context: Context): any {
  if (context.is_admin) return query;
  return rule.visible ? rule.visible(query, context) : ownRows(rule.resource, query, context);
}

/** Narrows to the project's own rows; none for a token without a project, and none of a resource that has no projects. */
export function ownRows(resource: Resource, query: any, context: Context): any {
  if (!context.project_id || !('project_id' in resource.attributes)) return query.where(sql`1 = 0`);
  return query.where(`${resource.collection}.project_id`, '=', context.project_id);
}

/** Refuses a verb to who only reads, and to a token without a project. Throws PolicyNotAuthorized. */
export function requireWriter(resource: Resource, context: Context, action: Action): void {
  if (context.is_admin) return;
  if (context.is_reader || !context.project_id) throw denied(resource, action);
}

/** Refuses what only admins do, by Neutron's name of the policy. Throws PolicyNotAuthorized. */
export function requireAdmin(context: Context, rule: string): void {
  if (!context.is_admin) throw new ApiError('PolicyNotAuthorized', { rule });
}

/** Refuses to change what `context` sees but does not own. Throws PolicyNotAuthorized. */
export async function requireOwner(rule: Rule, reader: Reader, context: Context, action: Action, current: any): Promise<void> {
  if (context.is_admin) return;
  const owns = rule.owns ? await rule.owns(reader, context, current) : current.project_id === context.project_id;
  if (!owns) throw denied(rule.resource, action);
}

/**
 * Refuses attributes that are not `context`'s to give. In an update naming one is enough, even with its present value
 * (OSSA-2014-031); in a create the default may be spelt out, as Horizon does with `shared: false`.
 */
export async function requireAttributes(rule: Rule, reader: Reader, context: Context, action: Action, named: readonly string[], given: Given<any>): Promise<void> {
  if (context.is_admin) return;
  const restricted = named.filter((name) => rule.resource.attributes[name]?.writers !== 'anyone' && !(action === 'create' && isDefault(rule.resource, name, given[name])));
  if (restricted.length === 0) return;
  const writers = new Set<Who>(['anyone']);
  const ownsNetwork = restricted.some((name) => rule.resource.attributes[name]?.writers === 'network_owner') && (!rule.ownsNetwork || (await rule.ownsNetwork(reader, context, given)));
  if (ownsNetwork) writers.add('network_owner');
  for (const name of restricted) {
    if (!writers.has(rule.resource.attributes[name]!.writers)) throw denied(rule.resource, action, name);
  }
}

function denied(resource: Resource, action: Action, attribute?: string): ApiError {
  return new ApiError('PolicyNotAuthorized', { rule: `${action}_${resource.member}${attribute ? `:${attribute}` : ''}` });
}

function isDefault(resource: Resource, name: string, value: unknown): boolean {
  const initial = resource.attributes[name]?.initial;
  return typeof initial === 'object' && JSON.stringify(initial.default) === JSON.stringify(value);
}
