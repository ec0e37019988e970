import assert from 'node:assert/strict';
import { ApiError, type ErrorType } from '#model/errors.ts';
import { PROTOCOL_NUMBERS, type SecurityGroup, type SecurityGroupRule, securityGroup, securityGroupRule } from '#model/security-groups.ts';
import { openStore } from '#store/open.ts';
import type { Store } from '#store/store.ts';
import { Table } from '#store/table.ts';
import { config, contextOf, insertNetwork, insertSubnet } from '#testkit/network-rows.ts';
import { eachStore } from '#testkit/stores.ts';
import { dump } from '#testkit/table-dump.ts';
import type { Context } from '../http/context.ts';
import { createPorts } from './port-create.ts';
import { securityGroupRulesRule } from './security-group-rules.ts';
import { ensureDefaultGroup, missingDefaultGroup, securityGroupsRule } from './security-groups.ts';

const groupsRule = securityGroupsRule({ config });
const rulesRule = securityGroupRulesRule({ config });
const groups = new Table(securityGroup);
const rules = new Table(securityGroupRule);
const demo = contextOf('demo');
const other = contextOf('other');
const admin = contextOf('admin', { admin: true });

const newGroup = (store: Store, name: string, context = demo): Promise<SecurityGroup> => store.write(async (tx) => (await groupsRule.create(tx, context, [{ name, project_id: context.project_id! }]))[0]!);

/** What a body gives after the definition's conversion and defaults. */
function given(group: string, attributes: Record<string, unknown>, project = 'demo'): Partial<SecurityGroupRule> {
  const result: Record<string, unknown> = { project_id: project, security_group_id: group, direction: 'ingress' };
  for (const [name, { initial, kind }] of Object.entries(securityGroupRule.attributes)) {
    if (name in attributes) result[name] = kind.convert(attributes[name]);
    else if (typeof initial === 'object') result[name] = initial.default;
  }
  return result;
}
const addRules = (store: Store, group: string, attributes: Record<string, unknown>[], context: Context = demo): Promise<SecurityGroupRule[]> =>
  store.write((tx) => rulesRule.create(tx, context, attributes.map((one) => given(group, one, context.project_id!))));
const addRule = async (store: Store, group: string, attributes: Record<string, unknown>, context = demo) => (await addRules(store, group, [attributes], context))[0]!;
const refused = (type: ErrorType) => (error: unknown) => {
  assert.ok(error instanceof ApiError, String((error as Error).stack));
  assert.equal(error.type, type);
  return true;
};
const everything = (store: Store) => dump(store.reader, ['security_groups', 'security_group_rules', 'free_ranges', 'changes']);
const meanings = (found: readonly SecurityGroupRule[]) => found.map((one) => [one.direction, one.ethertype, one.remote_group_id]).sort();

eachStore('N-SG-1, N-SG-4, N-SG-5: each project has its own default group: all out, its own members in', async (store) => {
  const [one, again, two] = await store.write(async (tx) => [await ensureDefaultGroup(tx, 'demo'), await ensureDefaultGroup(tx, 'demo'), await ensureDefaultGroup(tx, 'other')]);
  assert.equal(one, again);
  assert.notEqual(one, two);
  assert.deepEqual(meanings(await rules.list(store.reader, { filters: { security_group_id: [one] } })), [['egress', 'IPv4', null], ['egress', 'IPv6', null], ['ingress', 'IPv4', one], ['ingress', 'IPv6', one]]);
  const made = await newGroup(store, 'web');
  assert.deepEqual(meanings(await rules.list(store.reader, { filters: { security_group_id: [made.id] } })), [['egress', 'IPv4', null], ['egress', 'IPv6', null]]);
});

eachStore('CVE-2022-3277, CVE-2023-3637: a list makes the default group of the token’s own project once, and nothing for a token without one', async (store) => {
  const first = await missingDefaultGroup(store.reader, demo);
  await store.write(first!);
  assert.equal(await missingDefaultGroup(store.reader, demo), undefined);
  assert.equal(await missingDefaultGroup(store.reader, { ...demo, project_id: null }), undefined);
  assert.deepEqual((await groups.list(store.reader)).map((one) => one.project_id), ['demo']);
});

