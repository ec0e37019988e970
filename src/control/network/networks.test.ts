import assert from 'node:assert/strict';
import { loadConfig } from '#model/config.ts';
import { port } from '#model/networks.ts';
import { openStore } from '#store/open.ts';
import type { Store } from '#store/store.ts';
import { Table } from '#store/table.ts';
import { networkApi, type NetworkApi } from '#testkit/network-api.ts';
import { eachStore } from '#testkit/stores.ts';
import { agentsRule } from './agents.ts';
import type { NetworkHooks } from './network-hooks.ts';
import { networksRule } from './networks.ts';
import { newObject } from './new-object.ts';
import { syncSegmentPools } from './segments.ts';
import { subnetsRule } from './subnets.ts';

const ports = new Table(port);

interface Lab extends NetworkApi {
  readonly store: Store;
  readonly announced: string[];
  network(who: string, attributes?: Record<string, unknown>): Promise<any>;
  /** Puts a port into the store as the port rule would. */
  port(attributes: Record<string, unknown>): Promise<string>;
}

async function lab(store: Store, yaml = ''): Promise<Lab> {
  const config = loadConfig(yaml);
  const announced: string[] = [];
  const hooks: NetworkHooks = {
    async removePort(tx, _context, removed) {
      await tx.db.deleteFrom('ip_allocations').where('port_id', '=', removed.id).execute();
      await ports.delete(tx, removed.id);
    },
    async onSubnetChanged(_tx, _context, _network, subnet, op) {
      announced.push(`${op} ${subnet.cidr}`);
    },
  };
  await store.write((tx) => syncSegmentPools(tx, config));
  const api = networkApi(store, config, [networksRule({ config, hooks }), subnetsRule({ config, hooks }), agentsRule({ config })]);
  return {
    ...api, store, announced,
    network: async (who, attributes = {}) => (await api.ok(who, 'POST', '/v2.0/networks', { network: { name: 'n', ...attributes } })).network,
    port: (attributes) => store.write(async (tx) => {
      const made = newObject(port, tx, { name: '', project_id: 'demo-project', admin_state_up: true, status: 'DOWN', device_id: '', device_owner: '', mac_address: `fa:16:3e:${crypto.randomUUID().replace(/^(..)(..)(..).*$/, '$1:$2:$3')}`, fixed_ips: [], allowed_address_pairs: [], extra_dhcp_opts: [], 'binding:profile': {}, security_groups: [], ...attributes });
      await ports.insert(tx, [made]);
      for (const { subnet_id, ip_address } of made.fixed_ips) await tx.db.insertInto('ip_allocations').values({ subnet_id: subnet_id!, ip_address: ip_address!, network_id: made.network_id, port_id: made.id }).execute();
      return made.id;
    }),
  };
}

const rows = async (store: Store, table: string) => Number((await store.reader.db.selectFrom(table).select((e) => e.fn.countAll().as('n')).executeTakeFirstOrThrow())['n']);
const problem = ({ status, body }: { status: number; body: any }) => `${status} ${body.NeutronError?.type}: ${body.NeutronError?.message}`;

const physnets = `
network_vlan_ranges: [physnet:100:102, dark]
flat_networks: [physnet]
vni_ranges: ['2000:2001']
`;

eachStore('N-ML2-7 N-ML2-8 a project gives no provider attributes and sees none; the system picks type and id', async (store) => {
  const { call, network, close } = await lab(store, physnets);
  const made = await network('demo', { name: 'private' });
  assert.deepEqual(Object.keys(made).filter((name) => name.startsWith('provider:')), []);
  assert.deepEqual([made.project_id, made.tenant_id, made.status, made.mtu, made.shared, made.subnets], ['demo-project', 'demo-project', 'ACTIVE', 1450, false, []]);
  const seen = (await call('admin', 'GET', `/v2.0/networks/${made.id}`)).body.network;
  assert.deepEqual([seen['provider:network_type'], seen['provider:physical_network'], seen['provider:segmentation_id']], ['vxlan', null, 2000]);
  for (const attributes of [{ 'provider:network_type': 'vxlan' }, { 'provider:segmentation_id': null }, { shared: true }, { 'router:external': true }]) {
    assert.equal(problem(await call('demo', 'POST', '/v2.0/networks', { network: attributes })), `403 PolicyNotAuthorized: rule:create_network:${Object.keys(attributes)[0]} is disallowed by policy`);
  }
  assert.equal((await call('demo', 'POST', '/v2.0/networks', { network: { shared: false } })).status, 201, 'Horizon spells the default out');
  await close();
});

