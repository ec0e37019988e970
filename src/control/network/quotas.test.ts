import assert from 'node:assert/strict';
import { loadConfig } from '#model/config.ts';
import { networkApi } from '#testkit/network-api.ts';
import { eachStore } from '#testkit/stores.ts';
import { agentsRule } from './agents.ts';
import { networksRule } from './networks.ts';
import { syncSegmentPools } from './segments.ts';

const config = loadConfig('quota_network: 3');
const hooks = { async removePort() {}, async onSubnetChanged() {} };
const problem = ({ status, body }: { status: number; body: any }) => `${status} ${body.NeutronError?.type}: ${body.NeutronError?.message}`;
const defaults = { network: 3, subnet: 100, subnetpool: -1, port: 500, security_group: 10, security_group_rule: 100, router: 10, floatingip: 50, rbac_policy: 10 };

eachStore('quotas bound creates, one by one, in bulk and at once', async (store) => {
  await store.write((tx) => syncSegmentPools(tx, config));
  const { call, ok, close } = networkApi(store, config, [networksRule({ config, hooks }), agentsRule({ config })]);
  await ok('demo', 'POST', '/v2.0/networks', { network: {} });
  assert.equal(problem(await call('demo', 'POST', '/v2.0/networks', { networks: [{}, {}, {}] })), "409 OverQuota: Quota exceeded for resources: ['network'].");
  assert.equal((await ok('demo', 'GET', '/v2.0/networks')).networks.length, 1);
  const answers = await Promise.all(Array.from({ length: 6 }, () => call('demo', 'POST', '/v2.0/networks', { network: {} })));
  assert.deepEqual(answers.map(({ status }) => status).sort(), [201, 201, 409, 409, 409, 409]);
  assert.equal((await call('alt', 'POST', '/v2.0/networks', { network: {} })).status, 201, 'another project has its own');
  assert.equal((await ok('admin', 'PUT', '/v2.0/quotas/demo-project', { quota: { network: -1 } })).quota.network, -1);
  assert.equal((await call('demo', 'POST', '/v2.0/networks', { network: {} })).status, 201);
  await close();
});

eachStore('quotas by project: shown, set, reset, and whose they are', async (store) => {
  const { call, ok, close } = networkApi(store, config, [networksRule({ config, hooks }), agentsRule({ config })]);
  await store.write((tx) => syncSegmentPools(tx, config));
  assert.deepEqual(await ok('demo', 'GET', '/v2.0/quotas/demo-project'), { quota: defaults });
  assert.deepEqual(await ok('admin', 'PUT', '/v2.0/quotas/demo-project', { quota: { port: '7', subnet: 5 } }), { quota: { ...defaults, port: 7, subnet: 5 } });
  assert.deepEqual(await ok('demo', 'GET', '/v2.0/quotas/demo-project/default'), { quota: defaults });
  assert.deepEqual(await ok('admin', 'GET', '/v2.0/quotas'), { quotas: [{ ...defaults, port: 7, subnet: 5, project_id: 'demo-project', tenant_id: 'demo-project' }] });
  await ok('demo', 'POST', '/v2.0/networks', { network: {} });
  for (const path of ['details', 'details.json']) assert.deepEqual((await ok('demo', 'GET', `/v2.0/quotas/demo-project/${path}`)).quota.network, { limit: 3, used: 1, reserved: 0 });
  assert.deepEqual(await ok('demo', 'GET', '/v2.0/quotas/tenant'), { tenant: { tenant_id: 'demo-project' } });
  for (const [method, path, body] of [['GET', ''], ['GET', '/alt-project'], ['PUT', '/demo-project', { quota: { port: 1 } }], ['DELETE', '/demo-project']] as const) {
    assert.equal((await call('demo', method, `/v2.0/quotas${path}`, body)).status, 403, `${method} ${path}`);
  }
  for (const [quota, expected] of [
    [{ ports: 1 }, "400 HTTPBadRequest: Unrecognized attribute(s) 'ports'"],
    [{ port: -2 }, "400 HTTPBadRequest: Invalid input for port. Reason: '-2' is too small - must be at least '-1'."],
    [{ port: 'many' }, "400 HTTPBadRequest: Invalid input for port. Reason: 'many' is not an integer."],
    [{ network: 0 }, '400 HTTPBadRequest: Quota limit 0 for network must be greater than or equal to already used 1'],
    [7, "400 HTTPBadRequest: Unable to find 'quota' in request body"],
  ] as const) assert.equal(problem(await call('admin', 'PUT', '/v2.0/quotas/demo-project', { quota })), expected);
  assert.equal((await call('admin', 'PUT', '/v2.0/quotas/demo-project', { quota: { network: 0, force: true } })).status, 200);
  assert.equal((await call('admin', 'DELETE', '/v2.0/quotas/demo-project')).status, 204);
  assert.deepEqual(await ok('demo', 'GET', '/v2.0/quotas/demo-project'), { quota: defaults });
  await close();
});
