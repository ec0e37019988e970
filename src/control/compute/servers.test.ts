import assert from 'node:assert/strict';
import { BUILT_IN_IMAGES } from '#model/images.ts';
import { network, subnet } from '#model/networks.ts';
import type { Store } from '#store/store.ts';
import { Table } from '#store/table.ts';
import { type ComputeApi, computeApi } from '#testkit/compute-api.ts';
import { insertRouter } from '#testkit/floating-lab.ts';
import { config, contextOf, insertNetwork, insertSubnet } from '#testkit/network-rows.ts';
import { eachStore } from '#testkit/stores.ts';
import { floatingIpsRule } from '../network/floating-ips.ts';
import { createPorts } from '../network/port-create.ts';
import { rbacPoliciesRule } from '../network/rbac-policies.ts';
import { securityGroupsRule } from '../network/security-groups.ts';
import { bootstrapCompute } from './bootstrap.ts';
import { forgetPort } from './server-delete.ts';
import { type InstanceReport, reportInstance } from './server-report.ts';

const imageRef = BUILT_IN_IMAGES[0].id;

interface Lab extends ComputeApi {
  readonly flavor: string;
  /** A network of the demo project with a subnet 10.0.0.0/24. */
  readonly networkId: string;
  boot(attributes?: Record<string, unknown>, who?: string): Promise<any>;
  show(id: string, who?: string, version?: string): Promise<any>;
  act(id: string, action: Record<string, unknown>, who?: string): Promise<{ status: number; body: any }>;
  report(host: string, report: InstanceReport): Promise<void>;
  port(attributes?: Record<string, unknown>): Promise<any>;
}

async function lab(store: Store, run: (lab: Lab) => Promise<void>): Promise<void> {
  const api = await computeApi(store);
  try {
    await bootstrapCompute(store, 'tour');
    const networkId = await store.write(async (tx) => {
      const made = await insertNetwork(tx, { name: 'private' });
      await insertSubnet(tx, made, '10.0.0.0/24', { dns_nameservers: ['10.0.0.53'] });
      return made.id;
    });
    const { flavors } = await api.ok('demo', 'GET', '/compute/v2.1/flavors');
    const flavor = flavors.find(({ name }: { name: string }) => name === 'm1.nano').id;
    await run({
      ...api, flavor, networkId,
      boot: async (attributes = {}, who = 'demo') => (await api.ok(who, 'POST', '/compute/v2.1/servers', { server: { name: 'web', flavorRef: flavor, imageRef, ...attributes } })).server,
      show: async (id, who = 'demo', version = '2.1') => (await api.ok(who, 'GET', `/compute/v2.1/servers/${id}`, undefined, { 'x-openstack-nova-api-version': version })).server,
      act: (id, action, who = 'demo') => api.call(who, 'POST', `/compute/v2.1/servers/${id}/action`, action),
      report: (host, report) => store.write((tx) => reportInstance(tx, host, report)),
      port: (attributes = {}) => store.write(async (tx) => (await createPorts(tx, config, contextOf('demo'), [{ network_id: networkId, project_id: 'demo', ...attributes }]))[0]),
    });
  } finally {
    await api.close();
  }
}

const message = ({ status, body }: { status: number; body: any }): string => `${status} ${Object.keys(body)[0]}: ${(Object.values(body)[0] as any).message}`;
const ports = async (store: Store): Promise<any[]> => store.reader.db.selectFrom('ports').selectAll().orderBy('id').execute();

eachStore('G1: a server on the only network gets a port on its host, becomes ACTIVE by its host\'s report, and takes the port with it', (store) => lab(store, async ({ boot, show, report, ok, networkId }) => {
  const { id } = await boot();
  const building = await show(id, 'admin', '2.37');
  const [port] = await ports(store);
  assert.deepEqual([port.network_id, port.device_id, port.device_owner, port.binding_host_id, port.binding_vif_type, port.project_id], [networkId, id, 'compute:nova', 'compute1', 'ovs', 'demo']);
  assert.deepEqual(building.addresses, { private: [{ version: 4, addr: '10.0.0.2', 'OS-EXT-IPS:type': 'fixed', 'OS-EXT-IPS-MAC:mac_addr': port.mac_address }] });
  assert.deepEqual([building.status, building['OS-EXT-STS:task_state'], building['OS-EXT-SRV-ATTR:host'], building.security_groups], ['BUILD', 'spawning', 'compute1', [{ name: 'default' }]]);
  await report('compute2', { server_id: id, state: 'running' });
  assert.equal((await show(id)).status, 'BUILD');
  await report('compute1', { server_id: id, state: 'running' });
  const active = await show(id);
  assert.deepEqual([active.status, active['OS-EXT-STS:power_state'], active['OS-EXT-STS:task_state'], active['OS-EXT-SRV-ATTR:host'], active.hostId.length], ['ACTIVE', 1, null, undefined, 56]);
  assert.ok(active['OS-SRV-USG:launched_at']);
  const head = (await store.feed.head()).seq;
  await report('compute1', { server_id: id, state: 'running' });
  assert.equal((await store.feed.head()).seq, head, 'a repeated report writes nothing');
  await ok('demo', 'DELETE', `/compute/v2.1/servers/${id}`);
  assert.deepEqual(await ports(store), []);
}));