eachStore('two controllers need the default group at once: there is one', async (store, connection) => {
  const second = await openStore(connection);
  try {
    const ids = await Promise.all(Array.from({ length: 12 }, (_, i) => (i % 2 ? store : second).write((tx) => ensureDefaultGroup(tx, 'demo'))));
    assert.equal(new Set(ids).size, 1);
    assert.equal((await rules.list(store.reader)).length, 4);
  } finally {
    await second.close();
  }
});

eachStore('the default group keeps its name and its place; groups in use stay', async (store) => {
  const made = await newGroup(store, 'web');
  const standard = (await groups.list(store.reader, { filters: { is_default: [true] } }))[0]!;
  const home = await store.write(async (tx) => {
    const network = await insertNetwork(tx);
    await insertSubnet(tx, network, '10.0.0.0/24');
    return network;
  });
  const [used] = await store.write((tx) => createPorts(tx, config, demo, [{ project_id: 'demo', network_id: home.id, security_groups: [made.id] }]));
  assert.deepEqual(used!.security_groups, [made.id]);
  await assert.rejects(store.write((tx) => groupsRule.update(tx, demo, standard, { name: 'x' })), refused('SecurityGroupCannotUpdateDefault'));
  await assert.rejects(store.write((tx) => groupsRule.delete(tx, demo, standard)), refused('SecurityGroupCannotRemoveDefault'));
  await assert.rejects(newGroup(store, 'default'), refused('SecurityGroupDefaultAlreadyExists'));
  await assert.rejects(store.write((tx) => groupsRule.delete(tx, demo, made)), refused('SecurityGroupInUse'));
  await assert.rejects(store.write((tx) => groupsRule.update(tx, demo, made, { stateful: false })), refused('SecurityGroupInUse'));
  assert.equal((await store.write((tx) => groupsRule.update(tx, demo, standard, { description: 'x' }))).description, 'x');
});

eachStore('a deleted group takes its rules and the rules that let its members in elsewhere', async (store) => {
  const [web, db] = [await newGroup(store, 'web'), await newGroup(store, 'db')];
  const link = await addRule(store, db.id, { protocol: 'tcp', port_range_min: 5432, port_range_max: 5432, remote_group_id: web.id });
  const mark = await store.feed.head();
  await store.write((tx) => groupsRule.delete(tx, demo, web));
  assert.equal(await rules.get(store.reader, link.id), undefined);
  assert.equal((await rules.list(store.reader, { filters: { security_group_id: [db.id] } })).length, 2);
  const { changes } = (await store.feed.after(mark))!;
  assert.deepEqual(changes.map(({ kind, op }) => `${op} ${kind}`).sort(), ['delete security_group_rules', 'delete security_group_rules', 'delete security_group_rules', 'delete security_groups']);
});

eachStore('rules are kept in canonical form (OSSA-2012-007), each with a conj_id of its own', async (store) => {
  const { id } = await newGroup(store, 'web');
  const made = await addRules(store, id, [
    { protocol: 'TCP', port_range_min: '80', port_range_max: 90, remote_ip_prefix: '10.0.0.5/24' },
    { protocol: 17, remote_ip_prefix: '10.0.0.5' },
    { protocol: 'icmp', ethertype: 'ipv6', port_range_min: 128, remote_ip_prefix: '2001:DB8::/32' },
    { protocol: 1, ethertype: 'IPv6' },
    { protocol: 'vrrp' },
    { protocol: 'icmp', port_range_min: 0, port_range_max: 0 },
  ]);
  assert.deepEqual(made.map((one) => [one.protocol, one.ethertype, one.port_range_min, one.port_range_max, one.remote_ip_prefix, one.normalized_cidr]), [
    ['tcp', 'IPv4', 80, 90, '10.0.0.5/24', '10.0.0.0/24'],
    ['17', 'IPv4', null, null, '10.0.0.5/32', '10.0.0.5/32'],
    ['ipv6-icmp', 'IPv6', 128, null, '2001:db8::/32', '2001:db8::/32'],
    ['58', 'IPv6', null, null, null, null],
    ['vrrp', 'IPv4', null, null, null, null],
    ['icmp', 'IPv4', 0, 0, null, null],
  ]);
  const all = (await rules.list(store.reader)).map((one) => one.conj_id);
  assert.equal(new Set(all).size, all.length);
  await store.write((tx) => rulesRule.delete(tx, demo, made[0]!));
  const next = await addRule(store, id, { protocol: 'gre' });
  assert.ok(next.conj_id > Math.max(...all), 'a conj_id is never given again');
});

