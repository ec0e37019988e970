import assert from 'node:assert/strict';
import { rbacLab } from '#testkit/rbac-lab.ts';
import { eachStore } from '#testkit/stores.ts';

const path = '/v2.0/rbac-policies';

eachStore('rbac policies: made, listed, filtered, retargeted, deleted, under the new and the old name of the target', async (store) => {
  const { make, share, ids, answer, ok, close } = await rbacLab(store);
  const [one, two] = [await make('demo', 'networks'), await make('demo', 'networks')];
  const first = await share('demo', 'network', one);
  assert.deepEqual(first, {
    id: first.id, project_id: 'demo-project', tenant_id: 'demo-project', object_type: 'network', object_id: one.id, action: 'access_as_shared', target_project: 'alt-project', target_tenant: 'alt-project',
  });
  const second = await make('demo', 'rbac-policies', { object_type: 'Network', object_id: two.id, action: 'access_as_shared', target_tenant: 'third' });
  assert.equal(second.target_project, 'third');
  assert.deepEqual(await ids('demo', 'rbac-policies'), [first.id, second.id].sort());
  for (const query of ['target_tenant=third', 'target_project=third', `object_id=${two.id}`, 'object_type=network&target_tenant=third', `id=${second.id}`]) assert.deepEqual(await ids('demo', 'rbac-policies', query), [second.id], query);
  for (const query of ['object_type=security_group', 'target_tenant=']) assert.deepEqual(await ids('demo', 'rbac-policies', query), [], query);
  assert.equal(await answer('demo', 'GET', `${path}?target_tenant=%00`), '400 HTTPBadRequest');
  assert.deepEqual(await ids('alt', 'rbac-policies'), [], 'who is shared with does not see the policy');
  assert.equal(await answer('alt', 'GET', `${path}/${first.id}`), '404 RbacPolicyNotFound');

  const url = `${path}/${second.id}`;
  assert.equal((await ok('demo', 'PUT', url, { rbac_policy: { target_tenant: 'alt-project' } })).rbac_policy.target_project, 'alt-project');
  assert.equal((await ok('demo', 'GET', url)).rbac_policy.target_tenant, 'alt-project');
  assert.equal((await ok('demo', 'PUT', url, { rbac_policy: { target_project: 'alt-project' } })).rbac_policy.target_project, 'alt-project', 'the same target again');
  for (const [attribute, value] of Object.entries({ object_id: one.id, object_type: 'network', action: 'access_as_shared' })) assert.equal(await answer('demo', 'PUT', url, { rbac_policy: { [attribute]: value } }), '400 HTTPBadRequest', attribute);
  assert.equal(await answer('demo', 'DELETE', url), '204');
  assert.equal(await answer('demo', 'GET', url), '404 RbacPolicyNotFound');
  assert.equal(await answer('alt', 'GET', `/v2.0/networks/${two.id}`), '404 NetworkNotFound');

  const bulk = await ok('demo', 'POST', path, { rbac_policies: [two, one].map(({ id }) => ({ object_type: 'network', object_id: id, action: 'access_as_shared', target_project: 'third' })) });
  assert.deepEqual(bulk.rbac_policies.map((each: any) => each.object_id), [two.id, one.id]);
  await close();
});

