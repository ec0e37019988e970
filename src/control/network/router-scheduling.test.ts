import assert from 'node:assert/strict';
import { Compiler } from '#compile/compiler.ts';
import { port } from '#model/networks.ts';
import type { Store } from '#store/store.ts';
import { Table } from '#store/table.ts';
import { apiTime } from '#store/time.ts';
import { config } from '#testkit/network-rows.ts';
import { addHost, problem, type RouterApi, routerApi } from '#testkit/router-api.ts';
import { eachStore } from '#testkit/stores.ts';
import { loadIntent } from '../hosts/intent.ts';
import { scheduleWaitingRouters } from './router-scheduling.ts';

const ports = new Table(port);
const WITHOUT_PHYSNET = { configurations: { bridge_mappings: {}, tunnel_types: ['vxlan'], datapath_type: 'netdev' } };

const bindings = async (store: Store) => (await store.reader.db.selectFrom('router_bindings').selectAll().orderBy('router_id').orderBy('host').execute()).map((row) => `${row.router_id} ${row.host}`);
const where = async (api: RouterApi, router: { id: string }) => (await api.legs(router)).map((leg) => `${leg['binding:host_id']} ${leg['binding:vif_type']}`);
const agentOf = async ({ ok }: RouterApi, host: string, type = 'L3 agent') => (await ok('admin', 'GET', `/v2.0/agents?host=${host}&agent_type=${encodeURIComponent(type)}`)).agents[0];
/** The agents of a host, or those of `types`, have not reported for longer than `agent_down_time`. */
const silence = (store: Store, host: string, ...types: string[]) => store.write((tx) => {
  const query = tx.db.updateTable('agents').set({ heartbeat_timestamp: apiTime(new Date(Date.now() - 80_000)) }).where('host', '=', host);
  return (types.length > 0 ? query.where('agent_type', 'in', types) : query).execute();
});
/** A router with an interface on a network of its own. */
const routed = async (api: RouterApi, attributes: Record<string, unknown> = {}) => {
  const made = await api.router('demo', attributes);
  const { network, subnet } = await api.network('demo', '10.0.0.0/24');
  await api.act('demo', made, 'add_router_interface', { subnet_id: subnet.id });
  return { made, network, subnet };
};

eachStore('N-L3-1: the first leg puts a router on a host, its other legs follow, and the last one takes it off', async (store) => {
  const api = await routerApi(store, { hosts: ['host1', 'host2'] });
  const { network: outside } = await api.external();
  const { made, subnet } = await routed(api);
  assert.deepEqual(await bindings(store), [`${made.id} host1`]);
  const head = await store.feed.head();
  const second = await api.router('demo', { external_gateway_info: { network_id: outside.id } });
  assert.deepEqual((await bindings(store)).sort(), [`${made.id} host1`, `${second.id} host2`].sort());
  assert.ok((await store.feed.after(head))!.changes.some(({ kind, id, op }) => kind === 'router_bindings' && id === `${second.id}/host2` && op === 'create'));
  await api.set('demo', made, { external_gateway_info: { network_id: outside.id } });
  assert.deepEqual(await where(api, made), ['host1 ovs', 'host1 ovs']);
  assert.deepEqual((await api.show('demo', made)).availability_zones, ['nova']);
  await api.set('demo', made, { external_gateway_info: null });
  assert.equal((await bindings(store)).length, 2);
  await api.act('demo', made, 'remove_router_interface', { subnet_id: subnet.id });
  assert.deepEqual(await bindings(store), [`${second.id} host2`]);
  assert.deepEqual((await api.show('demo', made)).availability_zones, []);
  await api.ok('demo', 'DELETE', `/v2.0/routers/${second.id}`);
  assert.deepEqual(await bindings(store), []);
  await api.close();
});

