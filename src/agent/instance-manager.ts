/**
 * Brings instances to what HostState says: makes them, plugs their NICs through the port contract, starts them once
 * their ports are ACTIVE. Each server is worked on by itself, so a slow or broken one delays no other.
 */
import type { Item } from '#hoststate/host-state.ts';
import type { InstanceItem } from '#hoststate/instance.ts';
import type { InstanceReport } from '#protocol/messages.ts';
import type { Plugger } from './drivers/ovs/plugger.ts';

/** What the manager asks of an instance driver; `src/instances` has the drivers. */
export interface InstancePort {
  list(): Promise<{ readonly server_id: string; readonly state: 'created' | 'running' | 'stopped'; readonly generation: number; readonly nics: readonly { readonly port_id: string; readonly device: string }[] }[]>;
  create(item: InstanceItem): Promise<void>;
  start(serverId: string): Promise<void>;
  stop(serverId: string): Promise<void>;
  remove(serverId: string): Promise<void>;
  addNic(serverId: string, nic: InstanceItem['nics'][number]): Promise<void>;
  removeNic(serverId: string, portId: string): Promise<void>;
}

export interface InstanceManagerOptions {
  readonly driver: InstancePort;
  readonly plugger: Plugger;
  readonly report: (report: InstanceReport) => void;
  readonly log: (message: string, fields?: Readonly<Record<string, unknown>>) => void;
  /** Until the second attempt at what failed; each later one waits twice as long, up to a minute. */
  readonly retryMs?: number;
}

const RETRY_MS = { first: 500, most: 60_000 };

interface Known {
  state: 'created' | 'running' | 'stopped';
  generation: number;
  nics: readonly { readonly port_id: string; readonly device: string }[];
}

export class InstanceManager {
  readonly #options: InstanceManagerOptions;
  readonly #items = new Map<string, InstanceItem>();
  /** What the driver holds, as of its last answer; filled from disk and kernel at the first use. */
  #known: Promise<Map<string, Known>> | undefined;
  readonly #running = new Set<string>();
  readonly #again = new Set<string>();
  /** Instances that ended by themselves: they are not started again until somebody asks. */
  readonly #ended = new Map<string, number>();
  /** Failed attempts in a row, and the next one. */
  readonly #failures = new Map<string, { readonly count: number; readonly timer: NodeJS.Timeout }>();
  #inSync = false;

  constructor(options: InstanceManagerOptions) {
    this.#options = options;
  }

  update(upserts: readonly Item[], removals: readonly string[]): void {
    for (const key of removals) if (key.startsWith('instance/')) this.#forget(key.slice('instance/'.length));
    for (const item of upserts) {
      if (item.type !== 'instance') continue;
      this.#items.set(item.server_id, item);
      this.#work(item.server_id);
    }
  }

