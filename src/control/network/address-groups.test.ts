import assert from 'node:assert/strict';
import { loadConfig } from '#model/config.ts';
import { openStore } from '#store/open.ts';
import type { Store } from '#store/store.ts';
import { type NetworkApi, networkApi } from '#testkit/network-api.ts';
import { eachStore } from '#testkit/stores.ts';
import { loadChanges, loadIntent } from '../hosts/intent.ts';
import { addressGroupsRule } from './address-groups.ts';
import { agentsRule } from './agents.ts';
import { networksRule } from './networks.ts';
import { securityGroupRulesRule } from './security-group-rules.ts';
import { securityGroupsRule } from './security-groups.ts';

const config = loadConfig('');
const hooks = { async removePort() {}, async onSubnetChanged() {} };
const apiOf = (store: Store): NetworkApi => networkApi(store, config, [networksRule({ config, hooks }), agentsRule({ config }), securityGroupsRule({ config }), securityGroupRulesRule({ config }), addressGroupsRule()]);
const problem = ({ status, body }: { status: number; body: any }) => `${status} ${body?.NeutronError?.type}: ${body?.NeutronError?.message}`;

/** The API and an address group of demo's. */
async function withGroup(store: Store, addresses: readonly string[], check: (api: NetworkApi, path: string, id: string) => Promise<void>): Promise<void> {
  const api = apiOf(store);
  try {
    const { address_group } = await api.ok('demo', 'POST', '/v2.0/address-groups', { address_group: { name: 'ntp', addresses } });
    await check(api, `/v2.0/address-groups/${address_group.id}`, address_group.id);
  } finally {
    await api.close();
  }
}

eachStore('an address group is made, shown, listed, renamed and deleted, in canonical form', (store) => withGroup(store, ['10.0.0.5/24', '10.0.0.9/24', '192.0.2.7/32', '2001:DB8:0::1/64'], async (api, path, id) => {
  const { address_group: made } = await api.ok('demo', 'GET', path);
  assert.deepEqual(made.addresses, ['10.0.0.0/24', '192.0.2.7/32', '2001:db8::/64']);
  assert.deepEqual([made.name, made.description, made.shared, made.project_id, made.tenant_id, made.revision_number], ['ntp', '', false, 'demo-project', 'demo-project', 0]);
  assert.deepEqual((await api.ok('demo', 'GET', '/v2.0/address-groups?name=ntp&fields=id&fields=addresses')).address_groups, [{ id, addresses: made.addresses }]);
  const { address_group: renamed } = await api.ok('demo', 'PUT', path, { address_group: { name: 'time', description: 'servers' } });
  assert.deepEqual([renamed.name, renamed.description, renamed.addresses, renamed.revision_number], ['time', 'servers', made.addresses, 1]);
  const { address_group: empty } = await api.ok('demo', 'POST', '/v2.0/address-groups', { address_group: { addresses: null } });
  assert.deepEqual(empty.addresses, []);
  assert.equal((await api.call('demo', 'DELETE', path)).status, 204);
  assert.equal(problem(await api.call('demo', 'GET', path)), `404 AddressGroupNotFound: Address group ${id} could not be found.`);
  assert.deepEqual(await store.reader.db.selectFrom('address_associations').selectAll().execute(), []);
}));

eachStore('addresses come and go by actions, all of a request or none', (store) => withGroup(store, ['10.0.0.0/24'], async (api, path, id) => {
  const act = (name: string, body: unknown, who = 'demo') => api.call(who, 'PUT', `${path}/${name}`, body);
  const { status, body } = await act('add_addresses', { addresses: ['192.0.2.7', '10.1.0.0/16', '10.1.2.3/16'] });
  assert.deepEqual([status, body.address_group.addresses, body.address_group.revision_number], [200, ['10.0.0.0/24', '10.1.0.0/16', '192.0.2.7/32'], 1]);
  assert.equal(problem(await act('add_addresses', { addresses: ['10.9.0.0/16', '10.0.0.7/24'] })), `400 AddressesAlreadyExist: Addresses ['10.0.0.0/24'] already exist in the address group ${id}.`);
  assert.equal(problem(await act('remove_addresses', { addresses: ['10.1.0.0/16', '10.2.0.0/16'] })), `404 AddressesNotFound: Addresses ['10.2.0.0/16'] not found in the address group ${id}.`);
  const removed = await act('remove_addresses', { addresses: ['192.0.2.7', '10.1.0.0/16'] });
  assert.deepEqual([removed.status, removed.body.address_group.addresses], [200, ['10.0.0.0/24']]);
  for (const [given, expected] of [
    [{ addresses: ['10.0.0.0/33'] }, "400 HTTPBadRequest: Invalid input for addresses. Reason: '10.0.0.0/33' is not a valid IP subnet."],
    [{ addresses: [7] }, '400 HTTPBadRequest: Invalid input for addresses. Reason: 7 is not a valid string.'],
    [{ addresses: 'x' }, "400 HTTPBadRequest: Invalid input for addresses. Reason: 'x' is not a list."],
    [{}, '400 HTTPBadRequest: The body of this request is {"addresses": […]}'],
    [null, '400 HTTPBadRequest: The body of this request is {"addresses": […]}'],
  ] as const) assert.equal(problem(await act('add_addresses', given)), expected);
  assert.equal((await act('add_addresses', { addresses: ['10.9.0.0/16'] }, 'alt')).status, 404, 'others do not see it');
  assert.equal((await act('add_addresses', { addresses: ['10.9.0.0/16'] }, 'reader')).status, 403);
  assert.equal(problem(await api.call('demo', 'PUT', path, { address_group: { addresses: [] } })), '400 HTTPBadRequest: Cannot update read-only attribute addresses');
  assert.equal(problem(await api.call('demo', 'POST', '/v2.0/address-groups', { address_group: { addresses: ['10.0.0.1'] } })), "400 HTTPBadRequest: Invalid input for addresses. Reason: '10.0.0.1' is not a valid IP subnet.");
  assert.equal((await api.call('demo', 'POST', '/v2.0/address-groups', { address_group: { shared: true } })).status, 400);
  assert.deepEqual((await api.ok('demo', 'GET', path)).address_group.addresses, ['10.0.0.0/24']);
}));

