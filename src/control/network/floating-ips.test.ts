import assert from 'node:assert/strict';
import { test } from 'node:test';
import { loadConfig } from '#model/config.ts';
import { openStore } from '#store/open.ts';
import { floatingApi, floatingLab, insertRouter } from '#testkit/floating-lab.ts';
import { insertNetwork, insertSubnet } from '#testkit/network-rows.ts';
import { eachStore } from '#testkit/stores.ts';
import { dump } from '#testkit/table-dump.ts';
import { extensions } from './extensions.ts';
import { setFloatingIpStatus } from './floating-ips.ts';

const problem = ({ status, body }: { status: number; body: any }) => `${status} ${body?.NeutronError?.type}`;
const TABLES = ['floatingips', 'ports', 'ip_allocations', 'free_ranges', 'port_forwardings', 'changes'];

eachStore('N-L3-14: a floating IP takes the lowest free address of the external network, of the subnet asked for, or the one an admin wishes', async (store) => {
  const { call, ok, floating, external, close } = await floatingLab(store);
  const second = await store.write((tx) => insertSubnet(tx, external, '192.0.2.0/24', { created_at: '2099-01-01T00:00:00Z' }));
  const made = await floating({ description: 'd', dns_name: 'Web', dns_domain: 'example.org.' });
  const { id, created_at, updated_at, ...rest } = made;
  assert.deepEqual(rest, {
    floating_network_id: external.id, floating_ip_address: '172.16.0.3', fixed_ip_address: null, port_id: null, router_id: null, status: 'DOWN', project_id: 'demo-project', tenant_id: 'demo-project',
    description: 'd', dns_name: 'web', dns_domain: 'example.org.', port_details: null, port_forwardings: [], revision_number: 0, tags: [],
  });
  assert.equal((await floating({ subnet_id: second.id })).floating_ip_address, '192.0.2.2');
  assert.equal((await floating({ floating_ip_address: '172.16.0.77' }, 'admin')).floating_ip_address, '172.16.0.77');
  assert.equal((await floating({ floating_ip_address: null, port_id: null, fixed_ip_address: null, subnet_id: null })).floating_ip_address, '172.16.0.4');
  const { ports } = await ok('admin', 'GET', `/v2.0/ports?device_id=${id}`);
  assert.deepEqual(ports.map((one: any) => [one.network_id, one.device_owner, one.project_id, one.status, one['binding:vif_type'], one.fixed_ips[0].ip_address, one.security_groups, one.port_security_enabled]), [
    [external.id, 'network:floatingip', '', 'N/A', 'unbound', '172.16.0.3', [], false],
  ]);
  assert.equal(problem(await call('demo', 'GET', `/v2.0/ports/${ports[0].id}`)), '404 PortNotFound');
  await ok('demo', 'DELETE', `/v2.0/floatingips/${id}`);
  assert.deepEqual([(await ok('admin', 'GET', `/v2.0/ports?device_id=${id}`)).ports, (await floating()).floating_ip_address], [[], '172.16.0.3']);
  await close();
});

eachStore('N-L3-15: set --port leads it to the port\'s fixed address by the router between; show lists both; a move, a disassociation and a delete end it', async (store) => {
  const { ok, port, floating, shown, router, close } = await floatingLab(store);
  const [first, second] = [await port({ name: 'web', device_owner: 'compute:nova', device_id: 'server' }), await port()];
  const made = await floating({ port_id: first.id });
  assert.deepEqual([made.port_id, made.fixed_ip_address, made.router_id, made.status], [first.id, '10.0.0.2', router.id, 'DOWN']);
  assert.deepEqual(made.port_details, { name: 'web', network_id: first.network_id, mac_address: first.mac_address, admin_state_up: true, status: 'DOWN', device_id: 'server', device_owner: 'compute:nova' });
  const put = async (floatingip: Record<string, unknown>) => (await ok('demo', 'PUT', `/v2.0/floatingips/${made.id}`, { floatingip })).floatingip;
  await store.write((tx) => setFloatingIpStatus(tx, made.id, true));
  const named = await put({ description: 'named' });
  assert.deepEqual([named.port_id, named.fixed_ip_address, named.status, named.description], [first.id, '10.0.0.2', 'ACTIVE', 'named'], 'without port_id the association stays');
  assert.equal((await put({ port_id: first.id, fixed_ip_address: '10.0.0.2' })).status, 'ACTIVE', 'the same again changes nothing that a host does');
  const moved = await put({ port_id: second.id });
  assert.deepEqual([moved.port_id, moved.fixed_ip_address, moved.router_id, moved.status, moved.port_details.mac_address], [second.id, '10.0.0.3', router.id, 'DOWN', second.mac_address]);
  const free = await put({ port_id: null });
  assert.deepEqual([free.port_id, free.fixed_ip_address, free.router_id, free.status, free.port_details], [null, null, null, 'DOWN', null]);
  assert.deepEqual(await put({}), free);
  assert.equal((await put({ port_id: first.id })).fixed_ip_address, '10.0.0.2');
  assert.deepEqual((await shown(made.id)).floating_ip_address, made.floating_ip_address);
  await ok('demo', 'DELETE', `/v2.0/floatingips/${made.id}`);
  await ok('demo', 'DELETE', `/v2.0/ports/${first.id}`);
  await close();
});

