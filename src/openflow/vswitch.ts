/** The Open_vSwitch database of a host: its bridges, ports and interfaces, followed live, and changed by transactions. */
import { OvsdbClient, OvsdbError, type Operation, type OperationResult } from './ovsdb-client.ts';
import type { OvsdbMonitor, RowChange } from './ovsdb-monitor.ts';
import { VSWITCH_COLUMNS, type VswitchChange, type VswitchTable, type VswitchTables } from './vswitch-row.ts';

interface Waiter {
  readonly configuration: number;
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

/** Like its `OvsdbClient`: no retries and no reconnect, after `closed` every call rejects. */
export class Vswitch {
  readonly #client: OvsdbClient;
  readonly #onChange: (changes: readonly VswitchChange[]) => void;
  /** Table → name → UUID. */
  readonly #names = new Map<string, Map<string, string>>();
  #monitor: OvsdbMonitor | undefined;
  readonly #waiters = new Set<Waiter>();

  private constructor(client: OvsdbClient, onChange: (changes: readonly VswitchChange[]) => void) {
    this.#client = client;
    this.#onChange = onChange;
    void client.closed.then((error) => {
      for (const waiter of this.#waiters) waiter.reject(error ?? new OvsdbError('connection closed', 'by us'));
    });
  }

  /**
   * Connects to `<rundir>/db.sock`; the rows are there when it resolves. `onChange` gets the changes of each later
   * transaction, ours or not, after the rows hold them.
   */
  static async connect(dbSocket: string, onChange: (changes: readonly VswitchChange[]) => void = () => {}): Promise<Vswitch> {
    const client = await OvsdbClient.connect(dbSocket);
    const vswitch = new Vswitch(client, onChange);
    try {
      await client.monitor(VSWITCH_COLUMNS, (changes, monitor) => vswitch.#changed(changes, monitor));
    } catch (error) {
      client.close();
      throw error;
    }
    return vswitch;
  }

  /** Resolves once when the connection is gone, with the error that ended it, or `undefined` after `close()`. */
  get closed(): Promise<Error | undefined> {
    return this.#client.closed;
  }

  close(): void {
    this.#client.close();
  }

  /** The rows of `table` by UUID. */
  rows<T extends VswitchTable>(table: T): ReadonlyMap<string, VswitchTables[T]> {
    return this.#monitor!.rows(table) as unknown as ReadonlyMap<string, VswitchTables[T]>;
  }

  /** The row of `table` with this name. */
  find<T extends 'Bridge' | 'Port' | 'Interface'>(table: T, name: string): VswitchTables[T] | undefined {
    const uuid = this.#names.get(table)?.get(name);
    return uuid === undefined ? undefined : this.rows(table).get(uuid);
  }

  /** The row of the switch as a whole. */
  get openVswitch(): VswitchTables['Open_vSwitch'] {
    const [row] = this.rows('Open_vSwitch').values();
    if (!row) throw new OvsdbError('no row', 'the Open_vSwitch table is empty: run ovs-vsctl init');
    return row;
  }

  /** Runs all of `operations` (see vswitch-operations.ts) or none. The rows hold the change when it resolves; vswitchd may not have applied it yet. */
  async transact(operations: readonly Operation[]): Promise<OperationResult[]> {
    try {
      return await this.#client.transact(operations);
    } catch (error) {
      throw error instanceof OvsdbError ? (missingRow(error) ?? error) : error;
    }
  }

  /** Like `transact`, and waits until vswitchd has applied it: new interfaces have an `ofport` or an `error` then. */
  async transactAndWait(operations: readonly Operation[], timeoutMs = 10_000): Promise<OperationResult[]> {
    const results = await this.transact([
      ...operations,
      { op: 'mutate', table: 'Open_vSwitch', where: [], mutations: [['next_cfg', '+=', 1]] },
      { op: 'select', table: 'Open_vSwitch', where: [], columns: ['next_cfg'] },
    ]);
    const configuration = results.at(-1)!.rows![0]!['next_cfg'] as number;
    if (this.openVswitch.cur_cfg < configuration) await this.#untilApplied(configuration, timeoutMs);
    return results.slice(0, operations.length);
  }

  /** Waits until vswitchd has applied everything that was committed before. Rejects with `OvsdbError` "timed out". */
  async waitApplied(timeoutMs = 10_000): Promise<void> {
    await this.transactAndWait([], timeoutMs);
  }

  #untilApplied(configuration: number, timeoutMs: number): Promise<void> {
    return new Promise<void>((resolve, reject) => {
      const late = new OvsdbError('timed out', `ovs-vswitchd has not applied configuration ${configuration} within ${timeoutMs} ms`);
      const timer = setTimeout(() => waiter.reject(late), timeoutMs);
      const done = (): void => {
        clearTimeout(timer);
        this.#waiters.delete(waiter);
      };
      const waiter: Waiter = { configuration, resolve: () => (done(), resolve()), reject: (error) => (done(), reject(error)) };
      this.#waiters.add(waiter);
    });
  }

  #changed(changes: readonly RowChange[], monitor: OvsdbMonitor): void {
    for (const { table, before, after } of changes) this.#index(table, before, after);
    if (!this.#monitor) {
      this.#monitor = monitor;
      return;
    }
    for (const { table, after } of changes) {
      if (table !== 'Open_vSwitch' || !after) continue;
      for (const waiter of this.#waiters) if ((after['cur_cfg'] as number) >= waiter.configuration) waiter.resolve();
    }
    this.#onChange(changes as unknown as readonly VswitchChange[]);
  }

  #index(table: string, before: RowChange['before'], after: RowChange['after']): void {
    let names = this.#names.get(table);
    if (!names) this.#names.set(table, (names = new Map()));
    // A port deleted and added in one transaction: the new row may come first.
    if (before && names.get(String(before['name'])) === before._uuid) names.delete(String(before['name']));
    if (after) names.set(String(after['name']), after._uuid);
  }
}

/** The guard of an operation on a row that must exist fails as a wait without patience. */
function missingRow({ error, operation }: OvsdbError): OvsdbError | undefined {
  if (error !== 'timed out' || operation?.op !== 'wait') return undefined;
  const [row] = operation['rows'] as { name?: string }[];
  return new OvsdbError('no row', `there is no ${String(operation['table'])} called ${row?.name}`, operation);
}
