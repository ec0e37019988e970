/** Security groups: each project's `default` group, and those it makes itself (N-SG-1, N-SG-4, N-SG-5). */
import type { Config } from '#model/config.ts';
import { ApiError } from '#model/errors.ts';
import { type SecurityGroup, type SecurityGroupRule, securityGroup, securityGroupRule } from '#model/security-groups.ts';
import { RangeSet } from '#net/range-set.ts';
import { setPool, takeLowest } from '#store/number-pool.ts';
import type { Reader, Tx } from '#store/store.ts';
import { Table } from '#store/table.ts';
import type { Context } from '../http/context.ts';
import { rulesFromTemplates, templateCount } from './default-security-group-rules.ts';
import { defaultStateful } from './default-statefulness.ts';
import { releaseLogs } from './log-release.ts';
import { newObject } from './new-object.ts';
import { dropPolicies } from './object-policies.ts';
import { checkQuota } from './quotas.ts';
import { ownOrReachedRows, sharedFilter, sharedWith } from './rbac-visibility.ts';
import type { Given, NetworkDeps, Rule } from './rule.ts';

const groups = new Table(securityGroup);
const rules = new Table(securityGroupRule);
const CONJ_IDS = 'conj_id';

type NewRule = Pick<SecurityGroupRule, 'project_id' | 'security_group_id' | 'direction'> & Partial<SecurityGroupRule>;

export function securityGroupsRule({ config }: NetworkDeps): Rule<typeof securityGroup> {
  return {
    resource: securityGroup,
    create: (tx, context, given) => createGroups(tx, config, given),
    update: (tx, _context, current, changes) => updateGroup(tx, current, changes),
    delete: deleteGroup,
    present: presentGroups,
    visible: visibleGroups,
    filters: { shared: sharedFilter(securityGroup) },
    beforeList: missingDefaultGroup,
  };
}

/** Holds a group against its deletion, and against other changes of its rules, until the transaction ends: the lock that `lockObject` takes. */
export const lockGroup = (tx: Tx, id: string): Promise<void> => tx.lock(`security_groups:${id}`);

/** The write that a list of groups or rules needs first: the default group of the token's own project, if it has none yet. */
export async function missingDefaultGroup(reader: Reader, { project_id }: Context): Promise<((tx: Tx) => Promise<unknown>) | undefined> {
  return project_id === null || (await defaultGroupOf(reader, project_id)) !== undefined ? undefined : (tx) => ensureDefaultGroup(tx, project_id);
}

/**
 * The project's default group, made with the rules of the templates when the project has none (N-SG-4). Only ever for the project
 * that a write concerns or that the asking token belongs to: lists for invented projects make nothing (CVE-2022-3277).
 */
export async function ensureDefaultGroup(tx: Tx, projectId: string): Promise<string> {
  const known = await defaultGroupOf(tx, projectId);
  if (known !== undefined) return known;
  await tx.lock(`default_security_group:${projectId}`);
  const meanwhile = await defaultGroupOf(tx, projectId);
  if (meanwhile !== undefined) return meanwhile;
  // Stateful whatever the project's default is, as in Neutron: that is for groups that somebody asks for.
  const group = newGroup(tx, { project_id: projectId, name: 'default', description: 'Default security group', stateful: true }, true);
  await groups.insert(tx, [group]);
  await insertRules(tx, await rulesFromTemplates(tx, group));
  return group.id;
}

/** One's own, and shared ones. */
export function visibleGroups(query: any, context: Context): any {
  return ownOrReachedRows(securityGroup, query, context);
}

/** The groups, locked, if they are the project's or shared with it. Others are 404, so that ids cannot be probed. */
export async function requireGroups(tx: Tx, context: Context, projectId: string, ids: readonly string[]): Promise<Map<string, SecurityGroup>> {
  for (const id of [...ids].sort()) await lockGroup(tx, id);
  const found = new Map((await groups.getMany(tx, ids)).map((group) => [group.id, group]));
  const foreign = context.is_admin ? [] : ids.filter((id) => found.get(id)?.project_id !== projectId);
  const shared = await sharedWith(tx, securityGroup, foreign, projectId);
  const missing = ids.find((id) => !found.has(id) || (foreign.includes(id) && !shared.has(id)));
  if (missing !== undefined) throw new ApiError('SecurityGroupNotFound', { id: missing });
  return found;
}

/** Refuses groups of which some keep connection state and some do not, for one port: its packets are judged one way or the other. */
export function refuseMixed(held: readonly Pick<SecurityGroup, 'stateful'>[]): void {
  if (held.some(({ stateful }) => stateful !== held[0]!.stateful)) throw new ApiError('SecurityGroupConflict', { reason: 'Cannot apply both stateful and stateless security groups on the same port at the same time' });
}

/** The groups, without a lock. */
export const groupsOf = (reader: Reader, ids: readonly string[]): Promise<SecurityGroup[]> => groups.getMany(reader, ids);

/** Inserts rules as given, each with a `conj_id` that no rule had before. */
export async function insertRules(tx: Tx, given: readonly NewRule[]): Promise<SecurityGroupRule[]> {
  const conjIds = await newConjIds(tx, given.length);
  const made = given.map((rule, i) => newObject(securityGroupRule, tx, { ethertype: 'IPv4', description: '', ...rule }, { conj_id: conjIds[i]! }));
  await rules.insert(tx, made);
  return made;
}

