import assert from 'node:assert/strict';
import type { Server } from '#model/compute.ts';
import { BUILT_IN_IMAGES } from '#model/images.ts';
import type { Store } from '#store/store.ts';
import { type ComputeApi, computeApi } from '#testkit/compute-api.ts';
import { eachStore } from '#testkit/stores.ts';
import { servers } from './servers.ts';

const OCTETS = { 'content-type': 'application/octet-stream' };
const BUILT_IN = BUILT_IN_IMAGES[0].id;

interface Lab extends ComputeApi {
  /** Ids of flavors by name: `small` runs containers, `vm` runs qemu with 1 GiB of disk. */
  readonly flavors: Readonly<Record<'small' | 'vm', string>>;
  /** An image with data, and its id. */
  image(attributes: Record<string, unknown>, who?: string): Promise<string>;
  /** What became of a POST of a server without a NIC: its row, or status and message. */
  boot(attributes: Record<string, unknown>): Promise<Server | string>;
}

async function lab(store: Store, run: (lab: Lab) => Promise<void>, yaml = ''): Promise<void> {
  const api = await computeApi(store, undefined, yaml);
  try {
    const flavor = async (name: string, specs: Record<string, string>) => {
      const { id } = (await api.ok('admin', 'POST', '/compute/v2.1/flavors', { flavor: { name, ram: 128, vcpus: 1, disk: 1 } })).flavor;
      if (Object.keys(specs).length > 0) await api.ok('admin', 'POST', `/compute/v2.1/flavors/${id}/os-extra_specs`, { extra_specs: specs });
      return id;
    };
    await run({
      ...api, flavors: { small: await flavor('small', {}), vm: await flavor('vm', { 'patchbay:driver': 'qemu' }) },
      async image(attributes, who = 'demo') {
        const { id } = await api.ok(who, 'POST', '/image/v2/images', { name: 'mine', disk_format: 'raw', container_format: 'bare', ...attributes });
        await api.ok(who, 'PUT', `/image/v2/images/${id}/file`, 'data', OCTETS);
        return id;
      },
      async boot(attributes) {
        const { status, body } = await api.call('demo', 'POST', '/compute/v2.1/servers', { server: { name: 'web', networks: 'none', ...attributes } }, { 'x-openstack-nova-api-version': '2.37' });
        return status === 202 ? (await servers.get(store.reader, body.server.id))! : `${status} ${(Object.values(body)[0] as any).message}`;
      },
    });
  } finally {
    await api.close();
  }
}

eachStore('a flavor that asks for qemu makes a machine of the image: its format, kernel, ramdisk and command line', (store) => lab(store, async ({ image, boot, flavors, ok }) => {
  const kernel_id = await image({ disk_format: 'aki', container_format: 'aki' });
  const ramdisk_id = await image({ disk_format: 'ari', container_format: 'ari' });
  const direct = await image({ disk_format: 'ami', container_format: 'ami', kernel_id, ramdisk_id, os_command_line: 'console=ttyS0 quiet' });
  const made = await boot({ flavorRef: flavors.vm, imageRef: direct }) as Server;
  assert.deepEqual(made.machine, { disk_format: 'ami', kernel_id, ramdisk_id, os_command_line: 'console=ttyS0 quiet' });
  const shown = (await ok('admin', 'GET', `/compute/v2.1/servers/${made.id}`, undefined, { 'x-openstack-nova-api-version': '2.3' })).server;
  assert.deepEqual([shown['OS-EXT-SRV-ATTR:kernel_id'], shown['OS-EXT-SRV-ATTR:ramdisk_id']], [kernel_id, ramdisk_id]);
  const loader = await image({ disk_format: 'qcow2', kernel_id: 'nokernel', ramdisk_id });
  assert.deepEqual((await boot({ flavorRef: flavors.vm, imageRef: loader }) as Server).machine, { disk_format: 'qcow2', kernel_id: null, ramdisk_id: null, os_command_line: null });
  assert.equal((await boot({ flavorRef: flavors.small, imageRef: direct }) as Server).machine, null);
}));

