/** What Image makes at each start, if it is missing: the built-in images. */
import { BUILT_IN_IMAGES, type Image } from '#model/images.ts';
import type { Store } from '#store/store.ts';
import { blankImage, images } from './images.ts';

export async function bootstrapImages(store: Store): Promise<void> {
  await store.write(async (tx) => {
    await tx.lock('images');
    const present = new Set((await images.getMany(tx, BUILT_IN_IMAGES.map(({ id }) => id))).map(({ id }) => id));
    const missing = BUILT_IN_IMAGES.filter(({ id }) => !present.has(id)).map(({ id, name }): Image => ({
      ...blankImage(id, tx.now), name, status: 'active', visibility: 'public', disk_format: 'raw', container_format: 'bare', protected: true,
      properties: { patchbay_built_in: 'busybox', os_distro: 'busybox', os_type: 'linux', description: 'BusyBox Linux that each host builds from its own packages; there is no file to download.' },
    }));
    if (missing.length > 0) await images.insert(tx, missing);
  });
}