eachStore('routers go to the host with the fewest, among those that are alive, enabled and in their zones', async (store) => {
  const api = await routerApi(store, { hosts: ['host1', 'host2', 'host3'] });
  await addHost(store, 'remote', { l3: { availability_zone: 'mars' } });
  await api.ok('admin', 'PUT', `/v2.0/agents/${(await agentOf(api, 'host2')).id}`, { agent: { admin_state_up: false } });
  await silence(store, 'host3', 'L3 agent');
  for (let i = 0; i < 4; i++) await routed(api);
  const load = Map.groupBy(await bindings(store), (line) => line.split(' ')[1]!);
  assert.deepEqual([...load].map(([host, own]) => [host, own.length]).sort(), [['host1', 2], ['remote', 2]]);
  const { made } = await routed(api, { availability_zone_hints: ['mars'] });
  assert.deepEqual([await where(api, made), (await api.show('demo', made)).availability_zones], [['remote ovs'], ['mars']]);
  assert.deepEqual((await api.ok('demo', 'GET', '/v2.0/availability_zones')).availability_zones, [
    { name: 'nova', resource: 'network', state: 'available' }, { name: 'mars', resource: 'router', state: 'available' }, { name: 'nova', resource: 'router', state: 'available' },
  ]);
  assert.equal(problem(await api.call('demo', 'POST', '/v2.0/networks', { network: { availability_zone_hints: ['mars'] } })), '404 AvailabilityZoneNotFound');
  await api.close();
});

eachStore('a host that cannot carry a network of the router is not chosen; if there is no better one, that leg alone fails, with its reason', async (store) => {
  const api = await routerApi(store, { hosts: [] });
  await addHost(store, 'blind', { ovs: WITHOUT_PHYSNET });
  const { network: outside } = await api.external();
  const waiting = await api.router('demo', { external_gateway_info: { network_id: outside.id } });
  const [leg] = await api.legs(waiting);
  assert.deepEqual([leg['binding:vif_type'], leg.status_reason, await bindings(store)], ['unbound', 'no host with a live L3 agent carries it: host blind has no bridge for physical network physnet', []]);
  const { made } = await routed(api);
  await api.set('demo', made, { external_gateway_info: { network_id: outside.id } });
  assert.deepEqual(await where(api, made), ['blind binding_failed', 'blind ovs']);
  assert.equal((await api.legs(made))[0].status_reason, 'host blind has no bridge for physical network physnet');

  await addHost(store, 'sighted');
  await scheduleWaitingRouters(store, config);
  assert.deepEqual([await where(api, waiting), await where(api, made)], [['sighted ovs'], ['blind binding_failed', 'blind ovs']]);
  const { made: third } = await routed(api, { external_gateway_info: { network_id: outside.id } });
  assert.deepEqual(await where(api, third), ['sighted ovs', 'sighted ovs']);

  const configurations = JSON.stringify({ ...WITHOUT_PHYSNET.configurations, bridge_mappings: { physnet: 'br-phys' } });
  await store.write((tx) => tx.db.updateTable('agents').set({ configurations }).where('host', '=', 'blind').execute());
  await scheduleWaitingRouters(store, config);
  assert.deepEqual(await where(api, made), ['blind ovs', 'blind ovs']);
  await api.close();
});

eachStore('without a host routers wait; the first host that joins gets those that have legs, once', async (store) => {
  const api = await routerApi(store, { hosts: [] });
  const { network: outside } = await api.external();
  const { made, subnet } = await routed(api);
  assert.deepEqual((await api.legs(made)).map((leg) => [leg['binding:host_id'], leg.status_reason]), [['', 'no host with a live L3 agent']]);
  await api.set('demo', made, { external_gateway_info: { network_id: outside.id } });
  await api.router('demo');
  await addHost(store, 'host1');
  await scheduleWaitingRouters(store, config);
  assert.deepEqual([await bindings(store), await where(api, made)], [[`${made.id} host1`], ['host1 ovs', 'host1 ovs']]);
  assert.deepEqual((await api.legs(made)).map((leg) => leg.status_reason), [null, null]);
  const head = await store.feed.head();
  await scheduleWaitingRouters(store, config);
  assert.deepEqual(await store.feed.head(), head);
  await api.act('demo', made, 'remove_router_interface', { subnet_id: subnet.id });
  await api.close();
});

