import assert from 'node:assert/strict';
import { ApiError, type ErrorType } from '#model/errors.ts';
import { type Network, type Port, port } from '#model/networks.ts';
import { openStore } from '#store/open.ts';
import type { Store } from '#store/store.ts';
import { Table } from '#store/table.ts';
import { config, contextOf, insertNetwork, insertSubnet } from '#testkit/network-rows.ts';
import { eachStore } from '#testkit/stores.ts';
import { dump } from '#testkit/table-dump.ts';
import type { Context } from '../http/context.ts';
import { createPorts, type NewPort } from './port-create.ts';
import { deletePorts } from './port-update.ts';
import { portsRule } from './ports.ts';
import { ensureDefaultGroup } from './security-groups.ts';

const ports = new Table(port);
const rule = portsRule({ config });
const demo = contextOf('demo');
const other = contextOf('other');
const admin = contextOf('admin', { admin: true });

const newNetwork = (store: Store, given: Partial<Network> = {}, cidr = '10.0.0.0/24') => store.write(async (tx) => {
  const home = await insertNetwork(tx, given);
  const inside = await insertSubnet(tx, home, cidr);
  return { home, inside };
});
const create = (store: Store, context: Context, network_id: string, given: Partial<NewPort> = {}): Promise<Port> =>
  store.write(async (tx) => (await createPorts(tx, config, context, [{ project_id: context.project_id!, network_id, ...given }]))[0]!);
const update = (store: Store, context: Context, current: Port, changes: Partial<Port>): Promise<Port> => store.write((tx) => rule.update(tx, context, current, changes));
const refused = (type: ErrorType) => (error: unknown) => {
  assert.ok(error instanceof ApiError, String((error as Error).stack));
  assert.equal(error.type, type);
  return true;
};
const TABLES = ['ports', 'ip_allocations', 'free_ranges', 'port_security_groups', 'security_groups', 'security_group_rules', 'host_numbers'];
const everything = (store: Store) => dump(store.reader, [...TABLES, 'changes']);

eachStore('N-ML2-16, N-ML2-18: a port has its MAC, its address and its group before anything uses it', async (store) => {
  const { home, inside } = await newNetwork(store);
  const made = await create(store, demo, home.id, { name: 'p' });
  assert.match(made.mac_address, /^fa:16:3e(:[0-9a-f]{2}){3}$/);
  assert.deepEqual(made.fixed_ips, [{ subnet_id: inside.id, ip_address: '10.0.0.2' }]);
  assert.deepEqual([made.status, made['binding:vif_type'], made.port_security_enabled, made.device_owner, made.admin_state_up], ['DOWN', 'unbound', true, '', true]);
  const groups = await store.reader.db.selectFrom('security_groups').select(['id', 'name', 'project_id']).execute();
  assert.deepEqual(groups.map((one) => [one['id'], one['name'], one['project_id']]), [[made.security_groups[0], 'default', 'demo']]);
  assert.deepEqual(await ports.get(store.reader, made.id), made);
  const [shown] = await rule.present!(store.reader, demo, [made]);
  assert.deepEqual(shown!['dns_assignment'], [{ hostname: 'host-10-0-0-2', ip_address: '10.0.0.2', fqdn: 'host-10-0-0-2.openstacklocal.' }]);
});

eachStore('a hundred ports in one request: one address and one MAC each, in order', async (store) => {
  const { home } = await newNetwork(store);
  const made = await store.write((tx) => createPorts(tx, config, demo, Array.from({ length: 100 }, (_, i) => ({ project_id: 'demo', network_id: home.id, name: `p${i}` }))));
  assert.deepEqual(made.map((one) => one.fixed_ips[0]!.ip_address), Array.from({ length: 100 }, (_, i) => `10.0.0.${i + 2}`));
  assert.equal(new Set(made.map((one) => one.mac_address)).size, 100);
  assert.deepEqual(made.map((one) => one.name), Array.from({ length: 100 }, (_, i) => `p${i}`));
  assert.equal((await store.reader.db.selectFrom('port_security_groups').selectAll().execute()).length, 100);
});