async function createGroups(tx: Tx, config: Config, given: readonly Given<typeof securityGroup>[]): Promise<SecurityGroup[]> {
  const made: SecurityGroup[] = [];
  for (const [projectId, own] of Map.groupBy(given, (one) => one.project_id!)) {
    await checkQuota(tx, config, projectId, 'security_group', own.length);
    if (projectId !== '') await ensureDefaultGroup(tx, projectId);
    await checkQuota(tx, config, projectId, 'security_group_rule', own.length * (await templateCount(tx, 'used_in_non_default_sg')));
  }
  for (const one of given) {
    requireFreeName(one.name);
    made.push(newGroup(tx, { ...one, stateful: one.stateful ?? await defaultStateful(tx, one.project_id!) }, false));
  }
  await groups.insert(tx, made);
  const begun: NewRule[] = [];
  for (const group of made) begun.push(...await rulesFromTemplates(tx, group));
  await insertRules(tx, begun);
  return made;
}

/** `default`, in any case, is the name of the group that the system makes. */
function requireFreeName(name: string | undefined): void {
  if (name?.toLowerCase() === 'default') throw new ApiError('SecurityGroupDefaultAlreadyExists');
}

async function updateGroup(tx: Tx, current: SecurityGroup, changes: Given<typeof securityGroup>): Promise<SecurityGroup> {
  requireFreeName(changes.name);
  if (current.is_default && 'name' in changes) throw new ApiError('SecurityGroupCannotUpdateDefault');
  // Half the members would keep connection state and the other half lose it.
  if (changes.stateful !== undefined && changes.stateful !== current.stateful && (await inUse(tx, current.id))) throw new ApiError('SecurityGroupInUse', { id: current.id });
  return groups.update(tx, current, changes);
}

/** Rules of other groups that let its members in go with it, as Neutron's do. */
async function deleteGroup(tx: Tx, context: Context, current: SecurityGroup): Promise<void> {
  await lockGroup(tx, current.id);
  if (await inUse(tx, current.id)) throw new ApiError('SecurityGroupInUse', { id: current.id });
  if (current.is_default && !context.is_admin) throw new ApiError('SecurityGroupCannotRemoveDefault');
  const gone = await tx.db.deleteFrom('security_group_rules').where((e) => e.or([e('security_group_id', '=', current.id), e('remote_group_id', '=', current.id)])).returning('id').execute();
  for (const row of gone) tx.record(rules.name, row['id'], 'delete');
  await dropPolicies(tx, current);
  await releaseLogs(tx, 'resource_id', current.id);
  await groups.delete(tx, current.id);
}

async function presentGroups(reader: Reader, context: Context, objects: readonly SecurityGroup[]): Promise<Record<string, unknown>[]> {
  const held = objects.length === 0 ? [] : await rules.list(reader, { filters: { security_group_id: objects.map(({ id }) => id) }, sort: [{ key: 'id', dir: 'asc' }] });
  const shared = await sharedWith(reader, securityGroup, objects.map(({ id }) => id), context.project_id);
  const byGroup = Map.groupBy(held, (rule) => rule.security_group_id);
  return objects.map((group) => ({ ...group, shared: shared.has(group.id), security_group_rules: (byGroup.get(group.id) ?? []).map((rule) => shownRule(rule, group)) }));
}

/** A rule inside its group: what its own resource shows. */
function shownRule(rule: SecurityGroupRule, group: SecurityGroup): Record<string, unknown> {
  const visible = Object.entries(rule).filter(([name]) => securityGroupRule.attributes[name as keyof SecurityGroupRule]?.readers !== 'nobody');
  return { ...Object.fromEntries(visible), belongs_to_default_sg: group.is_default, tenant_id: rule.project_id };
}

function newGroup(tx: Tx, given: Given<typeof securityGroup>, isDefault: boolean): SecurityGroup {
  return newObject(securityGroup, tx, { name: '', description: '', stateful: true, ...given }, { is_default: isDefault });
}

async function inUse(tx: Tx, id: string): Promise<boolean> {
  return (await tx.db.selectFrom('port_security_groups').select('port_id').where('security_group_id', '=', id).limit(1).executeTakeFirst()) !== undefined;
}

async function defaultGroupOf(reader: Reader, projectId: string): Promise<string | undefined> {
  const row = await reader.db.selectFrom('security_groups').select('id').where('project_id', '=', projectId).where('is_default', '=', 1).executeTakeFirst();
  return row?.['id'];
}

/** Numbers are never given back: a host may still match by an old one. */
async function newConjIds(tx: Tx, count: number): Promise<number[]> {
  let taken = await takeLowest(tx, CONJ_IDS, count);
  if (!taken) {
    const used = await tx.db.selectFrom('security_group_rules').select('conj_id').where('conj_id', 'is not', null).limit(1).executeTakeFirst();
    if (used) throw new ApiError('HTTPServiceUnavailable', { reason: 'No number is left for a security group rule.' });
    await setPool(tx, CONJ_IDS, new RangeSet([{ first: 1n, last: 2n ** 31n - 1n }]));
    taken = (await takeLowest(tx, CONJ_IDS, count))!;
  }
  return taken.map(Number);
}
