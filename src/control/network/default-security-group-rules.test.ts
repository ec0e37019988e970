import assert from 'node:assert/strict';
import { loadConfig } from '#model/config.ts';
import type { Store } from '#store/store.ts';
import { type NetworkApi, networkApi } from '#testkit/network-api.ts';
import { eachStore } from '#testkit/stores.ts';
import { addressGroupsRule } from './address-groups.ts';
import { agentsRule } from './agents.ts';
import { defaultSecurityGroupRulesRule } from './default-security-group-rules.ts';
import { networksRule } from './networks.ts';
import { securityGroupRulesRule } from './security-group-rules.ts';
import { securityGroupsRule } from './security-groups.ts';

const hooks = { async removePort() {}, async onSubnetChanged() {} };
const PATH = '/v2.0/default-security-group-rules';
const problem = ({ status, body }: { status: number; body: any }) => `${status} ${body?.NeutronError?.type}: ${body?.NeutronError?.message}`;
const NEW_PROJECT = { name: 'web' };

function apiOf(store: Store, yaml = ''): NetworkApi {
  const config = loadConfig(yaml);
  return networkApi(store, config, [networksRule({ config, hooks }), agentsRule({ config }), securityGroupsRule({ config }), securityGroupRulesRule({ config }), defaultSecurityGroupRulesRule(), addressGroupsRule()]);
}

const template = (api: NetworkApi, given: object, who = 'admin') => api.call(who, 'POST', PATH, { default_security_group_rule: { direction: 'ingress', ...given } });
const list = async (api: NetworkApi, query = '', who = 'demo'): Promise<any[]> => (await api.ok(who, 'GET', `${PATH}${query}`)).default_security_group_rules;
const meaning = (rule: any, own?: string) => [rule.direction, rule.ethertype, rule.protocol, rule.port_range_min, rule.remote_group_id === own ? 'itself' : rule.remote_group_id, rule.remote_ip_prefix].map((value) => value ?? '-').join(' ');

/** The rules of demo's default group and of a new one, as `direction ethertype protocol port remote prefix`. */
async function groupsOf(api: NetworkApi, who: string): Promise<{ standard: string[]; own: string[] }> {
  const { security_group: made } = await api.ok(who, 'POST', '/v2.0/security-groups', { security_group: NEW_PROJECT });
  const [standard] = (await api.ok(who, 'GET', '/v2.0/security-groups?name=default')).security_groups;
  const shown = (group: any) => group.security_group_rules.map((rule: any) => meaning(rule, group.id)).sort();
  return { standard: shown(standard), own: shown(made) };
}

const OUT = ['egress IPv4 - - - -', 'egress IPv6 - - - -'];

eachStore('N-SG-4: the built-in templates are what every group was always made with, made once', async (store) => {
  const api = apiOf(store);
  const built = await list(api);
  assert.deepEqual(built.map((each) => `${meaning(each)} ${each.used_in_default_sg} ${each.used_in_non_default_sg}`).sort(), [
    'egress IPv4 - - - - true true', 'egress IPv6 - - - - true true', 'ingress IPv4 - - PARENT - true false', 'ingress IPv6 - - PARENT - true false',
  ]);
  assert.deepEqual(await groupsOf(api, 'demo'), { standard: [...OUT, 'ingress IPv4 - - itself -', 'ingress IPv6 - - itself -'], own: OUT });
  for (const { id } of built) assert.equal((await api.call('admin', 'DELETE', `${PATH}/${id}`)).status, 204);
  assert.deepEqual(await list(api), [], 'what an admin deletes does not come again');
  assert.deepEqual(await groupsOf(api, 'alt'), { standard: [], own: [] });
  await api.close();
});

eachStore('a template shows in groups made after it, of its kind, and changes no group that is there', async (store) => {
  const api = apiOf(store);
  await groupsOf(api, 'demo');
  const made = await template(api, { protocol: 'tcp', port_range_min: 22, port_range_max: 22, remote_ip_prefix: '10.0.0.5/8', used_in_default_sg: true, description: 'ssh' });
  assert.deepEqual([made.status, made.body.default_security_group_rule.remote_ip_prefix, made.body.default_security_group_rule.used_in_non_default_sg, 'project_id' in made.body.default_security_group_rule], [201, '10.0.0.5/8', true, false]);
  await template(api, { protocol: 'icmp', ethertype: 'ipv6', remote_group_id: 'PARENT' });
  assert.deepEqual((await groupsOf(api, 'alt')), {
    standard: [...OUT, 'ingress IPv4 - - itself -', 'ingress IPv4 tcp 22 - 10.0.0.5/8', 'ingress IPv6 - - itself -'],
    own: [...OUT, 'ingress IPv4 tcp 22 - 10.0.0.5/8', 'ingress IPv6 ipv6-icmp - itself -'],
  });
  const rules = (await api.ok('alt', 'GET', '/v2.0/security-group-rules?protocol=tcp')).security_group_rules;
  assert.deepEqual(rules.map((rule: any) => [rule.normalized_cidr, rule.project_id, rule.description]), [['10.0.0.0/8', 'alt-project', ''], ['10.0.0.0/8', 'alt-project', '']]);
  assert.equal((await api.ok('demo', 'GET', '/v2.0/security-group-rules?protocol=tcp')).security_group_rules.length, 0);
  await api.close();
});