eachStore('N-L3-15: a server shows the floating IPs of its ports behind the fixed addresses, and frees them when it goes', (store) => lab(store, async ({ boot, ok, show, networkId }) => {
  const [{ id }, other] = [await boot(), await boot()];
  const linked = await store.write(async (tx) => {
    const external = await insertNetwork(tx, { name: 'external', 'router:external': true, shared: false });
    await insertSubnet(tx, external, '172.16.0.0/24');
    const home = (await new Table(network).get(tx, networkId))!;
    await insertRouter(tx, external, [{ subnet: (await new Table(subnet).list(tx, { filters: { network_id: [home.id] } }))[0]! }]);
    const of = async (device_id: string) => (await tx.db.selectFrom('ports').select(['id', 'mac_address']).where('device_id', '=', device_id).executeTakeFirstOrThrow());
    const rule = floatingIpsRule({ config });
    for (const device of [id, other.id]) await rule.create(tx, contextOf('demo'), [{ floating_network_id: external.id, project_id: 'demo', port_id: (await of(device))['id'] }]);
    return (await of(id))['mac_address'];
  });
  const shown = (await show(id)).addresses.private;
  assert.deepEqual(shown.map((one: any) => [one.version, one.addr, one['OS-EXT-IPS:type'], one['OS-EXT-IPS-MAC:mac_addr']]), [[4, '10.0.0.2', 'fixed', linked], [4, '172.16.0.3', 'floating', linked]]);
  const { servers } = await ok('demo', 'GET', '/compute/v2.1/servers/detail');
  assert.deepEqual(servers.flatMap((one: any) => one.addresses.private.map(({ addr }: any) => addr)).sort(), ['10.0.0.2', '10.0.0.3', '172.16.0.3', '172.16.0.4']);
  await ok('demo', 'DELETE', `/compute/v2.1/servers/${id}`);
  const floating = await store.reader.db.selectFrom('floatingips').select(['floating_ip_address', 'router_id', 'fixed_ip_address', 'status']).where('port_id', 'is', null).execute();
  assert.deepEqual(floating, [{ floating_ip_address: '172.16.0.3', router_id: null, fixed_ip_address: null, status: 'DOWN' }]);
}));

eachStore('G1: networks, ports and fixed addresses are given in order; a port is used once and outlives the server', (store) => lab(store, async ({ boot, call, ok, port, networkId, flavor, show }) => {
  const given = await port({ name: 'mine' });
  const { id } = await boot({ networks: [{ uuid: networkId, fixed_ip: '10.0.0.77' }, { port: given.id }] });
  const { interfaceAttachments } = await ok('demo', 'GET', `/compute/v2.1/servers/${id}/os-interface`);
  assert.deepEqual(interfaceAttachments.map((each: any) => each.fixed_ips[0].ip_address), ['10.0.0.77', given.fixed_ips[0].ip_address]);
  assert.equal((await show(id)).addresses.private.length, 2);
  const again = await call('demo', 'POST', '/compute/v2.1/servers', { server: { name: 'b', flavorRef: flavor, imageRef, networks: [{ port: given.id }] } });
  assert.equal(message(again), `409 conflictingRequest: Port ${given.id} is still in use.`);
  await ok('demo', 'DELETE', `/compute/v2.1/servers/${id}`);
  assert.deepEqual((await ports(store)).map((each) => [each.id, each.device_id, each.device_owner, each.binding_host_id]), [[given.id, '', '', '']]);
}));

