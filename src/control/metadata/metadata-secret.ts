/** The secret that metadata signatures are made with: the operator's, shared with a real Nova, or one that the store keeps. */
import { randomBytes } from 'node:crypto';
import type { Config } from '#model/config.ts';
import type { Reader, Store } from '#store/store.ts';

const NAME = 'metadata_proxy_shared_secret';

/** Every controller of a store gets the same. */
export async function metadataSecret(store: Store, config: Pick<Config, typeof NAME>): Promise<string> {
  if (config[NAME] !== '') return config[NAME];
  return (await kept(store.reader)) ?? store.write(async (tx) => {
    await tx.lock(`secrets:${NAME}`);
    const secret = (await kept(tx)) ?? randomBytes(32).toString('base64url');
    await tx.db.insertInto('secrets').values({ name: NAME, secret }).onConflict((conflict) => conflict.doNothing()).execute();
    return secret;
  });
}

async function kept(reader: Reader): Promise<string | undefined> {
  return (await reader.db.selectFrom('secrets').select('secret').where('name', '=', NAME).executeTakeFirst())?.secret;
}
