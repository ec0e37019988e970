import assert from 'node:assert/strict';
import { subnetPoolLab } from '#testkit/subnet-pool-lab.ts';
import { eachStore } from '#testkit/stores.ts';

eachStore('address scopes: made, listed, changed, shared by the admin, deleted', async (store) => {
  const { scope, ok, refused, call, close } = await subnetPoolLab(store);
  const made = await scope('demo', { name: 'own', ip_version: 6 });
  assert.deepEqual(made, { id: made.id, name: 'own', project_id: 'demo-project', tenant_id: 'demo-project', shared: false, ip_version: 6 });
  assert.equal((await scope('demo', { name: undefined })).name, '');
  assert.equal(await refused('demo', 'POST', '/v2.0/address-scopes', { address_scope: { ip_version: 5 } }), "400 HTTPBadRequest: Invalid input for ip_version. Reason: '5' is not in [4, 6].");
  assert.equal(await refused('demo', 'POST', '/v2.0/address-scopes', { address_scope: {} }), "400 HTTPBadRequest: Failed to parse request. Required attribute 'ip_version' not specified");
  assert.equal(await refused('demo', 'POST', '/v2.0/address-scopes', { address_scope: { ip_version: 4, shared: true } }), '403 PolicyNotAuthorized: rule:create_address_scope:shared is disallowed by policy');

  const url = `/v2.0/address-scopes/${made.id}`;
  assert.equal((await ok('demo', 'PUT', url, { address_scope: { name: 'new' } })).address_scope.name, 'new');
  assert.equal(await refused('demo', 'PUT', url, { address_scope: { ip_version: 4 } }), '400 HTTPBadRequest: Cannot update read-only attribute ip_version');
  assert.equal(await refused('demo', 'PUT', url, { address_scope: { shared: true } }), '403 PolicyNotAuthorized: rule:update_address_scope:shared is disallowed by policy');
  assert.equal(await refused('alt', 'GET', url), `404 AddressScopeNotFound: Address scope ${made.id} could not be found.`);
  assert.equal((await ok('admin', 'PUT', url, { address_scope: { shared: true } })).address_scope.shared, true);
  assert.equal(await refused('admin', 'PUT', url, { address_scope: { shared: false } }), `400 AddressScopeUpdateError: Unable to update address scope ${made.id}: a shared address scope can't be unshared.`);
  assert.equal((await ok('alt', 'GET', url)).address_scope.name, 'new');
  assert.equal(await refused('alt', 'DELETE', url), '403 PolicyNotAuthorized: rule:delete_address_scope is disallowed by policy');
  const ids = async (who: string, query = '') => (await ok(who, 'GET', `/v2.0/address-scopes?${query}`)).address_scopes.map(({ id }: any) => id);
  assert.deepEqual(await ids('alt'), [made.id]);
  assert.deepEqual(await ids('demo', 'ip_version=6&shared=true'), [made.id]);
  assert.equal((await ids('demo', 'ip_version=4')).length, 1);
  assert.equal((await call('demo', 'DELETE', url)).status, 204);
  assert.equal((await call('demo', 'GET', url)).status, 404);
  await close();
});