eachStore('a port with several fixed addresses may have a floating IP for each, one by one and by name', async (store) => {
  const { ok, call, port, floating, close } = await floatingLab(store);
  const many = await port({ fixed_ips: [{ ip_address: '10.0.0.20' }, { ip_address: '10.0.0.21' }] });
  const made = await floating({ port_id: many.id, fixed_ip_address: '10.0.0.21' });
  const other = await floating();
  const put = (id: string, floatingip: Record<string, unknown>) => call('demo', 'PUT', `/v2.0/floatingips/${id}`, { floatingip });
  assert.equal(problem(await put(other.id, { port_id: many.id })), '400 BadRequest');
  assert.equal(problem(await put(other.id, { port_id: many.id, fixed_ip_address: '10.0.0.21' })), '409 FloatingIPPortAlreadyAssociated');
  assert.equal((await put(other.id, { port_id: many.id, fixed_ip_address: '10.0.0.20' })).body.floatingip.fixed_ip_address, '10.0.0.20');
  // To the address that the port's other floating IP has: Neutron leaves that to the database.
  assert.equal(problem(await put(other.id, { port_id: many.id, fixed_ip_address: '10.0.0.21' })), '409 FloatingIPPortAlreadyAssociated');
  assert.equal((await put(other.id, { description: 'a port with many addresses' })).status, 200);
  assert.deepEqual((await ok('demo', 'GET', `/v2.0/floatingips?port_id=${many.id}&sort_key=fixed_ip_address&sort_dir=asc`)).floatingips.map((one: any) => one.id), [other.id, made.id]);
  await close();
});

eachStore('the router with the subnet\'s gateway address carries a floating IP, else one with any leg there; none is 404', async (store) => {
  const { floating, port, call, external, inside, router, close } = await floatingLab(store);
  await store.write((tx) => insertRouter(tx, external, [{ subnet: inside, ip_address: '10.0.0.200' }]));
  assert.equal((await floating({ port_id: (await port()).id })).router_id, router.id);
  const side = await store.write(async (tx) => {
    const network = await insertNetwork(tx, { project_id: 'demo-project' });
    const lonely = await insertNetwork(tx, { project_id: 'demo-project' });
    await insertSubnet(tx, lonely, '10.2.0.0/24');
    const elsewhere = await insertNetwork(tx, { project_id: 'admin-project', 'router:external': true });
    await insertSubnet(tx, elsewhere, '198.51.100.0/24');
    const subnet = await insertSubnet(tx, network, '10.1.0.0/24');
    return { network, lonely, elsewhere, router: await insertRouter(tx, external, [{ subnet, ip_address: '10.1.0.99' }]) };
  });
  const port_id = (await port({ network_id: side.network.id })).id;
  assert.equal((await floating({ port_id })).router_id, side.router.id);
  assert.equal(problem(await call('demo', 'POST', '/v2.0/floatingips', { floatingip: { floating_network_id: side.elsewhere.id, port_id } })), '404 ExternalGatewayForFloatingIPNotFound');
  assert.equal(problem(await call('demo', 'POST', '/v2.0/floatingips', { floatingip: { floating_network_id: external.id, port_id: (await port({ network_id: side.lonely.id })).id } })), '404 ExternalGatewayForFloatingIPNotFound');
  await close();
});

