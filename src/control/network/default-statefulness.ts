/** Whether new groups are stateful when they do not say it (extension security-groups-default-statefulness): by project, or for all. */
import { ApiError } from '#model/errors.ts';
import { type DefaultStatefulness, defaultStatefulness } from '#model/security-groups.ts';
import type { Tx } from '#store/store.ts';
import { Table } from '#store/table.ts';
import type { Context } from '../http/context.ts';
import { newObject } from './new-object.ts';
import type { Given, Rule } from './rule.ts';

const defaults = new Table(defaultStatefulness);

export function defaultStatefulnessRule(): Rule<typeof defaultStatefulness> {
  return {
    resource: defaultStatefulness,
    create: createDefaults,
    update: (tx, _context, current, changes) => defaults.update(tx, current, changes),
    delete: (tx, _context, current) => defaults.delete(tx, current.id),
    owns: async (_reader, context, current) => manages(context, current.project_id),
  };
}

/** What a group of the project is when it does not say it: the project's default, else that of all, else stateful. */
export async function defaultStateful(tx: Tx, projectId: string): Promise<boolean> {
  return (await defaultOf(tx, projectId) ?? await defaultOf(tx, null))?.stateful ?? true;
}

async function createDefaults(tx: Tx, context: Context, given: readonly Given<typeof defaultStatefulness>[]): Promise<DefaultStatefulness[]> {
  const made: DefaultStatefulness[] = [];
  // A project has one at most, and so have all together: their row has no project, which no unique index looks at.
  await tx.lock(defaults.name);
  for (const each of given) {
    const project_id = each.project_id ?? null;
    if (!manages(context, project_id)) throw new ApiError('PolicyNotAuthorized', { rule: 'create_security_groups_default_statefulness' });
    if (await defaultOf(tx, project_id)) throw new ApiError('SecurityGroupDefaultStatefulnessAlreadyExists', { project_id: project_id ?? 'system-wide' });
    const one = newObject(defaultStatefulness, tx, each);
    await defaults.insert(tx, [one]);
    made.push(one);
  }
  return made;
}

async function defaultOf(tx: Tx, projectId: string | null): Promise<DefaultStatefulness | undefined> {
  const [found] = await defaults.list(tx, { where: (query) => (projectId === null ? query.where('project_id', 'is', null) : query.where('project_id', '=', projectId)) });
  return found;
}

/** Admins, and managers in their own project. */
function manages(context: Context, projectId: string | null): boolean {
  return context.is_admin || (projectId !== null && projectId === context.project_id && context.roles.includes('manager'));
}