eachStore('OSSA-2014-014, OSSA-2014-025, OSSA-2021-005: bad input is refused with the error of Neutron, and the store is unchanged', async (store) => {
  const { home } = await newNetwork(store);
  const foreign = await newNetwork(store, { project_id: 'other' });
  const foreignGroup = await store.write((tx) => ensureDefaultGroup(tx, 'other'));
  const held = await create(store, demo, home.id, { mac_address: 'fa:16:3e:00:00:01' });
  const before = await everything(store);
  const pair = (ip_address: string, mac_address?: string) => ({ ip_address, ...(mac_address ? { mac_address } : {}) });
  const cases: [ErrorType, Partial<NewPort>][] = [
    ['NetworkNotFound', { network_id: foreign.home.id }],
    ['NetworkNotFound', { network_id: crypto.randomUUID() }],
    ['SecurityGroupNotFound', { security_groups: [foreignGroup] }],
    ['MacAddressInUse', { mac_address: held.mac_address }],
    ['HTTPBadRequest', { mac_address: '01:00:5e:00:00:01' }],
    ['InvalidInput', { fixed_ips: Array.from({ length: 6 }, (_, i) => ({ ip_address: `10.0.0.${i + 20}` })) }],
    ['HTTPBadRequest', { fixed_ips: [{ ip_address: '10.0.0.9' }, { ip_address: '10.0.0.9' }] }],
    ['InvalidIpForNetwork', { fixed_ips: [{ ip_address: '192.168.0.9' }] }],
    // OSSA-2014-025, OSSA-2014-014
    ['AllowedAddressPairExhausted', { allowed_address_pairs: Array.from({ length: 11 }, (_, i) => pair(`10.1.0.${i}`)) }],
    ['DuplicateAddressPairInRequest', { allowed_address_pairs: [pair('10.1.0.1', 'fa:16:3e:00:00:09'), pair('10.1.0.1/32', 'fa:16:3e:00:00:09'), pair('10.1.0.1', 'fa:16:3e:00:00:09')] }],
    ['HTTPBadRequest', { allowed_address_pairs: [pair('10.1.0.0/33')] }],
    ['AllowedAddressPairsMissingIP', { allowed_address_pairs: [{ mac_address: 'fa:16:3e:00:00:09' }] }],
    ['HTTPBadRequest', { allowed_address_pairs: [pair('224.0.0.0/8')] }],
    ['HTTPBadRequest', { allowed_address_pairs: [pair('ff02::1')] }],
    ['HTTPBadRequest', { allowed_address_pairs: [pair('10.1.0.1', '01:00:5e:00:00:01')] }],
    ['HTTPBadRequest', { allowed_address_pairs: [pair('10.1.0.1\n')] }],
    // OSSA-2021-005
    ['HTTPBadRequest', { extra_dhcp_opts: [{ opt_name: 'bootfile-name', opt_value: 'x\ndhcp-script=/bin/sh', ip_version: 4 }] }],
    ['HTTPBadRequest', { extra_dhcp_opts: [{ opt_name: 'bootfile-name', opt_value: 'x\u2028y', ip_version: 4 }] }],
    ['HTTPBadRequest', { extra_dhcp_opts: Array.from({ length: 256 }, (_, i) => ({ opt_name: `o${i}`, opt_value: '1', ip_version: 4 })) }],
    ['HTTPBadRequest', { extra_dhcp_opts: [{ opt_name: 'boot\nfile', opt_value: 'x', ip_version: 4 }] }],
    ['HTTPBadRequest', { dns_name: 'a\nb' }],
    ['HTTPBadRequest', { dns_name: '-a' }],
    ['HTTPBadRequest', { dns_name: 'a..b' }],
    ['PortSecurityAndIPRequiredForSecurityGroups', { port_security_enabled: false, security_groups: held.security_groups }],
    ['AddressPairAndPortSecurityRequired', { port_security_enabled: false, allowed_address_pairs: [pair('10.1.0.1')] }],
  ];
  for (const [type, given] of cases) await assert.rejects(create(store, demo, home.id, given), refused(type), JSON.stringify(given));
  assert.deepEqual(await everything(store), before);
});

eachStore('N-ML2-15, OSSA-2015-018: on a shared network others get ports, but neither addresses, MACs nor service owners of their choice', async (store) => {
  const { home, inside } = await newNetwork(store, { project_id: 'admin', shared: true });
  const made = await create(store, demo, home.id, { fixed_ips: [{ subnet_id: inside.id }] });
  for (const given of [{ device_owner: 'network:dhcp' }, { mac_address: 'fa:16:3e:00:00:01' }, { fixed_ips: [{ ip_address: '10.0.0.9' }] }] as Partial<NewPort>[]) {
    await assert.rejects(create(store, demo, home.id, given), refused('PolicyNotAuthorized'));
    await assert.rejects(update(store, demo, made, given), refused('PolicyNotAuthorized'));
    await create(store, admin, home.id, given);
    await store.write(async (tx) => deletePorts(tx, (await ports.list(tx)).filter((one) => one.id !== made.id)));
  }
  await assert.rejects(store.write(async (tx) => rule.update(tx, other, made, { name: 'mine' })), refused('PolicyNotAuthorized'));
});

