import assert from 'node:assert/strict';
import { openStore } from '#store/open.ts';
import { problem, routerApi } from '#testkit/router-api.ts';
import { eachStore } from '#testkit/stores.ts';

const V6 = { ipv6_ra_mode: 'slaac', ipv6_address_mode: 'slaac' };
const add = (router: { id: string }) => `/v2.0/routers/${router.id}/add_router_interface`;
const remove = (router: { id: string }) => `/v2.0/routers/${router.id}/remove_router_interface`;

eachStore('N-L3-4: an interface by subnet is a port with the subnet’s gateway address, on the router’s host', async (store) => {
  const { router, network, act, legs, ok, close } = await routerApi(store);
  const { network: home, subnet } = await network('demo', '172.18.0.0/24');
  const made = await router('demo');
  const added = await act('demo', made, 'add_router_interface', { subnet_id: subnet.id });
  const [port, ...more] = await legs(made);
  assert.equal(more.length, 0);
  assert.deepEqual(added, { id: made.id, tenant_id: 'demo-project', project_id: 'demo-project', port_id: port.id, network_id: home.id, subnet_id: subnet.id, subnet_ids: [subnet.id] });
  assert.deepEqual([port.fixed_ips, port.device_owner, port.project_id, port.port_security_enabled, port.security_groups, port['binding:host_id'], port['binding:vif_type']],
    [[{ subnet_id: subnet.id, ip_address: '172.18.0.1' }], 'network:router_interface', 'demo-project', false, [], 'host1', 'ovs']);
  assert.deepEqual(await act('demo', made, 'remove_router_interface', { subnet_id: subnet.id }), added);
  assert.deepEqual(await legs(made), []);
  assert.deepEqual((await ok('admin', 'GET', `/v2.0/ports?fixed_ips=ip_address=172.18.0.1`)).ports, []);
  await act('demo', made, 'add_router_interface', { subnet_id: subnet.id });
  await close();
});

eachStore('an interface by port takes the port as it is, and takes it along when it goes', async (store) => {
  const { router, network, port, act, legs, call, close } = await routerApi(store);
  const { network: home, subnet } = await network('demo', '10.0.0.0/24');
  const made = await router('demo');
  const given = await port('demo', { network_id: home.id, name: 'leg', fixed_ips: [{ ip_address: '10.0.0.77' }] });
  const added = await act('demo', made, 'add_router_interface', { port_id: given.id });
  assert.deepEqual([added.port_id, added.subnet_id, added.subnet_ids], [given.id, subnet.id, [subnet.id]]);
  const [leg] = await legs(made);
  assert.deepEqual([leg.id, leg.name, leg.device_owner, leg.fixed_ips[0].ip_address, leg.security_groups, leg['binding:vif_type']], [given.id, 'leg', 'network:router_interface', '10.0.0.77', given.security_groups, 'ovs']);
  assert.deepEqual(await act('demo', made, 'remove_router_interface', { port_id: given.id, subnet_id: subnet.id }), added);
  assert.equal(problem(await call('demo', 'GET', `/v2.0/ports/${given.id}`)), '404 PortNotFound');
  await close();
});

