/** RBAC policies: who may share what with whom, and what keeps a policy (extension rbac-policies). */
import type { Config } from '#model/config.ts';
import { ApiError } from '#model/errors.ts';
import { text } from '#model/kind.ts';
import { ACCESS_AS_EXTERNAL, EVERY_PROJECT, type RbacPolicy, rbacPolicy } from '#model/rbac-policies.ts';
import type { Tx } from '#store/store.ts';
import { Table } from '#store/table.ts';
import type { Context } from '../http/context.ts';
import { lockObject } from './collection.ts';
import { newObject } from './new-object.ts';
import { projectInNeed } from './object-policies.ts';
import type { Action } from './policy.ts';
import { checkQuota } from './quotas.ts';
import { RBAC_OBJECTS } from './rbac-objects.ts';
import { ownOrReachedRows } from './rbac-visibility.ts';
import type { Given, NetworkDeps, Rule } from './rule.ts';

const policies = new Table(rbacPolicy);

type GivenPolicy = Given<typeof rbacPolicy>;
type Wanted = Pick<RbacPolicy, 'project_id' | 'object_type' | 'object_id' | 'action' | 'target_project'>;

export function rbacPoliciesRule({ config }: NetworkDeps): Rule<typeof rbacPolicy> {
  return {
    resource: rbacPolicy,
    create: (tx, context, given) => createPolicies(tx, context, config, given),
    update: updatePolicy,
    delete: (tx, _context, current) => deletePolicy(tx, current),
    present: async (_reader, _context, objects) => objects.map(({ target_project }) => ({ target_tenant: target_project })),
    filters: { target_tenant: (query, values) => query.where('rbac_policies.target_project', 'in', values.map(text().convert)) },
    // What makes a network external is the admin's, as the attribute `router:external` is.
    owns: async (_reader, context, current) => current.project_id === context.project_id && current.action !== ACCESS_AS_EXTERNAL,
  };
}

async function createPolicies(tx: Tx, context: Context, config: Config, given: readonly GivenPolicy[]): Promise<RbacPolicy[]> {
  const wanted = given.map((one) => wantedPolicy(context, one));
  for (const [project, own] of Map.groupBy(wanted, ({ project_id }) => project_id)) await checkQuota(tx, config, project, 'rbac_policy', own.length);
  // In one order, so that two bulk requests cannot wait for each other for ever.
  for (const { object_type, object_id } of wanted.toSorted((a, b) => (a.object_id < b.object_id ? -1 : 1))) await lockObject(tx, RBAC_OBJECTS[object_type].resource, object_id);
  const made: RbacPolicy[] = [];
  for (const one of wanted) {
    const kind = RBAC_OBJECTS[one.object_type];
    const object = await requireObject(tx, context, one);
    await requireNew(tx, one);
    await kind.requireFit?.(tx, object, one.target_project);
    const fresh = newObject(rbacPolicy, tx, one);
    await policies.insert(tx, [fresh]);
    await kind.changed?.(tx, object);
    made.push(fresh);
  }
  return made;
}

async function updatePolicy(tx: Tx, context: Context, found: RbacPolicy, changes: GivenPolicy): Promise<RbacPolicy> {
  const target_project = targetOf(changes)!;
  requireTarget(context, 'update', target_project);
  const current = await locked(tx, found);
  const object = await requireObject(tx, context, current);
  if (target_project === current.target_project) return current;
  await requireNew(tx, { ...current, target_project });
  await requireUnneeded(tx, current, object, target_project);
  const kind = RBAC_OBJECTS[current.object_type];
  await kind.requireFit?.(tx, object, target_project);
  const updated = await policies.update(tx, current, { target_project });
  await kind.changed?.(tx, object);
  return updated;
}

async function deletePolicy(tx: Tx, found: RbacPolicy): Promise<void> {
  const current = await locked(tx, found);
  const { resource, changed } = RBAC_OBJECTS[current.object_type];
  const object: any = await new Table(resource).get(tx, current.object_id);
  if (object) await requireUnneeded(tx, current, object);
  await policies.delete(tx, current.id);
  if (object) await changed?.(tx, object);
}