eachStore('dns-integration: a server gives its hostname to its ports, and takes it from a given one when it lets go', (store) => lab(store, async ({ boot, call, ok, port, networkId, show, report }) => {
  const names = async () => new Map((await ports(store)).map((each) => [each.id, each.dns_name]));
  const given = await port();
  const alike = await port({ dns_name: 'my-web-1' });
  const { id } = await boot({ name: 'My Web_1', networks: [{ uuid: networkId }, { port: given.id }, { port: alike.id }] });
  assert.deepEqual([...new Set((await names()).values())], ['my-web-1']);
  await report('compute1', { server_id: id, state: 'running' });
  const { interfaceAttachment } = await ok('demo', 'POST', `/compute/v2.1/servers/${id}/os-interface`, { interfaceAttachment: { net_id: networkId } });
  assert.equal((await names()).get(interfaceAttachment.port_id), 'my-web-1');
  await ok('demo', 'PUT', `/compute/v2.1/servers/${id}`, { server: { name: 'renamed' } });
  assert.equal((await names()).get(given.id), 'my-web-1', 'a new name is no new hostname');
  const called = await port({ dns_name: 'db' });
  const refused = await call('demo', 'POST', `/compute/v2.1/servers/${id}/os-interface`, { interfaceAttachment: { port_id: called.id } });
  assert.equal(message(refused), `400 badRequest: Port ${called.id} is not usable for server ${id}: its dns_name is 'db', and the server's hostname is 'my-web-1'.`);
  await ok('demo', 'DELETE', `/compute/v2.1/servers/${id}/os-interface/${given.id}`);
  assert.equal((await names()).get(given.id), '');
  await ok('demo', 'DELETE', `/compute/v2.1/servers/${id}`);
  assert.deepEqual([...await names()].sort(), [[given.id, ''], [alike.id, ''], [called.id, 'db']].sort());

  const failed = await boot({ networks: [{ uuid: networkId }, { port: called.id }] });
  const shown = await show(failed.id, 'admin');
  assert.deepEqual([shown.status, shown['OS-EXT-SRV-ATTR:host'], shown.fault.message], ['ERROR', null, `Port ${called.id} is not usable for server ${failed.id}: its dns_name is 'db', and the server's hostname is 'web'.`]);
  assert.deepEqual((await ports(store)).find((each) => each.id === called.id).device_id, '');
  assert.equal((await ports(store)).length, 3, 'no port was made for it');
}));

eachStore('G1: what Nova refuses is refused in its words, and the store is unchanged', (store) => lab(store, async ({ call, flavor, networkId, port, boot }) => {
  const foreign = await store.write(async (tx) => {
    const home = await insertNetwork(tx, { name: 'theirs', project_id: 'alt', 'provider:segmentation_id': 2 });
    await insertSubnet(tx, home, '10.1.0.0/24');
    return home.id;
  });
  const empty = (await store.write((tx) => insertNetwork(tx, { name: 'empty', 'provider:segmentation_id': 3 }))).id;
  const missing = crypto.randomUUID();
  await port({ fixed_ips: [{ ip_address: '10.0.0.99' }] });
  const head = (await store.feed.head()).seq;
  const attempt = (attributes: unknown, who = 'demo') => call(who, 'POST', '/compute/v2.1/servers', { server: { name: 'web', flavorRef: flavor, imageRef, ...(attributes as object) } });
  const cases: [attributes: unknown, answer: string, who?: string][] = [
    [{}, '409 conflictingRequest: Multiple possible networks found, use a Network ID to be more specific.'],
    [{ networks: [{ uuid: foreign }] }, `400 badRequest: Network ${foreign} could not be found.`],
    [{ networks: [{ uuid: empty }] }, `400 badRequest: Network ${empty} requires a subnet in order to boot instances on.`],
    [{ networks: [{ port: missing }] }, `400 badRequest: Port id ${missing} could not be found.`],
    [{ networks: [{}] }, "400 badRequest: Bad network format: missing 'uuid'"],
    [{ networks: [{ uuid: networkId, fixed_ip: '10.0.0.99' }] }, '409 conflictingRequest: IP address 10.0.0.99 already allocated in subnet'],
    [{ networks: [{ uuid: networkId, fixed_ip: 'ten' }] }, "400 badRequest: Invalid input for field/attribute networks. 'ten' is not a valid IP address."],
    [{ networks: 'auto' }, "400 badRequest: Invalid input for field/attribute networks. 'auto' is not a list."],
    [{ flavorRef: 'nope' }, '400 badRequest: Invalid flavorRef provided.'],
    [{ imageRef: missing }, '400 badRequest: Can not find requested image'],
    [{ key_name: 'nope' }, '400 badRequest: Invalid key_name provided.'],
    [{ networks: [{ uuid: networkId }], security_groups: [{ name: 'nope' }] }, '400 badRequest: Security group nope not found.'],
    [{ user_data: 'not base64!' }, '400 badRequest: Userdata content cannot be decoded'],
    [{ user_data: 'A'.repeat(65_536) }, "400 badRequest: Invalid input for field/attribute server. 'AAA"],
    [{ availability_zone: 'nova:compute2' }, "403 forbidden: Policy doesn't allow os_compute_api:servers:create:forced_host to be performed."],
    [{ availability_zone: 'mars' }, '400 badRequest: The requested availability zone is not available'],
    [{ name: ' ' }, '400 badRequest: Invalid input for field/attribute name.'],
    [{ color: 'red' }, "400 badRequest: Invalid input for field/attribute server. Unknown key 'color'."],
    [{ min_count: 3, max_count: 2 }, '400 badRequest: min_count must be <= max_count'],
    [{ networks: [{ uuid: networkId }] }, "403 forbidden: Policy doesn't allow os_compute_api:servers:create to be performed.", 'reader'],
  ];
  for (const [attributes, answer, who] of cases) {
    const given = message(await attempt(attributes, who));
    assert.ok(given.startsWith(answer), `${JSON.stringify(attributes).slice(0, 80)}: ${given}`);
  }
  assert.equal((await store.feed.head()).seq, head);
  // The network of an earlier project is still there for its owner, and only there.
  assert.ok((await boot({ networks: [{ uuid: foreign }] }, 'alt')).id);
}));

