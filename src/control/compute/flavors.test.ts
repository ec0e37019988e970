import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Store } from '#store/store.ts';
import { type ComputeApi, computeApi } from '#testkit/compute-api.ts';
import { eachStore } from '#testkit/stores.ts';
import { bootstrapCompute } from './bootstrap.ts';
import { generateSshKey, parseSshPublicKey } from './ssh-key.ts';

async function lab(store: Store, run: (api: ComputeApi) => Promise<void>): Promise<void> {
  const api = await computeApi(store);
  try {
    await run(api);
  } finally {
    await api.close();
  }
}

const message = ({ status, body }: { status: number; body: any }): string => `${status} ${Object.keys(body)[0]}: ${(Object.values(body)[0] as any).message}`;

eachStore('G1: version documents say which microversions there are, and each request gets the one it asks for', (store) => lab(store, async ({ ok, call }) => {
  const root = await ok('', 'GET', '/compute/');
  assert.deepEqual([root.versions[0].id, root.versions[0].min_version, root.versions[0].version, root.versions[0].links[0].href], ['v2.1', '2.1', '2.37', 'http://cloud.test:8770/compute/v2.1/']);
  assert.equal((await ok('', 'GET', '/compute/v2.1/')).version.id, 'v2.1');
  const asked = async (headers: Record<string, string>) => call('demo', 'GET', '/compute/v2.1/flavors', undefined, headers);
  assert.equal((await asked({})).headers['x-openstack-nova-api-version'], '2.1');
  assert.equal((await asked({ 'openstack-api-version': 'identity 3.0, compute 2.26' })).headers['openstack-api-version'], 'compute 2.26');
  assert.equal((await asked({ 'x-openstack-nova-api-version': 'latest' })).headers['x-openstack-nova-api-version'], '2.37');
  assert.equal(message(await asked({ 'openstack-api-version': 'compute 2.38' })), '406 computeFault: Version 2.38 is not supported by the API. Minimum is 2.1 and maximum is 2.37.');
  assert.equal((await asked({ 'openstack-api-version': 'compute 3.1' })).status, 406);
  assert.equal((await asked({ 'openstack-api-version': 'compute two' })).status, 400);
}));

eachStore('G1: flavors are made by admins, private ones seen by those who have access', (store) => lab(store, async ({ ok, call }) => {
  await bootstrapCompute(store, 'none');
  assert.deepEqual((await ok('demo', 'GET', '/compute/v2.1/flavors')).flavors, []);
  await bootstrapCompute(store, 'tour');
  await bootstrapCompute(store, 'tour');
  const names = async (who: string, query = '') => (await ok(who, 'GET', `/compute/v2.1/flavors/detail${query}`)).flavors.map((each: any) => each.name).sort();
  assert.deepEqual(await names('demo'), ['m1.nano', 'm1.tiny']);
  const create = (who: string, flavor: unknown) => call(who, 'POST', '/compute/v2.1/flavors', { flavor });
  assert.equal((await create('demo', { name: 'x', ram: 1, vcpus: 1, disk: 0 })).status, 403);
  const made = await create('admin', { id: 'big', name: 'm1.big', ram: 4096, vcpus: 2, disk: 20, swap: 512, rxtx_factor: 1.0, 'os-flavor-access:is_public': false });
  assert.deepEqual([made.status, made.body.flavor.id, made.body.flavor.swap, made.body.flavor['os-flavor-access:is_public']], [200, 'big', 512, false]);
  assert.equal(message(await create('admin', { id: 'big', name: 'other', ram: 1, vcpus: 1, disk: 0 })), '409 conflictingRequest: Flavor with ID big already exists.');
  assert.equal(message(await create('admin', { name: 'm1.big', ram: 1, vcpus: 1, disk: 0 })), '409 conflictingRequest: Flavor with name m1.big already exists.');
  assert.equal((await create('admin', { name: 'y', ram: 0, vcpus: 1, disk: 0 })).status, 400);
  assert.equal((await create('admin', { name: 'y', ram: 1, vcpus: 1, disk: 0, colour: 1 })).status, 400);
  assert.deepEqual(await names('demo', '?is_public=None'), ['m1.nano', 'm1.tiny']);
  assert.deepEqual(await names('admin'), ['m1.nano', 'm1.tiny']);
  assert.deepEqual(await names('admin', '?is_public=None'), ['m1.big', 'm1.nano', 'm1.tiny']);
  assert.equal((await call('demo', 'GET', '/compute/v2.1/flavors/big')).status, 404);
  assert.deepEqual((await ok('admin', 'POST', '/compute/v2.1/flavors/big/action', { addTenantAccess: { tenant: 'demo' } })).flavor_access, [{ flavor_id: 'big', tenant_id: 'demo' }]);
  assert.equal((await ok('demo', 'GET', '/compute/v2.1/flavors/big')).flavor.name, 'm1.big');
  assert.equal((await call('admin', 'POST', '/compute/v2.1/flavors/big/action', { removeTenantAccess: { tenant: 'alt' } })).status, 404);
  assert.deepEqual(await ok('admin', 'POST', '/compute/v2.1/flavors/big/os-extra_specs', { extra_specs: { 'hw:x': '1' } }), { extra_specs: { 'hw:x': '1' } });
  assert.deepEqual(await ok('demo', 'GET', '/compute/v2.1/flavors/big/os-extra_specs'), { extra_specs: { 'hw:x': '1' } });
  assert.equal((await call('admin', 'DELETE', '/compute/v2.1/flavors/big/os-extra_specs/hw:y')).status, 404);
  assert.deepEqual(await names('admin', '?is_public=None&minRam=512'), ['m1.big', 'm1.tiny']);
  const page = await ok('admin', 'GET', '/compute/v2.1/flavors?is_public=None&limit=1');
  assert.match(page.flavors_links[0].href, /limit=1&marker=/);
  assert.equal((await call('admin', 'DELETE', '/compute/v2.1/flavors/big')).status, 202);
  assert.equal(message(await call('admin', 'DELETE', '/compute/v2.1/flavors/big')), '404 itemNotFound: Flavor big could not be found.');
}));

