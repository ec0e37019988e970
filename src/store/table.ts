/** Typed access to the table of a declared resource: rows in, model objects out. */
import type { CompiledQuery } from 'kysely';
import type { Held, Resource } from '#model/resource.ts';
import type { Row } from './database.ts';
import { columnOf } from './schema.ts';
import type { Reader, Tx } from './store.ts';

/** SQLite takes 32,766 bound values in one statement; the widest table has about 40 columns. */
const CHUNK = 500;

export interface ListQuery {
  /** Attribute → accepted values; all must hold, any value of each. */
  readonly filters?: Readonly<Record<string, readonly unknown[]>>;
  readonly sort?: readonly { readonly key: string; readonly dir: 'asc' | 'desc' }[];
  readonly limit?: number;
  /** Narrows further, with Kysely: visibility, joins on support tables. */
  readonly where?: (query: any) => any;
}

export class Table<R extends Resource> {
  readonly resource: R;
  readonly #columns: readonly { name: string; column: string; type: string }[];
  /**
   * Copied for every object: V8 keeps a copy's properties in slots, while an object that grows by computed names ends
   * as a hash table, four times slower to fill and to print (a list of 2,000 ports notices).
   */
  readonly #empty: Row;
  /** The statement that inserts one row, for each engine. */
  readonly #insertion = new WeakMap<object, CompiledQuery>();

  constructor(resource: R) {
    this.resource = resource;
    this.#columns = Object.entries(resource.attributes).filter(([, a]) => a.stored).map(([name, a]) => ({ name, column: columnOf(name), type: a.kind.column }));
    this.#empty = JSON.parse(JSON.stringify(Object.fromEntries(this.#columns.map(({ name }) => [name, null]))));
  }

  get name(): string {
    return this.resource.collection;
  }

  async get(reader: Reader, id: string): Promise<Held<R> | undefined> {
    const row = await reader.db.selectFrom(this.name).selectAll().where('id', '=', id).executeTakeFirst();
    return row && this.fromRow(row);
  }

  async getMany(reader: Reader, ids: readonly string[]): Promise<Held<R>[]> {
    const found: Held<R>[] = [];
    for (let i = 0; i < ids.length; i += CHUNK) {
      const rows = await reader.db.selectFrom(this.name).selectAll().where('id', 'in', ids.slice(i, i + CHUNK)).execute();
      for (const row of rows) found.push(this.fromRow(row));
    }
    return found;
  }

  async list(reader: Reader, query: ListQuery = {}): Promise<Held<R>[]> {
    let select = reader.db.selectFrom(this.name).selectAll(this.name);
    for (const [name, values] of Object.entries(query.filters ?? {})) {
      const stored = values.map((value) => this.#stored(name, value));
      select = stored.length === 1 ? select.where(`${this.name}.${columnOf(name)}`, '=', stored[0]) : select.where(`${this.name}.${columnOf(name)}`, 'in', stored);
    }
    if (query.where) select = query.where(select);
    for (const { key, dir } of query.sort ?? []) select = select.orderBy(`${this.name}.${columnOf(key)}`, dir);
    if (query.limit !== undefined) select = select.limit(query.limit);
    return (await select.execute()).map((row) => this.fromRow(row));
  }

  /** Inserts rows as they are, with times and revision 0 where the resource has them, and records their creation. */
  async insert(tx: Tx, objects: readonly Held<R>[]): Promise<void> {
    if (objects.length === 1) await this.#insertOne(tx, this.toRow(objects[0]!));
    else {
      for (let i = 0; i < objects.length; i += CHUNK) {
        await tx.db.insertInto(this.name).values(objects.slice(i, i + CHUNK).map((object) => this.toRow(object))).execute();
      }
    }
    for (const object of objects) tx.record(this.name, (object as Row)['id'], 'create');
  }

  /** For forty columns Kysely takes longer to write the statement than the engine to run it, and it is the same each time. */
  async #insertOne(tx: Tx, row: Row): Promise<void> {
    const { adapter } = tx.db.getExecutor();
    let statement = this.#insertion.get(adapter);
    if (!statement) this.#insertion.set(adapter, (statement = tx.db.insertInto(this.name).values(row).compile()));
    await tx.db.executeQuery({ ...statement, parameters: this.#columns.map(({ column }) => row[column]) });
  }

  /** Writes the named attributes of one row, bumps its revision and time, and records the change. */
  async update(tx: Tx, current: Held<R>, changes: Partial<Held<R>>): Promise<Held<R>> {
    const next: Row = { ...current, ...changes };
    const names = Object.keys(changes);
    if ('revision_number' in this.resource.attributes) {
      next['revision_number']++;
      next['updated_at'] = tx.now;
      names.push('revision_number', 'updated_at');
    }
    const row = Object.fromEntries(names.filter((name) => this.resource.attributes[name]?.stored).map((name) => [columnOf(name), this.#stored(name, next[name])]));
    // An attribute that the rule keeps elsewhere (`shared`) has no column.
    if (Object.keys(row).length > 0) await tx.db.updateTable(this.name).set(row).where('id', '=', next['id']).execute();
    tx.record(this.name, next['id'], 'update');
    return next as Held<R>;
  }

  async delete(tx: Tx, id: string): Promise<void> {
    await tx.db.deleteFrom(this.name).where('id', '=', id).execute();
    tx.record(this.name, id, 'delete');
  }

  toRow(object: Held<R>): Row {
    const row: Row = {};
    for (const { name, column } of this.#columns) row[column] = this.#stored(name, (object as Row)[name]);
    return row;
  }

  fromRow(row: Row): Held<R> {
    const object: Row = { ...this.#empty };
    for (const { name, column, type } of this.#columns) {
      const value = row[column];
      if (value === null || value === undefined) object[name] = null;
      else if (type === 'boolean') object[name] = value === 1;
      else if (type === 'json') object[name] = value === '[]' ? [] : value === '{}' ? {} : JSON.parse(value);
      else object[name] = value;
    }
    return object as Held<R>;
  }

  #stored(name: string, value: unknown): unknown {
    if (value === undefined || value === null) return null;
    const type = this.resource.attributes[name]?.kind.column;
    if (type === 'json') return JSON.stringify(value);
    if (type === 'boolean') return value ? 1 : 0;
    return value;
  }
}
