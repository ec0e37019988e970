/** What a project may do to objects of others, and what requests cost that mean harm. */
import assert from 'node:assert/strict';
import { routerApi } from '#testkit/router-api.ts';
import { eachStore } from '#testkit/stores.ts';
import { dump } from '#testkit/table-dump.ts';

const TABLES = ['networks', 'subnets', 'ports', 'security_groups', 'security_group_rules', 'routers', 'changes'];
const NOBODY = '00000000-0000-4000-8000-000000000000';

/** One of each of demo's, by collection. */
async function belongings(api: Awaited<ReturnType<typeof routerApi>>): Promise<Map<string, string>> {
  const { network, subnet } = await api.network('demo', '10.0.0.0/24');
  const port = await api.port('demo', { network_id: network.id });
  const group = (await api.ok('demo', 'POST', '/v2.0/security-groups', { security_group: { name: 'g' } })).security_group;
  const router = await api.router('demo');
  await api.act('demo', router, 'add_router_interface', { subnet_id: subnet.id });
  return new Map([['networks', network.id], ['subnets', subnet.id], ['ports', port.id], ['security-groups', group.id], ['security-group-rules', group.security_group_rules[0].id], ['routers', router.id]]);
}

eachStore('ATT-ids, OSSA-2024-005: of a foreign object every verb, on it and on its tags, answers as of one that is not there', async (store) => {
  const api = await routerApi(store);
  const objects = await belongings(api);
  // A list of groups makes the default one of its project, once.
  await api.ok('alt', 'GET', '/v2.0/security-groups');
  const before = await dump(store.reader, TABLES);
  for (const [collection, id] of objects) {
    const member = collection.replaceAll('-', '_').replace(/s$/, '');
    const verbs: [string, string, unknown?][] = [
      ['GET', ''], ['PUT', '', { [member]: { description: 'mine' } }], ['DELETE', ''],
      ...(collection === 'security-group-rules' ? [] : [['GET', '/tags'], ['PUT', '/tags', { tags: ['x'] }], ['DELETE', '/tags'], ['GET', '/tags/x'], ['PUT', '/tags/x'], ['DELETE', '/tags/x']] as [string, string, unknown?][]),
    ];
    for (const [method, rest, body] of verbs) {
      const [foreign, none] = [await api.call('alt', method, `/v2.0/${collection}/${id}${rest}`, body), await api.call('alt', method, `/v2.0/${collection}/${NOBODY}${rest}`, body)];
      assert.equal(foreign.status, 404, `${method} ${collection}${rest}`);
      assert.deepEqual({ ...foreign, headers: {}, body: JSON.stringify(foreign.body).replaceAll(id, NOBODY) }, { ...none, headers: {}, body: JSON.stringify(none.body) });
      // Of the project itself a reader sees, and writes nothing.
      if (method !== 'GET') assert.equal((await api.call('reader', method, `/v2.0/${collection}/${id}${rest}`, body)).status, 403, `reader ${method} ${collection}${rest}`);
    }
    assert.deepEqual((await api.ok('alt', 'GET', `/v2.0/${collection}?id=${id}`))[collection.replaceAll('-', '_')], []);
  }
  const given: [string, unknown][] = [
    ['subnets', { subnet: { network_id: objects.get('networks'), ip_version: 4, cidr: '10.1.0.0/24' } }], ['ports', { port: { network_id: objects.get('networks') } }],
    ['security-group-rules', { security_group_rule: { security_group_id: objects.get('security-groups'), direction: 'ingress' } }],
  ];
  for (const [collection, body] of given) assert.equal((await api.call('alt', 'POST', `/v2.0/${collection}`, body)).status, 404, collection);
  for (const action of ['add_router_interface', 'remove_router_interface', 'add_extraroutes']) assert.equal((await api.call('alt', 'PUT', `/v2.0/routers/${objects.get('routers')}/${action}`, {})).status, 404, action);
  assert.deepEqual(await dump(store.reader, TABLES), before);
  await api.close();
});

eachStore('ATT-bulk: a bulk request past the quota, or too large, makes nothing', async (store) => {
  const api = await routerApi(store, { settings: { quota_port: 20 } });
  const { network } = await api.network('demo', '10.0.0.0/16');
  // The default group comes with the first port, also with one that is not made.
  await api.port('demo', { network_id: network.id });
  const before = await dump(store.reader, TABLES);
  const ports = (count: number, more = {}) => ({ ports: Array.from({ length: count }, () => ({ network_id: network.id, ...more })) });
  assert.equal((await api.call('demo', 'POST', '/v2.0/ports', ports(10_000))).status, 409);
  assert.equal((await api.call('demo', 'POST', '/v2.0/ports', ports(6_000, { description: 'x'.repeat(200) }))).status, 413);
  assert.equal((await api.call('demo', 'POST', '/v2.0/ports', ports(10, { fixed_ips: Array.from({ length: 1_001 }, () => ({})) }))).status, 400);
  assert.deepEqual(await dump(store.reader, TABLES), before);
  await api.close();
});

eachStore('ATT-redos, OSSA-2014-038: a filter means no more than its own letters, and its cost does not explode', async (store) => {
  const api = await routerApi(store);
  const { network } = await api.network('demo', '10.0.0.0/24', { name: 'a'.repeat(250) });
  await api.port('demo', { network_id: network.id });
  const evil = ['(a+)+$', '^(([a-z])+.)+[A-Z]([a-z])+$', `${'a'.repeat(250)}!`, '%', '_'.repeat(200), '%a'.repeat(100), '\\', "' or 1=1 --", '.*'];
  const begin = performance.now();
  for (const text of evil) {
    const value = encodeURIComponent(text);
    assert.deepEqual((await api.ok('demo', 'GET', `/v2.0/networks?name=${value}`)).networks, [], text);
    assert.equal((await api.call('demo', 'GET', `/v2.0/ports?fixed_ips=${encodeURIComponent(`ip_address_substr=${text}`)}`)).status, 400, text);
    assert.deepEqual((await api.ok('demo', 'GET', `/v2.0/ports?fixed_ips=${encodeURIComponent(`ip_address=${text}`)}`)).ports, [], text);
  }
  const texts = performance.now() - begin;
  const plain = performance.now();
  for (let i = 0; i < 3 * evil.length; i++) await api.ok('demo', 'GET', '/v2.0/networks?name=b');
  assert.ok(texts < 20 * (performance.now() - plain) + 500, `${texts} ms`);
  const many = Array.from({ length: 3_000 }, (_, i) => `id=${i}`).join('&');
  assert.deepEqual((await api.ok('demo', 'GET', `/v2.0/networks?${many}`)).networks, []);
  await api.close();
});
