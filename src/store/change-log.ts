/** The change log: numbered in commit order inside the transaction that made the changes. */
import type { Kysely } from 'kysely';
import type { Database } from './database.ts';
import type { Change, ChangeOp, Feed, Reader, Watermark } from './store.ts';

export interface PendingChange {
  readonly kind: string;
  readonly id: string;
  readonly op: ChangeOp;
  readonly request_id: string | null;
}

/**
 * Numbers and writes `pending` as the last act of a transaction. The update of `feed_state` locks its row until the
 * commit, so numbers become visible in commit order: a reader at 11 never misses a late 10.
 */
export async function appendChanges(db: Kysely<Database>, pending: readonly PendingChange[], now: string): Promise<void> {
  if (pending.length === 0) return;
  const state = await db.updateTable('feed_state').set((e) => ({ last_seq: e('last_seq', '+', pending.length) })).returning('last_seq').executeTakeFirstOrThrow();
  // Its last 48 bits are random, and it takes them from a pool: a system call for each commit would be felt.
  const token = crypto.randomUUID().slice(-12);
  const first = state.last_seq - pending.length + 1;
  const rows = pending.map((change, i) => ({ seq: first + i, token, ...change, at: now }));
  for (let i = 0; i < rows.length; i += 1000) await db.insertInto('changes').values(rows.slice(i, i + 1000)).execute();
}

/** Collapses repeated changes of one row in one transaction: a row created and updated is created. */
export function mergeChange(pending: PendingChange[], change: PendingChange): void {
  const last = pending.at(-1);
  if (last && last.kind === change.kind && last.id === change.id && change.op === 'update') return;
  pending.push(change);
}

export async function headOf(reader: Reader): Promise<Watermark> {
  const state = await reader.db.selectFrom('feed_state').selectAll().executeTakeFirstOrThrow();
  return { store_id: state.store_id, seq: state.last_seq, token: await tokenOf(reader, state.last_seq) };
}

/** See `Feed.after`. One statement where nothing is wrong: this is read after every commit. */
export async function changesAfter(reader: Reader, mark: Watermark, limit: number): ReturnType<Feed['after']> {
  const rows = await reader.db.selectFrom('changes').innerJoin('feed_state', (join) => join.onTrue()).selectAll('changes').select('feed_state.store_id')
    .where('changes.seq', '>=', mark.seq).orderBy('changes.seq').limit(limit + 1).execute();
  // The mark's own entry is still there, and is the one that was read: not purged, not of another store, not of a lost future.
  const [at] = rows;
  if (at && at.seq === mark.seq && at.token === mark.token && at.store_id === mark.store_id) rows.shift();
  else if (mark.seq > 0 || !(await isBeginning(reader, mark))) return undefined;
  const last = rows.slice(0, limit).at(-1);
  const changes = rows.slice(0, limit).map(({ seq, kind, id, op, request_id }): Change => ({ seq, kind, id, op: op as ChangeOp, request_id }));
  return { changes, mark: last ? { store_id: mark.store_id, seq: last.seq, token: last.token } : mark };
}

/** True for the mark of the empty store that this one once was, as long as nothing was purged. */
async function isBeginning(reader: Reader, mark: Watermark): Promise<boolean> {
  const state = await reader.db.selectFrom('feed_state').selectAll().executeTakeFirstOrThrow();
  return mark.seq === 0 && mark.token === '' && state.store_id === mark.store_id && state.purged_seq === 0;
}

/** Keeps the newest `keep` changes; the oldest kept one stays a valid watermark. */
export async function purgeChanges(db: Kysely<Database>, keep: number): Promise<void> {
  const state = await db.selectFrom('feed_state').selectAll().executeTakeFirstOrThrow();
  const oldest = Math.max(state.purged_seq, state.last_seq - keep);
  await db.updateTable('feed_state').set({ purged_seq: oldest }).execute();
  await db.deleteFrom('changes').where('seq', '<', oldest).execute();
}

async function tokenOf(reader: Reader, seq: number): Promise<string> {
  if (seq === 0) return '';
  const row = await reader.db.selectFrom('changes').select('token').where('seq', '=', seq).executeTakeFirst();
  return row?.token ?? '';
}
