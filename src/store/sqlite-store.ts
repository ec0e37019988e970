/** The embedded store: one writing connection with group commit, one read-only connection beside it. */
import { DatabaseSync } from 'node:sqlite';
import { Kysely } from 'kysely';
import { appendChanges, changesAfter, headOf, mergeChange, type PendingChange, purgeChanges } from './change-log.ts';
import type { Database } from './database.ts';
import { applySchema, type PresentSchema, schemaStatements } from './schema.ts';
import { sqliteDialect } from './sqlite-dialect.ts';
import type { Feed, Reader, Store, Tx } from './store.ts';
import { apiTime } from './time.ts';

/** Commands that share one fsync at the most; more would only make the first one wait longer. */
const MAX_GROUP = 64;

/** A random UUID (RFC 9562, version 4) in every row. */
const UUID = "lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2) || '-a' || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6)))";

interface Waiting {
  readonly command: (tx: Tx) => Promise<unknown>;
  readonly requestId: string | null;
  readonly resolve: (value: any) => void;
  readonly reject: (reason: unknown) => void;
}

/** Opens or creates the database file; `:memory:` is refused because the reader is a second connection. */
export async function openSqliteStore(path: string): Promise<Store> {
  const writer = new DatabaseSync(path, { timeout: 10_000 });
  writer.exec('pragma journal_mode = wal; pragma synchronous = full; pragma foreign_keys = on; pragma cache_size = -16000; pragma temp_store = memory');
  const writerDb = new Kysely<Database>({ dialect: sqliteDialect(writer) });
  writer.exec('begin immediate');
  await applySchema(writerDb, schemaStatements(presentSchema(writer), { text: 'text', clustered: ' without rowid', uuid: UUID }));
  writer.exec('commit');
  const readOnly = new DatabaseSync(path, { readOnly: true, timeout: 10_000 });
  return new SqliteStore(writer, writerDb, readOnly);
}

class SqliteStore implements Store {
  readonly engine = 'sqlite';
  readonly reader: Reader;
  readonly feed: Feed;
  readonly #writer: DatabaseSync;
  readonly #writerDb: Kysely<Database>;
  readonly #readOnly: DatabaseSync;
  #queue: Waiting[] = [];
  #draining: Promise<void> | undefined;
  readonly #listeners = new Set<() => void>();
  #poll: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(writer: DatabaseSync, writerDb: Kysely<Database>, readOnly: DatabaseSync) {
    this.#writer = writer;
    this.#writerDb = writerDb;
    this.#readOnly = readOnly;
    this.reader = { db: new Kysely<Database>({ dialect: sqliteDialect(readOnly) }) };
    this.feed = {
      head: () => headOf(this.reader),
      after: (mark, limit = 1000) => changesAfter(this.reader, mark, limit),
      subscribe: (listener) => this.#subscribe(listener),
      purge: (keep) => this.write((tx) => purgeChanges(tx.db, keep)),
    };
  }

  write<T>(command: (tx: Tx) => Promise<T>, requestId?: string): Promise<T> {
    if (this.#closed) return Promise.reject(new Error('the store is closed'));
    return new Promise<T>((resolve, reject) => {
      this.#queue.push({ command, requestId: requestId ?? null, resolve, reject });
      // Not at once: requests that arrive in the same turn of the event loop share the commit.
      this.#draining ??= new Promise<void>((done) => setImmediate(() => void this.#drain().then(done)));
    });
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#draining;
    clearInterval(this.#poll);
    this.#readOnly.close();
    this.#writer.close();
  }

  async #drain(): Promise<void> {
    while (this.#queue.length > 0) {
      const group = this.#queue.splice(0, MAX_GROUP);
      const settle = await this.#commit(group);
      for (const act of settle) act();
      // Let the answers out, and the next requests in, before what follows the commit and the next group.
      await new Promise((resume) => setImmediate(resume));
      for (const listener of this.#listeners) listener();
    }
    this.#draining = undefined;
  }

  /** Runs a group in one transaction, each command in a savepoint unless it is alone; returns how to answer each once it is committed. */
  async #commit(group: readonly Waiting[]): Promise<(() => void)[]> {
    const settle: (() => void)[] = [];
    try {
      this.#writer.exec('begin immediate');
      const now = apiTime();
      const changes: PendingChange[] = [];
      for (const waiting of group) {
        const pending: PendingChange[] = [];
        if (group.length > 1) this.#writer.exec('savepoint command');
        try {
          const value = await waiting.command({
            db: this.#writerDb,
            now,
            record: (kind, id, op) => mergeChange(pending, { kind, id, op, request_id: waiting.requestId }),
            lock: async () => {},
          });
          if (group.length > 1) this.#writer.exec('release command');
          changes.push(...pending);
          settle.push(() => waiting.resolve(value));
        } catch (error) {
          if (group.length === 1) throw error;
          this.#writer.exec('rollback to command; release command');
          settle.push(() => waiting.reject(error));
        }
      }
      await appendChanges(this.#writerDb, changes, now);
      this.#writer.exec('commit');
      return settle;
    } catch (error) {
      // Its only command failed; or the commit itself (disk full, I/O error): nobody's work is durable, so nobody is told it is.
      if (this.#writer.isTransaction) this.#writer.exec('rollback');
      return group.map((waiting) => () => waiting.reject(error));
    }
  }

  #subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    if (!this.#poll) {
      // Another process's commits are seen by SQLite's own counter; our own are told at once.
      const version = this.#readOnly.prepare('pragma data_version');
      let seen = version.get()?.['data_version'];
      this.#poll = setInterval(() => {
        const current = version.get()?.['data_version'];
        if (current === seen) return;
        seen = current;
        for (const each of this.#listeners) each();
      }, 200).unref();
    }
    return () => void this.#listeners.delete(listener);
  }
}

function presentSchema(db: DatabaseSync): PresentSchema {
  const columns = new Map<string, Set<string>>();
  const rows = db.prepare(`select m.name as "table", c.name as "column" from sqlite_master m join pragma_table_info(m.name) c where m.type = 'table'`).all();
  for (const row of rows) {
    const table = String(row['table']);
    if (!columns.has(table)) columns.set(table, new Set());
    columns.get(table)!.add(String(row['column']));
  }
  const indexes = db.prepare(`select name from sqlite_master where type = 'index'`).all();
  return { columns, indexes: new Set(indexes.map(({ name }) => String(name))) };
}
