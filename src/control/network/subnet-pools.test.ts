import assert from 'node:assert/strict';
import { subnetPoolLab } from '#testkit/subnet-pool-lab.ts';
import { eachStore } from '#testkit/stores.ts';

eachStore('a subnet pool with its defaults, its prefixes merged', async (store) => {
  const { pool, ok, close } = await subnetPoolLab(store);
  const made = await pool('demo', { name: 'p', prefixes: ['10.1.0.0/16', '10.0.0.7/16', '192.168.1.0/24'], description: 'mine' });
  const { id, created_at, updated_at, ...rest } = made;
  assert.ok(id && created_at === updated_at);
  assert.deepEqual(rest, {
    name: 'p', project_id: 'demo-project', tenant_id: 'demo-project', prefixes: ['10.0.0.0/15', '192.168.1.0/24'], default_quota: null, ip_version: 4, default_prefixlen: '8', min_prefixlen: '8', max_prefixlen: '32',
    is_default: false, shared: false, address_scope_id: null, description: 'mine', revision_number: 0, tags: [],
  });
  assert.deepEqual((await ok('demo', 'GET', `/v2.0/subnetpools/${id}`)).subnetpool, made);
  const six = await pool('demo', { prefixes: ['fd00::/40'] });
  assert.deepEqual([six.ip_version, six.min_prefixlen, six.max_prefixlen, six.default_prefixlen], [6, '64', '128', '64']);
  const bounded = await pool('demo', { prefixes: ['10.0.0.0/8'], min_prefixlen: 16, max_prefixlen: '28', default_prefixlen: 24, default_quota: 512 });
  assert.deepEqual([bounded.min_prefixlen, bounded.max_prefixlen, bounded.default_prefixlen, bounded.default_quota], ['16', '28', '24', 512]);
  assert.equal((await pool('demo', { prefixes: ['10.0.0.0/8'], min_prefixlen: 20 })).default_prefixlen, '20');
  await ok('demo', 'PUT', `/v2.0/subnetpools/${id}/tags`, { tags: ['red'] });
  assert.deepEqual((await ok('demo', 'GET', '/v2.0/subnetpools?tags=red&ip_version=4&fields=id')).subnetpools, [{ id }]);
  await close();
});

eachStore('bad subnet pools are refused and leave nothing', async (store) => {
  const { refused, close } = await subnetPoolLab(store);
  const head = await store.feed.head();
  const bounds = (type: string, length: number, base: string, limit: number) => `400 IllegalSubnetPoolPrefixBounds: Illegal prefix bounds: ${type}=${length}, ${base}=${limit}.`;
  const cases: [Record<string, unknown>, string][] = [
    [{ name: ' ' }, "400 HTTPBadRequest: Invalid input for name. Reason: ' ' Blank strings are not permitted."],
    [{ prefixes: [] }, '400 EmptySubnetPoolPrefixList: Empty subnet pool prefix list.'],
    [{ prefixes: ['10.0.0.0'] }, "400 HTTPBadRequest: Invalid input for prefixes. Reason: '10.0.0.0' is not a valid IP subnet."],
    [{ prefixes: ['10.0.0.0/8', '10.0.0.0/8'] }, "400 HTTPBadRequest: Invalid input for prefixes. Reason: Duplicate items in the list: '10.0.0.0/8, 10.0.0.0/8'."],
    [{ prefixes: ['10.0.0.0/8', 'fd00::/48'] }, '400 PrefixVersionMismatch: Cannot mix IPv4 and IPv6 prefixes in a subnet pool.'],
    [{ ip_version: 4 }, "400 HTTPBadRequest: Attribute 'ip_version' not allowed in POST"],
    [{ min_prefixlen: 25, max_prefixlen: 24 }, bounds('min_prefixlen', 25, 'max_prefixlen', 24)],
    [{ max_prefixlen: 33 }, bounds('max_prefixlen', 33, 'ip_version_max', 32)],
    [{ max_prefixlen: 200 }, bounds('max_prefixlen', 200, 'ip_version_max', 32)],
    [{ min_prefixlen: 16, default_prefixlen: 15 }, bounds('default_prefixlen', 15, 'min_prefixlen', 16)],
    [{ max_prefixlen: 28, default_prefixlen: 29 }, bounds('default_prefixlen', 29, 'max_prefixlen', 28)],
    [{ min_prefixlen: -1 }, "400 HTTPBadRequest: Invalid input for min_prefixlen. Reason: '-1' is too small - must be at least '0'."],
    [{ default_quota: -1 }, "400 HTTPBadRequest: Invalid input for default_quota. Reason: '-1' is too small - must be at least '0'."],
    [{ shared: true }, '403 PolicyNotAuthorized: rule:create_subnetpool:shared is disallowed by policy'],
    [{ is_default: true }, '403 PolicyNotAuthorized: rule:create_subnetpool:is_default is disallowed by policy'],
  ];
  for (const [attributes, expected] of cases) assert.equal(await refused('demo', 'POST', '/v2.0/subnetpools', { subnetpool: { name: 'p', prefixes: ['10.0.0.0/8'], ...attributes } }), expected);
  assert.equal(await refused('demo', 'POST', '/v2.0/subnetpools', { subnetpool: { name: 'p' } }), "400 HTTPBadRequest: Failed to parse request. Required attribute 'prefixes' not specified");
  assert.equal(await refused('demo', 'POST', '/v2.0/subnetpools', { subnetpools: [{ name: 'p', prefixes: ['10.0.0.0/8'] }, { name: 'q', prefixes: [] }] }), '400 EmptySubnetPoolPrefixList: Empty subnet pool prefix list.');
  assert.deepEqual(await store.feed.head(), head);
  await close();
});