eachStore('rbac policies that are refused leave nothing', async (store) => {
  const { make, share, call, answer, close } = await rbacLab(store);
  const own = await make('demo', 'networks');
  const group = await make('demo', 'security-groups', { name: 'g' });
  const foreign = await make('alt', 'networks');
  const seen = await make('admin', 'networks', { shared: true });
  const policy = await share('demo', 'network', own, { target_project: 'third' });
  const policies = () => store.reader.db.selectFrom('rbac_policies').select('id').orderBy('id').execute();
  const before = await policies();
  const create = (attributes: Record<string, unknown>, who = 'demo') => answer(who, 'POST', path, { rbac_policy: { object_type: 'network', object_id: own.id, action: 'access_as_shared', target_project: 'alt-project', ...attributes } });
  const cases: [string, Record<string, unknown>, string?][] = [
    ['409 DuplicateRbacPolicy', { target_project: 'third' }],
    ['404 NetworkNotFound', { object_id: foreign.id }],
    ['404 NetworkNotFound', { object_id: crypto.randomUUID() }],
    ['404 NetworkNotFound', { object_id: group.id }],
    ['404 SecurityGroupNotFound', { object_type: 'security_group' }],
    ['404 AddressScopeNotFound', { object_type: 'address_scope' }],
    ['404 SubnetPoolNotFound', { object_type: 'subnetpool' }],
    ['404 NetworkNotFound', { object_id: crypto.randomUUID() }, 'admin'],
    ['400 InvalidInput', { object_id: seen.id }],
    ['400 InvalidInput', { object_type: 'security_group', object_id: group.id, action: 'access_as_external' }, 'admin'],
    ['400 HTTPBadRequest', { object_type: 'port' }],
    ['400 HTTPBadRequest', { object_type: 7 }],
    ['400 HTTPBadRequest', { object_id: 'own' }],
    ['400 HTTPBadRequest', { action: 'access_as_owner' }],
    ['400 HTTPBadRequest', { target_project: '' }],
    ['400 HTTPBadRequest', { target_project: undefined }],
    ['400 HTTPBadRequest', { target_tenant: 'third' }],
    ['403 PolicyNotAuthorized', { target_project: '*' }],
    ['403 PolicyNotAuthorized', { target_project: undefined, target_tenant: '*' }],
    ['403 PolicyNotAuthorized', { action: 'access_as_external' }],
    ['403 PolicyNotAuthorized', {}, 'reader'],
    ['404 NetworkNotFound', {}, 'alt'],
  ];
  for (const [expected, attributes, who] of cases) assert.equal(await create(attributes, who), expected, JSON.stringify({ attributes, who }));
  assert.deepEqual(await policies(), before);
  assert.equal((await call('demo', 'POST', path, { rbac_policy: { object_type: 'network', object_id: own.id, action: 'access_as_shared', target_project: '*' } })).body.NeutronError.message, 'rule:create_rbac_policy:target_project is disallowed by policy');
  assert.equal(await create({ target_project: '*' }, 'admin'), '201', 'the admin shares any network with all');
  assert.equal(await answer('demo', 'PUT', `${path}/${policy.id}`, { rbac_policy: { target_project: '*' } }), '403 PolicyNotAuthorized');
  assert.equal(await answer('admin', 'PUT', `${path}/${policy.id}`, { rbac_policy: { target_project: '*' } }), '409 DuplicateRbacPolicy');
  await close();
});

eachStore('two equal rbac policies at once: one is made', async (store) => {
  const { make, call, close } = await rbacLab(store);
  const { id: object_id } = await make('demo', 'networks');
  const answers = await Promise.all(Array.from({ length: 5 }, () => call('demo', 'POST', path, { rbac_policy: { object_type: 'network', object_id, action: 'access_as_shared', target_project: 'alt-project' } })));
  assert.deepEqual(answers.map(({ status }) => status).sort(), [201, 409, 409, 409, 409]);
  await close();
});

eachStore('quota rbac_policy', async (store) => {
  const { make, share, answer, ok, close } = await rbacLab(store, { quota_rbac_policy: 2 });
  const one = await make('demo', 'networks');
  await share('demo', 'network', one, { target_project: 'a' });
  await share('demo', 'network', one, { target_project: 'b' });
  assert.equal(await answer('demo', 'POST', path, { rbac_policy: { object_type: 'network', object_id: one.id, action: 'access_as_shared', target_project: 'c' } }), '409 OverQuota');
  assert.deepEqual((await ok('demo', 'GET', '/v2.0/quotas/demo-project/details')).quota.rbac_policy, { limit: 2, used: 2, reserved: 0 });
  await ok('admin', 'PUT', '/v2.0/quotas/demo-project', { quota: { rbac_policy: 3 } });
  await share('demo', 'network', one, { target_project: 'c' });
  await close();
});

