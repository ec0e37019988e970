/** Every store test runs on both engines (DESIGN §4). */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { openStore } from '#store/open.ts';
import type { Store } from '#store/store.ts';
import { freshDatabase, stopCluster } from './postgres.ts';

after(stopCluster);

/** The test `title` on a new SQLite store and on a new PostgreSQL store; `connection` opens the same store again. */
export function eachStore(title: string, run: (store: Store, connection: string) => Promise<void>): void {
  test(`${title} [sqlite]`, () => onSqlite(run));
  test(`${title} [postgresql]`, async () => runOn(await freshDatabase(), run));
}

/** For what no engine of a store can make different. */
export async function onSqlite(run: (store: Store, connection: string) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'patchbay-store-'));
  try {
    await runOn(`sqlite:///${join(folder, 'patchbay.db')}`, run);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function runOn(connection: string, run: (store: Store, connection: string) => Promise<void>): Promise<void> {
  const store = await openStore(connection);
  try {
    await run(store, connection);
  } finally {
    await store.close();
  }
}