eachStore('bad input is answered with Neutron\'s status and type, and the store is unchanged', async (store) => {
  const { call, ok, port, floating, external, home, inside, close } = await floatingLab(store);
  const v6 = await store.write(async (tx) => {
    const only = await insertNetwork(tx, { project_id: 'admin-project', 'router:external': true });
    await insertSubnet(tx, only, '2001:db8::/64');
    return { only, subnet: await insertSubnet(tx, external, '2001:db8:1::/64') };
  });
  const full = await store.write(async (tx) => {
    const network = await insertNetwork(tx, { project_id: 'admin-project', 'router:external': true });
    await insertSubnet(tx, network, '203.0.113.0/30', { allocation_pools: [{ start: '203.0.113.2', end: '203.0.113.2' }] });
    return network;
  });
  await floating({ floating_network_id: full.id });
  const target = await port();
  const bare = await port({ fixed_ips: [] });
  const dhcp = await port({ device_owner: 'network:dhcp' }, 'admin');
  const mine = await port({ project_id: 'demo-project', device_owner: 'network:dhcp' }, 'admin');
  const foreign = await port({ project_id: 'alt-project' }, 'admin');
  const outside = await port({ network_id: external.id, project_id: 'demo-project' }, 'admin');
  const held = await floating({ port_id: target.id });
  const free = await floating();
  const before = await dump(store.reader, TABLES);
  const create: [who: string, given: Record<string, unknown>, expected: string][] = [
    ['demo', { floating_network_id: home.id }, '400 BadRequest'],
    ['demo', { floating_network_id: crypto.randomUUID() }, '404 NetworkNotFound'],
    ['alt', { floating_network_id: home.id }, '404 NetworkNotFound'],
    ['demo', { floating_network_id: v6.only.id }, '400 BadRequest'],
    ['demo', { floating_network_id: full.id }, '409 IpAddressGenerationFailure'],
    ['demo', { subnet_id: v6.subnet.id }, '400 ExternalIpAddressExhausted'],
    ['demo', { subnet_id: inside.id }, '400 InvalidInput'],
    ['demo', { subnet_id: crypto.randomUUID() }, '404 SubnetNotFound'],
    ['demo', { floating_ip_address: '172.16.0.99' }, '403 PolicyNotAuthorized'],
    ['admin', { floating_ip_address: held.floating_ip_address }, '409 IpAddressAlreadyAllocated'],
    ['admin', { floating_ip_address: '172.16.1.99' }, '400 InvalidIpForNetwork'],
    ['admin', { floating_ip_address: '172.16.0.300' }, '400 HTTPBadRequest'],
    ['demo', { port_id: target.id }, '409 FloatingIPPortAlreadyAssociated'],
    ['demo', { port_id: 'x' }, '400 HTTPBadRequest'],
    ['demo', { status: 'ACTIVE' }, '400 HTTPBadRequest'],
    ['demo', { floating_port_id: target.id }, '400 HTTPBadRequest'],
    ['demo', { dns_name: 'a b' }, '400 HTTPBadRequest'],
    ['demo', { project_id: 'alt-project' }, '400 HTTPBadRequest'],
    ['reader', {}, '403 PolicyNotAuthorized'],
  ];
  for (const [who, given, expected] of create) {
    assert.equal(problem(await call(who, 'POST', '/v2.0/floatingips', { floatingip: { floating_network_id: external.id, ...given } })), expected, JSON.stringify(given));
  }
  const link: [given: Record<string, unknown>, expected: string][] = [
    [{ fixed_ip_address: '10.0.0.2' }, '400 BadRequest'],
    [{ port_id: null, fixed_ip_address: '10.0.0.2' }, '400 BadRequest'],
    [{ port_id: target.id, fixed_ip_address: '10.0.0.99' }, '400 BadRequest'],
    [{ port_id: target.id, fixed_ip_address: '2001:db8::1' }, '400 BadRequest'],
    [{ port_id: bare.id }, '400 BadRequest'],
    [{ port_id: dhcp.id }, '400 BadRequest'],
    [{ port_id: mine.id }, '400 BadRequest'],
    [{ port_id: foreign.id }, '400 BadRequest'],
    [{ port_id: crypto.randomUUID() }, '404 PortNotFound'],
    [{ port_id: outside.id }, '404 ExternalGatewayForFloatingIPNotFound'],
    [{ port_id: target.id }, '409 FloatingIPPortAlreadyAssociated'],
    [{ floating_ip_address: '172.16.0.99' }, '400 HTTPBadRequest'],
    [{ router_id: crypto.randomUUID() }, '400 HTTPBadRequest'],
  ];
  for (const [given, expected] of link) assert.equal(problem(await call('demo', 'PUT', `/v2.0/floatingips/${free.id}`, { floatingip: given })), expected, JSON.stringify(given));
  for (const [method, body] of [['GET', undefined], ['PUT', { floatingip: { description: 'x' } }], ['DELETE', undefined]] as const) {
    assert.equal(problem(await call('alt', method, `/v2.0/floatingips/${held.id}`, body)), '404 FloatingIPNotFound');
    assert.equal(problem(await call('demo', method, `/v2.0/floatingips/${crypto.randomUUID()}`, body)), '404 FloatingIPNotFound');
  }
  assert.equal(problem(await call('alt', 'POST', '/v2.0/floatingips', { floatingip: { floating_network_id: external.id, port_id: target.id } })), '404 PortNotFound');
  assert.equal(problem(await call('reader', 'PUT', `/v2.0/floatingips/${held.id}`, { floatingip: { port_id: null } })), '403 PolicyNotAuthorized');
  assert.deepEqual(await dump(store.reader, TABLES), before);
  assert.equal((await ok('admin', 'PUT', `/v2.0/floatingips/${free.id}`, { floatingip: { port_id: foreign.id } })).floatingip.port_id, foreign.id, 'an admin joins what belongs to two projects');
  await close();
});