eachStore('the IPv6 subnets of a network share one port of the router; its IPv4 subnets have one each', async (store) => {
  const { router, network, port, act, legs, ok, refuses, close } = await routerApi(store);
  const { network: home, subnet: v4 } = await network('demo', '10.0.0.0/24');
  const more = async (cidr: string, given: Record<string, unknown> = V6) => (await ok('demo', 'POST', '/v2.0/subnets', { subnet: { network_id: home.id, cidr, ip_version: cidr.includes(':') ? 6 : 4, ...given } })).subnet;
  const [one, two, second] = [await more('fd00:1::/64'), await more('fd00:2::/64'), await more('10.0.1.0/24', {})];
  const made = await router('demo');
  for (const subnet of [v4, one, two, second]) await act('demo', made, 'add_router_interface', { subnet_id: subnet.id });
  const addresses = async () => (await legs(made)).map((leg) => leg.fixed_ips.map((ip: any) => ip.ip_address)).sort();
  assert.deepEqual(await addresses(), [['10.0.0.1'], ['10.0.1.1'], ['fd00:1::1', 'fd00:2::1']]);
  const twin = await port('demo', { network_id: home.id, fixed_ips: [{ subnet_id: v4.id }] });
  await refuses([['demo', 'PUT', add(made), { port_id: twin.id }, '400 BadRequest']]);
  assert.deepEqual((await act('demo', made, 'remove_router_interface', { subnet_id: one.id })).subnet_ids, [one.id]);
  assert.deepEqual(await addresses(), [['10.0.0.1'], ['10.0.1.1'], ['fd00:2::1']]);
  await act('demo', made, 'remove_router_interface', { subnet_id: two.id });
  assert.deepEqual(await addresses(), [['10.0.0.1'], ['10.0.1.1']]);
  await close();
});

eachStore('N-L3-5, CVE-2018-14635: demo has no interface on the admin’s shared subnet, nor at an address of its choice there; the admin has', async (store) => {
  const { router, network, port, act, legs, refuses, close } = await routerApi(store);
  const { network: shared, subnet } = await network('admin', '10.0.0.0/24', { shared: true });
  const made = await router('demo');
  const outOfPool = await port('admin', { network_id: shared.id, project_id: 'demo-project', fixed_ips: [{ ip_address: '10.0.0.1' }] });
  const foreign = await port('admin', { network_id: shared.id });
  await refuses([
    ['demo', 'PUT', add(made), { subnet_id: subnet.id }, '400 BadRequest'],
    ['demo', 'PUT', add(made), { port_id: outOfPool.id }, '400 BadRequest'],
    ['demo', 'PUT', add(made), { port_id: foreign.id }, '404 PortNotFound'],
  ]);
  const inPool = await port('demo', { network_id: shared.id });
  await act('demo', made, 'add_router_interface', { port_id: inPool.id });
  const second = await router('demo');
  await act('admin', second, 'add_router_interface', { port_id: outOfPool.id });
  assert.equal((await legs(second))[0].fixed_ips[0].ip_address, '10.0.0.1');
  const { subnet: other } = await network('admin', '10.1.0.0/24', { shared: true });
  await act('admin', second, 'add_router_interface', { subnet_id: other.id });
  assert.deepEqual((await legs(second)).map((leg) => leg.project_id), ['demo-project', 'demo-project']);
  await close();
});

