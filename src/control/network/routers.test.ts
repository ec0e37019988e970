import assert from 'node:assert/strict';
import { eachStore } from '#testkit/stores.ts';
import { problem, routerApi } from '#testkit/router-api.ts';

/** A second external network: physnet has room for one. */
const TUNNELLED = { 'provider:network_type': 'vxlan', 'provider:physical_network': undefined };
const gateway = (network: { id: string }, more: Record<string, unknown> = {}) => ({ external_gateway_info: { network_id: network.id, ...more } });

eachStore('N-L3-1, N-L3-2: a new router is a row of its project and nothing else', async (store) => {
  const { router, legs, ok, call, close } = await routerApi(store);
  const made = await router('demo', { name: 'r', description: 'd' });
  assert.deepEqual({ ...made, id: '', created_at: '', updated_at: '' }, {
    id: '', name: 'r', description: 'd', project_id: 'demo-project', tenant_id: 'demo-project', admin_state_up: true, status: 'ACTIVE', external_gateway_info: null, routes: [],
    availability_zone_hints: [], availability_zones: [], tags: [], revision_number: 0, created_at: '', updated_at: '',
  });
  assert.deepEqual(await legs(made), []);
  assert.deepEqual(await store.reader.db.selectFrom('router_bindings').selectAll().execute(), []);
  assert.equal(problem(await call('alt', 'GET', `/v2.0/routers/${made.id}`)), '404 RouterNotFound');
  assert.deepEqual((await ok('alt', 'GET', '/v2.0/routers')).routers, []);
  assert.deepEqual((await ok('demo', 'GET', '/v2.0/routers?name=r')).routers.map(({ id }: any) => id), [made.id]);
  const other = await router('admin', { project_id: 'alt-project' });
  assert.equal((await ok('alt', 'GET', `/v2.0/routers/${other.id}`)).router.project_id, 'alt-project');
  await ok('demo', 'PUT', `/v2.0/routers/${made.id}/tags`, { tags: ['x'] });
  assert.deepEqual((await ok('demo', 'GET', '/v2.0/routers?tags=x')).routers.length, 1);
  await ok('demo', 'DELETE', `/v2.0/routers/${made.id}`);
  assert.equal(problem(await call('demo', 'GET', `/v2.0/routers/${made.id}`)), '404 RouterNotFound');
  await close();
});

eachStore('N-L3-3: the gateway is a port outside with addresses there, and goes with the wish for it', async (store) => {
  const { router, external, set, legs, ok, close } = await routerApi(store);
  const { network, subnet } = await external();
  const made = await router('demo', gateway(network));
  assert.deepEqual(made.external_gateway_info, { network_id: network.id, enable_snat: true, external_fixed_ips: [{ subnet_id: subnet.id, ip_address: '203.0.113.2' }] });
  const [port] = await legs(made);
  assert.deepEqual([port.device_owner, port.project_id, port.network_id, port.security_groups, port.port_security_enabled, port.name], ['network:router_gateway', '', network.id, [], false, '']);
  assert.deepEqual([port['binding:host_id'], port['binding:vif_type']], ['host1', 'ovs']);
  const row = await store.reader.db.selectFrom('routers').select('gw_port_id').where('id', '=', made.id).executeTakeFirst();
  assert.equal(row!['gw_port_id'], port.id);

  const second = await external('198.51.100.0/24', TUNNELLED);
  const moved = await set('demo', made, gateway(second.network));
  assert.deepEqual(moved.external_gateway_info.external_fixed_ips, [{ subnet_id: second.subnet.id, ip_address: '198.51.100.2' }]);
  assert.deepEqual((await legs(made)).map((leg) => leg.network_id), [second.network.id]);
  for (const none of [{}, null]) {
    assert.equal((await set('demo', made, { external_gateway_info: none })).external_gateway_info, null);
    assert.deepEqual(await legs(made), []);
    assert.deepEqual((await store.reader.db.selectFrom('ip_allocations').selectAll().where('network_id', 'in', [network.id, second.network.id]).execute()), []);
    const again = await set('demo', made, gateway(network));
    assert.equal((await set('demo', made, gateway(network))).external_gateway_info.external_fixed_ips[0].ip_address, again.external_gateway_info.external_fixed_ips[0].ip_address);
    assert.equal((await legs(made)).length, 1);
  }
  await ok('demo', 'DELETE', `/v2.0/routers/${made.id}`);
  assert.deepEqual(await legs(made), []);
  await close();
});

