/** Rows of a database held in memory and kept true by the server's updates. */
import type { Schema } from './ovsdb-client.ts';
import { applyDifference, type Column, fromWire, type Value, type WireValue } from './ovsdb-value.ts';

/** Table → columns to follow. */
export type MonitorRequest = Readonly<Record<string, readonly string[]>>;

/** A row: its `_uuid`, and the columns that are followed. */
export type Row = Readonly<Record<string, Value>> & { readonly _uuid: string };

export interface RowChange {
  readonly table: string;
  readonly uuid: string;
  /** Absent when the row is new. */
  readonly before?: Row;
  /** Absent when the row was deleted. */
  readonly after?: Row;
}

type WireRow = Readonly<Record<string, WireValue>>;
type RowUpdate = { readonly initial?: WireRow; readonly insert?: WireRow; readonly modify?: WireRow; readonly delete?: null };
export type TableUpdates = Readonly<Record<string, Readonly<Record<string, RowUpdate>>>>;

const NO_ROWS: ReadonlyMap<string, Row> = new Map();

export type ChangeListener = (changes: readonly RowChange[], monitor: OvsdbMonitor) => void;

export class OvsdbMonitor {
  readonly #columns: ReadonlyMap<string, FollowedColumns>;
  readonly #onChange: ChangeListener;
  readonly #tables = new Map<string, Map<string, Row>>();

  constructor(schema: Schema, request: MonitorRequest, onChange: ChangeListener) {
    this.#columns = new Map(Object.entries(request).map(([table, names]) => [table, names.map((name) => [name, columnIn(schema, table, name)] as const)]));
    this.#onChange = onChange;
  }

  /** The rows of `table` by UUID, as of the last update. A row object is never changed, only replaced. */
  rows(table: string): ReadonlyMap<string, Row> {
    return this.#tables.get(table) ?? NO_ROWS;
  }

  /** Takes the first rows, or one update, and tells what changed. */
  apply(updates: TableUpdates): void {
    this.#onChange(this.#take(updates), this);
  }

  #take(updates: TableUpdates): RowChange[] {
    const changes: RowChange[] = [];
    for (const [table, rowUpdates] of Object.entries(updates)) {
      const rows = this.#tables.get(table) ?? new Map<string, Row>();
      this.#tables.set(table, rows);
      const columns = this.#columns.get(table) ?? [];
      for (const [uuid, update] of Object.entries(rowUpdates)) {
        const before = rows.get(uuid);
        const after = nextRow(uuid, before, update, columns);
        if (after) rows.set(uuid, after);
        else rows.delete(uuid);
        changes.push({ table, uuid, ...(before && { before }), ...(after && { after }) });
      }
    }
    return changes;
  }
}

function columnIn(schema: Schema, table: string, name: string): Column {
  const column = schema.get(table)?.get(name);
  if (!column) throw new TypeError(`the database has no column ${table}.${name}`);
  return column;
}

type FollowedColumns = readonly (readonly [name: string, column: Column])[];

function nextRow(uuid: string, before: Row | undefined, update: RowUpdate, columns: FollowedColumns): Row | undefined {
  if ('delete' in update) return undefined;
  const wire = update.modify ?? update.insert ?? update.initial ?? {};
  const row: Record<string, Value> = {};
  for (const [name, { shape, initial }] of columns) {
    const value = wire[name];
    if (value === undefined) row[name] = before && update.modify ? before[name] : initial;
    else row[name] = before && update.modify ? applyDifference(shape, before[name], value) : fromWire(shape, value);
  }
  return { ...row, _uuid: uuid };
}
