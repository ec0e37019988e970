import assert from 'node:assert/strict';
import { openStore } from '#store/open.ts';
import { floatingApi, floatingLab } from '#testkit/floating-lab.ts';
import { eachStore } from '#testkit/stores.ts';
import { dump } from '#testkit/table-dump.ts';
import { setFloatingIpStatus } from './floating-ips.ts';

const problem = ({ status, body }: { status: number; body: any }) => `${status} ${body?.NeutronError?.type}`;

eachStore('N-L3-15: with its port goes the association of a floating IP, and hosts are told', async (store) => {
  const { ok, call, port, floating, shown, close } = await floatingLab(store);
  const target = await port();
  const made = await floating({ port_id: target.id });
  await store.write((tx) => setFloatingIpStatus(tx, made.id, true));
  const mark = await store.feed.head();
  await ok('demo', 'DELETE', `/v2.0/ports/${target.id}`);
  const freed = await shown(made.id);
  assert.deepEqual([freed.port_id, freed.fixed_ip_address, freed.router_id, freed.status, freed.port_details, freed.revision_number], [null, null, null, 'DOWN', null, made.revision_number + 2]);
  assert.deepEqual((await store.feed.after(mark))!.changes.filter(({ kind }) => kind === 'floatingips').map(({ id, op }) => [id, op]), [[made.id, 'update']]);
  // What an admin has associated is not a member's to end by deleting the port.
  const second = await port();
  const admins = await floating({ port_id: second.id }, 'admin');
  const before = await dump(store.reader, ['ports', 'floatingips', 'ip_allocations', 'free_ranges']);
  assert.equal(problem(await call('demo', 'DELETE', `/v2.0/ports/${second.id}`)), '409 FipAssociated');
  assert.deepEqual(await dump(store.reader, ['ports', 'floatingips', 'ip_allocations', 'free_ranges']), before);
  await ok('admin', 'DELETE', `/v2.0/ports/${second.id}`);
  assert.equal((await shown(admins.id, 'admin')).port_id, null);
  await close();
});

eachStore('with a port go its port forwardings, and the router of a floating IP that has none left', async (store) => {
  const { ok, port, floating, shown, router, close } = await floatingLab(store);
  const [gone, kept] = [await port(), await port()];
  const [emptied, shared] = [await floating(), await floating()];
  const forward = (home: any, target: any, external_port: number) => ok('demo', 'POST', `/v2.0/floatingips/${home.id}/port_forwardings`, { port_forwarding: { protocol: 'tcp', internal_port_id: target.id, internal_port: external_port, external_port } });
  for (const [home, target, number] of [[emptied, gone, 1], [emptied, gone, 2], [shared, gone, 3], [shared, kept, 4]] as const) await forward(home, target, number);
  const mark = await store.feed.head();
  await ok('demo', 'DELETE', `/v2.0/ports/${gone.id}`);
  assert.deepEqual([(await shown(emptied.id)).router_id, (await shown(emptied.id)).port_forwardings], [null, []]);
  assert.deepEqual([(await shown(shared.id)).router_id, (await shown(shared.id)).port_forwardings.map((one: any) => one.external_port)], [router.id, [4]]);
  const { changes } = (await store.feed.after(mark))!;
  assert.deepEqual([changes.filter(({ kind }) => kind === 'port_forwardings').map(({ op }) => op), changes.filter(({ kind }) => kind === 'floatingips').map(({ id }) => id)], [['delete', 'delete', 'delete'], [emptied.id]]);
  await close();
});