eachStore('N-ML2-25: tenants do not see the gateway port, admins do, also by its owner', async (store) => {
  const { router, external, network, act, ok, close } = await routerApi(store);
  const { network: outside } = await external();
  const { subnet } = await network('demo', '10.0.0.0/24');
  const made = await router('demo', gateway(outside));
  await act('demo', made, 'add_router_interface', { subnet_id: subnet.id });
  const owners = async (who: string, query: string) => (await ok(who, 'GET', `/v2.0/ports?${query}&sort_key=device_owner&sort_dir=asc`)).ports.map((one: any) => one.device_owner);
  assert.deepEqual(await owners('demo', `device_id=${made.id}`), ['network:router_interface']);
  assert.deepEqual(await owners('admin', `device_id=${made.id}`), ['network:router_gateway', 'network:router_interface']);
  assert.deepEqual(await owners('demo', 'device_owner=network:router_gateway'), []);
  assert.deepEqual(await owners('admin', 'device_owner=network:router_gateway'), ['network:router_gateway']);
  await close();
});

eachStore('a gateway has one address of each IP version, or those that an admin wishes; source NAT is the admin’s too', async (store) => {
  const { router, external, set, refuses, ok, close } = await routerApi(store, { settings: { enable_snat_by_default: false } });
  const { network, subnet } = await external();
  const more = async (cidr: string) => (await ok('admin', 'POST', '/v2.0/subnets', { subnet: { network_id: network.id, cidr, ip_version: cidr.includes(':') ? 6 : 4, enable_dhcp: false } })).subnet;
  const v6 = await more('2001:db8::/64');
  const made = await router('demo', gateway(network));
  assert.deepEqual([made.external_gateway_info.enable_snat, made.external_gateway_info.external_fixed_ips], [false, [{ subnet_id: subnet.id, ip_address: '203.0.113.2' }, { subnet_id: v6.id, ip_address: '2001:db8::2' }]]);
  const second = await more('198.51.100.0/24');
  const wished = await set('admin', made, gateway(network, { enable_snat: true, external_fixed_ips: [{ subnet_id: second.id }, { ip_address: '203.0.113.77' }] }));
  assert.deepEqual(wished.external_gateway_info, { network_id: network.id, enable_snat: true, external_fixed_ips: [{ subnet_id: subnet.id, ip_address: '203.0.113.77' }, { subnet_id: second.id, ip_address: '198.51.100.2' }] });
  assert.deepEqual((await set('admin', made, gateway(network, { external_fixed_ips: [{ subnet_id: second.id, ip_address: '198.51.100.2' }] }))).external_gateway_info.external_fixed_ips, [{ subnet_id: second.id, ip_address: '198.51.100.2' }]);
  const path = `/v2.0/routers/${made.id}`;
  await refuses([
    ['demo', 'PUT', path, { router: gateway(network, { enable_snat: false }) }, '403 PolicyNotAuthorized'],
    ['demo', 'PUT', path, { router: gateway(network, { external_fixed_ips: [] }) }, '403 PolicyNotAuthorized'],
    ['demo', 'POST', '/v2.0/routers', { router: gateway(network, { enable_snat: true }) }, '403 PolicyNotAuthorized'],
    ['demo', 'POST', '/v2.0/routers', { router: gateway(network, { external_fixed_ips: [{ subnet_id: second.id }] }) }, '403 PolicyNotAuthorized'],
    ['admin', 'PUT', path, { router: gateway(network, { external_fixed_ips: [{ ip_address: '203.0.113.1' }] }) }, '400 BadRequest'],
    ['admin', 'PUT', path, { router: gateway(network, { external_fixed_ips: [{ ip_address: '99.99.99.99' }] }) }, '400 InvalidIpForNetwork'],
    ['admin', 'PUT', path, { router: gateway(network, { external_fixed_ips: [{ subnet_id: crypto.randomUUID() }] }) }, '404 SubnetNotFound'],
    ['admin', 'POST', '/v2.0/routers', { router: gateway(network, { external_fixed_ips: [{}] }) }, '400 InvalidInput'],
    ['admin', 'PUT', path, { router: gateway(network, { external_fixed_ips: 'x' }) }, '400 HTTPBadRequest'],
    ['admin', 'PUT', path, { router: gateway(network, { qos: 1 }) }, '400 HTTPBadRequest'],
  ]);
  await close();
});