eachStore('OSSA-2014-031 an update may not even name an attribute of the admin', async (store) => {
  const { call, network, close } = await lab(store);
  const made = await network('demo');
  for (const attributes of [{ shared: false }, { 'router:external': false }, { 'provider:network_type': 'vxlan' }]) {
    assert.equal((await call('demo', 'PUT', `/v2.0/networks/${made.id}`, { network: attributes })).body.NeutronError.type, 'PolicyNotAuthorized');
  }
  await close();
});

eachStore('N-ML2-3 N-ML2-5 N-ML2-6 N-ML2-11 provider networks of every type, and what is refused', async (store) => {
  const { call, network, close } = await lab(store, physnets);
  const provider = (type: string, physnet?: string, id?: number) => ({ 'provider:network_type': type, 'provider:physical_network': physnet, 'provider:segmentation_id': id });
  const segment = (made: any) => [made['provider:network_type'], made['provider:physical_network'], made['provider:segmentation_id']];
  assert.deepEqual(segment(await network('admin', provider('local'))), ['local', null, null]);
  assert.deepEqual(segment(await network('admin', provider('flat', 'physnet'))), ['flat', 'physnet', null]);
  assert.deepEqual(segment(await network('admin', provider('vlan', 'physnet'))), ['vlan', 'physnet', 100]);
  assert.deepEqual(segment(await network('admin', provider('vlan'))), ['vlan', 'physnet', 101]);
  assert.deepEqual(segment(await network('admin', provider('vlan', 'dark', 7))), ['vlan', 'dark', 7]);
  assert.deepEqual(segment(await network('admin', provider('vxlan', undefined, 77))), ['vxlan', null, 77]);
  assert.deepEqual(segment(await network('admin', provider('gre', undefined, 77))), ['gre', null, 77]);
  assert.deepEqual(segment(await network('admin', provider('geneve'))), ['geneve', null, 1]);
  const before = await rows(store, 'networks');
  const refusals: [Record<string, unknown>, string][] = [
    [provider('flat', 'physnet'), '409 FlatNetworkInUse: Unable to create the flat network. Physical network physnet is in use.'],
    [provider('flat', 'other'), "400 InvalidInput: Invalid input for operation: physical_network 'other' unknown for flat provider network."],
    [provider('flat'), '400 InvalidInput: Invalid input for operation: physical_network required for flat provider network.'],
    [provider('vlan', 'physnet', 100), '409 VlanIdInUse: Unable to create the network. The VLAN 100 on physical network physnet is in use.'],
    [provider('vlan', 'physnet', 4095), '400 InvalidInput: Invalid input for operation: segmentation_id out of range (1 through 4094).'],
    [provider('vlan', 'other', 5), "400 InvalidInput: Invalid input for operation: physical_network 'other' unknown for VLAN provider network."],
    [provider('vlan', undefined, 5), '400 InvalidInput: Invalid input for operation: segmentation_id requires physical_network for VLAN provider network.'],
    [provider('vlan', 'dark'), '503 NoNetworkAvailable: Unable to create the network. No tenant network is available for allocation.'],
    [provider('vxlan', undefined, 77), '409 TunnelIdInUse: Unable to create the network. The tunnel ID 77 is in use.'],
    [provider('vxlan', undefined, 2 ** 24), '400 InvalidInput: Invalid input for operation: segmentation_id out of range (1 through 16777215).'],
    [provider('vxlan', 'physnet'), '400 InvalidInput: Invalid input for operation: provider:physical_network specified for vxlan network.'],
    [provider('local', 'physnet'), '400 InvalidInput: Invalid input for operation: physical_network prohibited for local provider network.'],
    [provider('token-ring'), "400 InvalidInput: Invalid input for operation: network_type value 'token-ring' not supported."],
    [{ 'provider:segmentation_id': 9 }, '400 InvalidInput: Invalid input for operation: network_type required.'],
    [{ 'provider:network_type': 'vxlan', 'provider:segmentation_id': 'nine' }, "400 HTTPBadRequest: Invalid input for provider:segmentation_id. Reason: 'nine' is not an integer."],
  ];
  for (const [attributes, expected] of refusals) assert.equal(problem(await call('admin', 'POST', '/v2.0/networks', { network: attributes })), expected);
  assert.equal(await rows(store, 'networks'), before);
  await close();
});

eachStore('N-ML2-3 a type whose driver is not loaded is refused', async (store) => {
  const { call, close } = await lab(store, 'type_drivers: [flat, vxlan]');
  assert.equal(problem(await call('admin', 'POST', '/v2.0/networks', { network: { 'provider:network_type': 'gre' } })), "400 InvalidInput: Invalid input for operation: network_type value 'gre' not supported.");
  await close();
});