/** The policy under the lock of its object: nobody begins to need it meanwhile. It may have gone with the object before. */
async function locked(tx: Tx, { id, object_type, object_id }: RbacPolicy): Promise<RbacPolicy> {
  await lockObject(tx, RBAC_OBJECTS[object_type].resource, object_id);
  const current = await policies.get(tx, id);
  if (!current) throw new ApiError('RbacPolicyNotFound', { id });
  return current;
}

function wantedPolicy(context: Context, given: GivenPolicy): Wanted {
  const { project_id, object_type, object_id, action } = given as Wanted;
  const target_project = targetOf(given);
  if (target_project === undefined) throw new ApiError('HTTPBadRequest', { reason: "Failed to parse request. Required attribute 'target_project' not specified" });
  const valid = Object.keys(RBAC_OBJECTS[object_type].actions);
  if (!valid.includes(action)) throw new ApiError('InvalidInput', { reason: `Invalid action '${action}' for object type '${object_type}'. Valid actions: ${valid.join(', ')}` });
  requireTarget(context, 'create', target_project);
  if (action === ACCESS_AS_EXTERNAL && !context.is_admin) throw new ApiError('PolicyNotAuthorized', { rule: 'create_rbac_policy:action' });
  return { project_id, object_type, object_id, action, target_project };
}

/** By its new name, its old one, or both alike. */
function targetOf({ target_project, target_tenant }: GivenPolicy): string | undefined {
  if (target_project !== undefined && target_tenant !== undefined && target_project !== target_tenant) throw new ApiError('HTTPBadRequest', { reason: "'target_project' and 'target_tenant' do not match" });
  return target_project ?? target_tenant;
}

/** Sharing with everybody is the admin's. */
function requireTarget(context: Context, action: Action, target: string): void {
  if (target === EVERY_PROJECT && !context.is_admin) throw new ApiError('PolicyNotAuthorized', { rule: `${action}_rbac_policy:target_project` });
}

/** The object if it is `context`'s to share. What it does not see is 404; what others only share with it is Neutron's 400. */
async function requireObject(tx: Tx, context: Context, { object_type, object_id }: Pick<RbacPolicy, 'object_type' | 'object_id'>): Promise<any> {
  const { resource } = RBAC_OBJECTS[object_type];
  const [found]: any[] = await new Table(resource).list(tx, { filters: { id: [object_id] }, where: (query) => (context.is_admin ? query : ownOrReachedRows(resource, query, context)) });
  if (!found) throw new ApiError(`${resource.noun}NotFound` as 'NetworkNotFound', { id: object_id });
  if (!context.is_admin && found.project_id !== context.project_id) throw new ApiError('InvalidInput', { reason: `Only admins can manipulate policies on objects they do not own: ${object_type} ${object_id}` });
  return found;
}

/** The unique index has the last word; this has the better one. */
async function requireNew(tx: Tx, { object_id, action, target_project }: Wanted): Promise<void> {
  if ((await policies.list(tx, { filters: { object_id: [object_id], action: [action], target_project: [target_project] }, limit: 1 })).length > 0) throw new ApiError('DuplicateRbacPolicy');
}

async function requireUnneeded(tx: Tx, current: RbacPolicy, object: any, newTarget?: string): Promise<void> {
  const inUse = (details: string) => new ApiError('RbacPolicyInUse', { object_id: current.object_id, details });
  // A router without a named network would find no default one any more.
  if (current.action === ACCESS_AS_EXTERNAL && current.target_project === EVERY_PROJECT && object.is_default) throw inUse('the default external network must be there for everyone');
  const project = await projectInNeed(tx, current, object.project_id, newTarget);
  if (project !== undefined) throw inUse(`project ${project} has something that depends on it`);
}