eachStore('G1: 2.37 asks for networks, auto or none; no network at all boots without a NIC before', (store) => lab(store, async ({ call, flavor, boot, show }) => {
  const attempt = (networks: unknown, version: string) => call('alt', 'POST', '/compute/v2.1/servers', { server: { name: 'web', flavorRef: flavor, imageRef, ...(networks === undefined ? {} : { networks }) } }, { 'openstack-api-version': `compute ${version}` });
  assert.equal(message(await attempt(undefined, '2.37')), "400 badRequest: Invalid input for field/attribute server. 'networks' is a required property.");
  assert.equal(message(await attempt('auto', '2.37')), '400 badRequest: Unable to automatically allocate a network for project alt');
  assert.equal((await attempt('none', '2.37')).status, 202);
  assert.equal((await attempt(undefined, '2.36')).status, 202);
  assert.deepEqual(await ports(store), []);
  assert.deepEqual((await show((await boot({}, 'alt')).id, 'alt')).addresses, {});
}));

eachStore('G1: servers go to the host with the fewest; an admin names the host; without a host the server is in ERROR', (store) => lab(store, async ({ boot, show, hosts, ok, flavor }) => {
  const first = await ok('demo', 'POST', '/compute/v2.1/servers', { server: { name: 'many', flavorRef: flavor, imageRef, min_count: 3, return_reservation_id: true } });
  assert.match(first.reservation_id, /^r-[0-9a-f]{8}$/);
  const { servers } = await ok('admin', 'GET', '/compute/v2.1/servers/detail?all_tenants=1&sort_key=display_name&sort_dir=asc');
  assert.deepEqual(servers.map((each: any) => [each.name, each['OS-EXT-SRV-ATTR:host']]), [['many-1', 'compute1'], ['many-2', 'compute2'], ['many-3', 'compute1']]);
  assert.equal((await show((await boot()).id, 'admin'))['OS-EXT-SRV-ATTR:host'], 'compute2');
  assert.equal((await show((await boot({ availability_zone: 'nova:compute1', networks: [] }, 'admin')).id, 'admin'))['OS-EXT-SRV-ATTR:host'], 'compute1');
  hosts.forEach((host, i) => { hosts[i] = { ...host, alive: false }; });
  const before = (await ports(store)).length;
  const failed = await show((await boot()).id);
  assert.deepEqual([failed.status, failed.fault.code, failed.fault.message], ['ERROR', 500, 'No valid host was found. There are not enough hosts available.']);
  assert.equal((await ports(store)).length, before);
  const usage = await ok('demo', 'GET', '/compute/v2.1/limits');
  assert.deepEqual([usage.limits.absolute.totalInstancesUsed, usage.limits.absolute.totalRAMUsed], [5, 5 * 128]);
}));

eachStore('law 4: a port that its host cannot bind leaves its server in ERROR with the reason', (store) => lab(store, async ({ boot, show, hosts }) => {
  hosts.splice(0, 2, { ...hosts[0]!, host: 'bare' });
  const failed = await show((await boot()).id);
  assert.equal(failed.status, 'ERROR');
  assert.match(failed.fault.message, /^Binding failed for port .*: host bare has no Open vSwitch agent$/);
}));