eachStore('an update grows a pool and moves its bounds', async (store) => {
  const { pool, refused, ok, close } = await subnetPoolLab(store);
  const made = await pool('demo', { prefixes: ['10.0.0.0/24'], max_prefixlen: 28, default_prefixlen: 26 });
  const url = `/v2.0/subnetpools/${made.id}`;
  const put = (changes: Record<string, unknown>) => refused('demo', 'PUT', url, { subnetpool: changes });
  const subset = '400 IllegalSubnetPoolPrefixUpdate: Illegal update to prefixes: the existing prefixes must be a subset of the new ones.';
  assert.equal(await put({ prefixes: ['10.0.0.0/25'] }), subset);
  assert.equal(await put({ prefixes: [] }), subset);
  assert.equal(await put({ prefixes: ['fd00::/48'] }), subset);
  assert.equal(await put({ prefixes: ['10.0.0.0/23', 'fd00::/48'] }), '400 PrefixVersionMismatch: Cannot mix IPv4 and IPv6 prefixes in a subnet pool.');
  assert.equal(await put({ min_prefixlen: 27 }), '400 IllegalSubnetPoolPrefixBounds: Illegal prefix bounds: default_prefixlen=26, min_prefixlen=27.');
  assert.equal(await put({ shared: false }), '400 HTTPBadRequest: Cannot update read-only attribute shared');
  assert.equal(await put({ is_default: false }), '403 PolicyNotAuthorized: rule:update_subnetpool:is_default is disallowed by policy');
  const { subnetpool } = await ok('demo', 'PUT', url, { subnetpool: { prefixes: ['10.0.1.0/24', '10.0.0.0/24'], min_prefixlen: 20, default_quota: 7, name: 'renamed' } });
  assert.deepEqual([subnetpool.prefixes, subnetpool.min_prefixlen, subnetpool.default_prefixlen, subnetpool.default_quota, subnetpool.name, subnetpool.revision_number], [['10.0.0.0/23'], '20', '26', 7, 'renamed', 1]);
  await close();
});