eachStore('N-ML2-9 N-ML2-10 N-ML2-12 N-ML2-13 tenant types in order until all pools are empty; an id comes back on delete', async (store) => {
  const { call, network, ok, close } = await lab(store, `${physnets}\ntenant_network_types: [vlan, vxlan]`);
  await network('admin', { 'provider:network_type': 'vlan', 'provider:physical_network': 'physnet', 'provider:segmentation_id': 101 });
  const made = [];
  for (let i = 0; i < 4; i++) made.push(await network('demo'));
  const ids = async () => (await ok('admin', 'GET', '/v2.0/networks?project_id=demo-project')).networks.map((each: any) => `${each['provider:network_type']}:${each['provider:segmentation_id']}`).sort();
  assert.deepEqual(await ids(), ['vlan:100', 'vlan:102', 'vxlan:2000', 'vxlan:2001']);
  assert.equal((await call('demo', 'POST', '/v2.0/networks', { network: {} })).body.NeutronError.type, 'NoNetworkAvailable');
  assert.equal(await rows(store, 'segment_allocations'), 5);
  await ok('demo', 'DELETE', `/v2.0/networks/${made[1].id}`);
  assert.equal(await rows(store, 'segment_allocations'), 4);
  await network('demo');
  assert.deepEqual(await ids(), ['vlan:100', 'vlan:102', 'vxlan:2000', 'vxlan:2001']);
  await close();
});

eachStore('N-ML2-10 without tenant types a project makes no network', async (store) => {
  const { call, close } = await lab(store, 'tenant_network_types: []');
  assert.equal((await call('demo', 'POST', '/v2.0/networks', { network: {} })).status, 503);
  assert.equal(await rows(store, 'networks'), 0);
  await close();
});

eachStore('N-ML2-23 N-ML2-24 N-MTU-8 a restart picks up new ranges and MTUs; what exists keeps its id and MTU', async (store) => {
  const first = await lab(store, "vni_ranges: ['10:11']");
  const [a, b] = [await first.network('demo'), await first.network('demo')];
  await first.close();
  const second = await lab(store, "vni_ranges: ['11:12']\nglobal_physnet_mtu: 9000");
  const c = await second.network('demo');
  const vni = async (id: string) => { const { network } = await second.ok('admin', 'GET', `/v2.0/networks/${id}`); return [network['provider:segmentation_id'], network.mtu]; };
  assert.deepEqual([await vni(a.id), await vni(b.id), await vni(c.id)], [[10, 1450], [11, 1450], [12, 8950]]);
  await second.ok('demo', 'DELETE', `/v2.0/networks/${a.id}`);
  assert.equal((await second.call('demo', 'POST', '/v2.0/networks', { network: {} })).status, 503, '10 is outside the new range');
  await second.ok('demo', 'DELETE', `/v2.0/networks/${b.id}`);
  assert.deepEqual(await vni((await second.network('demo')).id), [11, 8950]);
  await second.close();
});

eachStore('N-ML2-13 two controllers that create networks at once never share a segment', async (store, connection) => {
  const other = await openStore(connection);
  try {
    const labs = [await lab(store, 'quota_network: -1'), await lab(other, 'quota_network: -1')];
    const made = await Promise.all(Array.from({ length: 40 }, (_, i) => labs[i % 2]!.network('demo', { name: `n${i}` })));
    const ids = (await labs[0]!.ok('admin', 'GET', '/v2.0/networks')).networks.map((each: any) => each['provider:segmentation_id']);
    assert.deepEqual([made.length, new Set(ids).size], [40, 40]);
    const claims = await Promise.all(Array.from({ length: 8 }, (_, i) => labs[i % 2]!.call('admin', 'POST', '/v2.0/networks', { network: { 'provider:network_type': 'vlan', 'provider:physical_network': 'physnet', 'provider:segmentation_id': 55 } })));
    assert.deepEqual(claims.map(({ status }) => status).sort(), [201, ...Array(7).fill(409)]);
    for (const each of labs) await each.close();
  } finally {
    await other.close();
  }
});

