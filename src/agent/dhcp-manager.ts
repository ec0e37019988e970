/** Keeps the DHCP servers of this host as its HostState says: records changes cheaply, realises them network by network. */
import { basename, join } from 'node:path';
import type { DhcpHostItem } from '#hoststate/dhcp.ts';
import { type Item, keyOf } from '#hoststate/host-state.ts';
import type { ItemReport } from '#protocol/messages.ts';
import { findProcesses, readFolders } from '#agent/drivers/daemon/owned.ts';
import { DNSMASQ } from '#agent/drivers/dnsmasq/apply.ts';
import { networkOfNamespace } from '#agent/drivers/netns/owned.ts';
import { readNamespaceNames } from '#agent/drivers/netns/parse.ts';
import { isPlainId } from '#agent/drivers/dnsmasq/values.ts';
import type { Manager } from './manager.ts';
import { DhcpNetwork, type Outcome } from './dhcp-network.ts';
import type { Plugger } from './drivers/ovs/plugger.ts';
import type { MetadataProxies } from './metadata-proxies.ts';
import { OwnerQueue } from './owner-queue.ts';

export interface DhcpManagerOptions {
  /** The agent's state folder (absolute); files of a network are in `dhcp/<network>` below it. */
  readonly stateDir: string;
  readonly plugger: Plugger;
  /** Of this host: on some networks the DHCP server answers for metadata. */
  readonly proxies: MetadataProxies;
  /** Hears every plan that is not empty, as the lines an operator would type, before it is carried out. */
  readonly onPlan?: (networkId: string, lines: readonly string[]) => void;
  /** Asks for an `apply`, to try again what failed; without it that waits for the next change or `check`. */
  readonly wake?: () => void;
  /** Until the second attempt at what failed; each later one waits twice as long, up to a minute. */
  readonly retryMs?: number;
}

export class DhcpManager implements Manager {
  readonly #root: string;
  readonly #plugger: Plugger;
  readonly #proxies: MetadataProxies;
  readonly #onPlan: (networkId: string, lines: readonly string[]) => void;
  readonly #networks = new Map<string, DhcpNetwork>();
  readonly #queue: OwnerQueue;
  /** The last report of each item: its reason, or '' when it is served. */
  readonly #reported = new Map<string, string>();
  /** dnsmasq processes seen at the last look, by folder. */
  #pids: Map<string, number[]> | undefined;
  #checkDue = false;
  #sweepDue = false;
  /** The apply under way: one after the other. */
  #work: Promise<unknown> = Promise.resolve();

  constructor(options: DhcpManagerOptions) {
    this.#root = join(options.stateDir, 'dhcp');
    this.#plugger = options.plugger;
    this.#proxies = options.proxies;
    this.#onPlan = options.onPlan ?? (() => {});
    this.#queue = new OwnerQueue(options);
  }

  /** Records what changed; nothing happens before `apply`. Items of other types are ignored. */
  update(upserts: readonly Item[], removals: readonly string[]): void {
    for (const item of upserts) {
      if (item.type !== 'dhcp-server' && item.type !== 'dhcp-host') continue;
      const network = this.#network(item.network_id);
      if (item.type === 'dhcp-server') network.server = item;
      else network.hosts.set(item.port_id, item);
      this.#queue.mark(item.network_id, [keyOf(item)]);
    }
    for (const key of removals) {
      const [type, networkId, portId] = key.split('/');
      if ((type !== 'dhcp-server' && type !== 'dhcp-host') || networkId === undefined) continue;
      const network = this.#network(networkId);
      if (type === 'dhcp-server') network.server = undefined;
      else network.hosts.delete(portId ?? '');
      this.#queue.mark(networkId, [key]);
    }
  }

  /**
   * Realises what changed since the last call, and what `inSync` and `check` asked for. Reports each changed item, and each other one
   * whose outcome is new. Never throws: a network that fails is reported with its reason, alone, and tried again by the next change of
   * it, after a while, and after the next `check`.
   */
  apply(): Promise<ItemReport[]> {
    const result = this.#work.then(() => this.#applyNow());
    this.#work = result.catch(() => {});
    return result;
  }

  /** From the next `apply` on, DHCP servers on this host that no `update` has named are removed. */
  inSync(): void {
    this.#sweepDue = true;
  }

  /** The next `apply` believes nothing: it reads everything again and repairs what differs. */
  async check(): Promise<void> {
    this.#checkDue = true;
  }

