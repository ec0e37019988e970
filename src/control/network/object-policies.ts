/** The RBAC policies of one object: those that `shared` and `router:external` stand for, and all of them when it goes. */
import { sql } from 'kysely';
import { ACCESS_AS_SHARED, EVERY_PROJECT, type RbacAction, type RbacObjectType, type RbacPolicy, rbacPolicy } from '#model/rbac-policies.ts';
import type { Resource } from '#model/resource.ts';
import type { Tx } from '#store/store.ts';
import { Table } from '#store/table.ts';
import { newObject } from './new-object.ts';
import { RBAC_OBJECTS } from './rbac-objects.ts';

const policies = new Table(rbacPolicy);

type Owned = { readonly id: string; readonly project_id: string };

/** Lets every project use the objects, as their owners' policies say then; no quota counts before it. None of them is shared yet. */
export async function shareWithAll(tx: Tx, resource: Resource, objects: readonly Owned[], action: RbacAction = ACCESS_AS_SHARED): Promise<void> {
  if (objects.length === 0) return;
  await policies.insert(tx, objects.map(({ id, project_id }) => newObject(rbacPolicy, tx, { project_id, object_type: resource.member as RbacObjectType, object_id: id, action, target_project: EVERY_PROJECT })));
}

/** The policy that lets every project use the object. */
export async function policyForAll(tx: Tx, { id }: Pick<Owned, 'id'>, action: RbacAction = ACCESS_AS_SHARED): Promise<RbacPolicy | undefined> {
  const [found] = await policies.list(tx, { filters: { object_id: [id], action: [action], target_project: [EVERY_PROJECT] } });
  return found;
}

/** Removes the object's policies: all, those of one action, or of these the one for `target`. */
export async function dropPolicies(tx: Tx, { id }: Pick<Owned, 'id'>, action?: RbacAction, target?: string): Promise<void> {
  let gone = tx.db.deleteFrom(policies.name).where('object_id', '=', id);
  if (action !== undefined) gone = gone.where('action', '=', action);
  if (target !== undefined) gone = gone.where('target_project', '=', target);
  for (const row of await gone.returning('id').execute()) tx.record(policies.name, row['id'], 'delete');
}

/**
 * A project that has something on the object and may not have it any more when `policy` goes, or is for `newTarget`
 * instead. The owner needs no policy; what has no project is the system's. One statement, by keys of the object.
 */
export async function projectInNeed(tx: Tx, policy: RbacPolicy, owner: string, newTarget?: string): Promise<string | undefined> {
  const { id, object_id, action, target_project: target } = policy;
  if (newTarget === EVERY_PROJECT || newTarget === target || target === owner) return undefined;
  const users = RBAC_OBJECTS[policy.object_type].actions[action]!(object_id);
  const { rows } = await sql<{ project_id: string }>`select project_id from (${users}) as users
    where project_id not in ('', ${owner}, ${newTarget ?? ''}) ${target === EVERY_PROJECT ? sql`` : sql`and project_id = ${target}`}
    and not exists (select 1 from rbac_policies as other where other.object_id = ${object_id} and other.action = ${action} and other.id <> ${id} and other.target_project in (${EVERY_PROJECT}, users.project_id))
    limit 1`.execute(tx.db);
  return rows[0]?.project_id;
}