eachStore('N-MTU-1 N-MTU-3 N-MTU-4 N-MTU-5 the MTU by type, and how far it may be set', async (store) => {
  const { network, call, ok, close } = await lab(store, "global_physnet_mtu: 9000\npath_mtu: 9000\nphysical_network_mtus: ['physnet:1450']\nnetwork_vlan_ranges: ['physnet:1:10', 'wide:1:10']");
  const mtu = async (type: string, physnet?: string) => (await network('admin', { 'provider:network_type': type, 'provider:physical_network': physnet })).mtu;
  assert.deepEqual(
    [await mtu('vxlan'), await mtu('gre'), await mtu('geneve'), await mtu('flat', 'physnet'), await mtu('vlan', 'physnet'), await mtu('vlan', 'wide'), await mtu('local')],
    [8950, 8958, 8950, 1450, 1450, 9000, 9000],
  );
  const made = await network('demo', { mtu: 1400 });
  assert.equal(made.mtu, 1400);
  assert.equal((await ok('demo', 'PUT', `/v2.0/networks/${made.id}`, { network: { mtu: 8950 } })).network.mtu, 8950);
  assert.equal(problem(await call('demo', 'PUT', `/v2.0/networks/${made.id}`, { network: { mtu: 8951 } })), '400 InvalidInput: Invalid input for operation: Requested MTU is too big, maximum is 8950.');
  assert.equal(problem(await call('demo', 'POST', '/v2.0/networks', { network: { mtu: 9000 } })), '400 InvalidInput: Invalid input for operation: Requested MTU is too big, maximum is 8950.');
  assert.equal((await call('demo', 'PUT', `/v2.0/networks/${made.id}`, { network: { mtu: -1 } })).status, 400);
  await close();
});

eachStore('N-ML2-14 N-ML2-15 shared and external networks are seen by all, and written by their owner only', async (store) => {
  const lab1 = await lab(store);
  const { network, call, ok, close } = lab1;
  const [shared, external, secret] = [await network('admin', { shared: true }), await network('admin', { 'router:external': true }), await network('alt')];
  assert.deepEqual((await ok('demo', 'GET', '/v2.0/networks')).networks.map((each: any) => each.id).sort(), [shared.id, external.id].sort());
  assert.equal(problem(await call('demo', 'GET', `/v2.0/networks/${secret.id}`)), `404 NetworkNotFound: Network ${secret.id} could not be found.`);
  for (const [method, body] of [['PUT', { network: { name: 'x' } }], ['DELETE', undefined]] as const) {
    assert.equal((await call('demo', method, `/v2.0/networks/${shared.id}`, body)).status, 403);
    assert.equal((await call('demo', method, `/v2.0/networks/${secret.id}`, body)).status, 404);
  }
  await lab1.port({ network_id: shared.id });
  assert.equal(problem(await call('admin', 'PUT', `/v2.0/networks/${shared.id}`, { network: { shared: false } })), '409 InvalidSharedSetting: Unable to reconfigure sharing settings for network n. Multiple tenants are using it.');
  await lab1.port({ network_id: external.id, device_owner: 'network:router_gateway', project_id: '' });
  assert.equal((await call('admin', 'PUT', `/v2.0/networks/${external.id}`, { network: { 'router:external': false } })).body.NeutronError.type, 'ExternalNetworkInUse');
  await close();
});

eachStore('a network in use stays; one with DHCP ports only goes with its ports, subnets and pool', async (store) => {
  const { port, network, call, ok, close } = await lab(store);
  const made = await network('demo');
  const { subnet } = await ok('demo', 'POST', '/v2.0/subnets', { subnet: { network_id: made.id, ip_version: 4, cidr: '10.0.0.0/24' } });
  await port({ network_id: made.id, device_owner: 'network:dhcp', fixed_ips: [{ subnet_id: subnet.id, ip_address: '10.0.0.2' }] });
  const user = await port({ network_id: made.id });
  assert.equal(problem(await call('demo', 'DELETE', `/v2.0/networks/${made.id}`)), `409 NetworkInUse: Unable to complete operation on network ${made.id}. There are one or more ports still in use on the network, id for these ports is: ${user}.`);
  await store.write((tx) => ports.delete(tx, user));
  assert.equal((await call('demo', 'DELETE', `/v2.0/networks/${made.id}`)).status, 204);
  assert.equal((await call('demo', 'GET', `/v2.0/networks/${made.id}`)).status, 404);
  for (const table of ['ports', 'subnets', 'ip_allocations', 'segment_allocations']) assert.equal(await rows(store, table), 0, table);
  assert.equal((await store.reader.db.selectFrom('free_ranges').select('pool').where('pool', 'like', 'subnet:%').execute()).length, 0);
  await close();
});

eachStore('a bulk create is all or nothing', async (store) => {
  const { call, ok, close } = await lab(store, "vni_ranges: ['1:3']");
  const answer = await call('demo', 'POST', '/v2.0/networks', { networks: [{ name: 'a' }, { name: 'b' }] });
  assert.deepEqual([answer.status, answer.body.networks.map((each: any) => each.name)], [201, ['a', 'b']]);
  assert.equal((await call('demo', 'POST', '/v2.0/networks', { networks: [{ name: 'c' }, { name: 'd' }] })).status, 503);
  assert.equal((await ok('demo', 'GET', '/v2.0/networks')).networks.length, 2);
  assert.equal((await call('demo', 'POST', '/v2.0/networks', { networks: [{ name: 'c' }] })).status, 201, 'the id taken on the way came back');
  await close();
});