eachStore('prefixes are added and removed one by one; what a subnet has stays', async (store) => {
  const { pool, network, subnet, refused, ok, call, close } = await subnetPoolLab(store);
  const { id } = await pool('demo', { prefixes: ['10.0.0.0/24'] });
  const url = `/v2.0/subnetpools/${id}`;
  const change = async (action: string, ...prefixes: string[]) => ok('demo', 'PUT', `${url}/${action}_prefixes`, { prefixes });
  assert.deepEqual(await change('add', '10.0.1.0/24', '10.9.0.0/16', '10.0.1.0/24'), { prefixes: ['10.0.0.0/23', '10.9.0.0/16'] });
  await subnet('demo', { network_id: await network('demo'), subnetpool_id: id, cidr: '10.0.0.64/26' });
  assert.equal(await refused('demo', 'PUT', `${url}/remove_prefixes`, { prefixes: ['10.0.0.0/25'] }), '400 IllegalSubnetPoolPrefixUpdate: Illegal update to prefixes: one or more of the prefixes to be removed are in use by a subnet.');
  assert.deepEqual(await change('remove', '10.0.1.0/24', '10.9.128.0/17', '172.16.0.0/12'), { prefixes: ['10.0.0.0/24', '10.9.0.0/17'] });
  const before = (await ok('demo', 'GET', url)).subnetpool;
  assert.deepEqual(await change('remove', '172.16.0.0/12', '::a00:0/100'), { prefixes: ['10.0.0.0/24', '10.9.0.0/17'] });
  assert.deepEqual((await ok('demo', 'GET', url)).subnetpool, before);
  for (const body of [undefined, {}, [], { prefixes: [] }]) assert.equal(await refused('demo', 'PUT', `${url}/add_prefixes`, body), '400 HTTPBadRequest: Request body contains no prefixes');
  assert.equal(await refused('demo', 'PUT', `${url}/remove_prefixes`, { prefixes: ['10.0.0.0/33'] }), "400 HTTPBadRequest: Invalid input for prefixes. Reason: '10.0.0.0/33' is not a valid IP subnet.");
  assert.equal(await refused('demo', 'PUT', `${url}/add_prefixes`, { prefixes: ['fd00::/48'] }), '400 PrefixVersionMismatch: Cannot mix IPv4 and IPv6 prefixes in a subnet pool.');
  assert.equal(await refused('alt', 'PUT', `${url}/add_prefixes`, { prefixes: ['10.8.0.0/16'] }), `404 SubnetPoolNotFound: Subnet pool ${id} could not be found.`);
  assert.equal((await call('reader', 'PUT', `${url}/remove_prefixes`, { prefixes: ['10.9.0.0/17'] })).status, 403);
  assert.equal((await call('demo', 'PUT', `/v2.0/networks/${id}/add_prefixes`, {})).status, 404);

  const empty = await pool('demo', { prefixes: ['10.0.0.0/24'] });
  assert.deepEqual(await ok('demo', 'PUT', `/v2.0/subnetpools/${empty.id}/remove_prefixes`, { prefixes: ['10.0.0.0/8'] }), { prefixes: [] });
  assert.deepEqual((await ok('demo', 'PUT', `/v2.0/subnetpools/${empty.id}`, { subnetpool: { name: 'empty' } })).subnetpool.prefixes, []);
  assert.deepEqual(await ok('demo', 'PUT', `/v2.0/subnetpools/${empty.id}/add_prefixes`, { prefixes: ['10.7.0.0/16'] }), { prefixes: ['10.7.0.0/16'] });
  await close();
});

eachStore('pools of others: shared ones are seen and used, not changed; one is the default of each version', async (store) => {
  const { pool, ok, refused, call, close } = await subnetPoolLab(store);
  const own = await pool('demo', { prefixes: ['10.0.0.0/8'] });
  const shared = await pool('admin', { prefixes: ['10.0.0.0/8'], shared: true, is_default: true });
  const ids = async (who: string) => (await ok(who, 'GET', '/v2.0/subnetpools')).subnetpools.map(({ id }: any) => id).sort();
  assert.deepEqual([await ids('demo'), await ids('alt'), await ids('unscoped')], [[own.id, shared.id].sort(), [shared.id], []]);
  assert.equal(await refused('alt', 'GET', `/v2.0/subnetpools/${own.id}`), `404 SubnetPoolNotFound: Subnet pool ${own.id} could not be found.`);
  assert.equal(await refused('demo', 'PUT', `/v2.0/subnetpools/${shared.id}`, { subnetpool: { name: 'x' } }), '403 PolicyNotAuthorized: rule:update_subnetpool is disallowed by policy');
  assert.equal((await call('demo', 'DELETE', `/v2.0/subnetpools/${shared.id}`)).status, 403);

  const second = '400 InvalidInput: Invalid input for operation: A default subnetpool for IPv4 has already been set. Only one default may exist per IP family.';
  const body = { name: 'p', prefixes: ['10.0.0.0/8'], is_default: true };
  assert.equal(await refused('admin', 'POST', '/v2.0/subnetpools', { subnetpool: body }), second);
  assert.equal(await refused('admin', 'PUT', `/v2.0/subnetpools/${own.id}`, { subnetpool: { is_default: true } }), second);
  assert.equal((await pool('admin', { prefixes: ['fd00::/48'], is_default: true })).is_default, true);
  assert.equal((await call('admin', 'PUT', `/v2.0/subnetpools/${shared.id}`, { subnetpool: { is_default: true, name: 'still' } })).status, 200);
  await ok('admin', 'PUT', `/v2.0/subnetpools/${shared.id}`, { subnetpool: { is_default: false } });
  const answers = await Promise.all(Array.from({ length: 4 }, () => call('admin', 'POST', '/v2.0/subnetpools', { subnetpools: [body] })));
  assert.deepEqual(answers.map(({ status }) => status).sort(), [201, 400, 400, 400]);
  await close();
});

