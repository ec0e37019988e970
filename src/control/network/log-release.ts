/** Logs that end with what they name: a security group or a port that is deleted, as in Neutron (logging_plugin.py). */
import { log } from '#model/logs.ts';
import type { Tx } from '#store/store.ts';

export async function releaseLogs(tx: Tx, column: 'resource_id' | 'target_id', id: string): Promise<void> {
  const gone = await tx.db.deleteFrom(log.collection).where(column, '=', id).returning('id').execute();
  for (const row of gone) tx.record(log.collection, row['id'], 'delete');
}