eachStore('interfaces that cannot be are refused with Neutron’s errors, and nothing changes', async (store) => {
  const { router, network, external, port, act, set, ok, refuses, close } = await routerApi(store);
  const { network: home, subnet } = await network('demo', '10.0.0.0/24');
  const overlapping = await network('demo', '10.0.0.128/25');
  const blind = await network('demo', '10.2.0.0/24', {}, { gateway_ip: null });
  const hidden = await network('alt', '10.3.0.0/24');
  const outside = await external();
  const inside = await network('demo', '203.0.113.0/25');
  const advertised = await network('demo', 'fd00::/64', {}, { ipv6_address_mode: 'slaac' });
  const second = (await ok('demo', 'POST', '/v2.0/subnets', { subnet: { network_id: blind.network.id, cidr: '10.4.0.0/24', ip_version: 4 } })).subnet;
  const taken = await network('demo', '10.5.0.0/24');
  await port('demo', { network_id: taken.network.id, fixed_ips: [{ ip_address: '10.5.0.1' }] });
  const beyond = await network('demo', '10.6.0.0/24', {}, { gateway_ip: '10.99.0.1' });

  const made = await router('demo', { external_gateway_info: { network_id: outside.network.id } });
  await act('demo', made, 'add_router_interface', { subnet_id: subnet.id });
  const used = await port('demo', { network_id: taken.network.id, device_id: 'a-server' });
  const bare = await port('demo', { network_id: taken.network.id, fixed_ips: [] });
  const wide = await port('demo', { network_id: blind.network.id, fixed_ips: [{ subnet_id: blind.subnet.id }, { subnet_id: second.id }] });
  const same = await port('demo', { network_id: home.id });
  const clash = await port('demo', { network_id: overlapping.network.id });
  const strange = await port('demo', { network_id: advertised.network.id });
  const guest = await port('admin', { network_id: taken.network.id });
  const foreign = await port('alt', { network_id: hidden.network.id });
  const cases: [body: unknown, expected: string][] = [
    [{ subnet_id: overlapping.subnet.id }, '400 BadRequest'],
    [{ subnet_id: subnet.id }, '400 BadRequest'],
    [{ subnet_id: blind.subnet.id }, '400 BadRequest'],
    [{ subnet_id: inside.subnet.id }, '400 BadRequest'],
    [{ subnet_id: advertised.subnet.id }, '400 BadRequest'],
    [{ subnet_id: hidden.subnet.id }, '404 SubnetNotFound'],
    [{ subnet_id: outside.subnet.id }, '404 SubnetNotFound'],
    [{ subnet_id: crypto.randomUUID() }, '404 SubnetNotFound'],
    [{ subnet_id: taken.subnet.id }, '409 IpAddressAlreadyAllocated'],
    [{ subnet_id: beyond.subnet.id }, '400 InvalidIpForSubnet'],
    [{ subnet_id: 'foobar' }, '400 BadRequest'],
    [{ subnet_id: null }, '400 BadRequest'],
    [{ port_id: 7 }, '400 BadRequest'],
    [{}, '400 BadRequest'],
    [[], '400 BadRequest'],
    [undefined, '400 BadRequest'],
    [{ subnet_id: taken.subnet.id, port_id: same.id }, '400 BadRequest'],
    [{ port_id: used.id }, '409 PortInUse'],
    [{ port_id: bare.id }, '400 BadRequest'],
    [{ port_id: wide.id }, '400 BadRequest'],
    [{ port_id: same.id }, '400 BadRequest'],
    [{ port_id: clash.id }, '400 BadRequest'],
    [{ port_id: strange.id }, '400 BadRequest'],
    [{ port_id: guest.id }, '409 DeviceIDNotOwnedByTenant'],
    [{ port_id: foreign.id }, '404 PortNotFound'],
    [{ port_id: crypto.randomUUID() }, '404 PortNotFound'],
  ];
  await refuses(cases.map(([body, expected]) => ['demo', 'PUT', add(made), body, expected] as const));
  await refuses([
    ['reader', 'PUT', add(made), { subnet_id: taken.subnet.id }, '403 PolicyNotAuthorized'],
    ['alt', 'PUT', add(made), { subnet_id: hidden.subnet.id }, '404 RouterNotFound'],
    ['unscoped', 'PUT', add(made), { subnet_id: hidden.subnet.id }, '404 RouterNotFound'],
    ['demo', 'PUT', add({ id: crypto.randomUUID() }), { subnet_id: subnet.id }, '404 RouterNotFound'],
  ]);
  assert.equal((await set('demo', made, { name: 'still fine' })).name, 'still fine');
  await close();
});