eachStore('what cannot become a machine is refused before anything is made', (store) => lab(store, async ({ image, boot, flavors, ok, call }) => {
  const missing = crypto.randomUUID();
  const queued = (await ok('demo', 'POST', '/image/v2/images', { name: 'k', disk_format: 'aki', container_format: 'aki' })).id;
  const foreign = await image({}, 'alt');
  const vmdk = await image({ disk_format: 'vmdk' });
  const cases: [imageRef: string, answer: string][] = [
    [BUILT_IN, `400 Image ${BUILT_IN} is built in and has no disk: servers of flavor vm run in qemu and need an uploaded image.`],
    [vmdk, `400 Image ${vmdk} has disk format vmdk: servers of flavor vm run in qemu, from the disk formats raw, ami, qcow2.`],
    [await image({ kernel_id: missing }), '400 Can not find requested image'],
    [await image({ kernel_id: foreign }), '400 Can not find requested image'],
    [await image({ kernel_id: queued }), `400 Image ${queued} is not active.`],
  ];
  const head = (await store.feed.head()).seq;
  for (const [imageRef, answer] of cases) assert.equal(await boot({ flavorRef: flavors.vm, imageRef }), answer);
  assert.equal((await store.feed.head()).seq, head);
  const large = await image({});
  await store.write(async (tx) => void (await tx.db.updateTable('images').set({ size: 2 ** 30 + 1 }).where('id', '=', large).execute()));
  assert.equal(await boot({ flavorRef: flavors.vm, imageRef: large }), "400 Flavor's disk is too small for requested image.");
  const spec = await call('admin', 'POST', `/compute/v2.1/flavors/${flavors.small}/os-extra_specs`, { extra_specs: { 'patchbay:driver': 'kvm' } });
  assert.deepEqual([spec.status, spec.body.badRequest.message], [400, 'Invalid input for field/attribute extra_specs. patchbay:driver must be one of: container, qemu.']);
  assert.equal((await call('admin', 'PUT', `/compute/v2.1/flavors/${flavors.small}/os-extra_specs/patchbay:driver`, { 'patchbay:driver': 'lxc' })).status, 400);
}));

eachStore('a running machine takes no NIC, a stopped one does', (store) => lab(store, async ({ image, boot, flavors, call }) => {
  const { id } = await boot({ flavorRef: flavors.vm, imageRef: await image({}) }) as Server;
  const attach = async () => {
    const { status, body } = await call('demo', 'POST', `/compute/v2.1/servers/${id}/os-interface`, { interfaceAttachment: {} });
    return `${status} ${(Object.values(body)[0] as any).message}`;
  };
  const state = (status: 'ACTIVE' | 'SHUTOFF', power: 'on' | 'off') => store.write(async (tx) => void (await servers.update(tx, (await servers.get(tx, id))!, { status, power })));
  await state('ACTIVE', 'on');
  assert.equal(await attach(), `400 Attaching interfaces is not supported for instance ${id} while it runs: it runs in qemu. Stop it, attach, start it.`);
  await state('SHUTOFF', 'off');
  assert.equal(await attach(), '400 Unable to automatically allocate a network for project demo');
}));

/** Stored and shown, for servers that do not say, say no, say yes, and whose image insists. */
async function drives({ boot, image, flavors: { small: flavorRef }, ok }: Lab): Promise<unknown> {
  const shown = async (attributes: Record<string, unknown>) => {
    const made = await boot({ flavorRef, imageRef: BUILT_IN, ...attributes }) as Server;
    return [made.config_drive, (await ok('demo', 'GET', `/compute/v2.1/servers/${made.id}`)).server.config_drive];
  };
  const mandatory = await image({ img_config_drive: 'mandatory' });
  return [await shown({}), await shown({ config_drive: false }), await shown({ config_drive: 'True' }), await shown({ imageRef: mandatory })];
}

eachStore('force_config_drive is the default: every server has a config drive and says so', (store) => lab(store, async (given) => {
  assert.deepEqual(await drives(given), Array(4).fill([true, 'True']));
}));

eachStore('force_config_drive: false leaves it to the request and the image', (store) => lab(store, async (given) => {
  assert.deepEqual(await drives(given), [[false, ''], [false, ''], [true, 'True'], [true, 'True']]);
}, 'force_config_drive: false'));
