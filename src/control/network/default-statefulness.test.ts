import assert from 'node:assert/strict';
import { loadConfig } from '#model/config.ts';
import type { Store } from '#store/store.ts';
import { type NetworkApi, networkApi } from '#testkit/network-api.ts';
import { eachStore } from '#testkit/stores.ts';
import { agentsRule } from './agents.ts';
import { defaultStatefulnessRule } from './default-statefulness.ts';
import { networksRule } from './networks.ts';
import { portsRule } from './ports.ts';
import { syncSegmentPools } from './segments.ts';
import { securityGroupsRule } from './security-groups.ts';

const config = loadConfig('');
const hooks = { async removePort() {}, async onSubnetChanged() {} };
const PATH = '/v2.0/security-groups-default-statefulness';
const KEY = 'security_groups_default_statefulness';
const problem = ({ status, body }: { status: number; body: any }) => `${status} ${body?.NeutronError?.type}: ${body?.NeutronError?.message}`;

const apiOf = (store: Store): NetworkApi => networkApi(store, config, [networksRule({ config, hooks }), agentsRule({ config }), portsRule({ config }), securityGroupsRule({ config }), defaultStatefulnessRule()]);
const made = async (api: NetworkApi, who: string, given: object = {}) => (await api.ok(who, 'POST', '/v2.0/security-groups', { security_group: { name: 'web', ...given } })).security_group;

eachStore('new groups are stateful as they say, as their project says, or as the cloud says', async (store) => {
  const api = apiOf(store);
  assert.equal((await made(api, 'demo')).stateful, true);
  const { [KEY]: all } = await api.ok('admin', 'POST', PATH, { [KEY]: { project_id: null, stateful: false } });
  assert.deepEqual([all.project_id, all.tenant_id, all.stateful], [null, null, false]);
  assert.equal((await made(api, 'demo')).stateful, false);
  const { [KEY]: own } = await api.ok('admin', 'POST', PATH, { [KEY]: { project_id: 'demo-project', stateful: 'True' } });
  assert.deepEqual([(await made(api, 'demo')).stateful, (await made(api, 'alt')).stateful, (await made(api, 'demo', { stateful: false })).stateful], [true, false, false]);
  const [standard] = (await api.ok('alt', 'GET', '/v2.0/security-groups?name=default')).security_groups;
  assert.equal(standard.stateful, true, 'the default group is nobody’s wish');
  assert.equal((await api.ok('alt', 'GET', '/v2.0/security-groups?stateful=false')).security_groups.length, 1);
  await api.ok('admin', 'PUT', `${PATH}/${own.id}`, { [KEY]: { stateful: false } });
  assert.equal((await made(api, 'demo')).stateful, false);
  await api.ok('admin', 'DELETE', `${PATH}/${own.id}`);
  await api.ok('admin', 'DELETE', `${PATH}/${all.id}`);
  assert.equal((await made(api, 'alt')).stateful, true);
  assert.equal(problem(await api.call('admin', 'GET', `${PATH}/${all.id}`)), `404 SecurityGroupDefaultStatefulnessNotFound: Security group default statefulness ${all.id} could not be found.`);
  await api.close();
});

eachStore('a project has one default at most; its manager may set it, and its members see it', async (store) => {
  const api = apiOf(store);
  await api.ok('admin', 'POST', PATH, { [KEY]: { project_id: 'demo-project', stateful: false } });
  await api.ok('admin', 'POST', PATH, { [KEY]: { project_id: null } });
  for (const project_id of ['demo-project', null]) {
    assert.equal(problem(await api.call('admin', 'POST', PATH, { [KEY]: { project_id } })), `409 SecurityGroupDefaultStatefulnessAlreadyExists: A security group default statefulness setting already exists for project '${project_id ?? 'system-wide'}'.`);
  }
  const seen = (await api.ok('reader', 'GET', PATH))[KEY];
  assert.deepEqual(seen.map((each: any) => [each.project_id, each.stateful]), [['demo-project', false]]);
  assert.equal((await api.ok('admin', 'GET', PATH))[KEY].length, 2);
  assert.match(problem(await api.call('demo', 'PUT', `${PATH}/${seen[0].id}`, { [KEY]: { stateful: true } })), /^403/);
  assert.match(problem(await api.call('alt', 'POST', PATH, { [KEY]: {} })), /^403 .*create_security_groups_default_statefulness/);
  assert.match(problem(await api.call('alt', 'POST', PATH, { [KEY]: { project_id: null } })), /^400/);
  await api.close();
});

eachStore('a port has stateful groups or stateless ones; a group in use stays what it is', async (store) => {
  await store.write((tx) => syncSegmentPools(tx, config));
  const api = apiOf(store);
  const { network } = await api.ok('demo', 'POST', '/v2.0/networks', { network: {} });
  const [kept, lost, also] = [await made(api, 'demo'), await made(api, 'demo', { stateful: false }), await made(api, 'demo', { stateful: false })];
  const mixed = '409 SecurityGroupConflict: Error Cannot apply both stateful and stateless security groups on the same port at the same time while attempting the operation.';
  const create = (groups: string[]) => api.call('demo', 'POST', '/v2.0/ports', { port: { network_id: network.id, security_groups: groups } });
  assert.equal(problem(await create([kept.id, lost.id])), mixed);
  const { body: { port } } = await create([lost.id, also.id]);
  const update = (groups: string[]) => api.call('demo', 'PUT', `/v2.0/ports/${port.id}`, { port: { security_groups: groups } });
  assert.equal(problem(await update([lost.id, kept.id])), mixed);
  assert.deepEqual((await api.ok('demo', 'GET', `/v2.0/ports/${port.id}`)).port.security_groups.sort(), [lost.id, also.id].sort());
  assert.equal((await update([kept.id])).status, 200, 'all of them at once');
  assert.equal(problem(await api.call('demo', 'PUT', `/v2.0/security-groups/${kept.id}`, { security_group: { stateful: false } })), `409 SecurityGroupInUse: Security Group ${kept.id} in use.`);
  assert.equal((await api.call('demo', 'PUT', `/v2.0/security-groups/${lost.id}`, { security_group: { stateful: true } })).status, 200);
  for (const name of ['default', 'Default']) assert.match(problem(await api.call('demo', 'POST', '/v2.0/security-groups', { security_group: { name } })), /^409 SecurityGroupDefaultAlreadyExists/);
  await api.close();
});