eachStore('the attribute shared is a policy for everybody, seen in the list, and made and removed by either name', async (store) => {
  const { make, ids, answer, ok, close } = await rbacLab(store);
  const net = await make('admin', 'networks', { shared: true, project_id: 'demo-project' });
  const scope = await make('admin', 'address-scopes', { ip_version: 4, shared: true });
  const pool = await make('admin', 'subnetpools', { name: 'p', prefixes: ['10.0.0.0/16'], shared: true });
  const listed = async (who: string) => (await ok(who, 'GET', path)).rbac_policies.map((each: any) => [each.object_type, each.object_id, each.action, each.target_project, each.project_id]).sort();
  assert.deepEqual(await listed('admin'), [['address_scope', scope.id, 'access_as_shared', '*', 'admin-project'], ['network', net.id, 'access_as_shared', '*', 'demo-project'], ['subnetpool', pool.id, 'access_as_shared', '*', 'admin-project']]);
  assert.deepEqual([net.shared, scope.shared, pool.shared], [true, true, true]);
  for (const [collection, { id }] of [['networks', net], ['address-scopes', scope], ['subnetpools', pool]] as const) {
    assert.deepEqual([await ids('alt', collection, 'shared=True'), await ids('alt', collection, 'shared=False'), await ids('alt', collection, 'shared=True&shared=False')], [[id], [], [id]]);
  }

  const setShared = async (shared: boolean) => (await ok('admin', 'PUT', `/v2.0/networks/${net.id}`, { network: { shared } })).network;
  assert.equal((await setShared(true)).shared, true);
  assert.equal((await listed('demo')).length, 1, 'no second policy');
  const { revision_number } = await setShared(false);
  assert.deepEqual(await listed('demo'), []);
  assert.equal(await answer('alt', 'GET', `/v2.0/networks/${net.id}`), '404 NetworkNotFound');
  const wildcard = await make('admin', 'rbac-policies', { object_type: 'network', object_id: net.id, action: 'access_as_shared', target_project: '*' });
  const seen = (await ok('alt', 'GET', `/v2.0/networks/${net.id}`)).network;
  assert.equal(seen.shared, true);
  assert.ok(seen.revision_number > revision_number, 'a network\'s revision tells of its policies');
  await ok('admin', 'DELETE', `${path}/${wildcard.id}`);
  assert.equal((await ok('admin', 'GET', `/v2.0/networks/${net.id}`)).network.shared, false);

  assert.equal(await answer('admin', 'PUT', `/v2.0/address-scopes/${scope.id}`, { address_scope: { shared: false } }), '400 AddressScopeUpdateError');
  await ok('admin', 'PUT', `/v2.0/address-scopes/${scope.id}`, { address_scope: { shared: true } });
  await setShared(true);
  for (const [collection, { id }] of [['networks', net], ['address-scopes', scope], ['subnetpools', pool]] as const) assert.equal(await answer('admin', 'DELETE', `/v2.0/${collection}/${id}`), '204');
  assert.deepEqual(await listed('admin'), [], 'policies go with their objects');
  await close();
});

