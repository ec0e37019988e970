import assert from 'node:assert/strict';
import { openStore } from '#store/open.ts';
import type { Store } from '#store/store.ts';
import { floatingApi, floatingLab, insertRouter } from '#testkit/floating-lab.ts';
import { insertNetwork, insertSubnet } from '#testkit/network-rows.ts';
import { eachStore } from '#testkit/stores.ts';
import { dump } from '#testkit/table-dump.ts';
import { setFloatingIpStatus } from './floating-ips.ts';

const problem = ({ status, body }: { status: number; body: any }) => `${status} ${body?.NeutronError?.type}`;
const TABLES = ['floatingips', 'port_forwardings', 'changes'];

async function lab(store: Store) {
  const made = await floatingLab(store);
  const path = (floating: any, id = '') => `/v2.0/floatingips/${floating.id}/port_forwardings${id && `/${id}`}`;
  return {
    ...made, path,
    forward: async (floating: any, given: Record<string, unknown>, who = 'demo') => (await made.ok(who, 'POST', path(floating), { port_forwarding: { protocol: 'tcp', ...given } })).port_forwarding,
  };
}

eachStore('single ports and ranges lead to a port; the floating IP has their router while it has any, and lists them', async (store) => {
  const { ok, port, floating, shown, forward, path, router, close } = await lab(store);
  const [target, home] = [await port(), await floating()];
  const web = await forward(home, { internal_port_id: target.id, internal_port: 80, external_port: '8080', description: 'web', project_id: 'demo-project' });
  const { id, ...rest } = web;
  assert.deepEqual(rest, {
    protocol: 'tcp', internal_port_id: target.id, internal_ip_address: '10.0.0.2', internal_port: 80, external_port: 8080, internal_port_range: '80:80', external_port_range: '8080:8080', description: 'web',
  });
  const range = await forward(home, { internal_port_id: target.id, internal_ip_address: '10.0.0.2', protocol: 'udp', internal_port_range: '100:109', external_port_range: '2000:2009' });
  assert.deepEqual([range.internal_port_range, range.external_port_range, 'internal_port' in range, 'external_port' in range], ['100:109', '2000:2009', false, false]);
  const many = await forward(home, { internal_port_id: target.id, internal_port: 22, external_port_range: '3000:3010' });
  assert.deepEqual([many.internal_port, many.internal_port_range, many.external_port_range], [22, '22:22', '3000:3010']);
  const seen = await shown(home.id);
  assert.deepEqual([seen.router_id, seen.port_id, seen.fixed_ip_address, seen.status], [router.id, null, null, 'DOWN']);
  const common = { protocol: 'tcp', internal_ip_address: '10.0.0.2', internal_port_id: target.id };
  assert.deepEqual(new Map(seen.port_forwardings.map((one: any) => [one.id, one])), new Map([
    [id, { ...common, id, internal_port: 80, external_port: 8080 }], [range.id, { ...common, id: range.id, protocol: 'udp' }], [many.id, { ...common, id: many.id, internal_port: 22 }],
  ]));
  await store.write((tx) => setFloatingIpStatus(tx, home.id, true));
  assert.equal((await shown(home.id)).status, 'ACTIVE');
  assert.deepEqual(await ok('demo', 'GET', path(home, id)), { port_forwarding: web });
  for (const one of [web, range]) await ok('demo', 'DELETE', path(home, one.id));
  assert.deepEqual([(await shown(home.id)).router_id, (await ok('demo', 'GET', path(home))).port_forwardings], [router.id, [many]]);
  await ok('demo', 'DELETE', path(home, many.id));
  const empty = await shown(home.id);
  assert.deepEqual([empty.router_id, empty.status, empty.port_forwardings], [null, 'DOWN', []]);
  assert.ok(empty.revision_number > seen.revision_number);
  await ok('demo', 'DELETE', `/v2.0/floatingips/${home.id}`);
  await close();
});

