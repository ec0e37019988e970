/** Opens the store that a `connection` setting names, as oslo.db spells it. */
import { openSqliteStore } from './sqlite-store.ts';
import type { Store } from './store.ts';

/** `sqlite:////absolute/path` (four slashes as in oslo.db) or `postgresql://…`. */
export async function openStore(connection: string): Promise<Store> {
  if (connection.startsWith('sqlite:///')) return openSqliteStore(connection.slice('sqlite:///'.length));
  if (/^postgres(ql)?:\/\//.test(connection)) return (await import('./postgres-store.ts')).openPostgresStore(connection);
  throw new Error(`connection: '${connection.split(':')[0]}' is not a store; use sqlite:///PATH or postgresql://…`);
}
