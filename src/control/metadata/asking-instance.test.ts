import assert from 'node:assert/strict';
import { port as portResource, type Port } from '#model/networks.ts';
import { router as routerResource } from '#model/routers.ts';
import { eui64, formatIp } from '#net/ip.ts';
import type { MetadataAnswer, MetadataQuestion } from '#protocol/messages.ts';
import { Table } from '#store/table.ts';
import { type MetadataCloud, metadataCloud, SECRET } from '#testkit/metadata-cloud.ts';
import { insertSubnet } from '#testkit/network-rows.ts';
import { eachStore } from '#testkit/stores.ts';
import { newObject } from '../network/new-object.ts';
import { askingInstance } from './asking-instance.ts';
import { instanceSignature } from './signature.ts';

const ports = new Table(portResource);
const LINK_LOCAL = { version: 6, value: 0xfe80n << 112n } as const;

const answerFor = (id: string, project_id: string): MetadataAnswer => ({ instance_id: id, project_id, signature: instanceSignature(SECRET, id) });

async function ask({ store, world }: MetadataCloud, question: MetadataQuestion, { host = 'compute1', nova = null as string | null } = {}): Promise<MetadataAnswer> {
  return askingInstance(store.reader, { nova_metadata_host: nova }, SECRET)(await world(), host, question);
}

/** A router of demo on `host`, with a leg on each network. */
async function makeRouter({ store, port }: MetadataCloud, host: string, networkIds: readonly string[], owner = 'network:router_interface'): Promise<string> {
  const id = await store.write(async (tx) => {
    const made = newObject(routerResource, tx, { name: 'r', project_id: 'demo', admin_state_up: true, status: 'ACTIVE', routes: [], enable_snat: true, availability_zone_hints: [], description: '' });
    await new Table(routerResource).insert(tx, [made]);
    await tx.db.insertInto('router_bindings').values({ router_id: made.id, host }).execute();
    return made.id;
  });
  for (const network_id of networkIds) await port('demo', { network_id, device_owner: owner, device_id: id });
  return id;
}

eachStore('N-MD-7, N-MD-11: two projects with the same address on two networks get each their own', (store) => metadataCloud(store, async (cloud) => {
  const { boot, network } = cloud;
  const [one, two] = [await network('10.0.0.0/24'), await network('10.0.0.0/24', { project_id: 'alt', 'provider:segmentation_id': 2 })];
  const [mine, theirs] = [await boot('demo', { networks: [{ uuid: one.id, fixed_ip: '10.0.0.5' }] }), await boot('alt', { networks: [{ uuid: two.id, fixed_ip: '10.0.0.5' }] })];
  assert.deepEqual(await ask(cloud, { network_id: one.id, address: '10.0.0.5' }), answerFor(mine.id, 'demo'));
  assert.deepEqual(await ask(cloud, { network_id: two.id, address: '10.0.0.5' }), answerFor(theirs.id, 'alt'));
  assert.deepEqual(await ask(cloud, { network_id: one.id, address: '::ffff:10.0.0.5' }), answerFor(mine.id, 'demo'));
  for (const address of ['10.0.0.6', '10.0.0.1', '169.254.169.254', '', 'x', '::1', "' or 1=1"]) assert.equal(await ask(cloud, { network_id: one.id, address }), null, address);
}));

eachStore('N-MD-7: a router knows the instances of its inner networks alone, and nobody when two have the address', (store) => metadataCloud(store, async (cloud) => {
  const { boot, network } = cloud;
  const [inner, outer, third] = [await network('10.0.0.0/24'), await network('10.1.0.0/24', { 'provider:segmentation_id': 2 }), await network('10.0.0.0/24', { 'provider:segmentation_id': 3 })];
  const [inside, outside] = [await boot('demo', { networks: [{ uuid: inner.id, fixed_ip: '10.0.0.5' }] }), await boot('demo', { name: 'out', networks: [{ uuid: outer.id, fixed_ip: '10.1.0.5' }] })];
  const router = await makeRouter(cloud, 'compute1', [inner.id]);
  const outerLeg = await makeRouter(cloud, 'compute1', [outer.id], 'network:router_gateway');
  assert.deepEqual(await ask(cloud, { router_id: router, address: '10.0.0.5' }), answerFor(inside.id, 'demo'));
  assert.equal(await ask(cloud, { router_id: router, address: '10.1.0.5' }), null);
  assert.equal(await ask(cloud, { router_id: outerLeg, address: '10.1.0.5' }), null, 'LP 1865036: who is outside of a router asks in vain through it');
  assert.deepEqual(await ask(cloud, { network_id: outer.id, address: '10.1.0.5' }), answerFor(outside.id, 'demo'));
  await boot('demo', { name: 'twin', networks: [{ uuid: third.id, fixed_ip: '10.0.0.5' }] });
  const both = await makeRouter(cloud, 'compute1', [inner.id, third.id]);
  assert.equal(await ask(cloud, { router_id: both, address: '10.0.0.5' }), null);
  assert.equal(await ask(cloud, { router_id: both, network_id: inner.id, address: '10.0.0.5' }), null);
  assert.equal(await ask(cloud, { address: '10.0.0.5' }), null);
}));

