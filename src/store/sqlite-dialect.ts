/** Kysely over node:sqlite: one connection, statements prepared once. Who may use it when is the store's business. */
import type { DatabaseSync, SQLInputValue, StatementSync } from 'node:sqlite';
import { CompiledQuery, type DatabaseConnection, type Dialect, type Driver, type QueryResult, SqliteAdapter, SqliteIntrospector, SqliteQueryCompiler } from 'kysely';

/** Statements with long IN lists would fill the cache for ever. */
const MAX_STATEMENTS = 1000;

interface Prepared {
  readonly statement: StatementSync;
  /** Empty for a statement that returns no rows. */
  readonly columns: readonly string[];
  /** A row without values, to be copied. */
  readonly empty: Record<string, unknown>;
}

class Connection implements DatabaseConnection {
  readonly #db: DatabaseSync;
  readonly #statements = new Map<string, Prepared>();

  constructor(db: DatabaseSync) {
    this.#db = db;
  }

  async executeQuery<R>(query: CompiledQuery): Promise<QueryResult<R>> {
    const { statement, columns, empty } = this.#prepare(query.sql);
    const parameters = query.parameters.map(bindable);
    if (columns.length > 0) return { rows: (statement.all(...parameters) as unknown as unknown[][]).map((values) => rowOf(empty, columns, values)) as R[] };
    const result = statement.run(...parameters);
    return { rows: [], numAffectedRows: BigInt(result.changes), insertId: BigInt(result.lastInsertRowid) };
  }

  async *streamQuery<R>(query: CompiledQuery): AsyncIterableIterator<QueryResult<R>> {
    yield await this.executeQuery<R>(query);
  }

  #prepare(text: string): Prepared {
    let prepared = this.#statements.get(text);
    if (!prepared) {
      if (this.#statements.size >= MAX_STATEMENTS) this.#statements.clear();
      const statement = this.#db.prepare(text);
      const columns = statement.columns().map(({ name }) => name);
      if (columns.length > 0) statement.setReturnArrays(true);
      prepared = { statement, columns, empty: JSON.parse(JSON.stringify(Object.fromEntries(columns.map((name) => [name, null])))) };
      this.#statements.set(text, prepared);
    }
    return prepared;
  }
}

/** node:sqlite's own row objects are hash tables: twice as slow to make and to read as copies of one with slots. */
function rowOf(empty: Record<string, unknown>, columns: readonly string[], values: readonly unknown[]): Record<string, unknown> {
  const row = { ...empty };
  for (let i = 0; i < columns.length; i++) row[columns[i]!] = values[i];
  return row;
}

/** node:sqlite binds `undefined` and a leading Date as NULL without a word; both are mistakes of ours. */
function bindable(value: unknown): SQLInputValue {
  if (typeof value === 'boolean') return value ? 1 : 0;
  if (value === undefined || (typeof value === 'object' && value !== null && !(value instanceof Uint8Array))) throw new TypeError(`cannot bind ${String(value)} to a statement`);
  return value as SQLInputValue;
}

class SqliteDriver implements Driver {
  readonly #connection: Connection;
  constructor(db: DatabaseSync) {
    this.#connection = new Connection(db);
  }
  async init(): Promise<void> {}
  async acquireConnection(): Promise<DatabaseConnection> {
    return this.#connection;
  }
  async beginTransaction(connection: DatabaseConnection): Promise<void> {
    await connection.executeQuery(CompiledQuery.raw('begin immediate'));
  }
  async commitTransaction(connection: DatabaseConnection): Promise<void> {
    await connection.executeQuery(CompiledQuery.raw('commit'));
  }
  async rollbackTransaction(connection: DatabaseConnection): Promise<void> {
    await connection.executeQuery(CompiledQuery.raw('rollback'));
  }
  async releaseConnection(): Promise<void> {}
  async destroy(): Promise<void> {}
}

export function sqliteDialect(db: DatabaseSync): Dialect {
  return {
    createAdapter: () => new SqliteAdapter(),
    createDriver: () => new SqliteDriver(db),
    createIntrospector: (kysely) => new SqliteIntrospector(kysely),
    createQueryCompiler: () => new SqliteQueryCompiler(),
  };
}