eachStore('N-ML2-14: an external network that is not shared has no place for ports of others', async (store) => {
  const { home } = await newNetwork(store, { project_id: 'admin', 'router:external': true });
  await assert.rejects(create(store, demo, home.id), refused('PolicyNotAuthorized'));
  await create(store, admin, home.id);
});

eachStore('N-ML2-25: projects see their own ports and all ports on their own networks; admins see all', async (store) => {
  const own = await newNetwork(store);
  const shared = await newNetwork(store, { project_id: 'other', shared: true });
  await create(store, demo, own.home.id, { name: 'demo on demo' });
  await create(store, demo, shared.home.id, { name: 'demo on other' });
  await create(store, admin, own.home.id, { name: 'admin on demo', device_owner: 'network:router_interface' });
  await create(store, admin, shared.home.id, { name: 'admin on other' });
  const names = async (context: Context) => (await ports.list(store.reader, { where: (query) => rule.visible!(query, context), sort: [{ key: 'name', dir: 'asc' }] })).map((one) => one.name);
  assert.deepEqual(await names(demo), ['admin on demo', 'demo on demo', 'demo on other']);
  assert.deepEqual(await names(other), ['admin on other', 'demo on other']);
  assert.deepEqual(await names(contextOf('third')), []);
});

eachStore('N-ML2-26: ports are found by address, subnet, part of an address and group', async (store) => {
  const one = await newNetwork(store);
  const two = await newNetwork(store, {}, '10.20.0.0/24');
  const [a, b, c] = [await create(store, demo, one.home.id), await create(store, demo, one.home.id, { security_groups: [] }), await create(store, demo, two.home.id)];
  const find = async (name: string, ...values: string[]) => (await ports.list(store.reader, { where: (query) => rule.filters![name]!(query, values, demo) })).map((found) => found.id).sort();
  const ids = (...found: Port[]) => found.map((port) => port.id).sort();
  assert.deepEqual(await find('fixed_ips', 'ip_address=10.0.0.3'), ids(b));
  assert.deepEqual(await find('fixed_ips', 'ip_address=10.0.0.3', 'ip_address=10.20.0.2'), ids(b, c));
  assert.deepEqual(await find('fixed_ips', `subnet_id=${one.inside.id}`), ids(a, b));
  assert.deepEqual(await find('fixed_ips', `subnet_id=${one.inside.id}`, 'ip_address=10.0.0.2'), ids(a));
  assert.deepEqual(await find('fixed_ips', 'ip_address_substr=.20.'), ids(c));
  assert.deepEqual(await find('security_groups', a.security_groups[0]!), ids(a, c));
  for (const bad of ['ip_address_substr=%', 'x=1']) await assert.rejects(find('fixed_ips', bad), refused('HTTPBadRequest'));
});

eachStore('OSSA-2015-012: an address pair may be everything, in either family, and is shown as it was given', async (store) => {
  const home = await store.write((tx) => insertNetwork(tx));
  const made = await create(store, demo, home.id, { allowed_address_pairs: ['0.0.0.0/0', '::/0', '10.0.0.5/24'].map((ip_address) => ({ ip_address })) });
  assert.deepEqual(made.allowed_address_pairs.map((each) => each.ip_address), ['0.0.0.0/0', '::/0', '10.0.0.5/24']);
});

eachStore('N-SG-2: port security goes off only without groups and address pairs, and comes back', async (store) => {
  const { home } = await newNetwork(store);
  const made = await create(store, demo, home.id, { allowed_address_pairs: [{ ip_address: '10.0.0.0/24', mac_address: undefined }, { ip_address: '2001:DB8::1' }, { ip_address: '0.0.0.0/0' }] });
  assert.deepEqual(made.allowed_address_pairs, ['10.0.0.0/24', '2001:db8::1', '0.0.0.0/0'].map((ip_address) => ({ mac_address: made.mac_address, ip_address })));
  await assert.rejects(update(store, demo, made, { port_security_enabled: false }), refused('AddressPairAndPortSecurityRequired'));
  await assert.rejects(update(store, demo, made, { port_security_enabled: false, allowed_address_pairs: [] }), refused('PortSecurityPortHasSecurityGroup'));
  const off = await update(store, demo, made, { port_security_enabled: false, allowed_address_pairs: [], security_groups: [] });
  assert.deepEqual([off.port_security_enabled, off.security_groups, off.allowed_address_pairs], [false, [], []]);
  assert.deepEqual(await store.reader.db.selectFrom('port_security_groups').selectAll().execute(), []);
  await assert.rejects(update(store, demo, off, { security_groups: made.security_groups }), refused('PortSecurityAndIPRequiredForSecurityGroups'));
  const on = await update(store, demo, off, { port_security_enabled: true, security_groups: made.security_groups });
  assert.deepEqual(on.security_groups, made.security_groups);
});

