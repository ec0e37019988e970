import assert from 'node:assert/strict';
import type { Store } from '#store/store.ts';
import { networkApi } from '#testkit/network-api.ts';
import { config as defaults, insertAgent } from '#testkit/network-rows.ts';
import { eachStore } from '#testkit/stores.ts';
import { dump } from '#testkit/table-dump.ts';
import { agentsRule } from './agents.ts';
import { networksRule } from './networks.ts';
import { portHooks } from './port-hooks.ts';
import { portsRule } from './ports.ts';
import { securityGroupRulesRule } from './security-group-rules.ts';
import { securityGroupsRule } from './security-groups.ts';
import { syncSegmentPools } from './segments.ts';
import { subnetsRule } from './subnets.ts';

const config = { ...defaults, vni_ranges: ['1:100'] };

async function api(store: Store) {
  await store.write(async (tx) => {
    await syncSegmentPools(tx, config);
    await insertAgent(tx, 'compute1');
    await insertAgent(tx, 'compute1', { agent_type: 'DHCP agent' });
  });
  const deps = { config, hooks: portHooks(config) };
  const spoken = networkApi(store, config, [networksRule(deps), subnetsRule(deps), portsRule(deps), securityGroupsRule(deps), securityGroupRulesRule(deps), agentsRule(deps)]);
  const network = async (who: string, attributes: Record<string, unknown> = {}, cidr = '10.0.0.0/24') => {
    const { network } = await spoken.ok(who, 'POST', '/v2.0/networks', { network: attributes });
    const { subnet } = await spoken.ok(who, 'POST', '/v2.0/subnets', { subnet: { network_id: network.id, ip_version: 4, cidr } });
    return { network, subnet };
  };
  return { ...spoken, network, port: async (who: string, port: Record<string, unknown>) => (await spoken.ok(who, 'POST', '/v2.0/ports', { port })).port };
}
const problem = ({ status, body }: { status: number; body: any }) => `${status} ${body.NeutronError?.type}`;

eachStore('a project makes a port on its network and sees what is its to see', async (store) => {
  const { ok, port, network, close } = await api(store);
  const { network: home } = await network('demo');
  const made = await port('demo', { network_id: home.id, name: 'p' });
  assert.deepEqual([made.name, made.project_id, made.tenant_id, made.status, made.fixed_ips[0].ip_address, made.ip_allocation], ['p', 'demo-project', 'demo-project', 'DOWN', '10.0.0.3', 'immediate']);
  assert.ok(!('binding:host_id' in made) && !('status_reason' in made) && made['binding:vnic_type'] === 'normal');
  const { ports } = await ok('demo', 'GET', `/v2.0/ports?network_id=${home.id}&device_owner=network:dhcp`);
  assert.deepEqual(ports.map((one: any) => one.fixed_ips[0].ip_address), ['10.0.0.2']);
  const seen = (await ok('admin', 'GET', `/v2.0/ports/${made.id}`)).port;
  assert.deepEqual([seen['binding:host_id'], seen['binding:vif_type'], seen['binding:vif_details'], seen.status_reason], ['', 'unbound', {}, null]);
  const bound = (await ok('admin', 'PUT', `/v2.0/ports/${made.id}`, { port: { 'binding:host_id': 'compute1' } })).port;
  assert.equal(bound['binding:vif_type'], 'ovs');
  assert.equal((await ok('demo', 'GET', `/v2.0/ports?fixed_ips=ip_address=10.0.0.3&fields=id`)).ports[0].id, made.id);
  await ok('demo', 'DELETE', `/v2.0/ports/${made.id}`);
  await close();
});

eachStore('a bulk request makes all ports or none', async (store) => {
  const { ok, call, network, close } = await api(store);
  const { network: home } = await network('demo');
  const { ports } = await ok('demo', 'POST', '/v2.0/ports', { ports: Array.from({ length: 100 }, (_, i) => ({ network_id: home.id, name: `p${i}` })) });
  assert.deepEqual(ports.map((one: any) => one.fixed_ips[0].ip_address), Array.from({ length: 100 }, (_, i) => `10.0.0.${i + 3}`));
  const before = await dump(store.reader, ['ports', 'ip_allocations', 'free_ranges']);
  assert.equal(problem(await call('demo', 'POST', '/v2.0/ports', { ports: Array.from({ length: 200 }, () => ({ network_id: home.id })) })), '409 IpAddressGenerationFailure');
  assert.deepEqual(await dump(store.reader, ['ports', 'ip_allocations', 'free_ranges']), before);
  await close();
});