eachStore('a shared network: seen with its subnets, used for ports, and shared as long as these are there', async (store) => {
  const { make, share, ids, answer, ok, close } = await rbacLab(store);
  const net = await make('demo', 'networks');
  const subnet = await make('demo', 'subnets', { network_id: net.id, ip_version: 4, cidr: '10.0.0.0/24' });
  const port = { port: { network_id: net.id } };
  assert.equal(await answer('alt', 'POST', '/v2.0/ports', port), '404 NetworkNotFound');
  const policy = await share('demo', 'network', net);

  assert.deepEqual([await ids('alt', 'networks'), await ids('alt', 'subnets'), await ids('alt', 'networks', 'shared=true'), await ids('alt', 'subnets', 'shared=true')], [[net.id], [subnet.id], [net.id], [subnet.id]]);
  assert.deepEqual([await ids('alt', 'networks', 'shared=false'), await ids('alt', 'subnets', 'shared=false')], [[], []]);
  assert.deepEqual([(await ok('alt', 'GET', `/v2.0/networks/${net.id}`)).network.shared, (await ok('alt', 'GET', `/v2.0/subnets/${subnet.id}`)).subnet.shared], [true, true]);
  assert.deepEqual([(await ok('demo', 'GET', `/v2.0/networks/${net.id}`)).network.shared, (await ok('demo', 'GET', `/v2.0/subnets/${subnet.id}`)).subnet.shared], [false, false], 'it is not shared with its owner');
  assert.deepEqual([await ids('demo', 'networks', 'shared=false'), await ids('demo', 'subnets', 'shared=true')], [[net.id], []]);
  assert.deepEqual(await ids('unscoped', 'networks'), []);
  for (const [method, url, body] of [['PUT', `networks/${net.id}`, { network: { name: 'x' } }], ['DELETE', `networks/${net.id}`, undefined], ['PUT', `subnets/${subnet.id}`, { subnet: { name: 'x' } }], ['DELETE', `subnets/${subnet.id}`, undefined], ['POST', 'subnets', { subnet: { network_id: net.id, ip_version: 4, cidr: '10.1.0.0/24' } }], ['PUT', `networks/${net.id}/tags/x`, undefined]] as const) {
    assert.equal(await answer('alt', method, `/v2.0/${url}`, body), '403 PolicyNotAuthorized', `${method} ${url}`);
  }

  const guest = await make('alt', 'ports', { network_id: net.id, fixed_ips: [{ subnet_id: subnet.id }] });
  assert.equal(guest.project_id, 'alt-project');
  assert.equal(await answer('demo', 'DELETE', `${path}/${policy.id}`), '409 RbacPolicyInUse');
  assert.equal(await answer('demo', 'PUT', `${path}/${policy.id}`, { rbac_policy: { target_project: 'third' } }), '409 RbacPolicyInUse');
  const everybody = await make('admin', 'rbac-policies', { object_type: 'network', object_id: net.id, action: 'access_as_shared', target_project: '*' });
  await ok('demo', 'DELETE', `${path}/${policy.id}`);
  assert.equal(await answer('admin', 'DELETE', `${path}/${everybody.id}`), '409 RbacPolicyInUse', 'now it is by this one');
  assert.equal(await answer('admin', 'PUT', `/v2.0/networks/${net.id}`, { network: { shared: false } }), '409 InvalidSharedSetting');
  assert.equal(await answer('admin', 'PUT', `${path}/${everybody.id}`, { rbac_policy: { target_project: 'third' } }), '409 RbacPolicyInUse');
  await ok('admin', 'PUT', `${path}/${everybody.id}`, { rbac_policy: { target_project: 'alt-project' } });
  assert.equal(await answer('demo', 'GET', `${path}/${everybody.id}`), '404 RbacPolicyNotFound', 'the admin\'s policy');
  await ok('alt', 'DELETE', `/v2.0/ports/${guest.id}`);
  await ok('admin', 'DELETE', `${path}/${everybody.id}`);
  assert.deepEqual(await ids('alt', 'networks'), []);
  await close();
});

eachStore('a policy that goes while a port comes: the port is refused or the policy stays', async (store) => {
  const { make, share, call, close } = await rbacLab(store, { quota_rbac_policy: -1 });
  for (let i = 0; i < 20; i++) {
    const net = await make('demo', 'networks');
    const policy = await share('demo', 'network', net);
    const [gone, port] = await Promise.all([call('demo', 'DELETE', `${path}/${policy.id}`), call('alt', 'POST', '/v2.0/ports', { port: { network_id: net.id } })]);
    assert.deepEqual([gone.status, port.status].toSorted(), gone.status === 204 ? [204, 404] : [201, 409]);
  }
  await close();
});

eachStore('ATT-portrbac, OSSA-2015-018: on a network shared by RBAC, whoever is named chooses neither device_owner, MAC nor address, nor port security', async (store) => {
  const { make, share, answer, ok, close } = await rbacLab(store);
  const net = await make('demo', 'networks');
  const subnet = await make('demo', 'subnets', { network_id: net.id, ip_version: 4, cidr: '10.0.0.0/24' });
  await share('demo', 'network', net);
  const { id } = await make('alt', 'ports', { network_id: net.id });
  for (const asked of [{ device_owner: 'network:dhcp' }, { mac_address: 'fa:16:3e:00:00:01' }, { fixed_ips: [{ ip_address: '10.0.0.9' }] }, { fixed_ips: [{ subnet_id: subnet.id, ip_address: '10.0.0.9' }] }, { port_security_enabled: false }, { allowed_address_pairs: [{ ip_address: '10.0.0.8' }] }]) {
    assert.equal(await answer('alt', 'POST', '/v2.0/ports', { port: { network_id: net.id, ...asked } }), '403 PolicyNotAuthorized', JSON.stringify(asked));
    assert.equal(await answer('alt', 'PUT', `/v2.0/ports/${id}`, { port: asked }), '403 PolicyNotAuthorized', JSON.stringify(asked));
  }
  await ok('alt', 'PUT', `/v2.0/ports/${id}`, { port: { fixed_ips: [{ subnet_id: subnet.id }] } });
  await make('demo', 'ports', { network_id: net.id, mac_address: 'fa:16:3e:00:00:01', fixed_ips: [{ ip_address: '10.0.0.9' }] });
  await close();
});