eachStore('a new IPv6 subnet of an external network gives its gateways an address, a second one of a version does not', async (store) => {
  const { router, external, show, ok, close } = await routerApi(store);
  const { network } = await external();
  const made = await router('demo', gateway(network));
  const more = (cidr: string, given: Record<string, unknown> = {}) => ok('admin', 'POST', '/v2.0/subnets', { subnet: { network_id: network.id, cidr, ip_version: cidr.includes(':') ? 6 : 4, enable_dhcp: false, ...given } });
  const addresses = async () => (await show('demo', made)).external_gateway_info.external_fixed_ips.map((ip: any) => ip.ip_address);
  await more('198.51.100.0/24');
  assert.deepEqual(await addresses(), ['203.0.113.2']);
  await more('2001:db8::/64');
  assert.deepEqual(await addresses(), ['203.0.113.2', '2001:db8::2']);
  await more('2001:db8:1::/64');
  assert.deepEqual(await addresses(), ['203.0.113.2', '2001:db8::2']);
  await close();
});

eachStore('a gateway on what is no way out is refused, and nothing changes', async (store) => {
  const { router, external, network, act, refuses, set, close } = await routerApi(store);
  const { network: outside, subnet: outer } = await external();
  const full = await external('198.51.100.0/30', TUNNELLED);
  const inside = await network('demo', '10.0.0.0/24');
  const overlapping = await network('demo', '203.0.113.128/25');
  const hidden = await network('alt', '10.9.0.0/24');
  const bare = await router('demo');
  const routed = await router('demo');
  await act('demo', routed, 'add_router_interface', { subnet_id: overlapping.subnet.id });
  const within = await router('admin');
  await act('admin', within, 'add_router_interface', { subnet_id: outer.id });
  await set('demo', bare, gateway(full.network));
  const put = (who: string, { id }: { id: string }, info: unknown, expected: string) => [who, 'PUT', `/v2.0/routers/${id}`, { router: { external_gateway_info: info } }, expected] as const;
  const last = await router('demo');
  await refuses([
    put('demo', bare, { network_id: inside.network.id }, '400 BadRequest'),
    put('demo', bare, { network_id: hidden.network.id }, '404 NetworkNotFound'),
    put('demo', bare, { network_id: crypto.randomUUID() }, '404 NetworkNotFound'),
    put('demo', bare, { network_id: 'foobar' }, '400 HTTPBadRequest'),
    put('demo', bare, { enable_snat: true }, '400 HTTPBadRequest'),
    put('demo', bare, 'x', '400 HTTPBadRequest'),
    put('demo', routed, { network_id: outside.id }, '400 BadRequest'),
    put('admin', within, { network_id: outside.id }, '400 BadRequest'),
    put('demo', last, { network_id: full.network.id }, '409 IpAddressGenerationFailure'),
    put('reader', bare, null, '403 PolicyNotAuthorized'),
    put('alt', bare, null, '404 RouterNotFound'),
    ['demo', 'POST', '/v2.0/routers', { router: gateway(inside.network) }, '400 BadRequest'],
    ['demo', 'POST', '/v2.0/routers', { routers: [{}, gateway(full.network)] }, '409 IpAddressGenerationFailure'],
    ['demo', 'POST', '/v2.0/routers', { router: { status: 'ERROR' } }, '400 HTTPBadRequest'],
    ['demo', 'POST', '/v2.0/routers', { router: { gw_port_id: null } }, '400 HTTPBadRequest'],
    ['demo', 'POST', '/v2.0/routers', { router: { routes: [] } }, '400 HTTPBadRequest'],
    ['demo', 'POST', '/v2.0/routers', { router: { availability_zone_hints: ['mars'] } }, '404 AvailabilityZoneNotFound'],
    ['reader', 'POST', '/v2.0/routers', { router: {} }, '403 PolicyNotAuthorized'],
    ['alt', 'DELETE', `/v2.0/routers/${bare.id}`, undefined, '404 RouterNotFound'],
    ['demo', 'DELETE', `/v2.0/routers/${routed.id}`, undefined, '409 RouterInUse'],
  ]);
  await close();
});