eachStore('G1: stop, start and reboot are written down, shown while under way and settled by reports', (store) => lab(store, async ({ boot, act, show, report }) => {
  const { id } = await boot();
  const row = async () => store.reader.db.selectFrom('servers').select(['power', 'generation']).where('id', '=', id).executeTakeFirstOrThrow();
  assert.equal(message(await act(id, { 'os-stop': null })), `409 conflictingRequest: Cannot 'stop' instance ${id} while it is in vm_state building`);
  await report('compute1', { server_id: id, state: 'running' });
  assert.equal(message(await act(id, { 'os-start': null })), `409 conflictingRequest: Cannot 'start' instance ${id} while it is in vm_state active`);
  assert.equal((await act(id, { 'os-stop': null })).status, 202);
  await report('compute1', { server_id: id, state: 'running' });
  assert.deepEqual([(await show(id)).status, (await show(id))['OS-EXT-STS:task_state']], ['ACTIVE', 'powering-off']);
  await report('compute1', { server_id: id, state: 'stopped' });
  assert.deepEqual([(await show(id)).status, (await show(id))['OS-EXT-STS:power_state']], ['SHUTOFF', 4]);
  assert.equal(message(await act(id, { reboot: { type: 'SOFT' } })), `409 conflictingRequest: Cannot 'reboot' instance ${id} while it is in vm_state stopped`);
  assert.equal((await act(id, { 'os-start': null })).status, 202);
  await report('compute1', { server_id: id, state: 'running' });
  assert.equal((await act(id, { reboot: { type: 'SOFT' } })).status, 202);
  assert.equal((await show(id)).status, 'REBOOT');
  assert.deepEqual({ ...await row() }, { power: 'on', generation: 1 });
  await report('compute1', { server_id: id, state: 'running', generation: 0 });
  assert.equal((await show(id)).status, 'REBOOT', 'a report from before the reboot');
  await report('compute1', { server_id: id, state: 'running', generation: 1 });
  assert.equal((await show(id)).status, 'ACTIVE');
  await report('compute1', { server_id: id, state: 'error', reason: 'no space left' });
  assert.deepEqual([(await show(id)).status, (await show(id)).fault.message], ['ERROR', 'no space left']);
  await report('compute1', { server_id: id, state: 'running' });
  assert.deepEqual([(await show(id)).status, (await show(id)).fault], ['ACTIVE', undefined]);
  assert.deepEqual((await act(id, { 'os-getConsoleOutput': { length: 5 } })).body, { output: `compute1 ${id} 5\n` });
  assert.deepEqual((await act(id, { 'os-getConsoleOutput': {} })).body, { output: `compute1 ${id} all\n` });
  assert.equal(message(await act(id, { fly: null })), '400 badRequest: There is no such action: fly');
}));

eachStore('G3: interfaces and fixed addresses are added and taken away; a port deleted in Networking is forgotten', (store) => lab(store, async ({ boot, ok, call, act, report, port, networkId }) => {
  const { id } = await boot();
  await report('compute1', { server_id: id, state: 'running' });
  const mine = await port();
  const path = `/compute/v2.1/servers/${id}/os-interface`;
  const { interfaceAttachment } = await ok('demo', 'POST', path, { interfaceAttachment: { port_id: mine.id } });
  assert.deepEqual([interfaceAttachment.port_id, interfaceAttachment.net_id, interfaceAttachment.mac_addr], [mine.id, networkId, mine.mac_address]);
  const added = (await ok('demo', 'POST', path, { interfaceAttachment: { net_id: networkId, fixed_ips: [{ ip_address: '10.0.0.50' }] } })).interfaceAttachment;
  assert.equal(added.fixed_ips[0].ip_address, '10.0.0.50');
  assert.equal((await act(id, { addFixedIp: { networkId } })).status, 202);
  const nics = (await ok('demo', 'GET', path)).interfaceAttachments;
  assert.deepEqual(nics.map((each: any) => each.fixed_ips.length), [2, 1, 1]);
  assert.equal((await act(id, { removeFixedIp: { address: nics[0].fixed_ips[1].ip_address } })).status, 202);
  assert.equal((await call('demo', 'DELETE', `${path}/${mine.id}`)).status, 202);
  assert.equal((await call('demo', 'DELETE', `${path}/${mine.id}`)).status, 404);
  assert.equal((await ports(store)).find((each) => each.id === mine.id).device_id, '');
  const row = async () => JSON.parse((await store.reader.db.selectFrom('servers').select('ports').where('id', '=', id).executeTakeFirstOrThrow())['ports']).map((each: any) => each.port_id);
  assert.deepEqual(await row(), [nics[0].port_id, added.port_id]);
  await store.write((tx) => forgetPort(tx, { id: added.port_id, device_id: id }));
  assert.deepEqual(await row(), [nics[0].port_id]);
}));

eachStore('G3: security groups of a server follow its ports', (store) => lab(store, async ({ boot, ok, act }) => {
  const { id } = await boot();
  const [group] = await store.write((tx) => securityGroupsRule({ config }).create(tx, contextOf('demo'), [{ name: 'web', project_id: 'demo', stateful: true, description: '' }]));
  assert.equal((await act(id, { addSecurityGroup: { name: 'web' } })).status, 202);
  assert.deepEqual((await ok('demo', 'GET', `/compute/v2.1/servers/${id}/os-security-groups`)).security_groups.map((each: any) => each.name).sort(), ['default', 'web']);
  assert.equal((await act(id, { removeSecurityGroup: { name: group!.id } })).status, 202);
  assert.equal(message(await act(id, { removeSecurityGroup: { name: 'web' } })), `404 itemNotFound: Security group web not associated with the instance ${id}`);
  assert.equal(message(await act(id, { addSecurityGroup: { name: 'nope' } })), '404 itemNotFound: Security group nope not found.');
}));

