import assert from 'node:assert/strict';
import { loadConfig } from '#model/config.ts';
import { ApiError } from '#model/errors.ts';
import { network } from '#model/networks.ts';
import type { Store } from '#store/store.ts';
import { Table } from '#store/table.ts';
import { networkApi, type NetworkApi } from '#testkit/network-api.ts';
import { eachStore } from '#testkit/stores.ts';
import { agentsRule } from './agents.ts';
import type { NetworkHooks } from './network-hooks.ts';
import { networksRule } from './networks.ts';
import { syncSegmentPools } from './segments.ts';
import { subnetsRule } from './subnets.ts';

const hooks: NetworkHooks = { async removePort() {}, async onSubnetChanged() {} };

async function api(store: Store, yaml = ''): Promise<NetworkApi & { network(who: string, attributes?: Record<string, unknown>): Promise<any> }> {
  const config = loadConfig(yaml);
  await store.write((tx) => syncSegmentPools(tx, config));
  const spoken = networkApi(store, config, [networksRule({ config, hooks }), subnetsRule({ config, hooks }), agentsRule({ config })]);
  return { ...spoken, network: async (who, attributes = {}) => (await spoken.ok(who, 'POST', '/v2.0/networks', { network: attributes })).network };
}

const problem = ({ status, body }: { status: number; body: any }) => `${status} ${body.NeutronError?.type}: ${body.NeutronError?.message}`;
const names = (answer: any) => answer.networks.map((each: any) => each.name);

