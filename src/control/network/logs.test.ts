import assert from 'node:assert/strict';
import type { Rule } from '#control/network/rule.ts';
import { agentsRule } from './agents.ts';
import { logsRule } from './logs.ts';
import { networksRule } from './networks.ts';
import { portHooks } from './port-hooks.ts';
import { portsRule } from './ports.ts';
import { securityGroupRulesRule } from './security-group-rules.ts';
import { securityGroupsRule } from './security-groups.ts';
import { syncSegmentPools } from './segments.ts';
import { subnetsRule } from './subnets.ts';
import { port } from '#model/networks.ts';
import { loadConfig } from '#model/config.ts';
import type { Store } from '#store/store.ts';
import { Table } from '#store/table.ts';
import { type NetworkApi, networkApi } from '#testkit/network-api.ts';
import { eachStore } from '#testkit/stores.ts';

interface Lab extends Omit<NetworkApi, 'log'> {
  /** A port of the project `demo` and the id of its default group. */
  port(): Promise<{ id: string; group: string }>;
  log(attributes: Record<string, unknown>): Promise<any>;
  /** `400 InvalidInput: …` of what was refused. */
  refused(who: string, method: string, path: string, attributes?: Record<string, unknown>): Promise<string>;
}

async function logLab(store: Store): Promise<Lab> {
  const config = loadConfig('');
  const hooks = portHooks(config);
  await store.write((tx) => syncSegmentPools(tx, config));
  const rules: Rule[] = [networksRule({ config, hooks }), subnetsRule({ config, hooks }), portsRule({ config }), securityGroupsRule({ config }), securityGroupRulesRule({ config }), agentsRule({ config }), logsRule()];
  const api = networkApi(store, config, rules);
  return {
    ...api,
    async port() {
      const { network } = await api.ok('demo', 'POST', '/v2.0/networks', { network: {} });
      const made = (await api.ok('demo', 'POST', '/v2.0/ports', { port: { network_id: network.id } })).port;
      return { id: made.id, group: made.security_groups[0] };
    },
    log: async (attributes) => (await api.ok('admin', 'POST', '/v2.0/log/logs', { log: { resource_type: 'security_group', ...attributes } })).log,
    async refused(who, method, path, attributes) {
      const { status, body } = await api.call(who, method, path, attributes && { log: attributes });
      assert.ok(status >= 400, `${method} ${path} was not refused`);
      return `${status} ${body.NeutronError.type}: ${body.NeutronError.message}`;
    },
  };
}

const LOGS = '/v2.0/log/logs';
const UNKNOWN = '11111111-2222-4333-8444-555555555555';

eachStore('logs: made, listed, changed, deleted by the admin', async (store) => {
  const { log, ok, refused, call, port: makePort, close } = await logLab(store);
  const { id: target_id, group } = await makePort();
  const made = await log({ name: 'web', target_id, resource_id: group, event: 'DROP' });
  assert.deepEqual({ ...made, id: '', created_at: '', updated_at: '' }, {
    id: '', name: 'web', description: '', project_id: 'admin-project', tenant_id: 'admin-project', resource_type: 'security_group', resource_id: group, target_id, event: 'DROP', enabled: true,
    created_at: '', updated_at: '', revision_number: 0,
  });
  const whole = await log({ project_id: 'demo-project' });
  assert.deepEqual([whole.event, whole.resource_id, whole.target_id, whole.project_id], ['ALL', null, null, 'demo-project']);
  const ids = async (query: string) => (await ok('admin', 'GET', `${LOGS}?${query}`)).logs.map(({ id }: any) => id);
  assert.deepEqual(await ids('event=DROP'), [made.id]);
  assert.deepEqual((await ids('sort_key=name&sort_dir=asc&fields=id')).sort(), [made.id, whole.id].sort());

  const url = `${LOGS}/${made.id}`;
  const changed = (await ok('admin', 'PUT', url, { log: { enabled: false, name: 'off', description: 'later' } })).log;
  assert.deepEqual([changed.enabled, changed.name, changed.description, changed.revision_number], [false, 'off', 'later', 1]);
  for (const [name, value] of Object.entries({ event: 'ALL', resource_id: null, target_id: null, resource_type: 'security_group', project_id: 'x' })) {
    assert.equal(await refused('admin', 'PUT', url, { [name]: value }), `400 HTTPBadRequest: Cannot update read-only attribute ${name}`);
  }
  assert.equal((await call('admin', 'DELETE', url)).status, 204);
  assert.equal(await refused('admin', 'GET', url), `404 LogResourceNotFound: Log resource ${made.id} could not be found.`);
  assert.deepEqual((await ok('admin', 'GET', '/v2.0/log/loggable-resources')).loggable_resources, [{ type: 'security_group' }]);
  assert.equal((await call('admin', 'POST', '/v2.0/log/loggable-resources', {})).status, 405);
  await close();
});