eachStore('a network and a security group that another project shares by RBAC serve a server; one\'s own group of that name comes first', (store) => lab(store, async ({ boot, call, ok, networkId, flavor }) => {
  const server = (attributes: Record<string, unknown>) => ({ server: { name: 'guest', flavorRef: flavor, imageRef, ...attributes } });
  const auto = () => call('alt', 'POST', '/compute/v2.1/servers', server({ networks: 'auto' }), { 'x-openstack-nova-api-version': '2.37' });
  const named = (name: string) => call('alt', 'POST', '/compute/v2.1/servers', server({ networks: [{ uuid: networkId }], security_groups: [{ name }] }));
  const share = (object_type: 'network' | 'security_group', object_id: string) => store.write((tx) =>
    rbacPoliciesRule({ config }).create(tx, contextOf('demo'), [{ project_id: 'demo', object_type, object_id, action: 'access_as_shared', target_project: 'alt' }]));
  const newGroup = async (project_id: string, name: string) => (await store.write((tx) => securityGroupsRule({ config }).create(tx, contextOf(project_id), [{ name, project_id, stateful: true, description: '' }])))[0]!.id;
  const group = await newGroup('demo', 'web');
  assert.equal((await auto()).status, 400);
  assert.equal(message(await named('default')), `400 badRequest: Network ${networkId} could not be found.`);
  await share('network', networkId);
  assert.equal((await auto()).status, 202);
  assert.equal(message(await named(group)), `400 badRequest: Security group ${group} not found.`);
  await share('security_group', group);
  const own = await newGroup('alt', 'web');
  for (const [name, expected] of [[group, group], ['web', own]] as const) {
    const { status, body } = await named(name);
    assert.equal(status, 202);
    const held = await store.reader.db.selectFrom('port_security_groups as held').innerJoin('ports', 'ports.id', 'held.port_id').select('held.security_group_id').where('ports.device_id', '=', body.server.id).execute();
    assert.deepEqual(held.map((row) => row.security_group_id), [expected]);
  }
  const { id } = await boot({ networks: [{ uuid: networkId }] }, 'alt');
  assert.equal((await call('alt', 'POST', `/compute/v2.1/servers/${id}/action`, { addSecurityGroup: { name: group } })).status, 202);
  assert.deepEqual((await ok('alt', 'GET', `/compute/v2.1/servers/${id}/os-security-groups`)).security_groups.map((each: any) => each.name).sort(), ['default', 'web']);
}));

eachStore('policy: admins see all, others their own; a reader changes nothing; a lock holds off its owner', (store) => lab(store, async ({ boot, call, ok, act }) => {
  const { id } = await boot();
  const path = `/compute/v2.1/servers/${id}`;
  assert.equal(message(await call('alt', 'GET', path)), `404 itemNotFound: Instance ${id} could not be found.`);
  for (const [method, sub, body] of [['DELETE', '', undefined], ['PUT', '', { server: { name: 'x' } }], ['POST', '/action', { 'os-stop': null }], ['POST', '/os-interface', {}], ['PUT', '/metadata', { metadata: {} }]] as const) {
    assert.equal((await call('alt', method, path + sub, body)).status, 404, `${method} ${sub} of another project`);
    assert.equal((await call('reader', method, path + sub, body)).status, 403, `${method} ${sub} by a reader`);
  }
  assert.deepEqual((await ok('reader', 'GET', '/compute/v2.1/servers')).servers.map((each: any) => each.id), [id]);
  for (const who of ['alt', 'admin', 'unscoped']) assert.deepEqual((await ok(who, 'GET', '/compute/v2.1/servers')).servers, [], who);
  assert.equal((await ok('admin', 'GET', '/compute/v2.1/servers?all_tenants=True')).servers.length, 1);
  assert.equal((await call('demo', 'GET', '/compute/v2.1/servers?all_tenants=1')).status, 403);
  assert.equal((await call('demo', 'GET', '/compute/v2.1/servers?all_tenants=False')).status, 200);
  assert.equal((await call('', 'GET', '/compute/v2.1/servers')).status, 401);
  assert.equal((await act(id, { lock: null })).status, 202);
  assert.equal(message(await call('demo', 'DELETE', path)), `409 conflictingRequest: Instance ${id} is locked`);
  assert.equal((await act(id, { unlock: null })).status, 202);
  assert.equal((await call('demo', 'DELETE', path)).status, 204);
  assert.equal((await call('demo', 'GET', path)).status, 404);
}));