eachStore('removing what is not there, or what is needed, is refused', async (store) => {
  const { router, network, external, port, act, set, legs, refuses, close } = await routerApi(store);
  const { network: home, subnet } = await network('demo', '10.0.0.0/24');
  const other = await network('demo', '10.1.0.0/24');
  const hidden = await network('alt', '10.3.0.0/24');
  const outside = await external();
  const made = await router('demo', { external_gateway_info: { network_id: outside.network.id } });
  const { port_id } = await act('demo', made, 'add_router_interface', { subnet_id: subnet.id });
  const gateway = (await legs(made)).find((leg) => leg.device_owner === 'network:router_gateway');
  const plain = await port('demo', { network_id: home.id });
  await refuses([
    ['demo', 'PUT', remove(made), { subnet_id: other.subnet.id }, '404 RouterInterfaceNotFoundForSubnet'],
    ['demo', 'PUT', remove(made), { subnet_id: hidden.subnet.id }, '404 SubnetNotFound'],
    ['demo', 'PUT', remove(made), { port_id: plain.id }, '404 RouterInterfaceNotFound'],
    ['demo', 'PUT', remove(made), { port_id: gateway.id }, '404 RouterInterfaceNotFound'],
    ['demo', 'PUT', remove(made), { port_id, subnet_id: other.subnet.id }, '400 SubnetMismatchForPort'],
    ['demo', 'PUT', remove(made), {}, '400 BadRequest'],
    ['demo', 'PUT', remove(made), { port_id: 'x' }, '400 BadRequest'],
    ['reader', 'PUT', remove(made), { port_id }, '403 PolicyNotAuthorized'],
    ['alt', 'PUT', remove(made), { port_id }, '404 RouterNotFound'],
  ]);

  await set('demo', made, { routes: [{ destination: '192.168.0.0/16', nexthop: '10.0.0.9' }] });
  const inUse = (expected: string) => [['demo', 'PUT', remove(made), { port_id }, expected], ['demo', 'PUT', remove(made), { subnet_id: subnet.id }, expected]] as const;
  await refuses(inUse('409 RouterInterfaceInUseByRoute'));
  await set('demo', made, { routes: [] });
  const floating = { id: crypto.randomUUID(), router_id: made.id, floating_network_id: outside.network.id, floating_ip_address: '203.0.113.9', port_id: plain.id as string | null, fixed_ip_address: plain.fixed_ips[0].ip_address };
  await store.write((tx) => tx.db.insertInto('floatingips').values(floating).execute());
  await refuses(inUse('409 RouterInterfaceInUseByFloatingIP'));
  await store.write(async (tx) => {
    await tx.db.updateTable('floatingips').set({ port_id: null, fixed_ip_address: null }).execute();
    await tx.db.insertInto('port_forwardings').values({ id: crypto.randomUUID(), floatingip_id: floating.id, internal_port_id: plain.id, internal_ip_address: floating.fixed_ip_address }).execute();
  });
  await refuses(inUse('409 RouterInterfaceInUseByFloatingIP'));
  await store.write((tx) => tx.db.deleteFrom('port_forwardings').execute());
  await act('demo', made, 'remove_router_interface', { port_id });
  await close();
});

eachStore('OSSA-2014-008: no port claims to be a leg of a router by the port API', async (store) => {
  const { router, network, port, ok, refuses, close } = await routerApi(store);
  const { network: home } = await network('demo', '10.0.0.0/24');
  const foreign = await router('alt');
  const own = await router('demo');
  const plain = await port('demo', { network_id: home.id, device_id: foreign.id });
  const create = (who: string, given: Record<string, unknown>, expected: string) => [who, 'POST', '/v2.0/ports', { port: { network_id: home.id, ...given } }, expected] as const;
  const change = (who: string, given: Record<string, unknown>, expected: string) => [who, 'PUT', `/v2.0/ports/${plain.id}`, { port: given }, expected] as const;
  await refuses([
    create('demo', { device_owner: 'network:router_interface', device_id: foreign.id }, '409 DeviceIDNotOwnedByTenant'),
    create('demo', { device_owner: 'network:router_interface_distributed', device_id: foreign.id }, '409 DeviceIDNotOwnedByTenant'),
    create('demo', { device_owner: 'network:ha_router_replicated_interface', device_id: foreign.id }, '409 DeviceIDNotOwnedByTenant'),
    create('demo', { device_owner: 'network:router_gateway', device_id: foreign.id }, '409 DeviceIDNotOwnedByTenant'),
    create('demo', { device_owner: 'network:router_interface', device_id: own.id }, '403 PolicyNotAuthorized'),
    create('demo', { device_owner: 'network:router_centralized_snat' }, '403 PolicyNotAuthorized'),
    create('admin', { device_owner: 'network:router_interface', device_id: foreign.id }, '400 BadRequest'),
    ['demo', 'POST', '/v2.0/ports', { ports: [{ network_id: home.id }, { network_id: home.id, device_owner: 'network:router_gateway', device_id: own.id }] }, '403 PolicyNotAuthorized'],
    change('demo', { device_owner: 'network:router_interface' }, '409 DeviceIDNotOwnedByTenant'),
    change('demo', { device_owner: 'network:router_interface', device_id: own.id }, '403 PolicyNotAuthorized'),
    change('admin', { device_owner: 'network:router_gateway' }, '400 BadRequest'),
  ]);
  await ok('demo', 'PUT', `/v2.0/ports/${plain.id}`, { port: { device_id: '' } });
  await ok('admin', 'POST', '/v2.0/ports', { port: { network_id: home.id, device_owner: 'network:router_interface' } });
  await close();
});

