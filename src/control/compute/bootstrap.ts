/** What Compute makes at first start: the tour's flavors. */
import type { Store } from '#store/store.ts';
import { createFlavor, flavors } from './flavors.ts';

const TOUR_FLAVORS = [
  { name: 'm1.nano', ram: 128 },
  { name: 'm1.tiny', ram: 512 },
] as const;

/** Makes m1.nano and m1.tiny with `bootstrap: tour`, if there is no flavor yet. */
export async function bootstrapCompute(store: Store, bootstrap: 'tour' | 'none'): Promise<void> {
  if (bootstrap !== 'tour') return;
  await store.write(async (tx) => {
    await tx.lock('flavors');
    if ((await flavors.list(tx, { limit: 1 })).length > 0) return;
    for (const { name, ram } of TOUR_FLAVORS) {
      await createFlavor(tx, { id: crypto.randomUUID(), name, ram, vcpus: 1, disk: 1, swap: 0, ephemeral: 0, is_public: true, disabled: false, extra_specs: {}, access: [] });
    }
  });
}