eachStore('N-L3-5, X-17, CVE-2018-14635: a router gets a leg on a subnet that was shared with its project by name, not on one shared with all', async (store) => {
  const { make, share, answer, ok, close } = await rbacLab(store);
  const net = await make('demo', 'networks');
  const subnet = await make('demo', 'subnets', { network_id: net.id, ip_version: 4, cidr: '10.0.0.0/24' });
  const router = await make('alt', 'routers');
  const add = () => answer('alt', 'PUT', `/v2.0/routers/${router.id}/add_router_interface`, { subnet_id: subnet.id });
  assert.equal(await add(), '404 SubnetNotFound');
  const everybody = await share('admin', 'network', net, { target_project: '*' });
  assert.equal(await add(), '400 BadRequest');
  const named = await share('demo', 'network', net);
  await ok('admin', 'DELETE', `${path}/${everybody.id}`);
  assert.equal(await add(), '200');
  assert.equal(await answer('demo', 'DELETE', `${path}/${named.id}`), '409 RbacPolicyInUse');
  await ok('alt', 'PUT', `/v2.0/routers/${router.id}/remove_router_interface`, { subnet_id: subnet.id });
  await ok('demo', 'DELETE', `${path}/${named.id}`);
  await close();
});

eachStore('a network that is external for one project: gateways and floating IPs are its own, nobody else sees it', async (store) => {
  const { make, share, ids, answer, ok, close } = await rbacLab(store);
  const flat = { 'provider:network_type': 'flat', 'provider:physical_network': 'physnet' };
  const net = await make('admin', 'networks', flat);
  await make('admin', 'subnets', { network_id: net.id, ip_version: 4, cidr: '203.0.113.0/24', enable_dhcp: false });
  const external = { action: 'access_as_external' };
  const policy = await share('admin', 'network', net, external);
  const seen = (await ok('alt', 'GET', `/v2.0/networks/${net.id}`)).network;
  assert.deepEqual([seen['router:external'], seen.shared], [true, false], 'the policy made it external');
  assert.deepEqual([await ids('alt', 'networks', 'router:external=true'), await ids('demo', 'networks', 'router:external=true'), await ids('alt', 'subnets')], [[net.id], [], []]);
  assert.deepEqual([(await ok('alt', 'GET', '/v2.0/floatingip_pools')).floatingip_pools.length, (await ok('demo', 'GET', '/v2.0/floatingip_pools')).floatingip_pools.length], [1, 0]);
  const gateway = { external_gateway_info: { network_id: net.id } };
  assert.equal(await answer('demo', 'POST', '/v2.0/routers', { router: gateway }), '404 NetworkNotFound');
  assert.equal(await answer('demo', 'POST', '/v2.0/floatingips', { floatingip: { floating_network_id: net.id } }), '404 NetworkNotFound');
  assert.equal(await answer('alt', 'POST', '/v2.0/ports', { port: { network_id: net.id } }), '403 PolicyNotAuthorized');
  const router = await make('alt', 'routers', gateway);
  const floating = await make('alt', 'floatingips', { floating_network_id: net.id });

  const url = `${path}/${policy.id}`;
  assert.equal(await answer('admin', 'DELETE', url), '409 RbacPolicyInUse');
  assert.equal(await answer('admin', 'PUT', url, { rbac_policy: { target_project: 'third' } }), '409 RbacPolicyInUse');
  const everybody = await share('admin', 'network', net, { ...external, target_project: '*' });
  await ok('admin', 'DELETE', url);
  assert.deepEqual(await ids('demo', 'networks', 'router:external=true'), [net.id]);
  assert.equal(await answer('admin', 'DELETE', `${path}/${everybody.id}`), '409 RbacPolicyInUse');
  await ok('alt', 'DELETE', `/v2.0/routers/${router.id}`);
  assert.equal(await answer('admin', 'DELETE', `${path}/${everybody.id}`), '409 ExternalNetworkInUse', 'the last policy goes when nothing leads outside by it');
  await ok('alt', 'DELETE', `/v2.0/floatingips/${floating.id}`);
  await ok('admin', 'DELETE', `${path}/${everybody.id}`);
  assert.equal((await ok('admin', 'GET', `/v2.0/networks/${net.id}`)).network['router:external'], false);
  await close();
});