eachStore('G2: lists are filtered, sorted and paged; names between ^ and $ are whole names', (store) => lab(store, async ({ boot, ok, call, report }) => {
  for (const name of ['web', 'web-2', 'DB_1', 'db%1']) await boot({ name });
  const names = async (query: string, who = 'demo') => (await ok(who, 'GET', `/compute/v2.1/servers/detail?sort_key=display_name&sort_dir=asc&${query}`)).servers.map((each: any) => each.name);
  assert.deepEqual(await names('name=web'), ['web', 'web-2']);
  assert.deepEqual(await names(`name=${encodeURIComponent('^web$')}`), ['web']);
  assert.deepEqual(await names('name=db_'), ['DB_1']);
  assert.deepEqual(await names('name=db%25'), ['db%1']);
  assert.deepEqual(await names('status=ACTIVE'), []);
  assert.equal((await names('status=BUILD')).length, 4);
  const [first] = (await ok('demo', 'GET', '/compute/v2.1/servers?name=web-2')).servers;
  await report('compute2', { server_id: first.id, state: 'running' });
  assert.deepEqual(await names('status=ACTIVE'), ['web-2']);
  assert.deepEqual(await names('host=compute2&all_tenants=1', 'admin'), ['db%1', 'web-2']);
  assert.equal((await names('host=compute2')).length, 4, 'a filter of admins means nothing to others');
  const [{ addresses }] = (await ok('demo', 'GET', '/compute/v2.1/servers/detail?name=web-2')).servers;
  assert.deepEqual(await names(`ip=${addresses.private[0].addr}`), ['web-2']);
  const seen: string[] = [];
  let path: string | undefined = '/compute/v2.1/servers?limit=1';
  while (path) {
    const page: any = await ok('demo', 'GET', path);
    seen.push(...page.servers.map((each: any) => each.id));
    path = page.servers_links?.[0].href.replace('http://cloud.test:8770', '');
  }
  assert.deepEqual([seen.length, new Set(seen).size], [4, 4]);
  for (const sort of ['host', 'launched_at', 'vm_state', 'launch_index', 'config_drive']) {
    const order = (await ok('demo', 'GET', `/compute/v2.1/servers?sort_key=${sort}&sort_dir=asc`)).servers.map((each: any) => each.id);
    const tail = (await ok('demo', 'GET', `/compute/v2.1/servers?sort_key=${sort}&sort_dir=asc&marker=${order[1]}`)).servers.map((each: any) => each.id);
    assert.deepEqual(tail, order.slice(2), sort);
  }
  assert.equal((await call('demo', 'GET', '/compute/v2.1/servers?marker=nope')).status, 400);
  assert.equal((await call('demo', 'GET', '/compute/v2.1/servers?limit=-1')).status, 400);
  assert.equal((await call('demo', 'GET', '/compute/v2.1/servers/a%00b')).status, 400);
}));

eachStore('G1: a server is renamed, described, tagged and given metadata', (store) => lab(store, async ({ boot, call, ok, show }) => {
  const { id } = await boot({ metadata: { role: 'db' } });
  const path = `/compute/v2.1/servers/${id}`;
  const at = { 'openstack-api-version': 'compute 2.26' };
  await ok('demo', 'PUT', path, { server: { name: 'new', description: 'hello' } }, at);
  assert.deepEqual((await ok('demo', 'POST', `${path}/metadata`, { metadata: { a: '1' } })).metadata, { role: 'db', a: '1' });
  assert.equal((await call('demo', 'DELETE', `${path}/metadata/role`)).status, 204);
  assert.equal((await call('demo', 'DELETE', `${path}/metadata/role`)).status, 404);
  assert.equal((await call('demo', 'PUT', `${path}/tags/blue`, undefined, at)).status, 201);
  assert.equal((await call('demo', 'PUT', `${path}/tags/blue`, undefined, at)).status, 204);
  assert.equal((await call('demo', 'GET', `${path}/tags`)).status, 404, 'there are no tags before 2.26');
  const shown = await show(id, 'demo', '2.26');
  assert.deepEqual([shown.name, shown.description, shown.metadata, shown.tags, shown.locked], ['new', 'hello', { a: '1' }, ['blue'], false]);
  assert.equal('tags' in await show(id), false);
}));

eachStore('requests at once lose nothing: servers spread over the hosts, each attached port is kept', (store) => lab(store, async ({ boot, show, ok, report }) => {
  const made = await Promise.all(Array.from({ length: 8 }, (_, i) => boot({ name: `s${i}` })));
  const hosts = await Promise.all(made.map(async ({ id }) => (await show(id, 'admin'))['OS-EXT-SRV-ATTR:host']));
  assert.deepEqual([hosts.filter((host) => host === 'compute1').length, hosts.filter((host) => host === 'compute2').length], [4, 4]);
  const { id } = made[0];
  await report(hosts[0], { server_id: id, state: 'running' });
  await Promise.all(Array.from({ length: 5 }, () => ok('demo', 'POST', `/compute/v2.1/servers/${id}/os-interface`, {})));
  const row = await store.reader.db.selectFrom('servers').select('ports').where('id', '=', id).executeTakeFirstOrThrow();
  assert.equal(JSON.parse(row['ports']).length, 6);
}));