eachStore('bad input is answered as Neutron answers it, and the store is unchanged', async (store) => {
  const { call, network, log, close } = await api(store);
  const made = await network('demo', { name: 'kept' });
  const head = await store.feed.head();
  const deep = `{"network": {"name": ${'['.repeat(100_000)}${']'.repeat(100_000)}}}`;
  const refusals: [method: string, path: string, body: unknown, expected: string][] = [
    ['POST', '/v2.0/networks', '{"network": ', '400 HTTPBadRequest: The request body is not valid JSON'],
    ['POST', '/v2.0/networks', undefined, '400 HTTPBadRequest: Resource body required'],
    ['POST', '/v2.0/networks', [], '400 HTTPBadRequest: Resource body required'],
    ['POST', '/v2.0/networks', { net: {} }, "400 HTTPBadRequest: Unable to find 'network' in request body"],
    ['POST', '/v2.0/networks', { network: 7 }, '400 HTTPBadRequest: Body contains invalid data'],
    ['POST', '/v2.0/networks', { networks: [] }, '400 HTTPBadRequest: Resources required'],
    ['POST', '/v2.0/networks', { networks: [{ name: 'a' }, 7] }, '400 HTTPBadRequest: Body contains invalid data'],
    ['POST', '/v2.0/networks', { network: { colour: 'red' } }, "400 HTTPBadRequest: Unrecognized attribute(s) 'colour'"],
    ['POST', '/v2.0/networks', '{"network": {"__proto__": {"shared": true}, "constructor": 1}}', "400 HTTPBadRequest: Unrecognized attribute(s) '__proto__, constructor'"],
    ['POST', '/v2.0/networks', { network: { id: made.id } }, "400 HTTPBadRequest: Attribute 'id' not allowed in POST"],
    ['POST', '/v2.0/networks', { network: { status: 'DOWN' } }, "400 HTTPBadRequest: Attribute 'status' not allowed in POST"],
    ['POST', '/v2.0/networks', { network: { name: 7 } }, '400 HTTPBadRequest: Invalid input for name. Reason: 7 is not a valid string.'],
    ['POST', '/v2.0/networks', { network: { admin_state_up: 'maybe' } }, "400 HTTPBadRequest: Invalid input for admin_state_up. Reason: 'maybe' cannot be converted to boolean."],
    ['POST', '/v2.0/networks', { network: { tenant_id: 'alt-project' } }, "400 HTTPBadRequest: Specifying 'project_id' or 'tenant_id' other than the authenticated project in request is not allowed for the current user."],
    ['POST', '/v2.0/networks', { network: { tenant_id: 'a', project_id: 'b' } }, "400 HTTPBadRequest: 'project_id' and 'tenant_id' do not match"],
    ['POST', '/v2.0/networks', deep, '400 HTTPBadRequest: The request body is nested deeper than 20 levels'],
    ['POST', '/v2.0/subnets', { subnet: { ip_version: 4 } }, "400 HTTPBadRequest: Failed to parse request. Required attribute 'network_id' not specified"],
    ['POST', '/v2.0/subnets', { subnet: { network_id: 'x', ip_version: 4 } }, "400 HTTPBadRequest: Invalid input for network_id. Reason: 'x' is not a valid UUID."],
    ['PUT', `/v2.0/networks/${made.id}`, { network: { id: 'x' } }, '400 HTTPBadRequest: Cannot update read-only attribute id'],
    ['PUT', `/v2.0/networks/${made.id}`, { network: { tenant_id: 'demo-project' } }, '400 HTTPBadRequest: Cannot update read-only attribute project_id'],
    ['PUT', `/v2.0/networks/${made.id}`, { network: { colour: 1 } }, "400 HTTPBadRequest: Unrecognized attribute(s) 'colour'"],
    ['PUT', '/v2.0/networks/kept', { network: { name: 'x' } }, '404 NetworkNotFound: Network kept could not be found.'],
    ['PUT', '/v2.0/networks/a%00b', { network: {} }, '404 NetworkNotFound: Network a\0b could not be found.'],
    ['GET', '/v2.0/networks/a%00b', undefined, '404 NetworkNotFound: Network a\0b could not be found.'],
    ['GET', '/v2.0/subnets?shared=perhaps', undefined, "400 HTTPBadRequest: Invalid input for shared. Reason: 'perhaps' cannot be converted to boolean."],
    ['GET', '/v2.0/networks/kept', undefined, '404 NetworkNotFound: Network kept could not be found.'],
    ['GET', '/v2.0/networks?colour=red', undefined, "400 HTTPBadRequest: ['colour'] is invalid attribute for filtering"],
    ['GET', '/v2.0/networks?shared=perhaps', undefined, "400 HTTPBadRequest: Invalid input for shared. Reason: 'perhaps' cannot be converted to boolean."],
    ['GET', '/v2.0/networks?mtu=wide', undefined, "400 HTTPBadRequest: Invalid input for mtu. Reason: 'wide' is not an integer."],
    ['GET', '/v2.0/networks?sort_key=colour&sort_dir=asc', undefined, "400 HTTPBadRequest: ['colour'] is invalid attribute for sort_keys"],
    ['GET', '/v2.0/networks?sort_key=name&sort_dir=up', undefined, "400 HTTPBadRequest: ['up'] is invalid value for sort_dirs, valid value is 'asc' and 'desc'"],
    ['GET', '/v2.0/networks?sort_key=name', undefined, '400 HTTPBadRequest: The number of sort_keys and sort_dirs must be same'],
    ['GET', '/v2.0/networks?limit=-1', undefined, "400 BadRequest: Bad limit request: Limit must be an integer 0 or greater and not '-1'."],
    ['GET', '/v2.0/networks?limit=1&marker=nobody', undefined, '404 NetworkNotFound: Network nobody could not be found.'],
    ['GET', '/v2.0/networks?changed_since=yesterday', undefined, '400 InvalidInput: Invalid input for operation: The input changed_since must be in the following format: YYYY-MM-DDTHH:MM:SS[Z].'],
    ['PATCH', `/v2.0/networks/${made.id}`, {}, '405 HTTPMethodNotAllowed: The method PATCH is not allowed for this resource.'],
    ['DELETE', '/v2.0/networks', undefined, '405 HTTPMethodNotAllowed: The method DELETE is not allowed for this resource.'],
    ['GET', '/v2.0/colours', undefined, '404 HTTPNotFound: The resource could not be found.'],
  ];
  for (const [method, path, body, expected] of refusals) assert.equal(problem(await call('demo', method, path, body)), expected);
  assert.equal((await call('demo', 'POST', '/v2.0/networks', `{"network": {"name": "${'x'.repeat(10_000_000)}"}}`)).status, 413);
  assert.equal((await call('demo', 'GET', '/v2.0/networks?name=a%00b')).status, 400);
  assert.equal((await call('', 'GET', '/v2.0/networks')).status, 401);
  assert.equal((await call('forged', 'GET', '/v2.0/networks')).status, 401);
  assert.deepEqual(await store.feed.head(), head);
  assert.deepEqual(log.filter((line) => line.includes('"error"')), []);
  await close();
});