eachStore('ports without port security have no group by default: network services, and networks where it is off', async (store) => {
  const { home } = await newNetwork(store);
  const open = await newNetwork(store, { port_security_enabled: false });
  const service = await create(store, admin, home.id, { device_owner: 'network:router_gateway', project_id: 'demo' });
  const plain = await create(store, demo, open.home.id);
  assert.deepEqual([service, plain].map((one) => [one.port_security_enabled, one.security_groups]), [[false, []], [false, []]]);
});

eachStore('updates: DHCP options merge, addresses change, a MAC is unique and an admin’s to change', async (store) => {
  const { home } = await newNetwork(store);
  const option = (opt_name: string, opt_value: string | null) => ({ opt_name, opt_value, ip_version: 4 });
  const made = await create(store, demo, home.id, { extra_dhcp_opts: [option('mtu', '1400'), option('server-ip-address', '10.0.0.9')] });
  const changed = await update(store, demo, made, { extra_dhcp_opts: [option('mtu', null), option('bootfile-name', 'pxe')], fixed_ips: [{ ip_address: '10.0.0.50', subnet_id: undefined }], dns_name: 'Web1' });
  assert.deepEqual(changed.extra_dhcp_opts, [option('server-ip-address', '10.0.0.9'), option('bootfile-name', 'pxe')]);
  assert.deepEqual([changed.fixed_ips.map((ip) => ip.ip_address), changed.dns_name, changed.revision_number], [['10.0.0.50'], 'web1', 1]);
  const next = await create(store, demo, home.id);
  assert.equal(next.fixed_ips[0]!.ip_address, '10.0.0.2');
  await assert.rejects(update(store, demo, next, { mac_address: 'fa:16:3e:00:00:07' }), refused('PolicyNotAuthorized'));
  await assert.rejects(update(store, admin, next, { mac_address: made.mac_address }), refused('MacAddressInUse'));
  assert.equal((await update(store, admin, next, { mac_address: 'fa:16:3e:00:00:07' })).mac_address, 'fa:16:3e:00:00:07');
});

eachStore('a port that was given to another device since it was read is not given away again', async (store) => {
  const { home } = await newNetwork(store);
  const read = await create(store, demo, home.id);
  await update(store, demo, read, { device_id: 'one' });
  await assert.rejects(update(store, demo, read, { device_id: 'two' }), refused('PortInUse'));
  assert.equal((await ports.get(store.reader, read.id))!.device_id, 'one');
});

eachStore('CVE-2013-1838: a port past the quota is refused and takes nothing; a deleted one leaves nothing', async (store) => {
  const { home } = await newNetwork(store);
  await store.write((tx) => ensureDefaultGroup(tx, 'demo'));
  const empty = await dump(store.reader, TABLES);
  const limited = { ...config, quota_port: 2 };
  await assert.rejects(store.write((tx) => createPorts(tx, limited, demo, Array.from({ length: 3 }, () => ({ project_id: 'demo', network_id: home.id })))), refused('OverQuota'));
  assert.deepEqual(await dump(store.reader, TABLES), empty);
  const made = await store.write((tx) => createPorts(tx, limited, demo, Array.from({ length: 2 }, () => ({ project_id: 'demo', network_id: home.id }))));
  await assert.rejects(store.write((tx) => createPorts(tx, limited, demo, [{ project_id: 'demo', network_id: home.id }])), refused('OverQuota'));
  await store.write((tx) => deletePorts(tx, made));
  assert.deepEqual(await dump(store.reader, TABLES), empty);
});

eachStore('two controllers make ports of one network and project at once: one default group, no address or MAC twice', async (store, connection) => {
  const { home } = await newNetwork(store);
  const second = await openStore(connection);
  try {
    const made = await Promise.all(Array.from({ length: 40 }, (_, i) => create(i % 2 ? store : second, demo, home.id)));
    assert.equal(new Set(made.map((one) => one.fixed_ips[0]!.ip_address)).size, 40);
    assert.equal(new Set(made.map((one) => one.mac_address)).size, 40);
    assert.equal(new Set(made.flatMap((one) => one.security_groups)).size, 1);
    const twins = await Promise.allSettled([store, second].map((one) => create(one, demo, home.id, { mac_address: 'fa:16:3e:00:00:01' })));
    assert.deepEqual(twins.map((one) => one.status).sort(), ['fulfilled', 'rejected']);
  } finally {
    await second.close();
  }
});