eachStore('a pool with subnets stays; projects have a quota of pools', async (store) => {
  const { pool, network, subnet, ok, refused, call, close } = await subnetPoolLab(store, 'quota_subnetpool: 2');
  const made = await pool('demo', { prefixes: ['10.0.0.0/8'] });
  const { id } = await subnet('demo', { network_id: await network('demo'), subnetpool_id: made.id, prefixlen: 24 });
  assert.equal(await refused('demo', 'DELETE', `/v2.0/subnetpools/${made.id}`), `400 SubnetPoolDeleteError: Unable to delete subnet pool ${made.id}: it has allocated subnets.`);
  await pool('demo', { prefixes: ['10.0.0.0/8'] });
  assert.equal(await refused('demo', 'POST', '/v2.0/subnetpools', { subnetpool: { name: 'p', prefixes: ['10.0.0.0/8'] } }), "409 OverQuota: Quota exceeded for resources: ['subnetpool'].");
  assert.deepEqual((await ok('demo', 'GET', '/v2.0/quotas/demo-project/details')).quota.subnetpool, { limit: 2, used: 2, reserved: 0 });
  await call('demo', 'DELETE', `/v2.0/subnets/${id}`);
  assert.equal((await call('demo', 'DELETE', `/v2.0/subnetpools/${made.id}`)).status, 204);
  await close();
});

eachStore('the subnets of a network come into a pool', async (store) => {
  const { pool, network, subnet, scope, ok, refused, close } = await subnetPoolLab(store);
  const net = await network('demo');
  const [a, b, six] = [await subnet('demo', { network_id: net, cidr: '10.0.0.0/24' }), await subnet('demo', { network_id: net, cidr: '10.0.1.0/24' }), await subnet('demo', { network_id: net, cidr: 'fd00::/64', ip_version: 6 })];
  const { id: address_scope_id } = await scope('demo');
  const made = await pool('demo', { prefixes: ['10.9.0.0/16'], address_scope_id });
  const url = `/v2.0/subnetpools/${made.id}/onboard_network_subnets`;
  const coming = await ok('demo', 'PUT', url, { network_id: net });
  assert.deepEqual(coming.sort((x: any, y: any) => (x.cidr < y.cidr ? -1 : 1)), [{ id: a.id, cidr: '10.0.0.0/24' }, { id: b.id, cidr: '10.0.1.0/24' }]);
  assert.deepEqual((await ok('demo', 'GET', `/v2.0/subnetpools/${made.id}`)).subnetpool.prefixes, ['10.0.0.0/23', '10.9.0.0/16']);
  assert.deepEqual((await ok('demo', 'GET', `/v2.0/subnets?subnetpool_id=${made.id}`)).subnets.map(({ id }: any) => id).sort(), [a.id, b.id].sort());
  const shown = (await ok('demo', 'GET', `/v2.0/networks/${net}`)).network;
  assert.deepEqual([shown.ipv4_address_scope, shown.ipv6_address_scope, (await ok('demo', 'GET', `/v2.0/subnets/${six.id}`)).subnet.subnetpool_id], [address_scope_id, null, null]);
  assert.match(await refused('demo', 'PUT', url, { network_id: net }), /^400 IllegalSubnetPoolUpdate: .* with 10\.0\.[01]\.0\/24 conflicts with what is allocated in the pool\.$/);
  const foreign = await network('admin', { shared: true });
  assert.equal(await refused('demo', 'PUT', url, { network_id: foreign }), '403 PolicyNotAuthorized: rule:onboard_network_subnets is disallowed by policy');
  const hidden = await network('alt');
  assert.equal(await refused('demo', 'PUT', url, { network_id: hidden }), `404 NetworkNotFound: Network ${hidden} could not be found.`);
  assert.equal(await refused('demo', 'PUT', url, { network_id: 7 }), '400 HTTPBadRequest: Invalid input for network_id. Reason: 7 is not a valid UUID.');
  assert.deepEqual(await ok('demo', 'PUT', url, { network_id: await network('demo') }), []);
  await close();
});