eachStore('null is none, as in Neutron: lists and the profile are empty, and a port without host is unbound', async (store) => {
  const { ok, call, port, network, close } = await api(store);
  const { network: home } = await network('admin');
  const none = { security_groups: null, allowed_address_pairs: null, extra_dhcp_opts: null, 'binding:host_id': null, 'binding:profile': null };
  const shown = (one: any) => Object.fromEntries(Object.keys(none).map((name) => [name, one[name]]));
  const empty = { security_groups: [], allowed_address_pairs: [], extra_dhcp_opts: [], 'binding:host_id': '', 'binding:profile': {} };
  assert.deepEqual(shown(await port('admin', { network_id: home.id, ...none })), empty);

  const options = [{ opt_name: 'mtu', opt_value: '1400', ip_version: 4 }];
  const bound = await port('admin', { network_id: home.id, 'allowed_address_pairs': [{ ip_address: '10.9.9.9' }], 'extra_dhcp_opts': options, 'binding:host_id': 'compute1', 'binding:profile': { a: 1 } });
  assert.deepEqual([bound['binding:vif_type'], bound.security_groups.length, bound.allowed_address_pairs.length], ['ovs', 1, 1]);
  const { port: unbound } = await ok('admin', 'PUT', `/v2.0/ports/${bound.id}`, { port: none });
  // An update removes the options that it names with a null value, and these are none.
  assert.deepEqual(shown(unbound), { ...empty, extra_dhcp_opts: options });
  assert.deepEqual([unbound['binding:vif_type'], unbound.status], ['unbound', 'DOWN']);
  assert.deepEqual(shown((await ok('admin', 'GET', `/v2.0/ports/${bound.id}`)).port), shown(unbound));
  for (const name of ['fixed_ips', 'device_id', 'mac_address']) assert.equal(problem(await call('admin', 'PUT', `/v2.0/ports/${bound.id}`, { port: { [name]: null } })), '400 HTTPBadRequest', name);
  await close();
});

eachStore('policy of ports: readers, foreign projects, admin attributes, owners of networks', async (store) => {
  const { call, ok, port, network, close } = await api(store);
  const { network: own } = await network('demo');
  const { network: shared } = await network('admin', { shared: true });
  const made = await port('demo', { network_id: own.id });
  const guest = await port('demo', { network_id: shared.id });
  const before = await dump(store.reader, ['ports']);
  const refusals: [who: string, method: string, path: string, body: unknown, expected: string][] = [
    ['', 'GET', '/v2.0/ports', undefined, '401 undefined'],
    ['reader', 'POST', '/v2.0/ports', { port: { network_id: own.id } }, '403 PolicyNotAuthorized'],
    ['reader', 'DELETE', `/v2.0/ports/${made.id}`, undefined, '403 PolicyNotAuthorized'],
    ['alt', 'GET', `/v2.0/ports/${made.id}`, undefined, '404 PortNotFound'],
    ['alt', 'DELETE', `/v2.0/ports/${made.id}`, undefined, '404 PortNotFound'],
    ['alt', 'POST', '/v2.0/ports', { port: { network_id: own.id } }, '404 NetworkNotFound'],
    ['demo', 'POST', '/v2.0/ports', { port: { network_id: own.id, 'binding:host_id': 'compute1' } }, '403 PolicyNotAuthorized'],
    ['demo', 'PUT', `/v2.0/ports/${made.id}`, { port: { 'binding:profile': {} } }, '403 PolicyNotAuthorized'],
    ['demo', 'POST', '/v2.0/ports', { port: { network_id: shared.id, port_security_enabled: false } }, '403 PolicyNotAuthorized'],
    ['demo', 'PUT', `/v2.0/ports/${guest.id}`, { port: { allowed_address_pairs: [{ ip_address: '10.9.9.9' }] } }, '403 PolicyNotAuthorized'],
    ['demo', 'PUT', `/v2.0/ports/${guest.id}`, { port: { device_owner: 'network:router_interface' } }, '403 PolicyNotAuthorized'],
    ['demo', 'PUT', `/v2.0/ports/${made.id}`, { port: { 'binding:vif_type': 'ovs' } }, '400 HTTPBadRequest'],
    ['demo', 'PUT', `/v2.0/ports/${made.id}`, { port: { status_reason: 'x' } }, '400 HTTPBadRequest'],
    ['demo', 'POST', '/v2.0/ports', { port: { network_id: own.id, extra_dhcp_opts: [{ opt_name: 'mtu', opt_value: '1\n2' }] } }, '400 HTTPBadRequest'],
    ['demo', 'POST', '/v2.0/ports', { port: { network_id: own.id, dns_name: 'a\nb' } }, '400 HTTPBadRequest'],
  ];
  for (const [who, method, path, body, expected] of refusals) assert.equal(problem(await call(who, method, path, body)), expected, `${who} ${method} ${path} ${JSON.stringify(body)}`);
  assert.deepEqual(await dump(store.reader, ['ports']), before);
  await ok('demo', 'PUT', `/v2.0/ports/${made.id}`, { port: { allowed_address_pairs: [{ ip_address: '10.9.9.9' }] } });
  await ok('admin', 'DELETE', `/v2.0/ports/${guest.id}`);
  await close();
});