eachStore('templates are for admins to write and for everybody to read', async (store) => {
  const api = apiOf(store);
  const [first] = await list(api, '', 'reader');
  assert.equal((await api.ok('demo', 'GET', `${PATH}/${first.id}`)).default_security_group_rule.id, first.id);
  assert.deepEqual(await list(api, '', 'unscoped'), []);
  assert.match(problem(await template(api, {}, 'demo')), /^403 PolicyNotAuthorized.*create_default_security_group_rule/);
  assert.match(problem(await api.call('demo', 'DELETE', `${PATH}/${first.id}`)), /^403 PolicyNotAuthorized.*delete_default_security_group_rule/);
  assert.match(problem(await api.call('admin', 'PUT', `${PATH}/${first.id}`, { default_security_group_rule: { description: 'x' } })), /^400 .*Cannot update read-only attribute description/);
  assert.equal(problem(await api.call('admin', 'DELETE', `${PATH}/nil`)), '404 DefaultSecurityGroupRuleNotFound: Default Security Group rule nil does not exist');
  assert.deepEqual((await list(api, '?used_in_non_default_sg=false')).map((each) => each.remote_group_id), ['PARENT', 'PARENT']);
  await api.close();
});

eachStore('a template is checked as a rule is, and stands once among those of its kind', async (store) => {
  const api = apiOf(store);
  const nobody = crypto.randomUUID();
  for (const [given, expected] of [
    [{ port_range_min: 1, port_range_max: 2 }, /^400 SecurityGroupProtocolRequiredWithPorts/],
    [{ remote_ip_prefix: '10.0.0.0/8', remote_group_id: 'PARENT' }, /^400 SecurityGroupMultipleRemoteEntites/],
    [{ ethertype: 'IPv6', remote_ip_prefix: '10.0.0.0/8' }, /^400 SecurityGroupRuleParameterConflict/],
    [{ remote_group_id: nobody }, /^404 SecurityGroupNotFound/],
    [{ remote_address_group_id: nobody }, /^404 AddressGroupNotFound/],
    [{ remote_group_id: 'parent' }, /^400 HTTPBadRequest.*is not a valid UUID/],
    [{ direction: 'egress' }, /^409 DefaultSecurityGroupRuleExists/],
  ] as const) assert.match(problem(await template(api, given)), expected);
  const tcp = { direction: 'ingress', protocol: 'tcp', used_in_default_sg: true, used_in_non_default_sg: false };
  assert.equal((await template(api, tcp)).status, 201);
  assert.equal((await template(api, { ...tcp, used_in_default_sg: false, used_in_non_default_sg: true })).status, 201, 'the same rule for the other kind of groups');
  assert.match(problem(await template(api, { ...tcp, protocol: 6 })), /^409 DefaultSecurityGroupRuleExists/);
  assert.match(problem(await api.call('admin', 'POST', PATH, { default_security_group_rules: [{ ...tcp, protocol: 'udp' }, { ...tcp, protocol: 17 }] })), /^409 DuplicateDefaultSgRuleInPost/);
  await api.close();
});

eachStore('a template whose address group is gone is left out; new groups are made all the same', async (store) => {
  const api = apiOf(store);
  const { address_group } = await api.ok('admin', 'POST', '/v2.0/address-groups', { address_group: {} });
  assert.equal((await template(api, { remote_address_group_id: address_group.id })).status, 201);
  const { security_group } = await api.ok('demo', 'POST', '/v2.0/security-groups', { security_group: { name: 'a' } });
  const held = security_group.security_group_rules.find((rule: any) => rule.remote_address_group_id === address_group.id);
  assert.ok(held);
  assert.equal((await api.call('admin', 'DELETE', `/v2.0/address-groups/${address_group.id}`)).status, 409);
  await api.ok('demo', 'DELETE', `/v2.0/security-group-rules/${held.id}`);
  await api.ok('admin', 'DELETE', `/v2.0/address-groups/${address_group.id}`);
  assert.equal((await api.ok('demo', 'POST', '/v2.0/security-groups', { security_group: { name: 'b' } })).security_group.security_group_rules.length, 2);
  await api.close();
});

eachStore('OSSA-2012-005: the rules of the templates count against the quota', async (store) => {
  const api = apiOf(store, 'quota_security_group_rule: 7');
  await api.ok('demo', 'POST', '/v2.0/security-groups', { security_group: { name: 'six rules with those of the default group' } });
  assert.equal(problem(await api.call('demo', 'POST', '/v2.0/security-groups', { security_group: { name: 'two more' } })), "409 OverQuota: Quota exceeded for resources: ['security_group_rule'].");
  await api.close();
});

eachStore('a rule says whether it is of a default group, and is found by it', async (store) => {
  const api = apiOf(store);
  await groupsOf(api, 'demo');
  const rules = (await api.ok('demo', 'GET', '/v2.0/security-group-rules')).security_group_rules;
  const byGroup = Map.groupBy(rules, (rule: any) => rule.belongs_to_default_sg);
  assert.deepEqual([byGroup.get(true)!.length, byGroup.get(false)!.length], [4, 2]);
  for (const wanted of [true, false]) {
    assert.deepEqual((await api.ok('demo', 'GET', `/v2.0/security-group-rules?belongs_to_default_sg=${wanted}`)).security_group_rules.map((rule: any) => rule.id).sort(), byGroup.get(wanted)!.map((rule: any) => rule.id).sort());
  }
  const [standard] = (await api.ok('demo', 'GET', '/v2.0/security-groups?name=default')).security_groups;
  assert.ok(standard.security_group_rules.every((rule: any) => rule.belongs_to_default_sg === true));
  assert.equal((await api.call('demo', 'GET', '/v2.0/security-group-rules?belongs_to_default_sg=perhaps')).status, 400);
  await api.close();
});
