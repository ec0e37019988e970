import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import type { Store } from '#store/store.ts';
import { BUILT_IN_IMAGES } from '#model/images.ts';
import { type ComputeApi, computeApi } from '#testkit/compute-api.ts';
import { eachStore } from '#testkit/stores.ts';
import { bootstrapImages } from './bootstrap.ts';
import { ImageFiles } from './image-file.ts';

async function lab(store: Store, run: (api: ComputeApi) => Promise<void>): Promise<void> {
  const api = await computeApi(store);
  try {
    await run(api);
  } finally {
    await api.close();
  }
}

const OCTETS = { 'content-type': 'application/octet-stream' };
const PATCH = { 'content-type': 'application/openstack-images-v2.1-json-patch' };

eachStore('G1: busybox is there from the start, also under the name cirros, for everybody to see and nobody to delete', (store) => lab(store, async ({ ok, call }) => {
  await bootstrapImages(store);
  const { images } = await ok('demo', 'GET', '/image/v2/images?sort=name:asc');
  assert.deepEqual(images.map((each: any) => [each.id, each.name, each.status, each.visibility]), BUILT_IN_IMAGES.map(({ id, name }) => [id, name, 'active', 'public']));
  assert.deepEqual((await ok('demo', 'GET', '/image/v2/images?name=cirros')).images.map((each: any) => each.name), ['cirros']);
  assert.equal((await call('demo', 'GET', '/image/v2/images/cirros')).status, 404);
  assert.equal((await call('demo', 'DELETE', `/image/v2/images/${BUILT_IN_IMAGES[0].id}`)).status, 403);
  assert.equal((await call('admin', 'DELETE', `/image/v2/images/${BUILT_IN_IMAGES[0].id}`)).status, 403);
  assert.equal((await call('demo', 'GET', `/image/v2/images/${BUILT_IN_IMAGES[0].id}/file`)).status, 204);
  const versions = await call('', 'GET', '/image');
  assert.deepEqual([versions.status, versions.body.versions[0].links[0].href], [300, 'http://cloud.test:8770/image/v2/']);
  assert.equal((await ok('demo', 'GET', '/image/v2/schemas/image')).properties.status.readOnly, true);
}));

eachStore('G1: an image is queued, takes its data once, and gives the same bytes back', (store) => lab(store, async ({ ok, call, stateDir }) => {
  const made = await call('demo', 'POST', '/image/v2/images', { name: 'mine', disk_format: 'qcow2', container_format: 'bare', 'owner_specified.openstack.md5': '', flavour: 'sweet' });
  assert.deepEqual([made.status, made.body.status, made.body.size, made.body.owner, made.body.visibility, made.body.flavour], [201, 'queued', null, 'demo', 'shared', 'sweet']);
  const path = `/image/v2/images/${made.body.id}`;
  assert.equal((await call('demo', 'GET', `${path}/file`)).status, 204);
  assert.equal((await call('demo', 'PUT', `${path}/file`, '{}')).status, 415);
  assert.equal((await call('alt', 'PUT', `${path}/file`, 'x', OCTETS)).status, 404);
  assert.equal((await call('reader', 'PUT', `${path}/file`, 'x', OCTETS)).status, 403);
  const data = Buffer.alloc(3 * 1024 * 1024, 'patchbay');
  assert.equal((await call('demo', 'PUT', `${path}/file`, data, OCTETS)).status, 204);
  const active = await ok('demo', 'GET', path);
  const hash = (name: string) => createHash(name).update(data).digest('hex');
  assert.deepEqual([active.status, active.size, active.checksum, active.os_hash_algo, active.os_hash_value], ['active', data.length, hash('md5'), 'sha512', hash('sha512')]);
  assert.deepEqual(readFileSync(join(stateDir, 'images', made.body.id)), data);
  assert.deepEqual(await ok('demo', 'GET', `${path}/file`), data);
  const again = await call('demo', 'PUT', `${path}/file`, 'x', OCTETS);
  assert.deepEqual([again.status, again.body.message], [409, 'Image status transition from active to saving is not allowed']);
  assert.equal((await call('demo', 'POST', `${path}/actions/deactivate`)).status, 403);
  assert.equal((await call('admin', 'POST', `${path}/actions/deactivate`)).status, 204);
  assert.equal((await call('demo', 'GET', `${path}/file`)).status, 403);
  assert.equal((await call('demo', 'DELETE', path)).status, 204);
  assert.deepEqual(readdirSync(join(stateDir, 'images')), []);
  const empty = await ok('demo', 'POST', '/image/v2/images', { name: 'empty', disk_format: 'raw', container_format: 'bare' });
  assert.equal((await call('demo', 'PUT', `/image/v2/images/${empty.id}/file`, undefined, OCTETS)).status, 204);
  assert.deepEqual([(await ok('demo', 'GET', `/image/v2/images/${empty.id}`)).size, (await ok('demo', 'GET', `/image/v2/images/${empty.id}`)).status], [0, 'active']);
}));