eachStore('the legs of a router leave by their router only, and keep device and IPv4 addresses', async (store) => {
  const { router, network, external, act, legs, ok, refuses, close } = await routerApi(store);
  const { network: home, subnet } = await network('demo', '10.0.0.0/24');
  const foreign = await router('alt');
  const second = await router('demo');
  const outside = await external();
  const made = await router('demo', { external_gateway_info: { network_id: outside.network.id } });
  const { port_id } = await act('demo', made, 'add_router_interface', { subnet_id: subnet.id });
  const gateway = (await legs(made)).find((leg) => leg.device_owner === 'network:router_gateway');
  const path = `/v2.0/ports/${port_id}`;
  await refuses([
    ['demo', 'DELETE', path, undefined, '409 ServicePortInUse'],
    ['admin', 'DELETE', path, undefined, '409 ServicePortInUse'],
    ['admin', 'DELETE', `/v2.0/ports/${gateway.id}`, undefined, '409 ServicePortInUse'],
    ['demo', 'DELETE', `/v2.0/ports/${gateway.id}`, undefined, '404 PortNotFound'],
    ['demo', 'PUT', path, { port: { device_id: foreign.id } }, '409 DeviceIDNotOwnedByTenant'],
    ['demo', 'PUT', path, { port: { device_id: second.id } }, '409 PortInUse'],
    ['demo', 'PUT', path, { port: { device_id: '' } }, '409 PortInUse'],
    ['demo', 'PUT', path, { port: { device_owner: '' } }, '409 PortInUse'],
    ['admin', 'PUT', path, { port: { device_id: foreign.id } }, '409 PortInUse'],
    ['admin', 'PUT', `/v2.0/ports/${gateway.id}`, { port: { device_owner: 'compute:nova' } }, '409 PortInUse'],
    ['demo', 'PUT', path, { port: { fixed_ips: [{ ip_address: '10.0.0.9' }] } }, '400 BadRequest'],
    ['demo', 'PUT', path, { port: { fixed_ips: [] } }, '400 BadRequest'],
    ['demo', 'PUT', path, { port: { fixed_ips: [{ ip_address: '10.0.0.1' }, { subnet_id: subnet.id }] } }, '400 BadRequest'],
    ['demo', 'PUT', `/v2.0/subnets/${subnet.id}`, { subnet: { gateway_ip: '10.0.0.254' } }, '409 GatewayIpInUse'],
    ['demo', 'PUT', `/v2.0/subnets/${subnet.id}`, { subnet: { gateway_ip: null } }, '409 GatewayIpInUse'],
    ['demo', 'DELETE', `/v2.0/subnets/${subnet.id}`, undefined, '409 SubnetInUse'],
    ['demo', 'DELETE', `/v2.0/networks/${home.id}`, undefined, '409 NetworkInUse'],
  ]);
  const same = { name: 'renamed', device_id: made.id, device_owner: 'network:router_interface', fixed_ips: [{ subnet_id: subnet.id, ip_address: '10.0.0.1' }] };
  assert.equal((await ok('demo', 'PUT', path, { port: same })).port.name, 'renamed');
  await ok('admin', 'PUT', `/v2.0/ports/${gateway.id}`, { port: { fixed_ips: [{ ip_address: '203.0.113.50' }] } });
  assert.equal((await ok('demo', 'GET', `/v2.0/routers/${made.id}`)).router.external_gateway_info.external_fixed_ips[0].ip_address, '203.0.113.50');
  await close();
});

