/**
 * Templates of rules (extension security-groups-default-rules): what every new group is made with, as its admin wishes.
 * Groups that are there already keep their rules.
 */
import { ApiError } from '#model/errors.ts';
import { type DefaultSecurityGroupRule, defaultSecurityGroupRule, PARENT_GROUP, type SecurityGroup, type SecurityGroupRule } from '#model/security-groups.ts';
import type { Reader, Tx } from '#store/store.ts';
import { Table } from '#store/table.ts';
import type { Context } from '../http/context.ts';
import { newObject } from './new-object.ts';
import { ownRows, requireAdmin } from './policy.ts';
import type { Given, Rule } from './rule.ts';
import { type Admitted, checkedRule, meaningOf } from './security-group-rule-checks.ts';

const templates = new Table(defaultSecurityGroupRule);

/** The flag of a template, by the kind of group that is made with it. */
type Use = 'used_in_default_sg' | 'used_in_non_default_sg';
const USES: readonly Use[] = ['used_in_default_sg', 'used_in_non_default_sg'];

type Template = Admitted & Pick<DefaultSecurityGroupRule, Use>;

const OUT = { direction: 'egress', used_in_default_sg: true, used_in_non_default_sg: true, description: 'Built in: everything may go out' } as const;
const IN = { direction: 'ingress', remote_group_id: PARENT_GROUP, used_in_default_sg: true, used_in_non_default_sg: false, description: 'Built in: members of a default group reach each other' } as const;
/** What a new store has (N-SG-4): everything out, and in from the members of a default group. */
const BUILT_IN: readonly Given<typeof defaultSecurityGroupRule>[] = (['IPv4', 'IPv6'] as const).flatMap((ethertype) => [{ ...OUT, ethertype }, { ...IN, ethertype }]);

export function defaultSecurityGroupRulesRule(): Rule<typeof defaultSecurityGroupRule> {
  return {
    resource: defaultSecurityGroupRule,
    create: (tx, context, given) => createTemplates(tx, context, given as readonly Template[]),
    // The definition lets a PUT name nothing.
    update: async (_tx, _context, current) => current,
    delete: (tx, _context, current) => templates.delete(tx, current.id),
    visible: (query, context) => (context.project_id ? query : ownRows(defaultSecurityGroupRule, query, context)),
    owns: async () => false,
    beforeRead: async (reader) => ((await areMade(reader)) ? undefined : ensureTemplates),
  };
}

/**
 * The rules that `group` is made with. A template that names a group or an address group which is gone would admit
 * nobody, so it is left out.
 */
export async function rulesFromTemplates(tx: Tx, group: Pick<SecurityGroup, 'id' | 'project_id' | 'is_default'>): Promise<(Admitted & Pick<SecurityGroupRule, 'project_id' | 'security_group_id' | 'normalized_cidr'>)[]> {
  const held = await templatesFor(tx, group.is_default ? 'used_in_default_sg' : 'used_in_non_default_sg');
  return held.map((template) => {
    const { direction, ethertype, protocol, port_range_min, port_range_max, remote_ip_prefix, remote_group_id, remote_address_group_id } = template;
    const rule = { direction, ethertype, protocol, port_range_min, port_range_max, remote_ip_prefix, remote_group_id: remote_group_id === PARENT_GROUP ? group.id : remote_group_id, remote_address_group_id };
    return { ...checkedRule(rule), project_id: group.project_id, security_group_id: group.id };
  });
}

/** How many rules a new group gets. */
export async function templateCount(tx: Tx, use: Use): Promise<number> {
  return (await templatesFor(tx, use)).length;
}

async function templatesFor(tx: Tx, use: Use): Promise<DefaultSecurityGroupRule[]> {
  await ensureTemplates(tx);
  const found = await templates.list(tx, { filters: { [use]: [true] }, sort: [{ key: 'id', dir: 'asc' }] });
  const held: DefaultSecurityGroupRule[] = [];
  for (const template of found) if (await hasRemote(tx, template)) held.push(template);
  return held;
}

/** Locks what the template names, as the rules that are made of it do, so that it cannot go meanwhile. */
async function hasRemote(tx: Tx, { remote_group_id: group, remote_address_group_id: addressGroup }: Admitted): Promise<boolean> {
  for (const [table, id] of [['security_groups', group], ['address_groups', addressGroup]] as const) {
    if (id === null || id === PARENT_GROUP) continue;
    await tx.lock(`${table}:${id}`);
    if (!(await tx.db.selectFrom(table).select('id').where('id', '=', id).executeTakeFirst())) return false;
  }
  return true;
}

async function createTemplates(tx: Tx, context: Context, given: readonly Template[]): Promise<DefaultSecurityGroupRule[]> {
  requireAdmin(context, 'create_default_security_group_rule');
  const wanted = given.map(checkedRule);
  await ensureTemplates(tx);
  // Two requests at once would both find no duplicate.
  await tx.lock(templates.name);
  for (const template of wanted) if (!(await hasRemote(tx, template))) throw missing(template);
  for (const use of USES) await refuseDuplicates(tx, use, wanted.filter((template) => template[use]));
  const made = wanted.map((template) => newObject(defaultSecurityGroupRule, tx, template));
  await templates.insert(tx, made);
  return made;
}

function missing({ remote_group_id, remote_address_group_id }: Admitted): ApiError {
  return remote_group_id ? new ApiError('SecurityGroupNotFound', { id: remote_group_id }) : new ApiError('AddressGroupNotFound', { id: remote_address_group_id });
}

/** Groups of one kind are not made with one rule twice. */
async function refuseDuplicates(tx: Tx, use: Use, wanted: readonly Template[]): Promise<void> {
  const meanings = new Set(wanted.map(meaningOf));
  if (meanings.size < wanted.length) throw new ApiError('DuplicateDefaultSgRuleInPost');
  if (wanted.length === 0) return;
  for (const template of await templates.list(tx, { filters: { [use]: [true] } })) {
    if (meanings.has(meaningOf(checkedRule(template)))) throw new ApiError('DefaultSecurityGroupRuleExists', { id: template.id });
  }
}

/** Makes the built-in templates, once in the life of a store: what an admin deletes does not come again. */
async function ensureTemplates(tx: Tx): Promise<void> {
  if (await areMade(tx)) return;
  await tx.lock(`made_once:${templates.name}`);
  if (await areMade(tx)) return;
  await tx.db.insertInto('made_once').values({ name: templates.name }).execute();
  await templates.insert(tx, BUILT_IN.map((each) => newObject(defaultSecurityGroupRule, tx, each)));
}

async function areMade(reader: Reader): Promise<boolean> {
  return (await reader.db.selectFrom('made_once').select('name').where('name', '=', templates.name).executeTakeFirst()) !== undefined;
}
