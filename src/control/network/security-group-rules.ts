/** Security group rules: what may come in and go out, checked as Neutron checks it (A9; OSSA-2012-007, 2014-014, 2019-001). */
import { sql } from 'kysely';
import type { Config } from '#model/config.ts';
import { ApiError } from '#model/errors.ts';
import { PROTOCOL_NUMBERS, type SecurityGroupRule, securityGroup, securityGroupRule } from '#model/security-groups.ts';
import { formatCidr, parseCidr } from '#net/cidr.ts';
import { formatIp, parseIp } from '#net/ip.ts';
import type { Tx } from '#store/store.ts';
import { Table } from '#store/table.ts';
import type { Context } from '../http/context.ts';
import { ownRows } from './policy.ts';
import { checkQuota } from './quotas.ts';
import { idIn, reachedIds } from './rbac-visibility.ts';
import type { Given, NetworkDeps, Rule } from './rule.ts';
import { insertRules, missingDefaultGroup, requireGroups } from './security-groups.ts';

const groups = new Table(securityGroup);
const rules = new Table(securityGroupRule);

/** DCCP, SCTP, TCP, UDP, UDP-Lite: the protocols with ports. */
const WITH_PORTS = new Set([33, 132, 6, 17, 136]);
const ICMP = new Set([1, 58]);
const IPV6_ONLY = new Set(['ipv6-encap', 'ipv6-frag', 'ipv6-icmp', 'icmpv6', 'ipv6-nonxt', 'ipv6-opts', 'ipv6-route', '41', '44', '58', '59', '60', '43']);

type GivenRule = Given<typeof securityGroupRule> & Pick<SecurityGroupRule, 'project_id' | 'security_group_id' | 'direction' | 'ethertype' | 'protocol' | 'port_range_min' | 'port_range_max' | 'remote_ip_prefix' | 'remote_group_id'>;