eachStore('an address that a floating IP leads to stays on its port; a forwarding to one that goes, goes', async (store) => {
  const { ok, call, port, floating, shown, close } = await floatingLab(store);
  const ips = (...given: string[]) => ({ port: { fixed_ips: given.map((ip_address) => ({ ip_address })) } });
  const target = await port({ fixed_ips: [{ ip_address: '10.0.0.20' }, { ip_address: '10.0.0.21' }] });
  const put = (body: unknown, who = 'demo') => call(who, 'PUT', `/v2.0/ports/${target.id}`, body);
  const home = await floating();
  await ok('demo', 'POST', `/v2.0/floatingips/${home.id}/port_forwardings`, { port_forwarding: { protocol: 'tcp', internal_port_id: target.id, internal_ip_address: '10.0.0.20', internal_port: 1, external_port: 1 } });
  assert.equal((await put(ips('10.0.0.20', '10.0.0.22'))).status, 200);
  assert.equal((await shown(home.id)).port_forwardings.length, 1);
  assert.equal((await put(ips('10.0.0.21'))).status, 200);
  assert.deepEqual([(await shown(home.id)).port_forwardings, (await shown(home.id)).router_id], [[], null]);
  await ok('demo', 'PUT', `/v2.0/floatingips/${home.id}`, { floatingip: { port_id: target.id } });
  const before = await dump(store.reader, ['ports', 'floatingips', 'ip_allocations', 'free_ranges']);
  for (const body of [ips('10.0.0.22'), ips()]) assert.equal(problem(await put(body)), '400 BadRequest');
  assert.deepEqual(await dump(store.reader, ['ports', 'floatingips', 'ip_allocations', 'free_ranges']), before);
  assert.equal((await put(ips('10.0.0.21', '10.0.0.22'))).status, 200);
  assert.equal((await shown(home.id)).fixed_ip_address, '10.0.0.21');
  await close();
});

eachStore('ports of routers and floating IPs go with these, and not by the port API', async (store) => {
  const { ok, call, floating, router, close } = await floatingLab(store);
  const made = await floating();
  for (const device of [made.id, router.id]) {
    const { ports } = await ok('admin', 'GET', `/v2.0/ports?device_id=${device}`);
    for (const one of ports) assert.equal(problem(await call('admin', 'DELETE', `/v2.0/ports/${one.id}`)), '409 ServicePortInUse', one.device_owner);
  }
  // One that only says so has no owner, and goes.
  const { port } = await ok('admin', 'POST', '/v2.0/ports', { port: { network_id: made.floating_network_id, device_owner: 'network:floatingip', device_id: crypto.randomUUID() } });
  await ok('admin', 'DELETE', `/v2.0/ports/${port.id}`);
  await close();
});

eachStore('an external network goes with its unassociated floating IPs; an associated one, or one with forwardings, holds it', async (store) => {
  const { ok, call, port, floating, external, router, close } = await floatingLab(store);
  const target = await port();
  const made = [await floating({}, 'alt'), await floating({ port_id: target.id })];
  const destroy = () => call('admin', 'DELETE', `/v2.0/networks/${external.id}`);
  assert.equal(problem(await destroy()), '409 NetworkInUse');
  const ids = async () => (await ok('admin', 'GET', '/v2.0/floatingips')).floatingips.map((one: any) => one.id).sort();
  assert.deepEqual(await ids(), made.map(({ id }) => id).sort());
  await store.write(async (tx) => {
    await tx.db.deleteFrom('ports').where('device_owner', '=', 'network:router_gateway').execute();
    await tx.db.deleteFrom('routers').where('id', '=', router.id).execute();
  });
  assert.equal(problem(await destroy()), '409 NetworkInUse');
  await ok('demo', 'PUT', `/v2.0/floatingips/${made[1].id}`, { floatingip: { port_id: null } });
  assert.equal((await destroy()).status, 204);
  assert.deepEqual([await ids(), (await ok('admin', 'GET', `/v2.0/ports?network_id=${external.id}`)).ports], [[], []]);
  await close();
});

eachStore('a port that goes while another controller associates with it or moves from it leaves no floating IP that leads to it', async (store, connection) => {
  const { call, ok, port, floating, close } = await floatingLab(store);
  const again = await openStore(connection);
  const other = floatingApi(again);
  for (let round = 0; round < 6; round++) {
    const [from, to] = [await port(), await port()];
    const [free, moving] = [await floating(), await floating({ port_id: from.id })];
    const link = (api: typeof other, one: any, port_id: string) => api.call('demo', 'PUT', `/v2.0/floatingips/${one.id}`, { floatingip: { port_id } });
    const [, moved] = await Promise.all([link(other, free, to.id), link(other, moving, to.id), call('demo', 'DELETE', `/v2.0/ports/${from.id}`), call('demo', 'DELETE', `/v2.0/ports/${to.id}`)]);
    assert.ok([200, 404, 409].includes(moved.status), problem(moved));
    for (const { port_id, router_id, fixed_ip_address } of (await ok('demo', 'GET', '/v2.0/floatingips')).floatingips) assert.deepEqual([port_id, router_id, fixed_ip_address], [null, null, null]);
    for (const one of [free, moving]) await ok('demo', 'DELETE', `/v2.0/floatingips/${one.id}`);
  }
  await other.close();
  await close();
  await again.close();
});