eachStore('OSSA-2024-005: a reader writes nothing, tags neither, and a token without a project sees and writes nothing', async (store) => {
  const { call, ok, network, close } = await api(store);
  const made = await network('demo', { name: 'n' });
  await network('admin', { name: 'open', shared: true });
  assert.deepEqual(names(await ok('reader', 'GET', '/v2.0/networks?sort_key=name&sort_dir=asc')), ['n', 'open']);
  const writes: [string, string, unknown][] = [
    ['POST', '/v2.0/networks', { network: {} }], ['PUT', `/v2.0/networks/${made.id}`, { network: { name: 'x' } }], ['DELETE', `/v2.0/networks/${made.id}`, undefined],
    ['PUT', `/v2.0/networks/${made.id}/tags`, { tags: ['x'] }], ['PUT', `/v2.0/networks/${made.id}/tags/x`, undefined], ['DELETE', `/v2.0/networks/${made.id}/tags`, undefined], ['DELETE', `/v2.0/networks/${made.id}/tags/x`, undefined],
  ];
  for (const [method, path, body] of writes) {
    assert.equal((await call('reader', method, path, body)).body.NeutronError.type, 'PolicyNotAuthorized', `${method} ${path}`);
    if (method !== 'POST') assert.equal((await call('alt', method, path, body)).status, 404, `OSSA-2024-005 ${method} ${path}`);
  }
  assert.deepEqual((await ok('unscoped', 'GET', '/v2.0/networks')).networks, []);
  assert.equal((await call('unscoped', 'POST', '/v2.0/networks', { network: {} })).status, 403);
  await close();
});

eachStore('filters: repeated keys, booleans in any case, unset values, time, tenant_id; and fields', async (store) => {
  const { ok, network, close } = await api(store);
  const [a, b] = [await network('demo', { name: 'a', description: 'x' }), await network('demo', { name: 'b', admin_state_up: false })];
  await network('admin', { name: '10.0.0.1', shared: true });
  const list = async (query: string) => names(await ok('admin', 'GET', `/v2.0/networks?${query}&sort_key=name&sort_dir=asc`));
  assert.deepEqual(await list(`id=${a.id}&id=${b.id}`), ['a', 'b']);
  for (const spelling of ['True', 'true', 'TRUE', '1']) assert.deepEqual(await list(`shared=${spelling}`), ['10.0.0.1']);
  assert.deepEqual(await list('admin_state_up=False'), ['b']);
  assert.deepEqual(await list('description='), ['10.0.0.1', 'b']);
  assert.deepEqual(await list('description=&description=x'), ['10.0.0.1', 'a', 'b']);
  assert.deepEqual(await list('tenant_id=demo-project'), ['a', 'b']);
  assert.deepEqual(await list('name=10.0.0.1'), ['10.0.0.1']);
  assert.deepEqual(await list('changed_since=2020-01-01T00:00:00'), ['10.0.0.1', 'a', 'b']);
  assert.deepEqual(await list('changed_since=2999-01-01T00:00:00Z'), []);
  assert.deepEqual((await ok('demo', 'GET', '/v2.0/networks?name=a&fields=id&fields=tenant_id&fields=nonsense')).networks, [{ id: a.id, tenant_id: 'demo-project' }]);
  assert.deepEqual((await ok('demo', 'GET', `/v2.0/networks/${a.id}?fields=name`)).network, { name: 'a' });
  await close();
});

eachStore('pages follow each other by their links in any order, backwards too', async (store) => {
  const { ok, call, network, close } = await api(store);
  for (const name of ['b', 'a', 'c', 'a', 'd']) await network('demo', { name, description: name === 'c' ? null : name });
  const walk = async (path: string) => {
    const seen: string[][] = [];
    for (let next: string | undefined = path; next && seen.length < 9;) {
      const page: any = await ok('demo', 'GET', next);
      if (page.networks.length > 0) seen.push(names(page));
      const link: string | undefined = page.networks_links?.find(({ rel }: any) => rel === 'next')?.href;
      assert.ok(!link || link.startsWith('http://cloud.test:8770/network/v2.0/networks?'), String(link));
      next = link?.slice('http://cloud.test:8770/network'.length);
    }
    return seen;
  };
  assert.deepEqual(await walk('/v2.0/networks?limit=2&sort_key=name&sort_dir=asc'), [['a', 'a'], ['b', 'c'], ['d']]);
  assert.deepEqual(await walk('/v2.0/networks?limit=2&sort_key=name&sort_dir=desc'), [['d', 'c'], ['b', 'a'], ['a']]);
  assert.deepEqual((await walk('/v2.0/networks?limit=2&sort_key=description&sort_dir=asc')).flat(), ['c', 'a', 'a', 'b', 'd']);
  assert.equal((await walk('/v2.0/networks?limit=2')).flat().length, 5);
  const last = (await ok('demo', 'GET', '/v2.0/networks?name=d')).networks[0].id;
  const back = await ok('demo', 'GET', `/v2.0/networks?limit=2&sort_key=name&sort_dir=asc&marker=${last}&page_reverse=True`);
  assert.deepEqual(names(back), ['b', 'c']);
  assert.deepEqual(back.networks_links.map(({ rel }: any) => rel), ['next', 'previous']);
  assert.equal((await ok('demo', 'GET', '/v2.0/networks')).networks_links, undefined);
  const forged = await call('demo', 'GET', '/v2.0/networks?limit=1', undefined, { host: 'evil.test' });
  assert.ok(!JSON.stringify(forged.body).includes('evil.test'));
  await close();
});