eachStore('router:external is a policy for everybody; a default external network keeps it; its policies are the admin\'s alone', async (store) => {
  const { make, ids, answer, ok, close } = await rbacLab(store);
  const net = await make('admin', 'networks', { 'router:external': true, is_default: true, project_id: 'demo-project' });
  const [policy, ...others] = (await ok('demo', 'GET', path)).rbac_policies;
  assert.deepEqual([policy.action, policy.target_project, policy.object_id, others], ['access_as_external', '*', net.id, []]);
  for (const method of ['PUT', 'DELETE']) assert.equal(await answer('demo', method, `${path}/${policy.id}`, method === 'PUT' ? { rbac_policy: { target_project: 'alt-project' } } : undefined), '403 PolicyNotAuthorized');
  assert.equal(await answer('admin', 'DELETE', `${path}/${policy.id}`), '409 RbacPolicyInUse');
  assert.equal(await answer('admin', 'PUT', `${path}/${policy.id}`, { rbac_policy: { target_project: 'alt-project' } }), '409 RbacPolicyInUse');
  await ok('admin', 'PUT', `/v2.0/networks/${net.id}`, { network: { is_default: false } });
  await ok('admin', 'PUT', `${path}/${policy.id}`, { rbac_policy: { target_project: 'alt-project' } });
  assert.deepEqual([await ids('alt', 'networks'), await answer('demo', 'GET', `/v2.0/networks/${net.id}`)], [[net.id], '200']);
  await ok('admin', 'PUT', `/v2.0/networks/${net.id}`, { network: { 'router:external': false } });
  assert.deepEqual([await ids('alt', 'networks'), await ids('admin', 'rbac-policies')], [[], []]);
  await ok('admin', 'PUT', `/v2.0/networks/${net.id}`, { network: { 'router:external': true } });
  assert.deepEqual(await ids('alt', 'networks'), [net.id]);
  await close();
});