eachStore('OSSA-2014-014, OSSA-2019-001: wrong rules are refused with the error of Neutron, and the store is unchanged', async (store) => {
  const { id } = await newGroup(store, 'web');
  const foreign = await newGroup(store, 'theirs', other);
  await addRule(store, id, { protocol: 'tcp', port_range_min: 22, port_range_max: 22, remote_ip_prefix: '0.0.0.0/0' });
  const before = await everything(store);
  const cases: [ErrorType, Record<string, unknown>][] = [
    ['SecurityGroupRuleInvalidProtocol', { protocol: 'nope' }],
    ['SecurityGroupRuleInvalidProtocol', { protocol: 256 }],
    ['SecurityGroupRuleInvalidProtocol', { protocol: 'constructor' }],
    ['SecurityGroupRuleInvalidEtherType', { ethertype: 'IPv5' }],
    ['SecurityGroupProtocolRequiredWithPorts', { port_range_min: 1, port_range_max: 2 }],
    ['SecurityGroupInvalidPortRange', { protocol: 'tcp', port_range_min: 90, port_range_max: 80 }],
    ['SecurityGroupInvalidPortRange', { protocol: 'udp', port_range_min: 90 }],
    ['SecurityGroupInvalidPortValue', { protocol: 'tcp', port_range_min: 0, port_range_max: 80 }],
    ['SecurityGroupInvalidPortValue', { protocol: 'tcp', port_range_min: 1, port_range_max: 65536 }],
    ['SecurityGroupInvalidPortValue', { protocol: 'icmp', port_range_min: -1 }],
    ['SecurityGroupInvalidIcmpValue', { protocol: 'icmp', port_range_min: 256 }],
    ['SecurityGroupMissingIcmpType', { protocol: 'icmp', port_range_max: 3 }],
    // OSSA-2019-001
    ['SecurityGroupInvalidProtocolForPort', { protocol: 'vrrp', port_range_min: 1, port_range_max: 2 }],
    ['SecurityGroupInvalidProtocolForPort', { protocol: '112', port_range_min: 1, port_range_max: 2 }],
    // OSSA-2014-014
    ['InvalidCIDR', { remote_ip_prefix: '10.0.0.0/33' }],
    ['InvalidCIDR', { remote_ip_prefix: '10.0.0.0/24\n' }],
    ['SecurityGroupRuleParameterConflict', { ethertype: 'IPv6', remote_ip_prefix: '10.0.0.0/24' }],
    ['SecurityGroupEthertypeConflictWithProtocol', { protocol: 'ipv6-icmp' }],
    ['SecurityGroupMultipleRemoteEntites', { remote_ip_prefix: '10.0.0.0/24', remote_group_id: id }],
    ['SecurityGroupNotFound', { remote_group_id: foreign.id }],
    ['SecurityGroupNotFound', { remote_group_id: crypto.randomUUID() }],
    ['AddressGroupNotFound', { remote_address_group_id: crypto.randomUUID() }],
    ['SecurityGroupRuleExists', { protocol: '6', port_range_min: 22, port_range_max: 22 }],
  ];
  for (const [type, attributes] of cases) {
    await assert.rejects(async () => addRule(store, id, attributes), refused(type), JSON.stringify(attributes));
  }
  await assert.rejects(addRule(store, foreign.id, {}), refused('SecurityGroupNotFound'));
  await assert.rejects(addRules(store, id, [{ protocol: 'tcp' }, { protocol: 6 }]), refused('DuplicateSecurityGroupRuleInPost'));
  await assert.rejects(store.write((tx) => rulesRule.create(tx, admin, [given(id, {}), given(foreign.id, {})])), refused('SecurityGroupNotSingleGroupRules'));
  await assert.rejects(store.write((tx) => rulesRule.create(tx, admin, [given(id, {}), given(id, { protocol: 'tcp' }, 'other')])), refused('SecurityGroupRulesNotSingleProject'));
  assert.deepEqual(await everything(store), before);
});