eachStore('pagination_max_limit bounds every list', async (store) => {
  const { ok, network, close } = await api(store, 'pagination_max_limit: 2');
  for (const name of ['a', 'b', 'c']) await network('demo', { name });
  assert.equal((await ok('demo', 'GET', '/v2.0/networks')).networks.length, 2);
  assert.equal((await ok('demo', 'GET', '/v2.0/networks?limit=9')).networks.length, 2);
  await close();
});

eachStore('tags: the sub-resource, the four filters, and tags that look like JSON', async (store) => {
  const { ok, call, network, close } = await api(store);
  const [a, b, c] = [await network('demo', { name: 'a' }), await network('demo', { name: 'b' }), await network('demo', { name: 'c' })];
  assert.deepEqual(await ok('demo', 'PUT', `/v2.0/networks/${a.id}/tags`, { tags: ['red', 'blue'] }), { tags: ['blue', 'red'] });
  assert.equal((await call('demo', 'PUT', `/v2.0/networks/${b.id}/tags/red`)).status, 201);
  const quoted = 'x","blue';
  await ok('demo', 'PUT', `/v2.0/networks/${c.id}/tags`, { tags: [quoted] });
  const list = async (query: string) => names(await ok('demo', 'GET', `/v2.0/networks?${query}&sort_key=name&sort_dir=asc`));
  assert.deepEqual(await list('tags=red,blue'), ['a']);
  assert.deepEqual(await list('tags-any=red,blue'), ['a', 'b']);
  assert.deepEqual(await list('not-tags=red,blue'), ['b', 'c']);
  assert.deepEqual(await list('not-tags-any=red,blue'), ['c']);
  assert.deepEqual(await list('tags=RED'), []);
  assert.equal((await call('demo', 'GET', `/v2.0/networks/${a.id}/tags/red`)).status, 204);
  assert.equal(problem(await call('demo', 'GET', `/v2.0/networks/${b.id}/tags/blue`)), '404 TagNotFound: Tag blue could not be found.');
  assert.equal((await call('demo', 'DELETE', `/v2.0/networks/${a.id}/tags/red`)).status, 204);
  assert.equal((await call('demo', 'DELETE', `/v2.0/networks/${a.id}/tags/red`)).status, 404);
  assert.deepEqual(await ok('demo', 'GET', `/v2.0/networks/${a.id}/tags`), { tags: ['blue'] });
  assert.equal((await call('demo', 'DELETE', `/v2.0/networks/${a.id}/tags`)).status, 204);
  for (const body of [{ tags: 'red' }, { tags: [7] }, { tags: ['x', 'x'] }, { tags: ['x'.repeat(256)] }, {}, { tags: Array.from({ length: 51 }, (_, i) => `t${i}`) }]) {
    assert.equal((await call('demo', 'PUT', `/v2.0/networks/${a.id}/tags`, body)).status, 400, JSON.stringify(body).slice(0, 40));
  }
  await close();
});

eachStore('If-Match on the revision: 412 when it is another, each change is one more', async (store) => {
  const { call, network, close } = await api(store);
  const made = await network('demo', { name: 'a' });
  const put = (name: string, revision: unknown) => call('demo', 'PUT', `/v2.0/networks/${made.id}`, { network: { name } }, { 'if-match': `revision_number=${revision}` });
  assert.equal(problem(await put('b', made.revision_number + 5)), `412 RevisionNumberConstraintFailed: Constrained to ${made.revision_number + 5}, but current revision is ${made.revision_number}`);
  const changed = await put('b', made.revision_number);
  assert.deepEqual([changed.status, changed.body.network.revision_number, changed.body.network.name], [200, made.revision_number + 1, 'b']);
  assert.equal((await put('c', 'new')).status, 400);
  assert.equal((await call('demo', 'DELETE', `/v2.0/networks/${made.id}`, undefined, { 'if-match': `revision_number=${made.revision_number}` })).status, 412);
  assert.equal((await call('demo', 'DELETE', `/v2.0/networks/${made.id}`, undefined, { 'if-match': `revision_number=${made.revision_number + 1}` })).status, 204);
  await close();
});