eachStore('CVE-2022-3277, N-SG-1: a list shows the project its default group; a list for invented projects makes none', async (store) => {
  const { ok, close } = await api(store);
  const { security_groups } = await ok('demo', 'GET', '/v2.0/security-groups');
  assert.deepEqual(security_groups.map((one: any) => [one.name, one.project_id, one.security_group_rules.length]), [['default', 'demo-project', 4]]);
  const before = await dump(store.reader, ['security_groups', 'security_group_rules']);
  for (const who of ['demo', 'reader', 'unscoped']) {
    for (const path of ['security-groups', 'security-group-rules']) {
      for (const query of ['', '?project_id=invented', '?tenant_id=another']) await ok(who, 'GET', `/v2.0/${path}${query}`);
    }
  }
  assert.deepEqual(await dump(store.reader, ['security_groups', 'security_group_rules']), before);
  await close();
});

eachStore('what only hosts need is neither shown, filtered, sorted nor given', async (store) => {
  const { ok, call, close } = await api(store);
  const [group] = (await ok('admin', 'GET', '/v2.0/security-groups')).security_groups;
  const rule = (await ok('admin', 'POST', '/v2.0/security-group-rules', { security_group_rule: { security_group_id: group.id, direction: 'ingress', protocol: 'ICMP' } })).security_group_rule;
  assert.equal(rule.protocol, 'icmp');
  assert.ok(!('conj_id' in rule) && !('conj_id' in (await ok('admin', 'GET', `/v2.0/security-group-rules/${rule.id}`)).security_group_rule));
  assert.equal(problem(await call('admin', 'GET', '/v2.0/security-group-rules?conj_id=1')), '400 HTTPBadRequest');
  assert.equal(problem(await call('admin', 'GET', '/v2.0/security-group-rules?sort_key=conj_id&sort_dir=asc')), '400 HTTPBadRequest');
  assert.equal(problem(await call('admin', 'POST', '/v2.0/security-group-rules', { security_group_rule: { security_group_id: group.id, direction: 'ingress', conj_id: 7 } })), '400 HTTPBadRequest');
  await close();
});

eachStore('N-SG-1: the rules that demo adds, and the errors that clients tell apart', async (store) => {
  const { ok, call, close } = await api(store);
  const [group] = (await ok('demo', 'GET', '/v2.0/security-groups?name=default')).security_groups;
  const rule = (attributes: Record<string, unknown>) => ({ security_group_rule: { security_group_id: group.id, direction: 'ingress', remote_ip_prefix: '0.0.0.0/0', ...attributes } });
  await ok('demo', 'POST', '/v2.0/security-group-rules', rule({ protocol: 'icmp' }));
  const ssh = (await ok('demo', 'POST', '/v2.0/security-group-rules', rule({ protocol: 'tcp', port_range_min: 22, port_range_max: 22 }))).security_group_rule;
  const again = await call('demo', 'POST', '/v2.0/security-group-rules', rule({ protocol: 'tcp', port_range_min: 22, port_range_max: 22 }));
  assert.deepEqual([again.status, again.body.NeutronError], [409, { type: 'SecurityGroupRuleExists', message: `Security group rule already exists. Rule id is ${ssh.id}.`, detail: '' }]);
  assert.equal(problem(await call('demo', 'POST', '/v2.0/security-group-rules', rule({ protocol: 'bogus' }))), '400 SecurityGroupRuleInvalidProtocol');
  assert.equal(problem(await call('alt', 'POST', '/v2.0/security-group-rules', rule({ protocol: 'tcp' }))), '404 SecurityGroupNotFound');
  assert.equal(problem(await call('alt', 'DELETE', `/v2.0/security-group-rules/${ssh.id}`)), '404 SecurityGroupRuleNotFound');
  assert.equal(problem(await call('demo', 'DELETE', `/v2.0/security-groups/${group.id}`)), '409 SecurityGroupCannotRemoveDefault');
  assert.equal(problem(await call('demo', 'PUT', `/v2.0/security-groups/${group.id}`, { security_group: { name: 'x' } })), '409 SecurityGroupCannotUpdateDefault');
  await ok('demo', 'DELETE', `/v2.0/security-group-rules/${ssh.id}`);
  await close();
});

eachStore('a network and all its system ports go together; one with a project’s port stays', async (store) => {
  const { ok, call, port, network, close } = await api(store);
  const { network: home, subnet } = await network('demo');
  const made = await port('demo', { network_id: home.id });
  assert.equal(problem(await call('demo', 'DELETE', `/v2.0/networks/${home.id}`)), '409 NetworkInUse');
  assert.equal(problem(await call('demo', 'DELETE', `/v2.0/subnets/${subnet.id}`)), '409 SubnetInUse');
  await ok('demo', 'DELETE', `/v2.0/ports/${made.id}`);
  await ok('demo', 'DELETE', `/v2.0/networks/${home.id}`);
  const left = await dump(store.reader, ['ports', 'ip_allocations', 'network_dhcp_bindings', 'port_security_groups', 'subnets', 'networks']);
  assert.deepEqual(Object.values(left).flat(), []);
  assert.ok(!(await dump(store.reader, ['free_ranges']))['free_ranges']!.some((row) => row.includes('subnet:')));
  await close();
});