eachStore('an update changes ports, protocol, description and where they lead', async (store) => {
  const { ok, call, port, floating, forward, path, close } = await lab(store);
  const [first, second, home] = [await port({ fixed_ips: [{ ip_address: '10.0.0.20' }, { ip_address: '10.0.0.21' }] }), await port(), await floating()];
  const made = await forward(home, { internal_port_id: first.id, internal_port: 80, external_port: 80 });
  assert.equal(made.internal_ip_address, '10.0.0.20');
  const put = async (port_forwarding: Record<string, unknown>) => (await ok('demo', 'PUT', path(home, made.id), { port_forwarding })).port_forwarding;
  assert.deepEqual(await put({ external_port: 81, description: 'd' }), { ...made, external_port: 81, external_port_range: '81:81', description: 'd' });
  const { internal_port: _, external_port: _external, ...ranged } = { ...made, internal_port_range: '90:95', external_port_range: '90:95', description: 'd' };
  assert.deepEqual(await put({ internal_port: null, internal_port_range: '90:95', external_port_range: '90:95' }), ranged);
  assert.deepEqual(await put({ external_port: 7, internal_port: 8, protocol: 'udp' }), { ...made, protocol: 'udp', internal_port: 8, internal_port_range: '8:8', external_port: 7, external_port_range: '7:7', description: 'd' });
  assert.equal((await put({ internal_ip_address: '10.0.0.21' })).internal_ip_address, '10.0.0.21');
  const moved = await put({ internal_port_id: second.id });
  assert.deepEqual([moved.internal_port_id, moved.internal_ip_address], [second.id, second.fixed_ips[0].ip_address]);
  assert.deepEqual(await put({}), moved);
  assert.equal(problem(await call('demo', 'PUT', path(home, made.id), { port_forwarding: { description: 'x' } }, { 'if-match': 'revision_number=0' })), '412 RevisionNumberConstraintFailed');
  await close();
});