eachStore('a router that waits is placed with its next leg, or with any change of it', async (store) => {
  const api = await routerApi(store, { hosts: [] });
  const { network: outside } = await api.external();
  const { made: first } = await routed(api);
  const { made: second } = await routed(api);
  const { network: home, subnet } = await api.network('demo', '10.7.0.0/24');
  const given = await api.port('demo', { network_id: home.id, fixed_ips: [{ subnet_id: subnet.id }] });
  const third = await api.router('demo');
  assert.equal((await api.act('demo', third, 'add_router_interface', { port_id: given.id })).port_id, given.id);
  assert.equal((await api.legs(third))[0].status_reason, 'no host with a live L3 agent');
  await addHost(store, 'host1');
  await api.set('demo', first, { external_gateway_info: { network_id: outside.id } });
  await api.set('demo', second, { name: 'now' });
  assert.deepEqual([await where(api, first), await where(api, second), await where(api, third)], [['host1 ovs', 'host1 ovs'], ['host1 ovs'], [' unbound']]);
  await api.close();
});

eachStore('N-L3-12: a router stays on its host when that dies; an admin moves it, or removes the dead agent', async (store) => {
  const api = await routerApi(store, { hosts: ['host1'] });
  const { made } = await routed(api);
  const { made: second } = await routed(api);
  await addHost(store, 'host2');
  await silence(store, 'host1');
  await scheduleWaitingRouters(store, config);
  await api.set('demo', made, { name: 'still there' });
  assert.deepEqual(await where(api, made), ['host1 ovs']);
  const [dead, alive] = [await agentOf(api, 'host1'), await agentOf(api, 'host2')];
  assert.equal(dead.alive, false);
  await api.ok('admin', 'DELETE', `/v2.0/agents/${dead.id}/l3-routers/${made.id}`);
  assert.deepEqual(await where(api, made), [' unbound']);
  await api.ok('admin', 'POST', `/v2.0/agents/${alive.id}/l3-routers`, { router_id: made.id });
  assert.deepEqual(await where(api, made), ['host2 ovs']);
  await api.ok('admin', 'DELETE', `/v2.0/agents/${dead.id}`);
  assert.deepEqual([await where(api, second), (await bindings(store)).length], [['host2 ovs'], 2]);
  await api.close();
});

