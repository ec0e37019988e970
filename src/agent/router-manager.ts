/** Keeps the routers of this host as its HostState says: records changes cheaply, realises them router by router (N-L3-7). */
import { type Item, keyOf } from '#hoststate/host-state.ts';
import type { ItemReport } from '#protocol/messages.ts';
import { readNamespaceNames } from '#agent/drivers/netns/parse.ts';
import { routerOfNamespace } from '#agent/drivers/netns/owned.ts';
import type { Manager } from './manager.ts';
import { OwnerRounds, type Verdict } from './owner-rounds.ts';
import { type RouterHost, RouterNetwork } from './router-network.ts';

export interface RouterManagerOptions extends RouterHost {
  /** Hears every plan that is not empty, as the lines an operator would type, before it is carried out. */
  readonly onPlan?: (routerId: string, lines: readonly string[]) => void;
  /** Asks for an `apply`, to try again what failed. */
  readonly wake?: () => void;
  /** Until the second attempt at what failed. */
  readonly retryMs?: number;
}

const TYPES: ReadonlySet<string> = new Set(['router', 'router-port', 'floating-ip', 'port-forwarding']);

export class RouterManager implements Manager {
  readonly #options: RouterManagerOptions;
  readonly #routers = new Map<string, RouterNetwork>();
  readonly #rounds: OwnerRounds;

  constructor(options: RouterManagerOptions) {
    this.#options = options;
    this.#rounds = new OwnerRounds({
      distrust: () => {
        options.proxies.lookAgain();
        options.advertisers.lookAgain();
        for (const router of this.#routers.values()) router.distrust();
        return this.#routers.keys();
      },
      realise: (routerId, keys) => this.#realise(routerId, keys),
      sweep: () => this.#sweep(),
    }, options);
  }

  update(upserts: readonly Item[], removals: readonly string[]): void {
    for (const item of upserts) {
      switch (item.type) {
        case 'router': this.#router(item.router_id).router = item; break;
        case 'router-port': this.#router(item.router_id).ports.set(item.port_id, item); break;
        case 'floating-ip': this.#router(item.router_id).floatingIps.set(item.floatingip_id, item); break;
        case 'port-forwarding': this.#router(item.router_id).forwardings.set(item.port_forwarding_id, item); break;
        default: continue;
      }
      this.#rounds.mark(item.router_id, keyOf(item));
    }
    for (const key of removals) {
      const [type = '', routerId = '', id = ''] = key.split('/');
      if (!TYPES.has(type)) continue;
      const router = this.#router(routerId);
      if (type === 'router') router.router = undefined;
      else (type === 'router-port' ? router.ports : type === 'floating-ip' ? router.floatingIps : router.forwardings).delete(id);
      this.#rounds.mark(routerId, key);
    }
  }

  /** A router that fails is reported with its reason, alone, and tried again. */
  apply(): Promise<ItemReport[]> {
    return this.#rounds.apply();
  }

  inSync(): void {
    this.#rounds.inSync();
  }

  async check(): Promise<void> {
    this.#rounds.check();
  }

  async #realise(routerId: string, keys: ReadonlySet<string>): Promise<{ done: boolean; verdicts: Map<string, Verdict> }> {
    try {
      const outcome = await this.#make(routerId);
      // What only the router's own item is told is a program that did not start: it may the next time.
      return { done: !outcome.has(`router/${routerId}`), verdicts: this.#verdicts(routerId, keys, outcome) };
    } catch (error) {
      return { done: false, verdicts: this.#verdicts(routerId, keys, (error as Error).message) };
    }
  }

  /** Why items of the router are left out, by key. */
  async #make(routerId: string): Promise<ReadonlyMap<string, string>> {
    const router = this.#router(routerId);
    if (router.router) return router.realise(router.router);
    await router.remove();
    if (!router.router && router.ports.size + router.floatingIps.size + router.forwardings.size === 0) this.#routers.delete(routerId);
    return new Map();
  }

  async #sweep(): Promise<void> {
    const { proxies, advertisers } = this.#options;
    const names = new Set([...(await readNamespaceNames()), ...proxies.namespaces(), ...advertisers.namespaces()]);
    for (const routerId of [...names].flatMap((name) => routerOfNamespace(name) ?? [])) {
      if (this.#routers.has(routerId)) continue;
      // One that cannot be removed stays for the next agent's sweep; its neighbours go.
      await this.#newRouter(routerId).remove().catch((error: Error) => this.#options.onPlan?.(routerId, [`# leftover stays: ${error.message}`]));
    }
  }

  /** Of `keys`, and of every item of the router. `outcome` is why the router fails as such, or what of it is left out. */
  #verdicts(routerId: string, keys: ReadonlySet<string>, outcome: ReadonlyMap<string, string> | string): Map<string, Verdict> {
    const failure = typeof outcome === 'string' ? outcome : undefined;
    const verdicts = new Map<string, Verdict>([...keys].map((key) => [key, { reason: failure ?? '', gone: true }]));
    for (const item of this.#routers.get(routerId)?.items() ?? []) {
      const key = keyOf(item);
      // Packets pass though a program of the namespace does not run.
      verdicts.set(key, typeof outcome === 'string' ? { reason: outcome } : { reason: outcome.get(key) ?? '', partly: item.type === 'router' });
    }
    return verdicts;
  }

  #router(routerId: string): RouterNetwork {
    let router = this.#routers.get(routerId);
    if (!router) this.#routers.set(routerId, (router = this.#newRouter(routerId)));
    return router;
  }

  #newRouter(routerId: string): RouterNetwork {
    return new RouterNetwork(routerId, this.#options, (lines) => {
      if (lines.length > 0) this.#options.onPlan?.(routerId, lines);
    });
  }
}
