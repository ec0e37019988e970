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
import { OwnerRounds, type Verdict } from './owner-rounds.ts';

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
  readonly #rounds: OwnerRounds;
  /** dnsmasq processes seen at the last look, by folder. */
  #pids: Map<string, number[]> | undefined;

  constructor(options: DhcpManagerOptions) {
    this.#root = join(options.stateDir, 'dhcp');
    this.#plugger = options.plugger;
    this.#proxies = options.proxies;
    this.#onPlan = options.onPlan ?? (() => {});
    this.#rounds = new OwnerRounds({
      distrust: () => {
        this.#pids = undefined;
        this.#proxies.lookAgain();
        for (const network of this.#networks.values()) network.distrust();
        return this.#networks.keys();
      },
      realise: (networkId, keys) => this.#realise(networkId, keys),
      sweep: () => this.#sweep(),
    }, options);
  }

  /** Records what changed; nothing happens before `apply`. Items of other types are ignored. */
  update(upserts: readonly Item[], removals: readonly string[]): void {
    for (const item of upserts) {
      if (item.type !== 'dhcp-server' && item.type !== 'dhcp-host') continue;
      const network = this.#network(item.network_id);
      if (item.type === 'dhcp-server') network.server = item;
      else network.hosts.set(item.port_id, item);
      this.#rounds.mark(item.network_id, keyOf(item));
    }
    for (const key of removals) {
      const [type, networkId, portId] = key.split('/');
      if ((type !== 'dhcp-server' && type !== 'dhcp-host') || networkId === undefined) continue;
      const network = this.#network(networkId);
      if (type === 'dhcp-server') network.server = undefined;
      else network.hosts.delete(portId ?? '');
      this.#rounds.mark(networkId, key);
    }
  }

  /** A network that fails is reported with its reason, alone, and tried again by the next change of it, after a while, and after the next `check`. */
  apply(): Promise<ItemReport[]> {
    return this.#rounds.apply();
  }

  /** From the next `apply` on, DHCP servers on this host that no `update` has named are removed. */
  inSync(): void {
    this.#rounds.inSync();
  }

  async check(): Promise<void> {
    this.#rounds.check();
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

  async #realise(networkId: string, keys: ReadonlySet<string>): Promise<{ done: boolean; verdicts: Map<string, Verdict> }> {
    this.#seenPids();
    const network = this.#network(networkId);
    // What `update` brings from here on belongs to the next apply.
    const { server } = network;
    const hosts = new Map(network.hosts);
    try {
      if (server) {
        const outcome = await network.realise(server, hosts, this.#pidsOf(networkId));
        return { done: outcome.done, verdicts: this.#verdicts(networkId, keys, hosts, outcome) };
      }
      if (isPlainId(networkId)) await network.remove(this.#pidsOf(networkId));
      if (!network.server && network.hosts.size === 0) this.#networks.delete(networkId);
      return { done: true, verdicts: this.#verdicts(networkId, keys, hosts, undefined) };
    } catch (error) {
      return { done: false, verdicts: this.#verdicts(networkId, keys, hosts, (error as Error).message) };
    }
  }

  /** `outcome` is why nothing of the network is as it shall be, or what is served; undefined when there is no server any more. */
  #verdicts(networkId: string, keys: ReadonlySet<string>, hosts: ReadonlyMap<string, DhcpHostItem>, outcome: Outcome | string | undefined): Map<string, Verdict> {
    const failure = typeof outcome === 'string' ? outcome : undefined;
    const detail = typeof outcome === 'object' ? outcome : undefined;
    const verdicts = new Map<string, Verdict>();
    const say = (key: string, reason: string, partly = false) => verdicts.set(key, { reason, partly, gone: !this.#isKnown(networkId, key) });
    for (const key of keys) say(key, failure ?? '');
    if (outcome !== undefined) say(`dhcp-server/${networkId}`, failure ?? detail?.server ?? '');
    for (const portId of hosts.keys()) {
      const reason = detail ? detail.hosts.get(portId) ?? '' : failure ?? 'this host runs no DHCP server for the network';
      say(`dhcp-host/${networkId}/${portId}`, reason, detail?.partly.has(portId));
    }
    return verdicts;
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