eachStore('G1: key pairs are imported or made, are their user\'s own, and keep no private half', (store) => lab(store, async ({ ok, call }) => {
  const { line, fingerprint } = generateSshKey('me@here');
  const imported = await call('demo', 'POST', '/compute/v2.1/os-keypairs', { keypair: { name: 'mine', public_key: `${line}\n` } });
  assert.deepEqual([imported.status, imported.body.keypair], [200, { name: 'mine', public_key: line, fingerprint, user_id: 'demo-user' }]);
  const made = await call('demo', 'POST', '/compute/v2.1/os-keypairs', { keypair: { name: 'made', type: 'ssh' } }, { 'x-openstack-nova-api-version': '2.2' });
  assert.equal(made.status, 201);
  assert.match(made.body.keypair.private_key, /^-----BEGIN OPENSSH PRIVATE KEY-----\n/);
  assert.equal(JSON.stringify(await store.reader.db.selectFrom('keypairs').selectAll().execute()).includes('PRIVATE'), false);
  assert.equal(message(await call('demo', 'POST', '/compute/v2.1/os-keypairs', { keypair: { name: 'mine' } })), "409 conflictingRequest: Key pair 'mine' already exists.");
  for (const public_key of ['ssh-rsa nothing', `${line}\nssh-rsa AAAA`, line.replace('ssh-ed25519', 'ssh-rsa'), `command="x" ${line}`, '']) {
    assert.match(message(await call('demo', 'POST', '/compute/v2.1/os-keypairs', { keypair: { name: 'bad', public_key } })), /^400 badRequest: Keypair data is invalid/, public_key);
  }
  assert.equal((await call('demo', 'POST', '/compute/v2.1/os-keypairs', { keypair: { name: 'a/b' } })).status, 400);
  assert.deepEqual((await ok('demo', 'GET', '/compute/v2.1/os-keypairs')).keypairs.map((each: any) => each.keypair.name), ['made', 'mine']);
  assert.equal((await call('alt', 'GET', '/compute/v2.1/os-keypairs/mine')).status, 404);
  const at = { 'x-openstack-nova-api-version': '2.10' };
  assert.equal((await ok('admin', 'GET', '/compute/v2.1/os-keypairs/mine?user_id=demo-user', undefined, at)).keypair.fingerprint, fingerprint);
  assert.equal((await call('alt', 'GET', '/compute/v2.1/os-keypairs?user_id=demo-user', undefined, at)).status, 403);
  assert.equal((await call('demo', 'DELETE', '/compute/v2.1/os-keypairs/mine')).status, 202);
  assert.equal(message(await call('demo', 'DELETE', '/compute/v2.1/os-keypairs/mine')), '404 itemNotFound: Keypair mine not found for user demo-user');
}));

eachStore('G1: zones, services and hypervisors are the hosts that report', (store) => lab(store, async ({ ok, call, hosts }) => {
  hosts[1] = { ...hosts[1]!, alive: false };
  assert.deepEqual(await ok('demo', 'GET', '/compute/v2.1/os-availability-zone'), { availabilityZoneInfo: [{ zoneName: 'nova', zoneState: { available: true }, hosts: null }] });
  assert.equal((await call('demo', 'GET', '/compute/v2.1/os-services')).status, 403);
  assert.deepEqual((await ok('admin', 'GET', '/compute/v2.1/os-services')).services.map((each: any) => [each.host, each.state]), [['compute1', 'up'], ['compute2', 'down']]);
  const { hypervisors } = await ok('admin', 'GET', '/compute/v2.1/os-hypervisors/detail');
  assert.deepEqual(hypervisors.map((each: any) => [each.hypervisor_hostname, each.free_ram_mb, each.running_vms]), [['compute1', 8192, 0], ['compute2', 8192, 0]]);
  assert.equal((await ok('admin', 'GET', `/compute/v2.1/os-hypervisors/${hypervisors[1].id}`)).hypervisor.hypervisor_hostname, 'compute2');
}));

test('a generated key is one that ssh-keygen reads, with the same public half and fingerprint', () => {
  const folder = mkdtempSync(join(tmpdir(), 'patchbay-ssh-key-'));
  try {
    for (const comment of ['Generated-by-Nova', 'a', 'ab', 'abc', 'abcdefg']) {
      const { line, fingerprint, privateKey } = generateSshKey(comment);
      writeFileSync(join(folder, 'key'), privateKey, { mode: 0o600 });
      assert.equal(execFileSync('ssh-keygen', ['-y', '-f', join(folder, 'key')], { encoding: 'utf8' }).trim(), line);
      writeFileSync(join(folder, 'key.pub'), line);
      assert.ok(execFileSync('ssh-keygen', ['-l', '-E', 'md5', '-f', join(folder, 'key.pub')], { encoding: 'utf8' }).includes(fingerprint));
      assert.equal(parseSshPublicKey(line)?.fingerprint, fingerprint);
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
});