eachStore('ATT-subresource: bad input is answered with Neutron\'s status and type, and the store is unchanged', async (store) => {
  const { ok, call, port, floating, forward, path, external, close } = await lab(store);
  const [target, linked, home, other] = [await port(), await port(), await floating(), await floating()];
  const bound = await floating({ port_id: linked.id });
  const bare = await port({ fixed_ips: [] });
  const away = await store.write(async (tx) => {
    const network = await insertNetwork(tx, { project_id: 'demo-project' });
    const subnet = await insertSubnet(tx, network, '10.1.0.0/24');
    const lonely = await insertNetwork(tx, { project_id: 'demo-project' });
    await insertSubnet(tx, lonely, '10.2.0.0/24');
    await insertRouter(tx, external, [{ subnet }]);
    return { network, lonely };
  });
  const [behind, lonely] = [await port({ network_id: away.network.id }), await port({ network_id: away.lonely.id })];
  const made = await forward(home, { internal_port_id: target.id, internal_port: 80, external_port: 8080 });
  const range = await forward(home, { internal_port_id: target.id, internal_port_range: '100:110', external_port_range: '100:110' });
  const before = await dump(store.reader, TABLES);
  const fresh = { protocol: 'tcp', internal_port_id: target.id, internal_port: 1, external_port: 1 };
  const create: [given: Record<string, unknown>, expected: string, onto?: any][] = [
    [{ external_port: 8080 }, '400 BadRequest'],
    [{ internal_port: 80 }, '400 BadRequest'],
    [{ internal_port: 80 }, '400 BadRequest', other],
    [{ external_port: undefined, external_port_range: '8000:9000' }, '400 BadRequest'],
    [{ external_port: 105 }, '400 BadRequest'],
    [{ internal_port: undefined, internal_port_range: '1:3', external_port: undefined, external_port_range: '1:2' }, '400 BadRequest'],
    [{ internal_port: undefined, internal_port_range: '1:3' }, '400 BadRequest'],
    [{ internal_port: undefined }, '400 BadRequest'],
    [{ internal_port_range: '2:2' }, '400 BadRequest'],
    [{ internal_port_range: '3:2' }, '400 HTTPBadRequest'],
    [{ external_port_range: '0:2' }, '400 HTTPBadRequest'],
    [{ external_port_range: '1:2:3' }, '400 HTTPBadRequest'],
    [{ external_port: 0 }, '400 HTTPBadRequest'],
    [{ external_port: 65536 }, '400 HTTPBadRequest'],
    [{ protocol: 'esp' }, '400 HTTPBadRequest'],
    [{ protocol: undefined }, '400 HTTPBadRequest'],
    [{ internal_port_id: undefined }, '400 HTTPBadRequest'],
    [{ floatingip_id: other.id }, '400 HTTPBadRequest'],
    [{ internal_ip_address: '10.0.0.99' }, '400 BadRequest'],
    [{ internal_ip_address: '2001:db8::1' }, '400 BadRequest'],
    [{ internal_port_id: bare.id }, '400 BadRequest'],
    [{ internal_port_id: crypto.randomUUID() }, '404 PortNotFound'],
    [{ internal_port_id: lonely.id }, '400 BadRequest'],
    [{ internal_port_id: behind.id }, '400 BadRequest'],
    [{ internal_port_id: linked.id }, '409 PortHasBindingFloatingIP'],
    [{}, '409 FloatingIPPortAlreadyAssociated', bound],
    [{}, '404 FloatingIPNotFound', { id: crypto.randomUUID() }],
    [{}, '404 FloatingIPNotFound', { id: 'a%00b' }],
  ];
  for (const [given, expected, onto = home] of create) assert.equal(problem(await call('demo', 'POST', path(onto), { port_forwarding: { ...fresh, ...given } })), expected, JSON.stringify(given));
  const update: [given: Record<string, unknown>, expected: string][] = [
    [{ external_port: 100 }, '400 BadRequest'],
    [{ internal_port: 110 }, '400 BadRequest'],
    [{ internal_port_range: '1:2' }, '400 BadRequest'],
    [{ internal_port_id: linked.id }, '409 PortHasBindingFloatingIP'],
    [{ internal_port_id: behind.id }, '400 BadRequest'],
    [{ internal_ip_address: '10.0.0.99' }, '400 BadRequest'],
    [{ project_id: 'demo-project' }, '400 HTTPBadRequest'],
  ];
  for (const [given, expected] of update) assert.equal(problem(await call('demo', 'PUT', path(home, made.id), { port_forwarding: given })), expected, JSON.stringify(given));
  // A child is only there below its own parent, and a parent only for who may see it.
  for (const [method, body] of [['GET', undefined], ['PUT', { port_forwarding: { description: 'x' } }], ['DELETE', undefined]] as const) {
    assert.equal(problem(await call('demo', method, path(other, made.id), body)), '404 PortForwardingNotFound');
    assert.equal(problem(await call('demo', method, path(home, crypto.randomUUID()), body)), '404 PortForwardingNotFound');
    assert.equal(problem(await call('alt', method, path(home, made.id), body)), '404 FloatingIPNotFound');
  }
  for (const [method, body] of [['GET', undefined], ['POST', { port_forwarding: fresh }]] as const) assert.equal(problem(await call('alt', method, path(home), body)), '404 FloatingIPNotFound');
  assert.equal(problem(await call('reader', 'POST', path(home), { port_forwarding: fresh })), '403 PolicyNotAuthorized');
  assert.equal(problem(await call('reader', 'DELETE', path(home, made.id))), '403 PolicyNotAuthorized');
  // A floating IP that is in use by forwardings has no other use, and stays.
  assert.equal(problem(await call('demo', 'PUT', `/v2.0/floatingips/${home.id}`, { floatingip: { port_id: target.id } })), '409 FipInUseByPortForwarding');
  assert.equal(problem(await call('demo', 'DELETE', `/v2.0/floatingips/${home.id}`)), '409 FipInUseByPortForwarding');
  assert.deepEqual(await dump(store.reader, TABLES), before);
  const described = (await ok('demo', 'PUT', `/v2.0/floatingips/${home.id}`, { floatingip: { port_id: null, description: 'kept' } })).floatingip;
  assert.deepEqual([described.description, described.router_id !== null, described.port_forwardings.length], ['kept', true, 2]);
  assert.equal((await ok('demo', 'PUT', path(home, range.id), { port_forwarding: { internal_port_range: '101:111', external_port_range: '101:111' } })).port_forwarding.external_port_range, '101:111', 'it does not collide with itself');
  await close();
});

