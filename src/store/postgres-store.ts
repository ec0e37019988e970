/** The shared store: PostgreSQL 15 or later, used by any number of controllers at once. */
import { Kysely, PostgresDialect, sql } from 'kysely';
import pg from 'pg';
import { appendChanges, changesAfter, headOf, mergeChange, type PendingChange, purgeChanges } from './change-log.ts';
import type { Database } from './database.ts';
import { applySchema, schemaStatements } from './schema.ts';
import type { Feed, Reader, Store, Tx } from './store.ts';
import { apiTime } from './time.ts';

const CHANNEL = 'patchbay_feed';
/** serialization_failure, deadlock_detected, unique_violation: another controller won; a second look decides anew. */
const RETRIED = new Set(['40001', '40P01', '23505']);
const MAX_TRIES = 8;

// int8 as a number: every number that we store is below 2^53.
const types = { getTypeParser: ((oid: number, format: any) => (oid === 20 ? Number : pg.types.getTypeParser(oid, format))) as typeof pg.types.getTypeParser };

/** Opens `postgresql://user:password@host/database` (or with `?host=/socket/folder`) and brings its schema up to date. */
export async function openPostgresStore(url: string): Promise<Store> {
  const pool = new pg.Pool({ connectionString: url, max: 10, types });
  // A connection that breaks while idle is replaced by the pool; without a listener the process would end.
  pool.on('error', () => {});
  const db = new Kysely<Database>({ dialect: new PostgresDialect({ pool }) });
  await db.transaction().execute(async (tx) => {
    await sql`select pg_advisory_xact_lock(hashtext('patchbay_schema'))`.execute(tx);
    const columns = await sql<{ table_name: string; column_name: string }>`select table_name, column_name from information_schema.columns where table_schema = current_schema()`.execute(tx);
    const present = new Map<string, Set<string>>();
    for (const { table_name, column_name } of columns.rows) present.set(table_name, (present.get(table_name) ?? new Set()).add(column_name));
    const indexes = await sql<{ indexname: string }>`select indexname from pg_indexes where schemaname = current_schema()`.execute(tx);
    await applySchema(tx, schemaStatements({ columns: present, indexes: new Set(indexes.rows.map(({ indexname }) => indexname)) }, { text: 'text collate "C"', clustered: '', uuid: 'gen_random_uuid()::text' }));
  });
  return new PostgresStore(db, url);
}

class PostgresStore implements Store {
  readonly engine = 'postgresql';
  readonly reader: Reader;
  readonly feed: Feed;
  readonly #db: Kysely<Database>;
  readonly #url: string;
  readonly #listeners = new Set<() => void>();
  #notified: pg.Client | undefined;
  #reconnect: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(db: Kysely<Database>, url: string) {
    this.#db = db;
    this.#url = url;
    this.reader = { db };
    this.feed = {
      head: () => headOf(this.reader),
      after: (mark, limit = 1000) => changesAfter(this.reader, mark, limit),
      subscribe: (listener) => this.#subscribe(listener),
      purge: (keep) => this.write((tx) => purgeChanges(tx.db, keep)),
    };
  }

  async write<T>(command: (tx: Tx) => Promise<T>, requestId?: string): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#transaction(command, requestId ?? null);
      } catch (error) {
        if (attempt >= MAX_TRIES || !RETRIED.has((error as { code?: string }).code ?? '')) throw error;
        await new Promise((resume) => setTimeout(resume, Math.random() * 10 * attempt));
      }
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#reconnect);
    await this.#notified?.end();
    await this.#db.destroy();
  }

  #transaction<T>(command: (tx: Tx) => Promise<T>, requestId: string | null): Promise<T> {
    return this.#db.transaction().execute(async (db) => {
      const pending: PendingChange[] = [];
      const now = apiTime();
      const value = await command({
        db,
        now,
        record: (kind, id, op) => mergeChange(pending, { kind, id, op, request_id: requestId }),
        lock: async (name) => void (await sql`select pg_advisory_xact_lock(hashtextextended(${name}, 0))`.execute(db)),
      });
      await appendChanges(db, pending, now);
      if (pending.length > 0) await sql`select pg_notify(${CHANNEL}, '')`.execute(db);
      return value;
    });
  }

  #subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    if (this.#listeners.size === 1 && !this.#notified) void this.#listen();
    return () => void this.#listeners.delete(listener);
  }

  async #listen(): Promise<void> {
    if (this.#closed) return;
    const client = new pg.Client({ connectionString: this.#url });
    this.#notified = client;
    const again = () => {
      if (this.#notified !== client || this.#closed) return;
      this.#notified = undefined;
      this.#reconnect = setTimeout(() => void this.#listen(), 500).unref();
    };
    client.on('error', again);
    client.on('end', again);
    client.on('notification', () => this.#tell());
    try {
      await client.connect();
      await client.query(`listen ${CHANNEL}`);
      // What was committed while nobody listened.
      this.#tell();
    } catch {
      again();
    }
  }

  #tell(): void {
    for (const listener of this.#listeners) listener();
  }
}
