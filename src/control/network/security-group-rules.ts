/** Security group rules: what may come in to a group's members and go out from them (A9; OSSA-2012-007). */
import { sql } from 'kysely';
import type { Config } from '#model/config.ts';
import { ApiError } from '#model/errors.ts';
import { boolean } from '#model/kind.ts';
import { type SecurityGroupRule, securityGroup, securityGroupRule } from '#model/security-groups.ts';
import type { Reader, Tx } from '#store/store.ts';
import { Table } from '#store/table.ts';
import type { Context } from '../http/context.ts';
import { requireAddressGroup } from './address-groups.ts';
import { ownRows } from './policy.ts';
import { checkQuota } from './quotas.ts';
import { idIn, reachedIds } from './rbac-visibility.ts';
import type { Given, NetworkDeps, Rule } from './rule.ts';
import { type Admitted, checkedRule, meaningOf } from './security-group-rule-checks.ts';
import { insertRules, lockGroup, missingDefaultGroup, requireGroups } from './security-groups.ts';

const groups = new Table(securityGroup);
const rules = new Table(securityGroupRule);

type GivenRule = Given<typeof securityGroupRule> & Pick<SecurityGroupRule, 'project_id' | 'security_group_id'> & Admitted;

export function securityGroupRulesRule({ config }: NetworkDeps): Rule<typeof securityGroupRule> {
  return {
    resource: securityGroupRule,
    create: (tx, context, given) => createRules(tx, config, context, given as readonly GivenRule[]),
    update: (tx, _context, current, changes) => rules.update(tx, current, changes),
    delete: deleteRule,
    present: (reader, _context, objects) => presentRules(reader, objects),
    filters: { belongs_to_default_sg: byDefaultGroup },
    beforeList: missingDefaultGroup,
    visible: visibleRules,
    owns: async (reader, context, current) => current.project_id === context.project_id || (await groups.get(reader, current.security_group_id))?.project_id === context.project_id,
  };
}

/**
 * One's own, those of one's own groups (a rule that an admin put there belongs to the admin's project; who owns the group
 * sees it and may remove it), and those of shared groups: who may use a group sees what it lets in.
 */
function visibleRules(query: any, context: Context): any {
  if (!context.project_id) return ownRows(securityGroupRule, query, context);
  return query.where(idIn(
    securityGroupRule,
    sql`select id from security_group_rules where project_id = ${context.project_id}`,
    sql`select rules.id from security_groups join security_group_rules as rules on rules.security_group_id = security_groups.id where security_groups.project_id = ${context.project_id}`,
    sql`select rules.id from (${reachedIds(securityGroup, context)}) as shared join security_group_rules as rules on rules.security_group_id = shared.object_id`,
  ));
}

async function createRules(tx: Tx, config: Config, context: Context, given: readonly GivenRule[]): Promise<SecurityGroupRule[]> {
  const first = given[0]!;
  if (given.some((rule) => rule.security_group_id !== first.security_group_id)) throw new ApiError('SecurityGroupNotSingleGroupRules');
  if (given.some((rule) => rule.project_id !== first.project_id)) throw new ApiError('SecurityGroupRulesNotSingleProject');
  const wanted = given.map(checkedRule);
  const remotes = wanted.map((rule) => rule.remote_group_id).filter((id) => id !== null);
  // Quota before groups, as where ports are made: two transactions must not wait for each other's locks.
  await checkQuota(tx, config, first.project_id, 'security_group_rule', given.length);
  const found = await requireGroups(tx, context, first.project_id, [...new Set([first.security_group_id, ...remotes])]);
  // Who may use a group may not change it.
  if (!context.is_admin && found.get(first.security_group_id)!.project_id !== context.project_id) throw new ApiError('PolicyNotAuthorized', { rule: 'create_security_group_rule' });
  for (const id of [...new Set(wanted.flatMap((rule) => rule.remote_address_group_id ?? []))].sort()) await requireAddressGroup(tx, context, first.project_id, id);
  await refuseDuplicates(tx, first.security_group_id, wanted);
  const made = await insertRules(tx, wanted);
  await touchGroup(tx, first.security_group_id);
  return made;
}

async function deleteRule(tx: Tx, _context: Context, current: SecurityGroupRule): Promise<void> {
  // Before the row: who deletes the group locks it first, and then takes its rules.
  await lockGroup(tx, current.security_group_id);
  await rules.delete(tx, current.id);
  await touchGroup(tx, current.security_group_id);
}

/** Which of the rules belong to the default group of their group's project. */
async function presentRules(reader: Reader, objects: readonly SecurityGroupRule[]): Promise<Record<string, unknown>[]> {
  const owners = new Map((await groups.getMany(reader, [...new Set(objects.map((rule) => rule.security_group_id))])).map((group) => [group.id, group]));
  return objects.map((rule) => ({ belongs_to_default_sg: owners.get(rule.security_group_id)?.is_default ?? false }));
}

function byDefaultGroup(query: any, values: readonly string[]): any {
  const wanted = [...new Set(values.map((value) => Number(boolean.convert(value))))];
  return query.where((e: any) => e('security_group_rules.security_group_id', 'in', e.selectFrom('security_groups').select('id').where('is_default', 'in', wanted)));
}

/** A group's revision changes with its rules. The caller holds the group's lock, so that no two changes make the same revision. */
async function touchGroup(tx: Tx, id: string): Promise<void> {
  const group = await groups.get(tx, id);
  if (group) await groups.update(tx, group, {});
}

/** `requireGroups` locked the group, so that two requests cannot both find no duplicate. */
async function refuseDuplicates(tx: Tx, groupId: string, wanted: readonly GivenRule[]): Promise<void> {
  const meanings = new Set(wanted.map(meaningOf));
  if (meanings.size < wanted.length) throw new ApiError('DuplicateSecurityGroupRuleInPost');
  for (const rule of await rules.list(tx, { filters: { security_group_id: [groupId] } })) {
    if (meanings.has(meaningOf(rule))) throw new ApiError('SecurityGroupRuleExists', { id: rule.id });
  }
}