eachStore('the quota bounds floating IPs; many in one request are all made or none', async (store) => {
  const { call, ok, external, port, close } = await floatingLab(store, { quota_floatingip: 3 });
  const many = (count: number, given = {}) => call('demo', 'POST', '/v2.0/floatingips', { floatingips: Array.from({ length: count }, () => ({ floating_network_id: external.id, ...given })) });
  const before = await dump(store.reader, TABLES);
  assert.equal(problem(await many(4)), '409 OverQuota');
  const port_id = (await port()).id;
  const after = await dump(store.reader, TABLES);
  assert.equal(problem(await many(2, { port_id })), '409 FloatingIPPortAlreadyAssociated');
  assert.deepEqual(await dump(store.reader, TABLES), after);
  assert.deepEqual(before['floatingips'], after['floatingips']);
  const { status, body } = await many(3);
  assert.deepEqual([status, body.floatingips.map((one: any) => one.floating_ip_address)], [201, ['172.16.0.3', '172.16.0.4', '172.16.0.5']]);
  assert.equal(problem(await many(1)), '409 OverQuota');
  assert.equal((await ok('demo', 'GET', '/v2.0/quotas/demo-project/details.json')).quota.floatingip.used, 3);
  await close();
});

eachStore('lists: one\'s own, filtered by what clients filter by; tags; an If-Match', async (store) => {
  const { call, ok, floating, port, external, router, close } = await floatingLab(store);
  const target = await port();
  const linked = await floating({ port_id: target.id });
  const free = await floating({ description: 'free' });
  const others = await floating({}, 'alt');
  const ids = async (query: string, who = 'demo') => (await ok(who, 'GET', `/v2.0/floatingips?${query}`)).floatingips.map((one: any) => one.id).sort();
  assert.deepEqual(await ids(''), [linked.id, free.id].sort());
  assert.deepEqual(await ids('', 'alt'), [others.id]);
  assert.equal((await ids('', 'admin')).length, 3);
  for (const filter of [`router_id=${router.id}`, `port_id=${target.id}`, 'fixed_ip_address=10.0.0.2', `floating_ip_address=${linked.floating_ip_address}`]) assert.deepEqual(await ids(filter), [linked.id], filter);
  for (const filter of ['router_id=', 'description=free', `floating_ip_address=${free.floating_ip_address}&status=DOWN`]) assert.deepEqual(await ids(filter), [free.id], filter);
  assert.deepEqual(await ids(`floating_network_id=${external.id}&tenant_id=demo-project`), [linked.id, free.id].sort());
  assert.deepEqual(await ids('status=ACTIVE'), []);
  await ok('demo', 'PUT', `/v2.0/floatingips/${free.id}/tags`, { tags: ['blue'] });
  assert.deepEqual(await ids('tags=blue'), [free.id]);
  assert.equal(problem(await call('demo', 'GET', '/v2.0/floatingips?port_details=x')), '400 HTTPBadRequest');
  assert.equal(problem(await call('demo', 'GET', `/v2.0/floatingips?floating_port_id=${target.id}`)), '400 HTTPBadRequest');
  assert.equal(problem(await call('demo', 'PUT', `/v2.0/floatingips/${free.id}`, { floatingip: { port_id: null } }, { 'if-match': 'revision_number=0' })), '412 RevisionNumberConstraintFailed');
  await close();
});