eachStore('a port of a floating IP goes with it only', async (store) => {
  const { external, port, ok, refuses, close } = await routerApi(store);
  const { network } = await external();
  const id = crypto.randomUUID();
  const held = await port('admin', { network_id: network.id, device_owner: 'network:floatingip', device_id: id });
  await store.write((tx) => tx.db.insertInto('floatingips').values({ id, floating_network_id: network.id, floating_ip_address: '203.0.113.9' }).execute());
  await refuses([['admin', 'DELETE', `/v2.0/ports/${held.id}`, undefined, '409 ServicePortInUse']]);
  await store.write((tx) => tx.db.deleteFrom('floatingips').execute());
  await ok('admin', 'DELETE', `/v2.0/ports/${held.id}`);
  await close();
});

eachStore('two controllers at once: of two overlapping subnets, and of two routers for one port, one is refused; a gateway address does not move under an interface', async (store, connection) => {
  const one = await routerApi(store);
  const second = await openStore(connection);
  const two = await routerApi(second, { hosts: [] });
  try {
    const pairs = await Promise.all(Array.from({ length: 10 }, async () => {
      const made = await one.router('admin');
      // It is on its host already: two first legs would meet there.
      await one.act('admin', made, 'add_router_interface', { subnet_id: (await one.network('admin', '192.168.0.0/24')).subnet.id });
      return { made, cidrs: [await one.network('admin', '10.0.0.0/24'), await one.network('admin', '10.0.0.0/16')] };
    }));
    const answers = await Promise.all(pairs.map(({ made, cidrs }) => Promise.all([one, two].map((api, i) => api.call('admin', 'PUT', add(made), { subnet_id: cidrs[i]!.subnet.id })))));
    assert.deepEqual(answers.map((pair) => pair.map(({ status }) => status).sort()), pairs.map(() => [200, 400]));
    assert.deepEqual(await Promise.all(pairs.map(async ({ made }) => (await one.legs(made)).length)), pairs.map(() => 2));

    const moved = await Promise.all(Array.from({ length: 10 }, async () => ({ made: await one.router('admin'), ...(await one.network('admin', '10.8.0.0/24', {}, { allocation_pools: [{ start: '10.8.0.9', end: '10.8.0.99' }] })) })));
    await Promise.all(moved.flatMap(({ made, subnet }) => [one.call('admin', 'PUT', add(made), { subnet_id: subnet.id }), two.call('admin', 'PUT', `/v2.0/subnets/${subnet.id}`, { subnet: { gateway_ip: '10.8.0.254' } })]));
    for (const { made, subnet } of moved) {
      const { gateway_ip } = (await one.ok('admin', 'GET', `/v2.0/subnets/${subnet.id}`)).subnet;
      assert.deepEqual((await one.legs(made)).map((leg) => leg.fixed_ips[0].ip_address), [gateway_ip]);
    }

    const { network: home } = await one.network('admin', '10.9.0.0/24');
    const rivals = await Promise.all(Array.from({ length: 10 }, async () => ({ given: await one.port('admin', { network_id: home.id }), routers: [await one.router('admin'), await one.router('admin')] })));
    const taken = await Promise.all(rivals.map(({ given, routers }) => Promise.all([one, two].map((api, i) => api.call('admin', 'PUT', add(routers[i]!), { port_id: given.id })))));
    assert.deepEqual(taken.map((pair) => pair.map(({ status }) => status).sort()), rivals.map(() => [200, 409]));
    const legs = await Promise.all(rivals.map(async ({ routers }) => (await Promise.all(routers.map(one.legs))).map((each) => each.length)));
    assert.deepEqual(legs, taken.map((pair) => pair.map(({ status }) => (status === 200 ? 1 : 0))));
  } finally {
    await two.close();
    await second.close();
  }
  await one.close();
});
