/**
 * The store: intent and what hosts report, in SQLite (embedded) or PostgreSQL (shared by several controllers).
 * Nothing outside this room relies on a single writer; an answer of success means committed (DESIGN §4).
 */
import type { Kysely } from 'kysely';
import type { Database } from './database.ts';

/** Reads committed rows. Cannot write, by type. */
export interface Reader {
  readonly db: Pick<Kysely<Database>, 'selectFrom'>;
}

export type ChangeOp = 'create' | 'update' | 'delete';

/**
 * One transaction. A command is an async function of it and awaits nothing else: hash, fetch and schedule before.
 * It may be run again after a conflict, so it keeps no state outside.
 */
export interface Tx {
  readonly db: Kysely<Database>;
  /** Now, as the API shows times: `2026-11-23T15:53:12Z`. One value for the whole transaction. */
  readonly now: string;
  /** Writes a change-log entry for row `id` of table `kind` with this transaction. */
  record(kind: string, id: string, op: ChangeOp): void;
  /** Waits until no other transaction holds `name`, and holds it to the end: serialises allocation from one pool. */
  lock(name: string): Promise<void>;
}

export interface Change {
  /** Position in commit order; later commits have larger numbers, and no smaller one appears later. */
  readonly seq: number;
  readonly kind: string;
  readonly id: string;
  readonly op: ChangeOp;
  readonly request_id: string | null;
}

/** Names one moment of one store's life; a store that was restored from a backup does not know later marks. */
export interface Watermark {
  readonly store_id: string;
  readonly seq: number;
  /** Random, written with the change `seq`: tells a restored store's new change from the lost one of the same number. */
  readonly token: string;
}

export interface Feed {
  head(): Promise<Watermark>;
  /** Up to `limit` changes after `mark` in commit order; `undefined` when the store does not know `mark` (other store, restored, purged). */
  after(mark: Watermark, limit?: number): Promise<{ changes: Change[]; mark: Watermark } | undefined>;
  /** Calls `listener` soon after a commit of this or another process; returns the way to stop. */
  subscribe(listener: () => void): () => void;
  /** Forgets all but the newest `keep` changes. */
  purge(keep: number): Promise<void>;
}

export interface Store {
  readonly engine: 'sqlite' | 'postgresql';
  readonly reader: Reader;
  readonly feed: Feed;
  /** Runs `command` in a transaction and resolves after its commit; rejects with what it threw, and nothing is changed. */
  write<T>(command: (tx: Tx) => Promise<T>, requestId?: string): Promise<T>;
  close(): Promise<void>;
}