eachStore('the status comes from the router\'s host, is written when it changes, and never for an address that no router carries', async (store) => {
  const { floating, port, shown, ok, router, close } = await floatingLab(store);
  const made = await floating({ port_id: (await port()).id });
  const report = (good: boolean, reason?: string, routerId?: string) => store.write((tx) => setFloatingIpStatus(tx, made.id, good, reason, routerId));
  const told = async () => {
    const { status, status_reason, revision_number } = await shown(made.id, 'admin');
    return [status, status_reason, revision_number];
  };
  await report(true, undefined, crypto.randomUUID());
  assert.deepEqual(await told(), ['DOWN', null, 0]);
  await report(true, undefined, router.id);
  assert.deepEqual(await told(), ['ACTIVE', null, 1]);
  const head = await store.feed.head();
  await report(true);
  assert.deepEqual([await told(), await store.feed.head()], [['ACTIVE', null, 1], head]);
  await report(false, 'nft refused it');
  assert.deepEqual(await told(), ['ERROR', 'nft refused it', 2]);
  assert.ok(!('status_reason' in (await shown(made.id))));
  await ok('demo', 'PUT', `/v2.0/floatingips/${made.id}`, { floatingip: { port_id: null } });
  await report(true);
  assert.deepEqual((await told()).slice(0, 2), ['DOWN', null]);
  await close();
});

eachStore('of two floating IPs that two controllers lead to one fixed address at once, one gets there', async (store, connection) => {
  const { call, port, floating, external, close } = await floatingLab(store);
  const again = await openStore(connection);
  const other = floatingApi(again);
  for (let round = 0; round < 8; round++) {
    const target = { port_id: (await port()).id };
    const [first, second] = [await floating(), await floating()];
    const answers = await Promise.all([
      call('demo', 'PUT', `/v2.0/floatingips/${first.id}`, { floatingip: target }), other.call('demo', 'PUT', `/v2.0/floatingips/${second.id}`, { floatingip: target }),
      other.call('demo', 'POST', '/v2.0/floatingips', { floatingip: { ...target, floating_network_id: external.id } }),
    ]);
    assert.deepEqual(answers.filter(({ status }) => status >= 300).map(problem), ['409 FloatingIPPortAlreadyAssociated', '409 FloatingIPPortAlreadyAssociated']);
  }
  await other.close();
  await close();
  await again.close();
});

eachStore('floating IP pools are the IPv4 subnets of external networks, for everybody', async (store) => {
  const { ok, call, external, externalSubnet, close } = await floatingLab(store);
  await store.write((tx) => insertSubnet(tx, external, '2001:db8::/64'));
  const pool = { subnet_id: externalSubnet.id, subnet_name: 'pool', network_id: external.id, cidr: '172.16.0.0/24', project_id: 'demo-project', tenant_id: 'demo-project' };
  for (const path of ['floatingip_pools', 'floatingip-pools']) assert.deepEqual(await ok('demo', 'GET', `/v2.0/${path}`), { floatingip_pools: [pool] });
  assert.deepEqual(await ok('demo', 'GET', '/v2.0/floatingip-pools?fields=cidr'), { floatingip_pools: [{ cidr: '172.16.0.0/24' }] });
  assert.equal(problem(await call('demo', 'GET', '/v2.0/floatingip-pools?colour=red')), '400 HTTPBadRequest');
  assert.equal(problem(await call('demo', 'POST', '/v2.0/floatingip-pools', {})), '405 HTTPMethodNotAllowed');
  await close();
});

test('the extensions of floating IPs and port forwardings follow service_plugins', () => {
  const aliases = (yaml: string) => extensions(loadConfig(yaml)).map(({ alias }) => alias).filter((alias) => /fip|floating/.test(alias));
  assert.equal(aliases('').length, 7);
  assert.deepEqual(aliases('service_plugins: [router]'), ['fip-port-details', 'floatingip-pools']);
  assert.deepEqual(aliases('service_plugins: []'), []);
});