eachStore('every protocol by name and by number; any is none, all ports are no range, and ip is another rule than number 0', async (store) => {
  const { id } = await newGroup(store, 'web');
  for (const protocol of [...Object.keys(PROTOCOL_NUMBERS).filter((name) => !name.includes('ipv6') && name !== 'icmpv6'), 200, '255']) {
    const made = await addRule(store, id, { protocol, direction: 'egress', remote_ip_prefix: '10.0.0.0/8' });
    assert.equal(made.protocol, String(protocol));
    await store.write((tx) => rulesRule.delete(tx, demo, made));
  }
  for (const [six, kept] of [['icmp', 'ipv6-icmp'], ['icmpv6', 'ipv6-icmp'], [1, '58'], ['ipv6-frag', 'ipv6-frag'], [44, '44']] as const) {
    const made = await addRule(store, id, { protocol: six, ethertype: 'IPv6' });
    assert.equal(made.protocol, kept);
    await store.write((tx) => rulesRule.delete(tx, demo, made));
  }
  assert.equal((await addRule(store, id, { protocol: 'any', remote_ip_prefix: '10.0.0.0/8' })).protocol, null);
  const all = await addRule(store, id, { protocol: 'tcp', port_range_min: 1, port_range_max: 65535 });
  assert.deepEqual([all.port_range_min, all.port_range_max], [null, null]);
  await assert.rejects(addRule(store, id, { protocol: 'tcp' }), refused('SecurityGroupRuleExists'));
  await addRule(store, id, { protocol: 'hopopt' });
  await addRule(store, id, { protocol: 'ip' });
  await assert.rejects(addRule(store, id, { protocol: 0 }), refused('SecurityGroupRuleExists'));
});

eachStore('OSSA-2012-005: rules and groups stop at the quota', async (store) => {
  const { id } = await newGroup(store, 'web');
  const limited = { ...config, quota_security_group_rule: 8, quota_security_group: 2 };
  const add = (port: number) => store.write((tx) => securityGroupRulesRule({ config: limited }).create(tx, demo, [given(id, { protocol: 'tcp', port_range_min: port, port_range_max: port })]));
  await add(1);
  await add(2);
  await assert.rejects(add(3), refused('OverQuota'));
  await assert.rejects(store.write((tx) => securityGroupsRule({ config: limited }).create(tx, demo, [{ name: 'x', project_id: 'demo' }])), refused('OverQuota'));
});

eachStore('rules deleted at once are as many revisions of their group', async (store) => {
  const made = await newGroup(store, 'web');
  const gone = await addRules(store, made.id, ['tcp', 'udp', 'icmp', 'sctp', 'gre', 'ah', 'esp', 'ospf'].map((protocol) => ({ protocol })));
  const before = (await groups.get(store.reader, made.id))!;
  await Promise.all(gone.map((rule) => store.write((tx) => rulesRule.delete(tx, demo, rule))));
  assert.equal((await groups.get(store.reader, made.id))!.revision_number, before.revision_number + gone.length);
});

eachStore('a group shows its rules without what only hosts need, and its revision follows them', async (store) => {
  const made = await newGroup(store, 'web');
  const rule = await addRule(store, made.id, { protocol: 'tcp' });
  const current = (await groups.get(store.reader, made.id))!;
  assert.equal(current.revision_number, 1);
  const [shown] = await groupsRule.present!(store.reader, demo, [current]);
  const inside = shown!['security_group_rules'] as Record<string, unknown>[];
  assert.equal(inside.length, 3);
  assert.ok(inside.every((one) => !('conj_id' in one) && one['tenant_id'] === 'demo'));
  assert.ok(inside.some((one) => one['id'] === rule.id && one['protocol'] === 'tcp'));
});