eachStore('an external network without subnets gives a gateway without addresses', async (store) => {
  const { router, set, ok, close } = await routerApi(store);
  const { network } = await ok('admin', 'POST', '/v2.0/networks', { network: { 'router:external': true } });
  const made = await router('demo', gateway(network));
  assert.deepEqual(made.external_gateway_info, { network_id: network.id, enable_snat: true, external_fixed_ips: [] });
  assert.equal((await set('demo', made, { external_gateway_info: {} })).external_gateway_info, null);
  await close();
});

eachStore('a gateway that floating IPs need stays, and so does its network', async (store) => {
  const { router, external, refuses, set, ok, close } = await routerApi(store);
  const { network } = await external();
  const second = await external('198.51.100.0/24', TUNNELLED);
  const made = await router('demo', gateway(network));
  await store.write((tx) => tx.db.insertInto('floatingips').values({ id: crypto.randomUUID(), router_id: made.id, floating_network_id: network.id, floating_ip_address: '203.0.113.9', port_id: crypto.randomUUID() }).execute());
  const path = `/v2.0/routers/${made.id}`;
  await refuses([
    ['demo', 'PUT', path, { router: { external_gateway_info: null } }, '409 RouterExternalGatewayInUseByFloatingIp'],
    ['demo', 'PUT', path, { router: gateway(second.network) }, '409 RouterExternalGatewayInUseByFloatingIp'],
    ['demo', 'DELETE', path, undefined, '409 RouterExternalGatewayInUseByFloatingIp'],
    ['admin', 'PUT', `/v2.0/networks/${network.id}`, { network: { 'router:external': false } }, '409 ExternalNetworkInUse'],
    ['admin', 'DELETE', `/v2.0/networks/${network.id}`, undefined, '409 NetworkInUse'],
  ]);
  await set('admin', made, gateway(network, { enable_snat: false }));
  await store.write((tx) => tx.db.deleteFrom('floatingips').execute());
  await ok('demo', 'DELETE', path);
  await close();
});

eachStore('the quota counts routers, and bulk requests make all or none', async (store) => {
  const { ok, call, router, close } = await routerApi(store, { settings: { quota_router: 2 } });
  assert.equal(problem(await call('demo', 'POST', '/v2.0/routers', { routers: [{}, {}, {}] })), '409 OverQuota');
  await router('demo');
  assert.equal((await ok('demo', 'POST', '/v2.0/routers', { routers: [{ name: 'b' }] })).routers[0].name, 'b');
  assert.equal(problem(await call('demo', 'POST', '/v2.0/routers', { router: {} })), '409 OverQuota');
  assert.deepEqual((await ok('demo', 'GET', '/v2.0/quotas/demo-project/details')).quota.router, { limit: 2, used: 2, reserved: 0 });
  await close();
});

eachStore('If-Match holds for routers and for what is done to them', async (store) => {
  const { router, network, call, ok, show, close } = await routerApi(store);
  const made = await router('demo');
  const { subnet } = await network('demo', '10.0.0.0/24');
  const stale = { 'if-match': `revision_number=${made.revision_number + 1}` };
  for (const [path, body] of [['', { router: { name: 'x' } }], ['/add_router_interface', { subnet_id: subnet.id }]] as const) {
    assert.equal(problem(await call('demo', 'PUT', `/v2.0/routers/${made.id}${path}`, body, stale)), '412 RevisionNumberConstraintFailed');
  }
  await ok('demo', 'PUT', `/v2.0/routers/${made.id}/add_router_interface`, { subnet_id: subnet.id });
  assert.equal((await show('demo', made)).revision_number, made.revision_number + 1);
  await close();
});