eachStore('l3_agent_scheduler: who carries what, from both sides; what does not fit is refused', async (store) => {
  const api = await routerApi(store, { hosts: ['host1', 'host2'] });
  const { ok, call, refuses, close } = api;
  const { made } = await routed(api);
  const bare = await api.router('demo');
  const [one, two, dhcp] = [await agentOf(api, 'host1'), await agentOf(api, 'host2'), await agentOf(api, 'host1', 'DHCP agent')];
  const routers = (agent: { id: string }) => `/v2.0/agents/${agent.id}/l3-routers`;
  assert.deepEqual((await ok('admin', 'GET', routers(one))).routers.map(({ id }: any) => id), [made.id]);
  assert.deepEqual((await ok('admin', 'GET', routers(two))).routers, []);
  assert.deepEqual((await ok('admin', 'GET', routers(dhcp))).routers, []);
  const { agents } = await ok('admin', 'GET', `/v2.0/routers/${made.id}/l3-agents`);
  assert.deepEqual(agents.map((each: any) => [each.host, each.agent_type, each.alive]), [['host1', 'L3 agent', true]]);
  await refuses([
    ['admin', 'POST', routers(two), { router_id: made.id }, '409 RouterHostedByL3Agent'],
    ['admin', 'POST', routers(dhcp), { router_id: made.id }, '404 InvalidL3Agent'],
    ['admin', 'POST', routers({ id: 'none' }), { router_id: made.id }, '404 AgentNotFound'],
    ['admin', 'POST', routers(two), { router_id: crypto.randomUUID() }, '404 RouterNotFound'],
    ['admin', 'POST', routers(two), {}, '400 HTTPBadRequest'],
    ['admin', 'POST', routers(two), { router_id: 'a\0' }, '400 HTTPBadRequest'],
    ['admin', 'DELETE', `${routers(two)}/${made.id}`, undefined, '409 RouterNotHostedByL3Agent'],
    ['admin', 'DELETE', `${routers(two)}/none`, undefined, '404 RouterNotFound'],
    ['admin', 'DELETE', `${routers(two)}/a%00`, undefined, '404 RouterNotFound'],
    ['admin', 'GET', '/v2.0/routers/none/l3-agents', undefined, '404 RouterNotFound'],
    ['demo', 'GET', routers(one), undefined, '403 PolicyNotAuthorized'],
    ['demo', 'GET', `/v2.0/routers/${made.id}/l3-agents`, undefined, '403 PolicyNotAuthorized'],
    ['demo', 'POST', routers(two), { router_id: made.id }, '403 PolicyNotAuthorized'],
    ['demo', 'DELETE', `${routers(one)}/${made.id}`, undefined, '403 PolicyNotAuthorized'],
  ]);
  const again = await call('admin', 'POST', routers(one), { router_id: made.id });
  assert.deepEqual([again.status, again.body], [201, null]);
  assert.equal((await call('admin', 'DELETE', `${routers(one)}/${made.id}`)).status, 204);
  assert.deepEqual(await where(api, made), [' unbound']);
  await ok('admin', 'PUT', `/v2.0/agents/${two.id}`, { agent: { admin_state_up: false } });
  await refuses([['admin', 'POST', routers(two), { router_id: made.id }, '404 InvalidL3Agent']]);
  await ok('admin', 'PUT', `/v2.0/agents/${two.id}`, { agent: { admin_state_up: true } });
  await ok('admin', 'POST', routers(two), { router_id: bare.id });
  const { subnet } = await api.network('demo', '10.1.0.0/24');
  await api.act('demo', bare, 'add_router_interface', { subnet_id: subnet.id });
  assert.deepEqual(await where(api, bare), ['host2 ovs']);
  await close();
});