eachStore('lists are those of one floating IP, filtered, sorted, by pages whose links work; many are made in one request or none', async (store) => {
  const { ok, call, port, floating, forward, path, close } = await lab(store);
  const [target, home, other] = [await port(), await floating(), await floating()];
  const given = (port: number) => ({ protocol: 'tcp', internal_port_id: target.id, internal_port: port, external_port: port });
  const { status, body } = await call('demo', 'POST', path(home), { port_forwardings: [given(1), given(2), given(3)] });
  assert.deepEqual([status, body.port_forwardings.map((one: any) => one.external_port)], [201, [1, 2, 3]]);
  await forward(other, { ...given(4), protocol: 'udp' });
  assert.equal(problem(await call('demo', 'POST', path(home), { port_forwardings: [given(5), given(5)] })), '400 BadRequest');
  const ports = async (query: string, onto = home) => (await ok('demo', 'GET', `${path(onto)}?${query}`)).port_forwardings.map((one: any) => one.external_port);
  assert.deepEqual([await ports('sort_key=external_port&sort_dir=desc'), await ports('', other)], [[3, 2, 1], [4]]);
  assert.deepEqual([await ports('external_port=2'), await ports('external_port_range=3:3'), await ports('protocol=udp'), await ports(`internal_port_id=${target.id}&external_port=1`)], [[2], [3], [], [1]]);
  assert.deepEqual((await ok('demo', 'GET', `${path(home)}?external_port=1&fields=external_port`)).port_forwardings, [{ external_port: 1 }]);
  const walked: number[] = [];
  let next: string | undefined = `${path(home)}?limit=2&sort_key=external_port&sort_dir=asc`;
  while (next) {
    const page: any = await ok('demo', 'GET', next);
    walked.push(...page.port_forwardings.map((one: any) => one.external_port));
    next = page.port_forwardings_links?.find((link: any) => link.rel === 'next')?.href.replace('http://cloud.test:8770/network', '');
  }
  assert.deepEqual(walked, [1, 2, 3]);
  for (const query of ['internal_port=1', 'internal_ip_address=10.0.0.2', 'floatingip_id=x', 'project_id=x', 'sort_key=internal_port&sort_dir=asc']) assert.equal(problem(await call('demo', 'GET', `${path(home)}?${query}`)), '400 HTTPBadRequest', query);
  assert.equal(problem(await call('demo', 'PUT', path(home), {})), '405 HTTPMethodNotAllowed');
  assert.ok(!(await ok('demo', 'GET', '/v2.0')).resources.some((one: any) => one.name === 'port_forwarding'));
  await close();
});

eachStore('two controllers give one internal socket to two floating IPs at once: one of them gets it', async (store, connection) => {
  const { call, port, floating, path, close } = await lab(store);
  const again = await openStore(connection);
  const other = floatingApi(again);
  const target = await port();
  const pair = [await floating(), await floating()];
  for (let round = 1; round <= 6; round++) {
    const body = { port_forwarding: { protocol: 'tcp', internal_port_id: target.id, internal_port: round, external_port: round } };
    const answers = await Promise.all([call('demo', 'POST', path(pair[0]), body), other.call('demo', 'POST', path(pair[1]), body)]);
    assert.deepEqual(answers.map(({ status }) => status).sort(), [201, 400]);
  }
  await other.close();
  await close();
  await again.close();
});