eachStore('N-MD-7: a host hears of instances behind what it carries, and of no others', (store) => metadataCloud(store, async (cloud) => {
  const { boot, network } = cloud;
  const home = await network('10.0.0.0/24');
  const { id } = await boot('demo', { networks: [{ uuid: home.id, fixed_ip: '10.0.0.5' }] });
  const router = await makeRouter(cloud, 'compute2', [home.id]);
  const asked = (question: Partial<MetadataQuestion>, host: string) => ask(cloud, { address: '10.0.0.5', ...question }, { host });
  assert.deepEqual([await asked({ network_id: home.id }, 'compute1'), await asked({ network_id: home.id }, 'compute2')], [answerFor(id, 'demo'), null]);
  assert.deepEqual([await asked({ router_id: router }, 'compute1'), await asked({ router_id: router }, 'compute2')], [null, answerFor(id, 'demo')]);
}));

eachStore('OSSA-2013-033: a port whose owner wrote another’s instance into it gets nothing', (store) => metadataCloud(store, async (cloud) => {
  const { boot, network, port } = cloud;
  const [one, two] = [await network('10.0.0.0/24'), await network('10.1.0.0/24', { project_id: 'alt', 'provider:segmentation_id': 2 })];
  const victim = await boot('demo', { networks: [{ uuid: one.id }] });
  const forged = await port('alt', { network_id: two.id, device_id: victim.id, device_owner: 'compute:nova', fixed_ips: [{ ip_address: '10.1.0.66' }] });
  assert.equal(await ask(cloud, { network_id: two.id, address: '10.1.0.66' }), null);
  await port('alt', { network_id: two.id, device_id: victim.id, device_owner: '', fixed_ips: [{ ip_address: '10.1.0.67' }] });
  assert.equal(await ask(cloud, { network_id: two.id, address: '10.1.0.67' }), null);
  // A NIC of a server of its own, renamed afterwards, still leads to that server only.
  const own = await boot('alt', { networks: [{ uuid: two.id, fixed_ip: '10.1.0.68' }] });
  const [nic] = await ports.list(store.reader, { filters: { device_id: [own.id] } });
  await store.write((tx) => ports.update(tx, nic!, { device_id: victim.id } as Partial<Port>));
  assert.deepEqual(await ask(cloud, { network_id: two.id, address: '10.1.0.68' }), answerFor(own.id, 'alt'));
  // A real Nova is told the port's own project, and compares it with its instance's (N-MD-9).
  assert.deepEqual(await ask(cloud, { network_id: two.id, address: '10.1.0.66' }, { nova: 'nova.test' }), answerFor(victim.id, forged.project_id));
}));

eachStore('N-MD-7: by IPv6 an instance is known by its address, or by the MAC in its link-local one', (store) => metadataCloud(store, async (cloud) => {
  const { boot, network } = cloud;
  const home = await network('10.0.0.0/24');
  await store.write((tx) => insertSubnet(tx, home, '2001:db8::/64', { ip_version: 6, ipv6_address_mode: 'dhcpv6-stateful', ipv6_ra_mode: 'dhcpv6-stateful' }));
  const { id } = await boot('demo', { networks: [{ uuid: home.id }] });
  const [nic] = await ports.list(store.reader, { filters: { device_id: [id] } });
  const address = nic!.fixed_ips.find((fixed) => fixed.ip_address!.includes(':'))!.ip_address!;
  const linkLocal = formatIp(eui64(LINK_LOCAL, nic!.mac_address));
  for (const each of [address, address.toUpperCase(), linkLocal]) assert.deepEqual(await ask(cloud, { network_id: home.id, address: each }), answerFor(id, 'demo'), each);
  for (const each of ['fe80::1', formatIp(eui64(LINK_LOCAL, 'fa:16:3e:ff:ff:fe')), '2001:db8::ffff:ffff']) assert.equal(await ask(cloud, { network_id: home.id, address: each }), null, each);
}));