export function securityGroupRulesRule({ config }: NetworkDeps): Rule<typeof securityGroupRule> {
  return {
    resource: securityGroupRule,
    create: (tx, context, given) => createRules(tx, config, context, given as readonly GivenRule[]),
    update: (tx, _context, current, changes) => rules.update(tx, current, changes),
    delete: deleteRule,
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
  if (given.some((rule) => rule.project_id !== first.project_id)) throw new ApiError('SecurityGroupRulesNotSingleTenant');
  const wanted = given.map(checked);
  const remotes = wanted.map((rule) => rule.remote_group_id).filter((id) => id !== null);
  // Quota before groups, as where ports are made: two transactions must not wait for each other's locks.
  await checkQuota(tx, config, first.project_id, 'security_group_rule', given.length);
  const found = await requireGroups(tx, context, first.project_id, [...new Set([first.security_group_id, ...remotes])]);
  // Who may use a group may not change it.
  if (!context.is_admin && found.get(first.security_group_id)!.project_id !== context.project_id) throw new ApiError('PolicyNotAuthorized', { rule: 'create_security_group_rule' });
  await refuseDuplicates(tx, first.security_group_id, wanted);
  const made = await insertRules(tx, wanted);
  await touchGroup(tx, first.security_group_id);
  return made;
}

async function deleteRule(tx: Tx, _context: Context, current: SecurityGroupRule): Promise<void> {
  await rules.delete(tx, current.id);
  await touchGroup(tx, current.security_group_id);
}

/** A group's revision changes with its rules. */
async function touchGroup(tx: Tx, id: string): Promise<void> {
  const group = await groups.get(tx, id);
  if (group) await groups.update(tx, group, {});
}

/** The rule in canonical form; throws the error of the first check that fails, in Neutron's order. */
function checked(rule: GivenRule): GivenRule {
  const protocol = canonicalProtocol(rule.protocol, rule.ethertype);
  checkPorts(protocol, rule.port_range_min, rule.port_range_max);
  const prefix = checkPrefix(rule.remote_ip_prefix, rule.ethertype);
  if (rule.ethertype === 'IPv4' && protocol !== null && IPV6_ONLY.has(protocol)) throw new ApiError('SecurityGroupEthertypeConflictWithProtocol', { ethertype: rule.ethertype, protocol });
  if (prefix.remote_ip_prefix && rule.remote_group_id) throw new ApiError('SecurityGroupRemoteGroupAndRemoteIpPrefix');
  if (rule.remote_address_group_id) throw new ApiError('AddressGroupNotFound', { id: rule.remote_address_group_id });
  return { ...rule, ...prefix, protocol };
}

/** ICMP of IPv6 has its own number; its old names and IPv4's number mean it. */
function canonicalProtocol(protocol: string | null, ethertype: string): string | null {
  if (ethertype !== 'IPv6' || protocol === null) return protocol;
  if (protocol === 'icmp' || protocol === 'icmpv6') return 'ipv6-icmp';
  return protocol === '1' ? '58' : protocol;
}

function checkPorts(protocol: string | null, min: number | null, max: number | null): void {
  if (min === null && max === null) return;
  if (protocol === null) throw new ApiError('SecurityGroupProtocolRequiredWithPorts');
  const number = numberOf(protocol);
  if (WITH_PORTS.has(number)) {
    if (min === 0 || max === 0) throw new ApiError('SecurityGroupInvalidPortValue', { port: 0 });
    if (min === null || max === null || min > max) throw new ApiError('SecurityGroupInvalidPortRange');
  } else if (ICMP.has(number)) {
    for (const [attr, field, value] of [['port_range_min', 'type', min], ['port_range_max', 'code', max]] as const) {
      if (value !== null && (value < 0 || value > 255)) throw new ApiError('SecurityGroupInvalidIcmpValue', { field, attr, value });
    }
    if (min === null) throw new ApiError('SecurityGroupMissingIcmpType', { value: max });
  } else {
    throw new ApiError('SecurityGroupInvalidProtocolForPort', { protocol });
  }
}

/** The prefix with its length, as given, and in `normalized_cidr` without host bits. An empty text is none. */
function checkPrefix(text: string | null, ethertype: string): Pick<SecurityGroupRule, 'remote_ip_prefix' | 'normalized_cidr'> {
  if (!text) return { remote_ip_prefix: null, normalized_cidr: null };
  const cidr = parseCidr(text);
  if (!cidr) throw new ApiError('InvalidCIDR', { input: text });
  const remote_ip_prefix = `${formatIp(parseIp(text.split('/')[0]!)!)}/${cidr.prefix}`;
  if (ethertype !== `IPv${cidr.version}`) throw new ApiError('SecurityGroupRuleParameterConflict', { ethertype, cidr: text });
  return { remote_ip_prefix, normalized_cidr: formatCidr(cidr) };
}

/** `requireGroups` locked the group, so that two requests cannot both find no duplicate. */
async function refuseDuplicates(tx: Tx, groupId: string, wanted: readonly GivenRule[]): Promise<void> {
  const keys = wanted.map(meaning);
  if (new Set(keys).size < keys.length) throw new ApiError('DuplicateSecurityGroupRuleInPost');
  for (const rule of await rules.list(tx, { filters: { security_group_id: [groupId] } })) {
    if (keys.includes(meaning(rule))) throw new ApiError('SecurityGroupRuleExists', { id: rule.id });
  }
}

/** Rules with one meaning are one rule: a prefix of length 0 is no prefix, `tcp` is `6`. */
function meaning(rule: GivenRule | SecurityGroupRule): string {
  const prefix = rule.normalized_cidr === '0.0.0.0/0' || rule.normalized_cidr === '::/0' ? null : rule.normalized_cidr;
  return JSON.stringify([rule.direction, rule.ethertype, rule.protocol === null ? null : numberOf(rule.protocol), rule.port_range_min, rule.port_range_max, rule.remote_group_id, prefix]);
}

const numberOf = (protocol: string): number => PROTOCOL_NUMBERS[protocol] ?? Number(protocol);
