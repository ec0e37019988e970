/** What tables hold, in an order of its own: for tests that something left no trace. */
import type { Reader } from '#store/store.ts';

/** The rows of `tables` as sorted lines of JSON. */
export async function dump(reader: Reader, tables: readonly string[]): Promise<Record<string, string[]>> {
  const result: Record<string, string[]> = {};
  for (const table of tables) result[table] = (await reader.db.selectFrom(table).selectAll().execute()).map((row) => JSON.stringify(row)).sort();
  return result;
}