eachStore('no body and no query makes a server error', (store) => lab(store, async ({ boot, call, networkId, flavor }) => {
  const { id } = await boot();
  const junk: unknown[] = [undefined, 'null', '[]', '"x"', '{', '{"server":null}', '{"server":[]}', { server: { name: {}, flavorRef: [], imageRef: {} } }, { server: { name: 'a', flavorRef: flavor, imageRef: 'x\0y' } },
    { server: { name: 'a', flavorRef: 'x\0y', imageRef } }, { server: { name: 'a', flavorRef: flavor, imageRef, networks: [null] } }, { server: { name: 'a', flavorRef: flavor, imageRef, networks: [{ uuid: networkId, fixed_ip: '300.1.1.1' }] } },
    { server: { name: 'a', flavorRef: flavor, imageRef, metadata: { a: 1 } } }, { server: { name: 'a', flavorRef: flavor, imageRef, metadata: { __proto__: null, 'a\0': 'b' } } }, { server: { name: 'a', flavorRef: flavor, imageRef, security_groups: [{}, 3] } },
    { server: { name: 'a', flavorRef: flavor, imageRef, 'os:scheduler_hints': 3, availability_zone: ':::' } }, { server: { name: 'x'.repeat(300), flavorRef: flavor, imageRef } }, { server: { name: 'a', flavorRef: flavor, imageRef, block_device_mapping_v2: [{ source_type: 'volume' }] } },
    { keypair: { name: 'a', public_key: 3 } }, { flavor: { name: 'a', ram: 'x', vcpus: null, disk: {} } }, { reboot: null }, { reboot: { type: 'SLOW' } }, { addFixedIp: {} }, { removeFixedIp: { address: 'x' } }, { addSecurityGroup: { name: 'a\0b' } },
    { 'os-getConsoleOutput': { length: 'x' } }, { constructor: null }, { interfaceAttachment: { port_id: 'x' } }, { interfaceAttachment: { net_id: networkId, fixed_ips: [] } }, { metadata: { 'a/b': '1' } }, { tags: [1] }, { extra_specs: { a: {} } },
  ];
  const paths = [['POST', '/servers'], ['PUT', `/servers/${id}`], ['POST', `/servers/${id}/action`], ['POST', `/servers/${id}/os-interface`], ['PUT', `/servers/${id}/metadata`], ['PUT', `/servers/${id}/tags`], ['POST', '/os-keypairs'], ['POST', '/flavors'], ['POST', `/flavors/${flavor}/os-extra_specs`], ['POST', `/flavors/${flavor}/action`]] as const;
  for (const [method, path] of paths) for (const body of junk) {
    const answer = await call('admin', method, `/compute/v2.1${path}`, body, { 'openstack-api-version': 'compute 2.26' });
    assert.ok(answer.status < 500, `${method} ${path} ${JSON.stringify(body)}: ${answer.status} ${JSON.stringify(answer.body)}`);
  }
  for (const query of ['name=%25', 'ip=%5B', 'changes-since=x', 'changes-since=9999999-1', 'sort_key=__proto__', 'status=', 'name=a&name=b', 'limit=1e9', 'all_tenants=maybe', 'marker=', 'flavor=%27', 'reservation_id=x', 'sort_key=id&sort_dir=up']) {
    const answer = await call('admin', 'GET', `/compute/v2.1/servers/detail?${query}`);
    assert.ok(answer.status < 500, `${query}: ${answer.status}`);
  }
  for (const body of ['null', '[]', '{', { name: 3 }, { id: 'x' }, { tags: 'x' }, { 'a\0': 'b' }, { a: 'b\0' }, { a: 1 }, { visibility: 'x' }, { min_ram: 'x' }]) {
    const answer = await call('admin', 'POST', '/image/v2/images', body);
    assert.ok(answer.status >= 400 && answer.status < 500, `${JSON.stringify(body)}: ${answer.status}`);
  }
  for (const body of ['null', '[null]', '[1]', [{ op: 'add', path: '/a' }], [{ op: 'add', path: '/__proto__', value: 'x' }], [{ op: 'add', path: 3, value: 'x' }], [{ op: 'replace', path: '/tags', value: [1] }]]) {
    const answer = await call('admin', 'PATCH', `/image/v2/images/${imageRef}`, body, { 'content-type': 'application/openstack-images-v2.1-json-patch' });
    assert.ok(answer.status >= 400 && answer.status < 500, `${JSON.stringify(body)}: ${answer.status}`);
  }
}));
