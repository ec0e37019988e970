import assert from 'node:assert/strict';
import { loadConfig } from '#model/config.ts';
import { apiTime } from '#store/time.ts';
import { networkApi } from '#testkit/network-api.ts';
import { eachStore } from '#testkit/stores.ts';
import { agentsRule, aliveHosts, heartbeat } from './agents.ts';
import { networksRule } from './networks.ts';
import { syncSegmentPools } from './segments.ts';

const config = loadConfig('');
const hooks = { async removePort() {}, async onSubnetChanged() {} };
const reports = (local_ip: string) => [
  { agent_type: 'Open vSwitch agent', configurations: { tunneling_ip: local_ip } },
  { agent_type: 'DHCP agent', configurations: {} },
] as const;

eachStore('agents appear by their heartbeats, die without, and only news goes into the feed', async (store) => {
  const { ok, close } = networkApi(store, config, [networksRule({ config, hooks }), agentsRule({ config })]);
  await store.write((tx) => heartbeat(tx, 'compute1', reports('10.0.0.1')));
  await store.write((tx) => heartbeat(tx, 'compute2', reports('10.0.0.2')));
  const head = await store.feed.head();
  await store.write((tx) => heartbeat(tx, 'compute1', reports('10.0.0.1')));
  assert.deepEqual((await store.feed.after(head))?.changes, []);
  await store.write((tx) => heartbeat(tx, 'compute1', reports('10.0.0.9')));
  assert.deepEqual((await store.feed.after(head))?.changes.map(({ kind, op }) => `${kind} ${op}`), ['agents update']);
  const { agents } = await ok('admin', 'GET', '/v2.0/agents?sort_key=host&sort_dir=asc&sort_key=binary&sort_dir=desc');
  assert.deepEqual(agents.map((each: any) => [each.host, each.agent_type, each.binary, each.topic, each.alive, each.availability_zone]), [
    ['compute1', 'Open vSwitch agent', 'neutron-openvswitch-agent', 'N/A', true, 'nova'],
    ['compute1', 'DHCP agent', 'neutron-dhcp-agent', 'dhcp_agent', true, 'nova'],
    ['compute2', 'Open vSwitch agent', 'neutron-openvswitch-agent', 'N/A', true, 'nova'],
    ['compute2', 'DHCP agent', 'neutron-dhcp-agent', 'dhcp_agent', true, 'nova'],
  ]);
  assert.deepEqual(agents[0].configurations, { tunneling_ip: '10.0.0.9' });
  assert.match(agents[0].heartbeat_timestamp, /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d$/);
  await store.write((tx) => tx.db.updateTable('agents').set({ heartbeat_timestamp: apiTime(new Date(Date.now() - 76_000)) }).where('host', '=', 'compute2').execute());
  assert.deepEqual((await ok('admin', 'GET', '/v2.0/agents?alive=false')).agents.map((each: any) => each.host), ['compute2', 'compute2']);
  assert.deepEqual(await aliveHosts(store.reader, config), ['compute1']);
  assert.deepEqual(await aliveHosts(store.reader, config, 'DHCP agent'), ['compute1']);
  await close();
});

eachStore('agents are the admin\'s: others see none and change none', async (store) => {
  const { ok, call, close } = networkApi(store, config, [networksRule({ config, hooks }), agentsRule({ config })]);
  await store.write((tx) => heartbeat(tx, 'compute1', reports('10.0.0.1')));
  const [agent] = (await ok('admin', 'GET', '/v2.0/agents?agent_type=DHCP%20agent')).agents;
  assert.deepEqual((await ok('demo', 'GET', '/v2.0/agents')).agents, []);
  for (const [method, body] of [['GET'], ['PUT', { agent: { admin_state_up: false } }], ['DELETE']] as const) assert.equal((await call('demo', method, `/v2.0/agents/${agent.id}`, body)).status, 404);
  assert.deepEqual((await ok('demo', 'GET', '/v2.0/availability_zones')).availability_zones, [{ name: 'nova', resource: 'network', state: 'available' }]);
  const changed = (await ok('admin', 'PUT', `/v2.0/agents/${agent.id}`, { agent: { admin_state_up: false, description: 'off' } })).agent;
  assert.deepEqual([changed.admin_state_up, changed.description, changed.alive], [false, 'off', true]);
  assert.deepEqual(await aliveHosts(store.reader, config, 'DHCP agent'), []);
  assert.deepEqual((await ok('demo', 'GET', '/v2.0/availability_zones')).availability_zones[0].state, 'unavailable');
  assert.equal((await call('admin', 'PUT', `/v2.0/agents/${agent.id}`, { agent: { host: 'x' } })).status, 400);
  assert.equal((await call('admin', 'POST', '/v2.0/agents', { agent: {} })).status, 405);
  assert.equal((await call('admin', 'DELETE', `/v2.0/agents/${agent.id}`)).status, 204);
  assert.equal((await call('admin', 'GET', `/v2.0/agents/${agent.id}`)).status, 404);
  await close();
});

eachStore('which agents serve DHCP on a network, and its zones', async (store) => {
  const { ok, call, close } = networkApi(store, config, [networksRule({ config, hooks }), agentsRule({ config })]);
  await store.write((tx) => syncSegmentPools(tx, config));
  await store.write((tx) => heartbeat(tx, 'compute1', reports('10.0.0.1')));
  const { network } = await ok('demo', 'POST', '/v2.0/networks', { network: { availability_zone_hints: ['nova'] } });
  await store.write((tx) => tx.db.insertInto('network_dhcp_bindings').values({ network_id: network.id, host: 'compute1', port_id: 'p' }).execute());
  const { agents } = await ok('admin', 'GET', `/v2.0/networks/${network.id}/dhcp-agents`);
  assert.deepEqual(agents.map((each: any) => [each.host, each.agent_type]), [['compute1', 'DHCP agent']]);
  assert.deepEqual((await ok('admin', 'GET', `/v2.0/agents/${agents[0].id}/dhcp-networks`)).networks.map(({ id }: any) => id), [network.id]);
  assert.deepEqual((await ok('demo', 'GET', `/v2.0/networks/${network.id}`)).network.availability_zones, ['nova']);
  assert.equal((await call('admin', 'POST', '/v2.0/networks', { network: { availability_zone_hints: ['mars'] } })).body.NeutronError.type, 'AvailabilityZoneNotFound');
  await close();
});