  async #applyNow(): Promise<ItemReport[]> {
    if (this.#checkDue) {
      this.#checkDue = false;
      this.#pids = undefined;
      for (const [networkId, network] of this.#networks) {
        network.distrust();
        this.#queue.mark(networkId);
      }
    }
    const reports: ItemReport[] = [];
    await this.#queue.drain(async (networkId, keys, fresh) => {
      const { done, told } = await this.#realiseNetwork(networkId, keys, fresh);
      reports.push(...told);
      return done;
    });
    if (this.#sweepDue) {
      this.#sweepDue = false;
      await this.#sweep();
    }
    return reports;
  }

  async #sweep(): Promise<void> {
    this.#pids = undefined;
    const pids = this.#seenPids();
    const folders = [...readFolders(this.#root), ...pids.keys()].map((folder) => basename(folder));
    const namespaces = [...(await readNamespaceNames()), ...this.#proxies.namespaces()].flatMap((name) => networkOfNamespace(name) ?? []);
    for (const networkId of new Set([...folders, ...namespaces])) {
      if (!isPlainId(networkId) || this.#networks.has(networkId)) continue;
      // One that cannot be removed stays for the next agent's sweep; its neighbours go.
      await this.#newNetwork(networkId).remove(this.#pidsOf(networkId))
        .catch((error: Error) => this.#onPlan(networkId, [`# leftover stays: ${error.message}`]));
    }
  }

  async #realiseNetwork(networkId: string, keys: ReadonlySet<string>, fresh: ReadonlySet<string>): Promise<{ done: boolean; told: ItemReport[] }> {
    this.#seenPids();
    const network = this.#network(networkId);
    // What `update` brings from here on belongs to the next apply.
    const { server } = network;
    const hosts = new Map(network.hosts);
    try {
      if (server) return { done: true, told: this.#report(networkId, { keys, fresh }, hosts, await network.realise(server, hosts, this.#pidsOf(networkId))) };
      if (isPlainId(networkId)) await network.remove(this.#pidsOf(networkId));
      if (!network.server && network.hosts.size === 0) this.#networks.delete(networkId);
      return { done: true, told: this.#report(networkId, { keys, fresh }, hosts, undefined) };
    } catch (error) {
      return { done: false, told: this.#report(networkId, { keys, fresh }, hosts, (error as Error).message) };
    }
  }

  /** `outcome` is why nothing of the network is as it shall be, or what is served; undefined when there is no server any more. */
  #report(networkId: string, { keys, fresh }: { keys: ReadonlySet<string>; fresh: ReadonlySet<string> }, hosts: ReadonlyMap<string, DhcpHostItem>, outcome: Outcome | string | undefined): ItemReport[] {
    const serverKey = `dhcp-server/${networkId}`;
    const failure = typeof outcome === 'string' ? outcome : undefined;
    const detail = typeof outcome === 'object' ? outcome : undefined;
    const reasons = new Map([...keys].map((key) => [key, failure ?? '']));
    if (detail || failure !== undefined) reasons.set(serverKey, failure ?? detail?.server ?? '');
    for (const portId of hosts.keys()) {
      const reason = detail ? detail.hosts.get(portId) ?? '' : failure ?? 'this host runs no DHCP server for the network';
      reasons.set(`dhcp-host/${networkId}/${portId}`, reason);
    }
    return [...reasons].flatMap(([key, reason]): ItemReport[] => {
      if (this.#queue.isMarked(networkId, key) || (!fresh.has(key) && this.#reported.get(key) === reason)) return [];
      this.#reported.set(key, reason);
      if (reason === '' && !this.#isKnown(networkId, key)) this.#reported.delete(key);
      const partly = detail?.partly.has(key.slice(`dhcp-host/${networkId}/`.length)) ?? false;
      return [reason === '' ? { key, ok: true } : { key, ok: false, reason, ...(partly ? { partly } : {}) }];
    });
  }

  #isKnown(networkId: string, key: string): boolean {
    const network = this.#networks.get(networkId);
    const portId = key.split('/')[2];
    return network !== undefined && (portId === undefined ? network.server !== undefined : network.hosts.has(portId));
  }

  #network(networkId: string): DhcpNetwork {
    const network = this.#networks.get(networkId) ?? this.#newNetwork(networkId);
    this.#networks.set(networkId, network);
    return network;
  }

  #newNetwork(networkId: string): DhcpNetwork {
    return new DhcpNetwork(networkId, join(this.#root, networkId), this.#plugger, this.#proxies, (lines) => {
      if (lines.length > 0) this.#onPlan(networkId, lines);
    });
  }

  #seenPids(): ReadonlyMap<string, number[]> {
    this.#pids ??= new Map([...findProcesses(DNSMASQ, this.#root)].map(([folder, processes]) => [folder, processes.map(({ pid }) => pid)]));
    return this.#pids;
  }

  #pidsOf(networkId: string): number[] {
    return this.#pids?.get(join(this.#root, networkId)) ?? [];
  }
}