eachStore('a pool in a scope: of its version, with prefixes that no other pool there has', async (store) => {
  const { scope, pool, ok, refused, call, close } = await subnetPoolLab(store);
  const four = await scope('demo');
  const six = await scope('demo', { ip_version: 6 });
  const foreign = await scope('alt');
  const create = (attributes: Record<string, unknown>) => refused('demo', 'POST', '/v2.0/subnetpools', { subnetpool: { name: 'p', ...attributes } });
  const first = await pool('demo', { prefixes: ['10.0.0.0/16'], address_scope_id: four.id });
  assert.equal(first.address_scope_id, four.id);
  const conflict = `409 AddressScopePrefixConflict: Failed to associate address scope ${four.id}: prefixes of subnet pools within an address scope must not overlap.`;
  assert.equal(await create({ prefixes: ['10.0.7.0/24', '10.9.0.0/16'], address_scope_id: four.id }), conflict);
  assert.equal(await create({ prefixes: ['fd00::/48'], address_scope_id: four.id }), `400 IllegalSubnetPoolIpVersionAssociationToAddressScope: Subnet pool of IPv6 cannot be associated with address scope ${four.id}, which is of IPv4.`);
  assert.equal(await create({ prefixes: ['10.1.0.0/16'], address_scope_id: foreign.id }), `404 AddressScopeNotFound: Address scope ${foreign.id} could not be found.`);
  assert.equal(await create({ prefixes: ['10.1.0.0/16'], address_scope_id: 'four' }), "400 HTTPBadRequest: Invalid input for address_scope_id. Reason: 'four' is not a valid UUID.");

  const second = await pool('demo', { prefixes: ['10.0.0.0/8'] });
  const url = `/v2.0/subnetpools/${second.id}`;
  const put = (changes: Record<string, unknown>) => refused('demo', 'PUT', url, { subnetpool: changes });
  assert.equal(await put({ address_scope_id: four.id }), conflict);
  assert.equal(await put({ address_scope_id: six.id }), `400 IllegalSubnetPoolIpVersionAssociationToAddressScope: Subnet pool of IPv4 cannot be associated with address scope ${six.id}, which is of IPv6.`);
  const third = await pool('demo', { prefixes: ['10.1.0.0/16'], address_scope_id: four.id });
  assert.equal(await refused('demo', 'PUT', `/v2.0/subnetpools/${third.id}`, { subnetpool: { prefixes: ['10.0.0.0/15'] } }), conflict);
  assert.equal(await refused('demo', 'PUT', `/v2.0/subnetpools/${third.id}/add_prefixes`, { prefixes: ['10.0.4.0/24'] }), conflict);
  assert.equal((await call('demo', 'PUT', `/v2.0/subnetpools/${third.id}`, { subnetpool: { name: 'renamed' } })).status, 200);

  assert.equal(await refused('demo', 'DELETE', `/v2.0/address-scopes/${four.id}`), `409 AddressScopeInUse: Unable to complete operation on address scope ${four.id}. There are one or more subnet pools in use on the address scope.`);
  for (const { id } of [first, third]) assert.equal((await ok('demo', 'PUT', `/v2.0/subnetpools/${id}`, { subnetpool: { address_scope_id: null } })).subnetpool.address_scope_id, null);
  assert.deepEqual((await ok('demo', 'GET', `/v2.0/subnetpools?address_scope_id=${four.id}`)).subnetpools, []);
  assert.equal((await call('demo', 'DELETE', `/v2.0/address-scopes/${four.id}`)).status, 204);
  await close();
});

eachStore('two pools that enter one scope at once never overlap', async (store) => {
  const { scope, call, close } = await subnetPoolLab(store);
  const { id: address_scope_id } = await scope('demo');
  const answers = await Promise.all(Array.from({ length: 5 }, (_, i) => call('demo', 'POST', '/v2.0/subnetpools', { subnetpool: { name: 'p', prefixes: [`10.0.0.0/${8 + i}`], address_scope_id } })));
  assert.deepEqual(answers.map(({ status }) => status).sort(), [201, 409, 409, 409, 409]);
  await close();
});

eachStore('a pool in the shared scope of another project stays as it is', async (store) => {
  const { scope, pool, refused, call, close } = await subnetPoolLab(store);
  const shared = await scope('admin', { shared: true });
  const own = await pool('demo', { prefixes: ['10.0.0.0/16'], address_scope_id: shared.id });
  assert.equal(await refused('demo', 'PUT', `/v2.0/subnetpools/${own.id}`, { subnetpool: { name: 'x' } }),
    `400 IllegalSubnetPoolUpdate: Illegal update of subnet pool ${own.id}: it is associated with the shared address scope ${shared.id} of another project.`);
  assert.equal((await call('admin', 'PUT', `/v2.0/subnetpools/${own.id}`, { subnetpool: { address_scope_id: null } })).status, 200);
  assert.equal((await call('demo', 'PUT', `/v2.0/subnetpools/${own.id}`, { subnetpool: { name: 'x' } })).status, 200);
  await close();
});