eachStore('a rule refers to an address group of its project, to one remote only, and holds it', (store) => withGroup(store, ['10.0.0.0/24'], async (api, path, id) => {
  const { security_group } = await api.ok('demo', 'POST', '/v2.0/security-groups', { security_group: { name: 'web' } });
  const rule = (given: object, who = 'demo') => api.call(who, 'POST', '/v2.0/security-group-rules', { security_group_rule: { security_group_id: security_group.id, direction: 'ingress', remote_address_group_id: id, ...given } });
  for (const other of [{ remote_ip_prefix: '10.0.0.0/8' }, { remote_group_id: security_group.id }]) {
    assert.equal(problem(await rule(other)), '400 SecurityGroupMultipleRemoteEntites: Only one of remote_ip_prefix or remote_group_id or remote_address_group_id may be provided.');
  }
  const { address_group: foreign } = await api.ok('alt', 'POST', '/v2.0/address-groups', { address_group: {} });
  assert.equal(problem(await rule({ remote_address_group_id: foreign.id })), `404 AddressGroupNotFound: Address group ${foreign.id} could not be found.`);
  const { status, body } = await rule({ protocol: 'tcp' });
  assert.deepEqual([status, body.security_group_rule.remote_address_group_id, body.security_group_rule.remote_group_id], [201, id, null]);
  assert.match(problem(await rule({ protocol: '6' })), /^409 SecurityGroupRuleExists/);
  assert.equal((await rule({ protocol: 'tcp', remote_address_group_id: null })).status, 201, 'another remote is another rule');
  assert.equal((await api.ok('demo', 'GET', `/v2.0/security-group-rules?remote_address_group_id=${id}`)).security_group_rules.length, 1);
  assert.equal(problem(await api.call('demo', 'DELETE', path)), `409 AddressGroupInUse: Address group ${id} is in use on one or more security group rules.`);
  await api.ok('demo', 'DELETE', `/v2.0/security-group-rules/${body.security_group_rule.id}`);
  assert.equal((await api.call('demo', 'DELETE', path)).status, 204);
}));

eachStore('two controllers: one deletes an address group while the other makes a rule of it; no rule refers to nothing', async (store, connection) => {
  const second = await openStore(connection);
  const [one, two] = [apiOf(store), apiOf(second)];
  try {
    const { security_group } = await one.ok('demo', 'POST', '/v2.0/security-groups', { security_group: { name: 'web' } });
    for (let i = 0; i < 6; i++) {
      const { address_group: { id } } = await one.ok('demo', 'POST', '/v2.0/address-groups', { address_group: {} });
      const answers = await Promise.all([
        two.call('demo', 'POST', '/v2.0/security-group-rules', { security_group_rule: { security_group_id: security_group.id, direction: 'ingress', protocol: String(100 + i), remote_address_group_id: id } }),
        one.call('demo', 'DELETE', `/v2.0/address-groups/${id}`),
      ]);
      assert.ok([[201, 409], [404, 204]].some((expected) => String(expected) === String(answers.map(({ status }) => status))), JSON.stringify(answers.map(({ body }) => body)));
    }
  } finally {
    await Promise.all([one.close(), two.close(), second.close()]);
  }
});

eachStore('what hosts are told of an address group is its changed addresses, each a row', (store) => withGroup(store, ['10.0.0.0/24', 'fd00::/64'], async (api, path, id) => {
  const held = async () => (await loadIntent(store.reader)).filter(({ table }) => table === 'address_associations').map((change) => change.id);
  assert.deepEqual((await held()).sort(), [`${id}/10.0.0.0/24`, `${id}/fd00::/64`]);
  const { last_seq } = await store.reader.db.selectFrom('feed_state').select('last_seq').executeTakeFirstOrThrow();
  await api.ok('demo', 'PUT', `${path}/add_addresses`, { addresses: ['10.1.0.0/16'] });
  await api.ok('demo', 'PUT', `${path}/remove_addresses`, { addresses: ['fd00::/64'] });
  const changes = await store.reader.db.selectFrom('changes').selectAll().where('seq', '>', last_seq).orderBy('seq').execute();
  const rows = await loadChanges(store.reader, changes as never);
  assert.deepEqual(rows.filter(({ table }) => table === 'address_groups').map(({ row }) => Object.hasOwn(row!, 'addresses')), [false], 'the group itself is its name');
  assert.deepEqual(rows.filter(({ table }) => table === 'address_associations').map(({ id: key, row }) => [key, row && (row as { address: string }).address]), [[`${id}/10.1.0.0/16`, '10.1.0.0/16'], [`${id}/fd00::/64`, undefined]]);
  await api.ok('demo', 'DELETE', path);
  assert.deepEqual(await held(), []);
}));