  /** Instances that no state mentions are removed. */
  async inSync(): Promise<void> {
    this.#inSync = true;
    for (const serverId of (await this.#all()).keys()) if (!this.#items.has(serverId)) this.#work(serverId);
  }

  /** Looks for instances that ended by themselves. */
  async check(): Promise<void> {
    const known = await this.#all();
    // What starts while the list is made may be missing in it.
    const candidates = [...known].filter(([serverId, { state }]) => state === 'running' && !this.#running.has(serverId));
    const now = new Map((await this.#options.driver.list()).map((each) => [each.server_id, each]));
    for (const [serverId, before] of candidates) {
      const state = now.get(serverId);
      if (this.#running.has(serverId) || known.get(serverId) !== before || state?.state === 'running') continue;
      if (state) known.set(serverId, { ...state });
      else known.delete(serverId);
      const item = this.#items.get(serverId);
      if (!item) continue;
      this.#ended.set(serverId, item.generation);
      this.#options.report({ server_id: serverId, state: 'ended', generation: item.generation });
    }
  }

  /** True when nothing is under way. */
  get idle(): boolean {
    return this.#running.size === 0;
  }

  #forget(serverId: string): void {
    this.#items.delete(serverId);
    this.#work(serverId);
  }

  /** One round at a time for each server; a change meanwhile asks for another round. */
  #work(serverId: string): void {
    if (this.#running.has(serverId)) return void this.#again.add(serverId);
    clearTimeout(this.#failures.get(serverId)?.timer);
    this.#running.add(serverId);
    void this.#round(serverId).finally(() => {
      this.#running.delete(serverId);
      if (this.#again.delete(serverId)) this.#work(serverId);
    });
  }

  async #round(serverId: string): Promise<void> {
    try {
      const known = await this.#all();
      const item = this.#items.get(serverId);
      const report = item ? await this.#realise(item, known) : await this.#remove(serverId, known);
      this.#failures.delete(serverId);
      if (report) this.#options.report(report);
    } catch (error) {
      this.#failed(serverId, (error as Error).message);
    }
  }

  /** Tries again by and by. The first failure is not told: Open vSwitch may be away for a moment, or not connected yet. */
  #failed(serverId: string, reason: string): void {
    const { log, report, retryMs = RETRY_MS.first } = this.#options;
    const count = (this.#failures.get(serverId)?.count ?? 0) + 1;
    log('instance failed', { server_id: serverId, reason, attempt: count });
    const timer = setTimeout(() => this.#work(serverId), Math.min(retryMs * 2 ** (count - 1), RETRY_MS.most)).unref();
    this.#failures.set(serverId, { count, timer });
    const generation = this.#items.get(serverId)?.generation;
    if (count > 1) report({ server_id: serverId, state: 'error', reason, ...(generation === undefined ? {} : { generation }) });
  }

  async #realise(item: InstanceItem, all: Map<string, Known>): Promise<InstanceReport | undefined> {
    const { driver, plugger } = this.#options;
    const id = item.server_id;
    let known = all.get(id);
    if (item.power === 'off') {
      this.#ended.delete(id);
      // A machine that ended by itself leaves its taps behind.
      if (known && (known.state !== 'stopped' || known.nics.length > 0)) {
        for (const nic of known.nics) await plugger.unplug(nic.device);
        await driver.stop(id);
        all.set(id, { ...known, state: 'stopped', nics: [] });
      }
      return { server_id: id, state: 'stopped', generation: item.generation };
    }
    if (this.#ended.get(id) === item.generation) return undefined;
    this.#ended.delete(id);
    if (!known || known.state === 'stopped' || known.generation !== item.generation) {
      // Taps are made anew: their old rows go first, also those of a guest that took its taps along when it ended.
      for (const nic of [...(known?.nics ?? []), ...item.nics]) await plugger.unplug(nic.device);
      await driver.create(item);
      all.set(id, (known = { state: 'created', generation: item.generation, nics: item.nics }));
    }
    if (known.state === 'running') await this.#replug(item, known);
    await Promise.all(item.nics.map((nic) => plugger.plug({ device: nic.device, port_id: nic.port_id, mac_address: nic.mac_address, vm_id: id })));
    if (known.state === 'created') {
      if (!item.ready) return undefined;
      await driver.start(id);
      known.state = 'running';
    }
    return { server_id: id, state: 'running', generation: item.generation };
  }

  async #replug(item: InstanceItem, known: Known): Promise<void> {
    const { driver, plugger } = this.#options;
    for (const nic of known.nics) {
      if (item.nics.some((each) => each.port_id === nic.port_id)) continue;
      await plugger.unplug(nic.device);
      await driver.removeNic(item.server_id, nic.port_id);
    }
    for (const nic of item.nics) if (!known.nics.some((each) => each.port_id === nic.port_id)) await driver.addNic(item.server_id, nic);
    known.nics = item.nics;
  }

  async #remove(serverId: string, all: Map<string, Known>): Promise<InstanceReport | undefined> {
    const known = all.get(serverId);
    // Before the state is complete, an instance that it does not mention yet may still be wanted.
    if (!known || !this.#inSync) return undefined;
    for (const nic of known.nics) await this.#options.plugger.unplug(nic.device);
    await this.#options.driver.remove(serverId);
    all.delete(serverId);
    this.#ended.delete(serverId);
    return { server_id: serverId, state: 'absent' };
  }

  /** One map for all rounds: two readings at once would each forget what the other's rounds did. */
  #all(): Promise<Map<string, Known>> {
    this.#known ??= this.#options.driver.list().then((found) => new Map(found.map((each) => [each.server_id, { ...each }]))).catch((error: Error) => {
      this.#known = undefined;
      throw error;
    });
    return this.#known;
  }
}