eachStore('logs: nobody but the admin makes or sees them', async (store) => {
  const { log, ok, refused, close } = await logLab(store);
  const made = await log({ project_id: 'demo-project' });
  assert.equal(await refused('demo', 'POST', LOGS, { resource_type: 'security_group' }), '403 PolicyNotAuthorized: rule:create_log is disallowed by policy');
  assert.deepEqual((await ok('demo', 'GET', LOGS)).logs, []);
  for (const [method, body] of [['GET'], ['PUT', { name: 'x' }], ['DELETE']] as const) assert.match(await refused('demo', method, `${LOGS}/${made.id}`, body), /^404 LogResourceNotFound/);
  assert.deepEqual((await ok('demo', 'GET', '/v2.0/log/loggable-resources')).loggable_resources, []);
  await close();
});

eachStore('logs: what they name must be there and belong together', async (store) => {
  const { ok, refused, port: makePort, close } = await logLab(store);
  const { id: target_id, group } = await makePort();
  const other = (await ok('demo', 'POST', '/v2.0/security-groups', { security_group: { name: 'other' } })).security_group.id;
  const create = (attributes: Record<string, unknown>) => refused('admin', 'POST', LOGS, { resource_type: 'security_group', ...attributes });
  assert.equal(await refused('admin', 'POST', LOGS, {}), "400 HTTPBadRequest: Failed to parse request. Required attribute 'resource_type' not specified");
  assert.equal(await create({ resource_type: 'firewall_group' }), '400 InvalidLogResourceType: Invalid log resource_type: firewall_group.');
  assert.equal(await create({ resource_id: UNKNOWN, target_id: UNKNOWN }), `404 ResourceNotFound: Resource ${UNKNOWN} could not be found.`);
  assert.equal(await create({ resource_id: group, target_id: UNKNOWN }), `404 TargetResourceNotFound: Target resource ${UNKNOWN} could not be found.`);
  assert.equal(await create({ resource_id: other, target_id }), `400 InvalidResourceConstraint: Invalid resource constraint between resource (security_group ${other}) and target resource (port ${target_id}).`);
  assert.match(await create({ event: 'REJECT' }), /^400 HTTPBadRequest: Invalid input for event\. Reason: /);
  assert.match(await create({ target_id: 'x' }), /^400 HTTPBadRequest: Invalid input for target_id\. Reason: /);
  await store.write(async (tx) => {
    const ports = new Table(port);
    await ports.update(tx, (await ports.get(tx, target_id))!, { 'binding:vif_type': 'hw_veb' });
  });
  assert.equal(await create({ target_id }), `409 LoggingTypeNotSupported: Logging type security_group is not supported on port ${target_id}.`);
  assert.deepEqual((await ok('admin', 'GET', LOGS)).logs, []);
  await close();
});

eachStore('logs end with the port or the group that they name', async (store) => {
  const { log, ok, call, port: makePort, close } = await logLab(store);
  const { id: target_id } = await makePort();
  const group = (await ok('demo', 'POST', '/v2.0/security-groups', { security_group: { name: 'web' } })).security_group.id;
  const [ofPort, ofGroup, rest] = [await log({ target_id }), await log({ resource_id: group }), await log({})];
  const left = async () => new Set((await ok('admin', 'GET', LOGS)).logs.map(({ id }: any) => id));
  assert.equal((await call('demo', 'DELETE', `/v2.0/ports/${target_id}`)).status, 204);
  assert.deepEqual(await left(), new Set([ofGroup.id, rest.id]));
  assert.equal((await call('demo', 'DELETE', `/v2.0/security-groups/${group}`)).status, 204);
  assert.deepEqual(await left(), new Set([rest.id]));
  const gone = await store.reader.db.selectFrom('changes').select('id').where('kind', '=', 'logs').where('op', '=', 'delete').orderBy('seq').execute();
  assert.deepEqual(gone.map(({ id }) => id), [ofPort.id, ofGroup.id], 'the hosts hear of it');
  await close();
});
