/** Keeps the routers of this host as its HostState says: records changes cheaply, realises them router by router (N-L3-7). */
import { type Item, keyOf } from '#hoststate/host-state.ts';
import type { ItemReport } from '#protocol/messages.ts';
import { readNamespaceNames } from '#agent/drivers/netns/parse.ts';
import { routerOfNamespace } from '#agent/drivers/netns/owned.ts';
import type { Manager } from './manager.ts';
import { OwnerQueue } from './owner-queue.ts';
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
  readonly #queue: OwnerQueue;
  /** The last report of each item: its reason, or '' when it works. */
  readonly #reported = new Map<string, string>();
  #checkDue = false;
  #sweepDue = false;
  /** The apply under way: one after the other. */
  #work: Promise<unknown> = Promise.resolve();

  constructor(options: RouterManagerOptions) {
    this.#options = options;
    this.#queue = new OwnerQueue(options);
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
      this.#queue.mark(item.router_id, [keyOf(item)]);
    }
    for (const key of removals) {
      const [type = '', routerId = '', id = ''] = key.split('/');
      if (!TYPES.has(type)) continue;
      const router = this.#router(routerId);
      if (type === 'router') router.router = undefined;
      else (type === 'router-port' ? router.ports : type === 'floating-ip' ? router.floatingIps : router.forwardings).delete(id);
      this.#queue.mark(routerId, [key]);
    }
  }

  /** Realises what changed. Never throws: a router that fails is reported with its reason, alone, and tried again. */
  apply(): Promise<ItemReport[]> {
    const result = this.#work.then(() => this.#applyNow());
    this.#work = result.catch(() => {});
    return result;
  }

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
      for (const [routerId, router] of this.#routers) {
        router.distrust();
        this.#queue.mark(routerId);
      }
    }
    const reports: ItemReport[] = [];
    await this.#queue.drain(async (routerId, keys, fresh) => {
      try {
        reports.push(...this.#report(routerId, { keys, fresh }, await this.#realise(routerId)));
        return true;
      } catch (error) {
        reports.push(...this.#report(routerId, { keys, fresh }, (error as Error).message));
        return false;
      }
    });
    if (this.#sweepDue) {
      this.#sweepDue = false;
      await this.#sweep();
    }
    return reports;
  }

  async #realise(routerId: string): Promise<ReadonlyMap<string, string>> {
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

  /** Each changed item, and each other one of the router whose outcome is new. `outcome` is why the router fails as such, or what of it is left out. */
  #report(routerId: string, { keys, fresh }: { keys: ReadonlySet<string>; fresh: ReadonlySet<string> }, outcome: ReadonlyMap<string, string> | string): ItemReport[] {
    const reasons = new Map([...keys].map((key) => [key, typeof outcome === 'string' ? outcome : '']));
    const known = new Set<string>();
    for (const item of this.#routers.get(routerId)?.items() ?? []) {
      known.add(keyOf(item));
      reasons.set(keyOf(item), typeof outcome === 'string' ? outcome : outcome.get(keyOf(item)) ?? '');
    }
    return [...reasons].flatMap(([key, reason]): ItemReport[] => {
      if (this.#queue.isMarked(routerId, key) || (!fresh.has(key) && this.#reported.get(key) === reason)) return [];
      if (known.has(key) || reason !== '') this.#reported.set(key, reason);
      else this.#reported.delete(key);
      // Packets pass though a program of the namespace does not run.
      const partly = typeof outcome !== 'string' && key.startsWith('router/');
      return [reason === '' ? { key, ok: true } : { key, ok: false, reason, ...(partly ? { partly } : {}) }];
    });
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