eachStore('concurrent updates of one object all count: no revision is lost', async (store) => {
  const { ok, network, close } = await api(store);
  const made = await network('demo', { name: 'a' });
  await Promise.all(Array.from({ length: 10 }, (_, i) => ok('demo', 'PUT', `/v2.0/networks/${made.id}`, { network: { name: `n${i}` } })));
  assert.equal((await ok('demo', 'GET', `/v2.0/networks/${made.id}`)).network.revision_number, made.revision_number + 10);
  await close();
});

eachStore('N-ML2-21 discovery: version, resources, extensions; writes are 405', async (store) => {
  const { call, ok, close } = await api(store);
  for (const path of ['', '/']) assert.deepEqual((await call('', 'GET', path)).body, { versions: [{ id: 'v2.0', status: 'CURRENT', links: [{ rel: 'self', href: 'http://cloud.test:8770/network/v2.0/' }] }] });
  assert.deepEqual((await ok('demo', 'GET', '/v2.0/')).resources[0], { name: 'network', collection: 'networks', links: [{ rel: 'self', href: 'http://cloud.test:8770/network/v2.0/networks' }] });
  const { extensions } = await ok('demo', 'GET', '/v2.0/extensions');
  assert.deepEqual(Object.keys(extensions[0]), ['alias', 'name', 'description', 'updated', 'links']);
  assert.ok(extensions.some(({ alias }: any) => alias === 'provider') && !extensions.some(({ alias }: any) => alias === 'vpnaas'));
  assert.equal((await ok('demo', 'GET', '/v2.0/extensions/net-mtu')).extension.alias, 'net-mtu');
  assert.equal(problem(await call('demo', 'GET', '/v2.0/extensions/vpnaas')), '404 ExtensionNotFound: Extension with alias vpnaas does not exist');
  for (const path of ['/', '/v2.0', '/v2.0/extensions']) assert.equal((await call('demo', 'POST', path, {})).status, 405, path);
  assert.equal((await call('', 'GET', '/v2.0/extensions')).status, 401);
  await close();
});

eachStore('a list costs a fixed number of statements, whatever its length', async (store) => {
  const { ok, network: create, close } = await api(store, 'quota_network: -1');
  const cost = async () => {
    let statements = 0;
    const { db } = store.reader as { db: any };
    const original = db.selectFrom;
    db.selectFrom = (...given: unknown[]) => (statements++, original.apply(db, given));
    const { networks } = await ok('demo', 'GET', '/v2.0/networks');
    db.selectFrom = original;
    return { statements, length: networks.length };
  };
  await create('demo');
  const one = await cost();
  await ok('demo', 'POST', '/v2.0/networks', { networks: Array.from({ length: 200 }, (_, i) => ({ name: `n${i}` })) });
  const many = await cost();
  assert.deepEqual([one.length, many.length, many.statements], [1, 201, one.statements]);
  assert.equal((await new Table(network).list(store.reader)).length, 201);
  await close();
});

eachStore('N-ML2-19 another plugin takes the place of networks by giving another rule to the same engine', async (store) => {
  const config = loadConfig('');
  await store.write((tx) => syncSegmentPools(tx, config));
  const own = networksRule({ config, hooks });
  // A plugin that has one shared provider network and refuses all others, as Calico's does.
  const provided: typeof own = { ...own, create: async (tx, context, given) => {
    if (given.some(({ name }) => name !== 'public')) throw new ApiError('HTTPBadRequest', { reason: 'this cloud has provider networks only' });
    return own.create(tx, context, given);
  } };
  const { call, close } = networkApi(store, config, [provided, agentsRule({ config })]);
  assert.equal(problem(await call('demo', 'POST', '/v2.0/networks', { network: { name: 'mine' } })), '400 HTTPBadRequest: this cloud has provider networks only');
  assert.equal((await call('demo', 'POST', '/v2.0/networks', { network: { name: 'public' } })).status, 201);
  assert.equal((await call('demo', 'GET', '/v2.0/subnets')).status, 404, 'a resource without a rule is not there');
  await close();
});
