import assert from 'node:assert/strict';
import { openStore } from '#store/open.ts';
import { eachStore } from '#testkit/stores.ts';
import { metadataSecret } from './metadata-secret.ts';

eachStore('N-MD-8: without a secret of the operator’s the store keeps one, the same for every controller; with one that is it', async (store, connection) => {
  const other = await openStore(connection);
  try {
    const own = { metadata_proxy_shared_secret: '' };
    const [first, ...rest] = await Promise.all([metadataSecret(store, own), metadataSecret(other, own), metadataSecret(store, own)]);
    assert.match(first!, /^[\w-]{43}$/);
    assert.deepEqual([...rest, await metadataSecret(other, own)], [first, first, first]);
    assert.equal(await metadataSecret(store, { metadata_proxy_shared_secret: 'shared' }), 'shared');
  } finally {
    await other.close();
  }
});