eachStore('dhcp_agent_scheduler: an admin adds and removes servers of a network', async (store) => {
  const api = await routerApi(store, { hosts: ['host1', 'host2'] });
  const { ok, refuses, network, close } = api;
  const { network: home } = await network('demo', '10.0.0.0/24');
  const { network: empty } = await ok('demo', 'POST', '/v2.0/networks', { network: {} });
  const [one, two, l3] = [await agentOf(api, 'host1', 'DHCP agent'), await agentOf(api, 'host2', 'DHCP agent'), await agentOf(api, 'host1')];
  const networks = (agent: { id: string }) => `/v2.0/agents/${agent.id}/dhcp-networks`;
  const servers = async ({ id }: { id: string }) => (await ports.list(store.reader, { filters: { network_id: [id], device_owner: ['network:dhcp'] } })).map((each) => `${each['binding:host_id']} ${each.fixed_ips.map((ip) => ip.ip_address)}`).sort();
  assert.deepEqual(await servers(home), ['host1 10.0.0.2']);
  await refuses([
    ['admin', 'POST', networks(one), { network_id: home.id }, '409 NetworkHostedByDHCPAgent'],
    ['admin', 'POST', networks(l3), { network_id: home.id }, '404 InvalidDHCPAgent'],
    ['admin', 'POST', networks({ id: 'none' }), { network_id: home.id }, '404 AgentNotFound'],
    ['admin', 'POST', networks(two), { network_id: crypto.randomUUID() }, '404 NetworkNotFound'],
    ['admin', 'POST', networks(two), [], '400 HTTPBadRequest'],
    ['admin', 'DELETE', `${networks(two)}/${home.id}`, undefined, '409 NetworkNotHostedByDhcpAgent'],
    ['admin', 'DELETE', `${networks(one)}/a%00`, undefined, '409 NetworkNotHostedByDhcpAgent'],
    ['demo', 'POST', networks(two), { network_id: home.id }, '403 PolicyNotAuthorized'],
    ['demo', 'DELETE', `${networks(one)}/${home.id}`, undefined, '403 PolicyNotAuthorized'],
    ['demo', 'GET', networks(one), undefined, '403 PolicyNotAuthorized'],
    ['demo', 'GET', `/v2.0/networks/${home.id}/dhcp-agents`, undefined, '403 PolicyNotAuthorized'],
  ]);
  assert.equal(await ok('admin', 'POST', networks(two), { network_id: home.id }), null);
  assert.deepEqual(await servers(home), ['host1 10.0.0.2', 'host2 10.0.0.3']);
  assert.deepEqual((await ok('admin', 'GET', `/v2.0/networks/${home.id}/dhcp-agents`)).agents.map(({ host }: any) => host).sort(), ['host1', 'host2']);
  await ok('admin', 'DELETE', `${networks(one)}/${home.id}`);
  assert.deepEqual(await servers(home), ['host2 10.0.0.3']);
  assert.deepEqual((await ok('admin', 'GET', networks(one))).networks, []);
  await ok('admin', 'POST', networks(two), { network_id: empty.id });
  assert.deepEqual(await servers(empty), ['host2 ']);
  await ok('demo', 'POST', '/v2.0/subnets', { subnet: { network_id: empty.id, cidr: '10.1.0.0/24', ip_version: 4 } });
  assert.deepEqual(await servers(empty), ['host2 10.1.0.2']);
  await close();
});

eachStore('N-L3-23: the store holds several bindings of a router, and each of its hosts gets it', async (store) => {
  const api = await routerApi(store, { hosts: ['host1', 'host2'] });
  const { made } = await routed(api);
  await store.write(async (tx) => void (await tx.db.insertInto('router_bindings').values({ router_id: made.id, host: 'host2' }).execute()));
  assert.deepEqual((await api.ok('admin', 'GET', `/v2.0/routers/${made.id}/l3-agents`)).agents.map(({ host }: any) => host).sort(), ['host1', 'host2']);
  const compiler = new Compiler(config);
  compiler.apply(await loadIntent(store.reader));
  for (const host of ['host1', 'host2']) assert.ok(compiler.fromScratch(host).has(`router/${made.id}`), host);
  const [leg] = await api.legs(made);
  assert.deepEqual(['host1', 'host2'].map((host) => compiler.fromScratch(host).has(`router-port/${made.id}/${leg.id}`)), [true, false]);
  await api.ok('admin', 'DELETE', `/v2.0/agents/${(await agentOf(api, 'host2')).id}/l3-routers/${made.id}`);
  assert.deepEqual(await where(api, made), ['host1 ovs']);
  await api.close();
});

eachStore('a leg that was a port with groups is not filtered on its host, and keeps its groups in the API', async (store) => {
  const api = await routerApi(store);
  const { network: home, subnet } = await api.network('demo', '10.0.0.0/24');
  const given = await api.port('demo', { network_id: home.id, fixed_ips: [{ subnet_id: subnet.id }] });
  const made = await api.router('demo');
  await api.act('demo', made, 'add_router_interface', { port_id: given.id });
  assert.deepEqual((await api.legs(made))[0].security_groups, given.security_groups);
  const compiler = new Compiler(config);
  compiler.apply(await loadIntent(store.reader));
  const state = compiler.fromScratch('host1');
  const item = state.get(`port/${given.id}`);
  assert.deepEqual(item?.type === 'port' && [item.port_security_enabled, item.security_groups, item.device], [false, [], `qr-${given.id.slice(0, 11)}`]);
  assert.ok(![...state.keys()].some((key) => key.startsWith('rule/')));
  await api.close();
});