eachStore('a shared security group: seen with its rules, used on ports and in rules, changed by nobody else', async (store) => {
  const { make, share, ids, answer, ok, close } = await rbacLab(store);
  const group = await make('demo', 'security-groups', { name: 'web' });
  const rule = await make('demo', 'security-group-rules', { security_group_id: group.id, direction: 'ingress', protocol: 'tcp', port_range_min: 80, port_range_max: 80 });
  const own = await make('alt', 'security-groups', { name: 'own' });
  const home = await make('alt', 'networks');
  const remote = { security_group_id: own.id, direction: 'ingress', remote_group_id: group.id };
  assert.equal(await answer('alt', 'POST', '/v2.0/ports', { port: { network_id: home.id, security_groups: [group.id] } }), '404 SecurityGroupNotFound');
  assert.equal(await answer('alt', 'POST', '/v2.0/security-group-rules', { security_group_rule: remote }), '404 SecurityGroupNotFound');
  const policy = await share('demo', 'security_group', group);

  assert.deepEqual(await ids('alt', 'security-groups', 'shared=True'), [group.id]);
  assert.ok(!(await ids('alt', 'security-groups', 'shared=False')).includes(group.id) && (await ids('alt', 'security-groups')).includes(group.id));
  const seen = (await ok('alt', 'GET', `/v2.0/security-groups/${group.id}`)).security_group;
  assert.deepEqual([seen.shared, seen.security_group_rules.length, (await ok('demo', 'GET', `/v2.0/security-groups/${group.id}`)).security_group.shared], [true, 3, false]);
  assert.equal((await ids('alt', 'security-group-rules', `security_group_id=${group.id}`)).length, 3);
  assert.equal((await ok('alt', 'GET', `/v2.0/security-group-rules/${rule.id}`)).security_group_rule.port_range_min, 80);
  for (const [method, url, body] of [
    ['PUT', `security-groups/${group.id}`, { security_group: { name: 'x' } }], ['DELETE', `security-groups/${group.id}`, undefined], ['DELETE', `security-group-rules/${rule.id}`, undefined],
    ['POST', 'security-group-rules', { security_group_rule: { security_group_id: group.id, direction: 'ingress' } }], ['PUT', `security-groups/${group.id}/tags/x`, undefined],
  ] as const) assert.equal(await answer('alt', method, `/v2.0/${url}`, body), '403 PolicyNotAuthorized', `${method} ${url}`);

  const used = await make('alt', 'security-group-rules', remote);
  const port = await make('alt', 'ports', { network_id: home.id, security_groups: [group.id] });
  const later = await make('alt', 'ports', { network_id: home.id, security_groups: [] });
  await ok('alt', 'PUT', `/v2.0/ports/${later.id}`, { port: { security_groups: [own.id, group.id] } });
  assert.deepEqual(await ids('alt', 'ports', `security_groups=${group.id}`), [port.id, later.id].sort());
  assert.equal(await answer('demo', 'DELETE', `/v2.0/security-groups/${group.id}`), '409 SecurityGroupInUse');
  assert.equal(await answer('demo', 'DELETE', `${path}/${policy.id}`), '409 RbacPolicyInUse');
  await ok('alt', 'DELETE', `/v2.0/ports/${port.id}`);
  assert.equal(await answer('demo', 'DELETE', `${path}/${policy.id}`), '409 RbacPolicyInUse');
  await ok('alt', 'PUT', `/v2.0/ports/${later.id}`, { port: { security_groups: [] } });
  await ok('demo', 'DELETE', `${path}/${policy.id}`);
  assert.equal(await answer('alt', 'GET', `/v2.0/security-groups/${group.id}`), '404 SecurityGroupNotFound');
  assert.equal(await answer('alt', 'GET', `/v2.0/security-group-rules/${rule.id}`), '404 SecurityGroupRuleNotFound');
  assert.equal((await ok('alt', 'GET', `/v2.0/security-group-rules/${used.id}`)).security_group_rule.remote_group_id, group.id, 'the rule stays, as in Neutron');

  await share('admin', 'security_group', group, { target_project: '*' });
  assert.deepEqual([await ids('alt', 'security-groups', 'shared=True'), await ids('unscoped', 'security-groups'), await ids('unscoped', 'security-group-rules')], [[group.id], [], []]);
  await share('demo', 'security_group', group, { target_project: 'third' });
  await ok('demo', 'DELETE', `/v2.0/security-groups/${group.id}`);
  assert.deepEqual(await ids('admin', 'rbac-policies'), []);
  await close();
});

eachStore('a shared address group: seen, used in rules, shared as long as it is used, changed by nobody else', async (store) => {
  const { make, share, ids, answer, ok, close } = await rbacLab(store);
  const group = await make('demo', 'address-groups', { name: 'clocks', addresses: ['192.0.2.0/24'] });
  const home = await make('alt', 'security-groups', { name: 'home' });
  const rule = { security_group_id: home.id, direction: 'ingress', remote_address_group_id: group.id };
  assert.equal(await answer('alt', 'POST', '/v2.0/security-group-rules', { security_group_rule: rule }), '404 AddressGroupNotFound');
  const policy = await share('demo', 'address_group', group);
  assert.deepEqual([(await ok('alt', 'GET', `/v2.0/address-groups/${group.id}`)).address_group.shared, await ids('alt', 'address-groups', 'shared=true'), await ids('demo', 'address-groups', 'shared=true')], [true, [group.id], []]);
  for (const [method, url, body] of [['PUT', group.id, { address_group: { name: 'x' } }], ['PUT', `${group.id}/add_addresses`, { addresses: ['198.51.100.0/24'] }], ['DELETE', group.id, undefined]] as const) {
    assert.equal(await answer('alt', method, `/v2.0/address-groups/${url}`, body), '403 PolicyNotAuthorized', `${method} ${url}`);
  }
  const used = await make('alt', 'security-group-rules', rule);
  assert.equal(await answer('demo', 'DELETE', `${path}/${policy.id}`), '409 RbacPolicyInUse');
  await ok('alt', 'DELETE', `/v2.0/security-group-rules/${used.id}`);
  await ok('demo', 'DELETE', `${path}/${policy.id}`);
  assert.equal(await answer('alt', 'GET', `/v2.0/address-groups/${group.id}`), '404 AddressGroupNotFound');
  await share('demo', 'address_group', group);
  await ok('demo', 'DELETE', `/v2.0/address-groups/${group.id}`);
  assert.deepEqual(await ids('demo', 'rbac-policies'), [], 'its policies go with it');
  await close();
});