eachStore('N-L3-13: a network is in the address scope of the pools that its subnets are of, one for each version', async (store) => {
  const { scope, pool, network, subnet, ok, refused, close } = await subnetPoolLab(store);
  const [four, other, six] = [await scope('demo'), await scope('demo', { name: 'other' }), await scope('demo', { ip_version: 6 })];
  const a = await pool('demo', { prefixes: ['10.0.0.0/16'], address_scope_id: four.id, default_prefixlen: 24 });
  const b = await pool('demo', { prefixes: ['10.1.0.0/16'], address_scope_id: four.id, default_prefixlen: 24 });
  const c = await pool('demo', { prefixes: ['10.2.0.0/16'], address_scope_id: other.id, default_prefixlen: 24 });
  const d = await pool('demo', { prefixes: ['fd00::/48'], address_scope_id: six.id });
  const net = await network('demo');
  const plain = await network('demo');
  const from = (subnetpool_id: string, ip_version = 4) => ({ network_id: net, subnetpool_id, ip_version });
  await subnet('demo', from(a.id));
  await subnet('demo', from(b.id));
  await subnet('demo', from(d.id, 6));
  await subnet('demo', { network_id: plain, cidr: '10.0.0.0/24' });
  const scopesOf = async () => {
    const byId = new Map((await ok('demo', 'GET', '/v2.0/networks')).networks.map((each: any) => [each.id, [each.ipv4_address_scope, each.ipv6_address_scope]]));
    return [byId.get(net), byId.get(plain)];
  };
  assert.deepEqual(await scopesOf(), [[four.id, six.id], [null, null]]);

  const torn = '400 NetworkAddressScopeAffinityError: All subnets of one address family on a network must be in the same address scope.';
  assert.equal(await refused('demo', 'POST', '/v2.0/subnets', { subnet: from(c.id) }), torn);
  const move = (id: string, address_scope_id: string | null) => ['PUT', `/v2.0/subnetpools/${id}`, { subnetpool: { address_scope_id } }] as const;
  assert.equal(await refused('demo', ...move(a.id, other.id)), torn, 'the other pool on the network stays behind');
  assert.equal(await refused('demo', ...move(a.id, null)), torn);
  await ok('demo', ...move(d.id, null));
  assert.deepEqual(await scopesOf(), [[four.id, null], [null, null]]);
  await ok('demo', ...move(c.id, null));
  assert.equal(await refused('demo', 'POST', '/v2.0/subnets', { subnet: from(c.id) }), torn);
  assert.equal(await refused('demo', 'POST', '/v2.0/subnets', { subnet: { network_id: net, ip_version: 4, cidr: '10.9.0.0/24' } }),
    `400 NetworkSubnetPoolAffinityError: All subnets of one address family on network ${net} must be allocated from the same subnet pool.`);
  await close();
});

eachStore('a pool that leaves its scope while a subnet of another joins its network: one of the two is refused', async (store) => {
  const { scope, pool, network, subnet, call, close } = await subnetPoolLab(store);
  const { id: address_scope_id } = await scope('demo');
  for (let i = 0; i < 40; i++) {
    const [staying, leaving] = [await pool('demo', { prefixes: [`10.${i}.0.0/16`], address_scope_id, default_prefixlen: 24 }), await pool('demo', { prefixes: [`10.${100 + i}.0.0/16`], address_scope_id, default_prefixlen: 24 })];
    const network_id = await network('demo');
    await subnet('demo', { network_id, subnetpool_id: leaving.id });
    const [left, joined] = await Promise.all([
      call('demo', 'PUT', `/v2.0/subnetpools/${leaving.id}`, { subnetpool: { address_scope_id: null } }),
      call('demo', 'POST', '/v2.0/subnets', { subnet: { network_id, ip_version: 4, subnetpool_id: staying.id } }),
    ]);
    const types = [left, joined].flatMap(({ body }) => body.NeutronError?.type ?? []);
    assert.equal(types.length, 1, `${left.status} ${joined.status}`);
    assert.match(types[0], /^Network(AddressScope|SubnetPool)AffinityError$/);
  }
  await close();
});
