/** The `openstack` command as Debian ships it: routers, address groups, RBAC, logs, agents, quotas. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { heartbeat } from '#control/network/agents.ts';
import { ClientLab } from './client-lab.ts';

const lab = ClientLab.declare();
const { openstack, refused } = lab;
const json = ['-f', 'json'];

test('N-L3-2 N-L3-3 N-L3-4 openstack router create, set, add and remove subnet and port, route, show, and its agent', async () => {
  const { admin } = lab.credentials;
  const demo = lab.credentials.demo!;
  await lab.controller.store.write((tx) => heartbeat(tx, 'net9', [
    { agent_type: 'Open vSwitch agent', configurations: { tunnel_types: ['vxlan'], bridge_mappings: { physnet: 'br-phys' }, roles: ['network'] } }, { agent_type: 'L3 agent', configurations: {} },
  ]));
  const made = await openstack(demo, 'router', 'create', 'demo-router', '--tag', 'red', ...json);
  assert.deepEqual([made.name, made.status, made.external_gateway_info, made.routes], ['demo-router', 'ACTIVE', null, []]);
  await openstack(demo, 'router', 'set', '--external-gateway', 'external', 'demo-router');
  await openstack(demo, 'network', 'create', 'inner', ...json);
  await openstack(demo, 'subnet', 'create', 'inner-subnet', '--network', 'inner', '--subnet-range', '172.18.0.0/24', ...json);
  await openstack(demo, 'network', 'create', 'side', ...json);
  await openstack(demo, 'subnet', 'create', 'side-subnet', '--network', 'side', '--subnet-range', '172.19.0.0/24', ...json);
  const leg = await openstack(demo, 'port', 'create', 'leg', '--network', 'side', '--fixed-ip', 'ip-address=172.19.0.77', ...json);
  await openstack(demo, 'router', 'add', 'subnet', 'demo-router', 'inner-subnet');
  await openstack(demo, 'router', 'add', 'port', 'demo-router', 'leg');
  await openstack(demo, 'router', 'set', 'demo-router', '--route', 'destination=10.0.0.0/8,gateway=172.18.0.9');
  await openstack(demo, 'router', 'add', 'route', 'demo-router', '--route', 'destination=192.168.0.0/16,gateway=172.18.0.9', ...json);
  const shown = await openstack(demo, 'router', 'show', 'demo-router', ...json);
  assert.equal(shown.external_gateway_info.external_fixed_ips.length, 1);
  assert.deepEqual(shown.interfaces_info.map((each: any) => each.ip_address).sort(), ['172.18.0.1', '172.19.0.77']);
  assert.deepEqual(shown.routes.map((route: any) => route.destination).sort(), ['10.0.0.0/8', '192.168.0.0/16']);
  assert.match(await refused(demo, 'router', 'add', 'subnet', 'demo-router', 'inner-subnet'), /BadRequestException: 400.*Router already has a port on subnet/s);
  assert.match(await refused(demo, 'router', 'remove', 'subnet', 'demo-router', 'inner-subnet'), /ConflictException: 409/);
  assert.match(await refused(demo, 'router', 'delete', 'demo-router'), /ConflictException: 409|1 of 1 routers failed to delete/);
  const [agent] = await openstack(admin, 'network', 'agent', 'list', '--router', 'demo-router', ...json);
  assert.deepEqual([agent.Host, agent['Agent Type']], ['net9', 'L3 agent']);
  await openstack(admin, 'network', 'agent', 'remove', 'router', '--l3', agent.ID, 'demo-router');
  assert.deepEqual(await openstack(admin, 'router', 'list', '--agent', agent.ID, ...json), []);
  await openstack(admin, 'network', 'agent', 'add', 'router', '--l3', agent.ID, 'demo-router');
  assert.deepEqual((await openstack(admin, 'router', 'list', '--agent', agent.ID, ...json)).map((each: any) => each.Name), ['demo-router']);
  await openstack(demo, 'router', 'unset', 'demo-router', '--route', 'destination=10.0.0.0/8,gateway=172.18.0.9');
  await openstack(demo, 'router', 'remove', 'route', 'demo-router', '--route', 'destination=192.168.0.0/16,gateway=172.18.0.9', ...json);
  await openstack(demo, 'router', 'remove', 'subnet', 'demo-router', 'inner-subnet');
  await openstack(demo, 'router', 'remove', 'port', 'demo-router', leg.id);
  await openstack(demo, 'router', 'unset', '--external-gateway', 'demo-router');
  await openstack(demo, 'router', 'delete', 'demo-router');
  await openstack(demo, 'network', 'delete', 'inner', 'side');
  await openstack(admin, 'network', 'agent', 'delete', agent.ID);
});

test('openstack address group create, list, set, unset, show, and rules by it; templates of rules', async () => {
  const { admin } = lab.credentials;
  const demo = lab.credentials.demo!;
  const made = await openstack(demo, 'address', 'group', 'create', 'ntp', '--description', 'clocks', '--address', '10.0.0.5', '--address', '2001:db8::/64', ...json);
  assert.deepEqual([made.name, made.description, made.addresses], ['ntp', 'clocks', ['10.0.0.5/32', '2001:db8::/64']]);
  await openstack(demo, 'address', 'group', 'set', 'ntp', '--name', 'time', '--address', '192.0.2.0/24');
  await openstack(demo, 'address', 'group', 'unset', 'time', '--address', '10.0.0.5');
  assert.deepEqual((await openstack(demo, 'address', 'group', 'show', 'time', ...json)).addresses, ['192.0.2.0/24', '2001:db8::/64']);
  assert.match(await refused(demo, 'address', 'group', 'unset', 'time', '--address', '10.0.0.5'), /not found in the address group/);
  assert.deepEqual((await openstack(demo, 'address', 'group', 'list', '--name', 'time', ...json)).map((each: any) => each.ID), [made.id]);
  await openstack(demo, 'security', 'group', 'create', 'clocks', '--stateless', ...json);
  const rule = await openstack(demo, 'security', 'group', 'rule', 'create', 'clocks', '--protocol', 'udp', '--dst-port', '123', '--remote-address-group', 'time', ...json);
  assert.deepEqual([rule.remote_address_group_id, rule.remote_group_id, rule.remote_ip_prefix], [made.id, null, null]);
  const [listed] = (await openstack(demo, 'security', 'group', 'rule', 'list', 'clocks', '--ingress', ...json));
  assert.deepEqual([listed.ID, listed['Remote Address Group']], [rule.id, made.id]);
  assert.equal((await openstack(demo, 'security', 'group', 'show', 'clocks', ...json)).stateful, false);
  assert.match(await refused(demo, 'address', 'group', 'delete', 'time'), /is in use on one or more security group rules/);
  await openstack(demo, 'security', 'group', 'delete', 'clocks');
  await openstack(demo, 'address', 'group', 'delete', 'time');
  // Debian's command does not know templates yet: the same session asks by itself.
  const token = (await openstack(admin, 'token', 'issue', ...json)).id;
  const rules = `${lab.endpoint}/network/v2.0/default-security-group-rules`;
  const headers = { 'x-auth-token': token, 'content-type': 'application/json' };
  const template = await (await fetch(rules, { method: 'POST', headers, body: JSON.stringify({ default_security_group_rule: { direction: 'ingress', protocol: 'tcp', port_range_min: 22, port_range_max: 22, used_in_non_default_sg: true } }) })).json() as any;
  assert.equal(((await (await fetch(rules, { headers })).json()) as any).default_security_group_rules.length, 5);
  await openstack(demo, 'security', 'group', 'create', 'after', ...json);
  assert.equal((await openstack(demo, 'security', 'group', 'rule', 'list', 'after', '--ingress', '--protocol', 'tcp', ...json)).length, 1);
  await openstack(demo, 'security', 'group', 'delete', 'after');
  assert.equal((await fetch(`${rules}/${template.default_security_group_rule.id}`, { method: 'DELETE', headers })).status, 204);
});

test('openstack network rbac create, list, show, set, delete', async () => {
  const { admin } = lab.credentials;
  const demo = lab.credentials.demo!;
  const { id: adminProject } = await openstack(admin, 'project', 'show', 'admin', ...json);
  const net = await openstack(demo, 'network', 'create', 'lent', ...json);
  const group = await openstack(demo, 'security', 'group', 'create', 'lent', ...json);
  const made = await openstack(demo, 'network', 'rbac', 'create', '--type', 'network', '--action', 'access_as_shared', '--target-project', adminProject, 'lent', ...json);
  assert.deepEqual([made.action, made.object_type, made.object_id, made.target_project_id], ['access_as_shared', 'network', net.id, adminProject]);
  const onGroup = await openstack(demo, 'network', 'rbac', 'create', '--type', 'security_group', '--action', 'access_as_shared', '--target-project', adminProject, 'lent', ...json);
  assert.deepEqual((await openstack(demo, 'network', 'rbac', 'list', '--long', '--type', 'network', ...json)).map((each: any) => [each.ID, each['Object Type'], each.Action]), [[made.id, 'network', 'access_as_shared']]);
  assert.equal((await openstack(demo, 'network', 'rbac', 'show', onGroup.id, ...json)).object_id, group.id);
  assert.deepEqual((await openstack(admin, 'network', 'list', '--share', '--name', 'lent', ...json)).map((each: any) => each.ID), [net.id]);
  assert.match(await refused(demo, 'network', 'rbac', 'create', '--type', 'network', '--action', 'access_as_shared', '--target-all-projects', 'lent'), /403/);
  await openstack(admin, 'network', 'rbac', 'set', '--target-project', 'demo', made.id);
  assert.deepEqual((await openstack(admin, 'network', 'list', '--share', '--name', 'lent', ...json)), []);
  const external = await openstack(admin, 'network', 'create', 'leads-out', '--external', ...json);
  assert.deepEqual((await openstack(admin, 'network', 'rbac', 'list', '--action', 'access_as_external', ...json)).map((each: any) => each['Object ID']).includes(external.id), true);
  await openstack(demo, 'network', 'rbac', 'delete', made.id, onGroup.id);
  assert.deepEqual(await openstack(demo, 'network', 'rbac', 'list', ...json), []);
  await openstack(demo, 'network', 'delete', 'lent');
  await openstack(demo, 'security', 'group', 'delete', 'lent');
  await openstack(admin, 'network', 'delete', 'leads-out');
  await openstack(admin, 'quota', 'set', '--rbac-policies', '3', 'demo');
  const quota = await openstack(admin, 'quota', 'show', 'demo', ...json);
  assert.equal(Array.isArray(quota) ? quota.find((row: any) => row.Resource === 'rbac_policies')?.Limit : quota.rbac_policies, 3);
});

test('openstack network log create, list, show, set, delete; network loggable resources list', async () => {
  const { admin } = lab.credentials;
  const demo = lab.credentials.demo!;
  assert.deepEqual(await openstack(admin, 'network', 'loggable', 'resources', 'list', ...json), [{ 'Supported types': 'security_group' }]);
  await openstack(demo, 'network', 'create', 'logged', ...json);
  const port = await openstack(demo, 'port', 'create', 'logged', '--network', 'logged', ...json);
  const [group] = port.security_group_ids;
  const made = await openstack(admin, 'network', 'log', 'create', '--resource-type', 'security_group', '--resource', group, '--target', port.id, '--event', 'DROP', '--description', 'why', 'drops', ...json);
  assert.deepEqual([made.Name, made.Type, made.Resource, made.Target, made.Event, made.Enabled, made.Description], ['drops', 'security_group', group, port.id, 'DROP', true, 'why']);
  await openstack(admin, 'network', 'log', 'set', 'drops', '--disable', '--name', 'off');
  const shown = await openstack(admin, 'network', 'log', 'show', 'off', ...json);
  assert.deepEqual([shown.ID, shown.Enabled, shown.Event], [made.ID, false, 'DROP']);
  assert.deepEqual((await openstack(admin, 'network', 'log', 'list', ...json)).map((each: any) => [each.ID, each.Name, each.Enabled]), [[made.ID, 'off', false]]);
  assert.deepEqual(await openstack(demo, 'network', 'log', 'list', ...json), []);
  assert.match(await refused(demo, 'network', 'log', 'create', '--resource-type', 'security_group', 'mine'), /create_log is disallowed by policy/);
  assert.match(await refused(admin, 'network', 'log', 'create', '--resource-type', 'router', 'wrong'), /Invalid log resource_type: router/);
  await openstack(admin, 'network', 'log', 'delete', 'off');
  assert.deepEqual(await openstack(admin, 'network', 'log', 'list', ...json), []);
  await openstack(demo, 'port', 'delete', 'logged');
  await openstack(demo, 'network', 'delete', 'logged');
});

test('G1 B1 openstack extension list, network agent list, availability zone list, quota show and set', async () => {
  const { admin } = lab.credentials;
  const aliases = (await openstack(admin, 'extension', 'list', '--network', ...json)).map((each: any) => each.Alias);
  assert.ok(aliases.includes('provider') && aliases.includes('standard-attr-tag') && aliases.includes('router'));
  await lab.controller.store.write((tx) => heartbeat(tx, 'compute9', [{ agent_type: 'Open vSwitch agent', configurations: { tunnel_types: ['vxlan'] } }, { agent_type: 'DHCP agent', configurations: {} }]));
  const agents = await openstack(admin, 'network', 'agent', 'list', '--host', 'compute9', ...json);
  assert.deepEqual(agents.map((each: any) => [each['Agent Type'], each.Host, each.Alive, each.State]).sort(), [['DHCP agent', 'compute9', true, true], ['Open vSwitch agent', 'compute9', true, true]]);
  const dhcp = agents.find((each: any) => each['Agent Type'] === 'DHCP agent').ID;
  await openstack(admin, 'network', 'agent', 'set', dhcp, '--disable', '--description', 'off');
  const shown = await openstack(admin, 'network', 'agent', 'show', dhcp, ...json);
  assert.deepEqual([shown.admin_state_up, shown.description], [false, 'off']);
  await openstack(admin, 'network', 'agent', 'delete', dhcp);
  assert.deepEqual((await openstack(admin, 'availability', 'zone', 'list', '--network', ...json)).map((each: any) => each['Zone Name']), []);
  await openstack(admin, 'quota', 'set', '--networks', '7', '--ports', '-1', 'demo');
  const quota = await openstack(admin, 'quota', 'show', 'demo', ...json);
  const limit = (name: string) => (Array.isArray(quota) ? quota.find((row: any) => row.Resource === name)?.Limit : quota[name]);
  assert.deepEqual([limit('networks'), limit('ports'), limit('subnets')], [7, -1, 100]);
});