eachStore('shared subnet pools and address scopes: seen, used, and shared as long as they are used', async (store) => {
  const { make, share, ids, answer, ok, close } = await rbacLab(store);
  const scope = await make('demo', 'address-scopes', { name: 's', ip_version: 4 });
  const pool = await make('demo', 'subnetpools', { name: 'p', prefixes: ['10.0.0.0/16'], default_prefixlen: 24, address_scope_id: scope.id });
  const home = await make('alt', 'networks');
  const taken = { subnet: { network_id: home.id, ip_version: 4, subnetpool_id: pool.id } };
  const ofScope = { name: 'q', prefixes: ['10.1.0.0/16'], address_scope_id: scope.id };
  assert.equal(await answer('alt', 'POST', '/v2.0/subnets', taken), '404 SubnetPoolNotFound');
  assert.equal(await answer('alt', 'POST', '/v2.0/subnetpools', { subnetpool: ofScope }), '404 AddressScopeNotFound');
  const shared = (object_id: string) => ({ rbac_policy: { object_type: 'subnetpool', object_id, action: 'access_as_shared', target_project: 'alt-project' } });
  assert.equal(await answer('demo', 'POST', path, shared(pool.id)), '400 InvalidInput', 'its scope is not shared with the project');
  const policies = [await share('demo', 'address_scope', scope), await share('demo', 'subnetpool', pool)];
  assert.equal(await answer('demo', 'PUT', `${path}/${policies[1].id}`, { rbac_policy: { target_project: 'third' } }), '400 InvalidInput');

  assert.deepEqual([await ids('alt', 'address-scopes', 'shared=true'), await ids('alt', 'subnetpools', 'shared=true')], [[scope.id], [pool.id]]);
  assert.deepEqual([(await ok('alt', 'GET', `/v2.0/address-scopes/${scope.id}`)).address_scope.shared, (await ok('alt', 'GET', `/v2.0/subnetpools/${pool.id}`)).subnetpool.shared], [true, true]);
  assert.deepEqual([(await ok('demo', 'GET', `/v2.0/address-scopes/${scope.id}`)).address_scope.shared, await ids('demo', 'subnetpools', 'shared=true')], [false, []]);
  for (const [url, body] of [[`address-scopes/${scope.id}`, { address_scope: { name: 'x' } }], [`subnetpools/${pool.id}`, { subnetpool: { name: 'x' } }]] as const) {
    assert.equal(await answer('alt', 'PUT', `/v2.0/${url}`, body), '403 PolicyNotAuthorized');
    assert.equal(await answer('alt', 'DELETE', `/v2.0/${url}`), '403 PolicyNotAuthorized');
  }
  const { subnet } = await ok('alt', 'POST', '/v2.0/subnets', taken);
  assert.equal(subnet.subnetpool_id, pool.id);
  const foreign = await make('alt', 'subnetpools', ofScope);
  for (const { id } of policies) assert.equal(await answer('demo', 'DELETE', `${path}/${id}`), '409 RbacPolicyInUse');
  await ok('alt', 'DELETE', `/v2.0/subnets/${subnet.id}`);
  await ok('alt', 'DELETE', `/v2.0/subnetpools/${foreign.id}`);
  for (const { id } of policies) await ok('demo', 'DELETE', `${path}/${id}`);
  assert.deepEqual([await ids('alt', 'address-scopes'), await ids('alt', 'subnetpools')], [[], []]);
  await close();
});