eachStore('an upload that breaks off leaves the image queued and no file; a crash in it is cleared at the next start', (store) => lab(store, async ({ app, ok, stateDir }) => {
  const { id } = await ok('demo', 'POST', '/image/v2/images', { name: 'half', disk_format: 'raw', container_format: 'bare' });
  await app.listen({ host: '127.0.0.1', port: 0 });
  const { port } = app.server.address() as { port: number };
  await new Promise<void>((resolve) => {
    const upload = request({ host: '127.0.0.1', port, method: 'PUT', path: `/image/v2/images/${id}/file`, headers: { ...OCTETS, 'x-auth-token': 'demo', 'content-length': 1_000_000 } });
    upload.on('error', () => resolve());
    upload.write(Buffer.alloc(1000), () => setTimeout(() => upload.destroy(new Error('gone')), 50));
  });
  const status = async () => (await ok('demo', 'GET', `/image/v2/images/${id}`)).status;
  while (await status() !== 'queued' || existsSync(join(stateDir, 'images', `${id}.part`))) await new Promise((resume) => setTimeout(resume, 10));
  await store.write((tx) => tx.db.updateTable('images').set({ status: 'saving' }).where('id', '=', id).execute());
  writeFileSync(join(stateDir, 'images', `${id}.part`), 'half');
  writeFileSync(join(stateDir, 'images', crypto.randomUUID()), 'nobody\'s');
  await new ImageFiles(store, stateDir).sweep();
  assert.equal(await status(), 'queued');
  assert.deepEqual(readdirSync(join(stateDir, 'images')), []);
  await new ImageFiles(store, stateDir).upload({ project_id: 'demo', roles: ['member'], is_admin: false, is_reader: false } as any, id, Readable.from([Buffer.from('whole')]));
  assert.equal(await status(), 'active');
}));

eachStore('G1: images are patched, tagged, filtered and paged; others\' stay unseen', (store) => lab(store, async ({ ok, call }) => {
  const { id } = await ok('demo', 'POST', '/image/v2/images', { name: 'a', tags: ['x'], min_ram: 64 });
  const path = `/image/v2/images/${id}`;
  const patch = (operations: unknown, who = 'demo') => call(who, 'PATCH', path, operations, PATCH);
  const patched = await patch([{ op: 'replace', path: '/name', value: 'b' }, { op: 'add', path: '/colour', value: 'red' }, { op: 'replace', path: '/disk_format', value: 'raw' }]);
  assert.deepEqual([patched.body.name, patched.body.colour, patched.body.disk_format], ['b', 'red', 'raw']);
  assert.equal('colour' in (await patch([{ op: 'remove', path: '/colour' }])).body, false);
  for (const [operations, status] of [
    [[{ op: 'replace', path: '/colour', value: 'x' }], 409], [[{ op: 'remove', path: '/name' }], 403], [[{ op: 'replace', path: '/status', value: 'active' }], 403],
    [[{ op: 'replace', path: '/visibility', value: 'public' }], 403], [[{ op: 'replace', path: '/min_ram', value: -1 }], 400], [{ name: 'c' }, 400], [[{ op: 'move', path: '/a' }], 400],
  ] as const) assert.equal((await patch(operations)).status, status, JSON.stringify(operations));
  assert.equal((await patch([], 'alt')).status, 404);
  assert.equal((await patch([], 'reader')).status, 403);
  assert.equal((await call('demo', 'PATCH', path, [])).status, 415);
  assert.equal((await call('demo', 'PUT', `${path}/tags/y`)).status, 204);
  assert.deepEqual((await ok('demo', 'GET', '/image/v2/images?tag=x&tag=y')).images.map((each: any) => each.name), ['b']);
  assert.equal((await call('demo', 'DELETE', `${path}/tags/x`)).status, 204);
  assert.deepEqual((await ok('demo', 'GET', '/image/v2/images?tag=x&tag=y')).images, []);
  assert.equal((await ok('alt', 'GET', '/image/v2/images')).images.length, 2);
  assert.equal((await ok('admin', 'GET', '/image/v2/images')).images.length, 3);
  const first = await ok('demo', 'GET', '/image/v2/images?limit=2');
  const second = await ok('demo', 'GET', `/image${first.next}`);
  assert.deepEqual([first.images.length, second.images.length, second.next], [2, 1, undefined]);
  assert.equal((await call('demo', 'POST', '/image/v2/images', { id, name: 'c' })).status, 409);
  assert.equal((await call('demo', 'POST', '/image/v2/images', { status: 'active' })).status, 403);
  const wrong = await call('demo', 'GET', `/image/v2/images/${crypto.randomUUID()}`);
  assert.deepEqual([wrong.status, wrong.body.code, wrong.body.title], [404, '404 Not Found', 'Not Found']);
}));
