/** A persistent JSON-RPC connection to an OVSDB server (RFC 7047, and ovsdb-server(7) for `monitor_cond_since`). */
import { connect, type Socket } from 'node:net';
import { JsonSplitter } from './json-splitter.ts';
import { type ChangeListener, OvsdbMonitor, type MonitorRequest, type TableUpdates } from './ovsdb-monitor.ts';
import { type Column, columnOf, type WireValue } from './ovsdb-value.ts';

/** One operation of a transaction, as RFC 7047 §5.2 writes it. */
export type Operation = { readonly op: string } & Readonly<Record<string, unknown>>;

export interface OperationResult {
  readonly count?: number;
  /** Of an insert. */
  readonly uuid?: readonly ['uuid', string];
  /** Of a select. */
  readonly rows?: readonly Readonly<Record<string, WireValue>>[];
}

/** The server refused a call. A transaction that failed changed nothing. */
export class OvsdbError extends Error {
  override readonly name = 'OvsdbError';
  /** The error's name in RFC 7047: `constraint violation`, `referential integrity violation`, `timed out`, …, and our `no row`, `connection closed`. */
  readonly error: string;
  /** The operation that failed; absent when the transaction failed as a whole. */
  readonly operation: Operation | undefined;

  constructor(error: string, details: string | undefined, operation?: Operation) {
    const where = operation && error !== 'no row' ? ` in ${JSON.stringify(operation)}` : '';
    super(`${error}${details === undefined ? '' : `: ${details}`}${where}`);
    this.error = error;
    this.operation = operation;
  }
}

export type Schema = ReadonlyMap<string, ReadonlyMap<string, Column>>;

interface WireError {
  readonly error?: string;
  readonly details?: string;
}

interface Answer {
  readonly id?: unknown;
  readonly method?: string;
  readonly params?: readonly unknown[];
  readonly result?: unknown;
  readonly error?: unknown;
}

/** Calls may overlap. Nothing is retried and there is no reconnect: after `closed` every call rejects. */
export class OvsdbClient {
  /** Resolves once when the connection is gone, with the error that ended it, or `undefined` after `close()`. */
  readonly closed: Promise<Error | undefined>;
  readonly database: string;
  readonly #socket: Socket;
  readonly #splitter = new JsonSplitter();
  readonly #pending = new Map<number, { resolve: (result: unknown) => void; reject: (error: Error) => void }>();
  readonly #monitors = new Map<string, OvsdbMonitor>();
  #schema: Schema = new Map();
  #id = 0;
  #monitorCount = 0;
  #gone: Error | undefined;

  private constructor(socket: Socket, database: string) {
    this.#socket = socket;
    this.database = database;
    let resolveClosed!: (error: Error | undefined) => void;
    this.closed = new Promise((resolve) => (resolveClosed = resolve));
    let failure: Error | undefined;
    socket.on('error', (error) => (failure = error));
    socket.on('data', (chunk: Buffer) => {
      try {
        for (const message of this.#splitter.push(chunk)) this.#receive(message as Answer);
      } catch (error) {
        socket.destroy(error as Error);
      }
    });
    socket.on('close', () => {
      const own = this.#gone;
      const reason = own ?? failure ?? new OvsdbError('connection closed', 'by the server');
      this.#gone = reason;
      for (const pending of this.#pending.values()) pending.reject(reason);
      this.#pending.clear();
      resolveClosed(own ? undefined : reason);
    });
  }

  /** Connects and reads the schema of `database`. */
  static async connect(socketPath: string, database = 'Open_vSwitch'): Promise<OvsdbClient> {
    const socket = connect(socketPath);
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve);
      socket.once('error', reject);
    });
    const client = new OvsdbClient(socket, database);
    const schema = (await client.#call('get_schema', [database])) as { tables: Record<string, { columns: Record<string, { type: unknown }> }> };
    client.#schema = new Map(
      Object.entries(schema.tables).map(([table, { columns }]) => [
        table,
        new Map(Object.entries(columns).map(([column, { type }]) => [column, columnOf(type)])),
      ]),
    );
    return client;
  }

  /** Ends the connection; calls under way reject. */
  close(): void {
    this.#gone ??= new OvsdbError('connection closed', 'by us');
    this.#socket.destroy();
  }

  /** Runs all of `operations`, or none: rejects with `OvsdbError` when any fails. Results in the order of the operations. */
  async transact(operations: readonly Operation[]): Promise<OperationResult[]> {
    const results = (await this.#call('transact', [this.database, ...operations])) as (OperationResult & WireError | null)[];
    for (const [i, result] of results.entries()) {
      // One more result than operations carries an error of the commit itself.
      if (result?.error !== undefined) throw new OvsdbError(result.error, result.details, operations[i]);
    }
    return results.slice(0, operations.length) as OperationResult[];
  }

  /**
   * Follows columns of tables. `onChange` is called with all rows as they are now before this resolves, then with each
   * later transaction's changes, always after the rows hold them. The order is that of commits, and a transaction of
   * this client is told before its `transact` resolves.
   */
  async monitor(request: MonitorRequest, onChange: ChangeListener): Promise<OvsdbMonitor> {
    const name = `monitor-${this.#monitorCount++}`;
    const monitor = new OvsdbMonitor(this.#schema, request, onChange);
    this.#monitors.set(name, monitor);
    const tables = Object.fromEntries(Object.entries(request).map(([table, columns]) => [table, [{ columns }]]));
    try {
      await this.#call('monitor_cond_since', [this.database, name, tables, NO_TRANSACTION], (result) =>
        // Filled within the arrival of the answer: an update may follow in the same chunk.
        monitor.apply((result as readonly [boolean, string, TableUpdates])[2]),
      );
    } catch (error) {
      this.#monitors.delete(name);
      throw error;
    }
    return monitor;
  }

  #call(method: string, params: readonly unknown[], onResult?: (result: unknown) => void): Promise<unknown> {
    if (this.#gone) return Promise.reject(this.#gone);
    const id = this.#id++;
    this.#socket.write(JSON.stringify({ id, method, params }));
    return new Promise((resolve, reject) => {
      const done = (result: unknown): void => {
        onResult?.(result);
        resolve(result);
      };
      this.#pending.set(id, { resolve: done, reject });
    });
  }

  #receive(message: Answer): void {
    if (message.method === 'echo') {
      this.#socket.write(JSON.stringify({ id: message.id, result: message.params, error: null }));
    } else if (message.method === 'update3') {
      const [name, , updates] = message.params as [string, string, TableUpdates];
      this.#monitors.get(name)?.apply(updates);
    } else if (message.method === undefined) {
      const pending = this.#pending.get(message.id as number);
      this.#pending.delete(message.id as number);
      if (message.error === null || message.error === undefined) pending?.resolve(message.result);
      else pending?.reject(rpcError(message.error));
    }
  }
}

/** "I have seen no transaction": the server answers with all rows. */
const NO_TRANSACTION = '00000000-0000-0000-0000-000000000000';

function rpcError(error: unknown): OvsdbError {
  if (typeof error === 'object' && error !== null && 'error' in error) {
    const { error: name, details } = error as { error: unknown; details?: string };
    return new OvsdbError(String(name), details);
  }
  return new OvsdbError(String(error), undefined);
}
