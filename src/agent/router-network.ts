/** One router on this host: namespace, legs, NAT, and the way from what is there to what shall be. */
import type { FloatingIpItem, PortForwardingItem, RouterItem, RouterPortItem } from '#hoststate/router.ts';
import { keyOf } from '#hoststate/host-state.ts';
import { parseIp } from '#net/ip.ts';
import { parseMac } from '#net/mac.ts';
import { ipBatch } from '#agent/drivers/command.ts';
import { cutConnections, cutLines } from '#agent/drivers/conntrack/cut.ts';
import { isDeviceName, isPlainId, quoted } from '#agent/drivers/dnsmasq/values.ts';
import { canonicalAddress } from '#agent/drivers/link/address.ts';
import { announce } from '#agent/drivers/link/announce.ts';
import { applyGives, applyTakes, type Refusal } from '#agent/drivers/link/apply.ts';
import type { DesiredLinks } from '#agent/drivers/link/desired.ts';
import { asFound, EMPTY_INSIDE, type FoundInside, type FoundOutside, readDeviceNames, readInside, readOutside } from '#agent/drivers/link/parse.ts';
import { type LinkPlan, planLinks, printLinkPlan } from '#agent/drivers/link/plan.ts';
import { routerNamespace } from '#agent/drivers/netns/owned.ts';
import { readNamespace } from '#agent/drivers/netns/parse.ts';
import { planNamespace, planNamespaceRemoval } from '#agent/drivers/netns/plan.ts';
import { applyTable, readTable } from '#agent/drivers/nft/apply.ts';
import { planTable } from '#agent/drivers/nft/plan.ts';
import { type NftTable, type TableText, textOf } from '#agent/drivers/nft/table.ts';
import type { Plugger } from '#agent/drivers/ovs/plugger.ts';
import type { Advertisers } from './advertisers.ts';
import type { MetadataProxies } from './metadata-proxies.ts';
import { routeProblems, routerLinks } from './router-links.ts';
import { routerTable, type RouterView } from './router-table.ts';

/** What of this host a router is made with. */
export interface RouterHost {
  readonly plugger: Plugger;
  readonly proxies: MetadataProxies;
  readonly advertisers: Advertisers;
}

/** What is known to be there. */
interface Mirror {
  readonly inside: FoundInside;
  readonly outside: ReadonlyMap<string, FoundOutside>;
  readonly table: TableText | undefined;
}

export class RouterNetwork {
  router: RouterItem | undefined;
  readonly ports = new Map<string, RouterPortItem>();
  readonly floatingIps = new Map<string, FloatingIpItem>();
  readonly forwardings = new Map<string, PortForwardingItem>();

  readonly #routerId: string;
  readonly #namespace: string;
  readonly #host: RouterHost;
  readonly #onPlan: (lines: readonly string[]) => void;
  /** Undefined: read everything first. */
  #mirror: Mirror | undefined;

  constructor(routerId: string, host: RouterHost, onPlan: (lines: readonly string[]) => void) {
    this.#routerId = routerId;
    this.#namespace = routerNamespace(routerId);
    this.#host = host;
    this.#onPlan = onPlan;
  }

  /** All its items. */
  *items(): Iterable<RouterItem | RouterPortItem | FloatingIpItem | PortForwardingItem> {
    if (this.router) yield this.router;
    yield* this.ports.values();
    yield* this.floatingIps.values();
    yield* this.forwardings.values();
  }

  /** The next `realise` believes nothing. */
  distrust(): void {
    this.#mirror = undefined;
    this.#host.proxies.distrust(this.#namespace);
    this.#host.advertisers.distrust(this.#namespace);
  }

  /**
   * Makes true what the items say; answers why some of them are left out, by key. Throws when the router as such cannot be
   * realised. No step opens what the next one closes: filters and translations stand before the addresses that need them, and
   * addresses go before their translations, so that the namespace itself never answers for a tenant's address (N-L3-16).
   */
  async realise(router: RouterItem): Promise<Map<string, string>> {
    if (!isPlainId(this.#routerId)) throw new Error(`${quoted(this.#routerId)} is no router id`);
    const reasons = new Map<string, string>();
    const view = this.#view(router, reasons);
    const [links, table] = [routerLinks(view), routerTable(view)];
    try {
      const refusals = await this.#apply(links, table, view);
      const lacking = [...routeProblems(view), ...this.#explain(view, refusals, reasons), ...(await this.#companions(view))];
      if (lacking.length > 0) reasons.set(keyOf(router), lacking.join('; '));
    } catch (error) {
      this.distrust();
      throw error;
    }
    return reasons;
  }

  /** Removes programs, legs and namespace, whatever of them is there. */
  async remove(): Promise<void> {
    this.distrust();
    const lines: string[] = [];
    await Promise.all([this.#host.proxies.remove(this.#namespace), this.#host.advertisers.remove(this.#namespace)]);
    const namespace = await readNamespace(this.#namespace);
    if (namespace === 'namespace') {
      for (const device of await readDeviceNames(this.#namespace)) {
        await this.#host.plugger.unplug(device);
        // With the namespace the pair would go too, but only some time later.
        await ipBatch([`link del ${device}`], this.#namespace);
        lines.push(`ip -n ${this.#namespace} link del ${device}`);
      }
    }
    const removal = planNamespaceRemoval(this.#namespace, namespace);
    await ipBatch(removal);
    this.#onPlan([...lines, ...removal.map((line) => `ip ${line}`)]);
  }

  async #apply(links: DesiredLinks, table: NftTable, view: RouterView): Promise<Refusal[]> {
    const fresh = this.#mirror === undefined;
    const found = this.#mirror ?? (await this.#read(links));
    const plan = planLinks(links, found.inside, found.outside);
    const script = planTable(table, found.table);
    const cuts = this.#cuts(plan, table, found);
    this.#onPlan([
      ...printLinkPlan(links, plan),
      ...script.map((line) => `ip netns exec ${this.#namespace} nft '${line.trim()}'`),
      ...cuts.map((line) => `ip netns exec ${this.#namespace} conntrack -D ${line}`),
    ]);
    // A port keeps the device that it once opened: a new one of the same name passes nothing until the old is forgotten (trap 14).
    for (const device of new Set([...plan.removesDevices, ...plan.creates])) await this.#host.plugger.unplug(device);
    await applyTakes(links, plan);
    await applyTable(this.#namespace, script);
    await cutConnections(this.#namespace, cuts);
    const refusals = await applyGives(links, plan);
    for (const port of view.ports) {
      if (fresh || plan.creates.includes(port.device)) await this.#host.plugger.plug({ device: port.device, port_id: port.port_id, mac_address: port.mac_address });
    }
    announce(this.#namespace, plan.announces);
    this.#mirror = refusals.length > 0 ? undefined : { ...asFound(links), table: textOf(table) };
    return refusals;
  }

  /** Puts what the kernel refused on the leg or the floating IP whose address it is; answers what concerns the router as such. */
  #explain({ ports, floatingIps }: RouterView, refusals: readonly Refusal[], reasons: Map<string, string>): string[] {
    return refusals.flatMap(({ what, subject, reason }) => {
      const said = `${what} ${subject}: ${reason}`;
      const owner = what === 'address' ? floatingIps.find((item) => subject === `${item.floating_ip_address}/32`) ?? ports.find((port) => port.addresses.some((address) => canonicalAddress(address) === subject)) : undefined;
      if (owner === undefined) return [said];
      reasons.set(keyOf(owner), said);
      return [];
    });
  }

  /** The programs of the namespace; why one does not run. Packets pass all the same. */
  async #companions({ router, ports }: RouterView): Promise<string[]> {
    const { proxies, advertisers } = this.#host;
    const asked = router.metadata && ports.some((port) => port.role === 'interface');
    const outcomes = await Promise.allSettled([
      asked ? proxies.ensure(this.#namespace, { router_id: this.#routerId }) : proxies.remove(this.#namespace),
      advertisers.ensure(this.#namespace, ports),
    ]);
    return outcomes.flatMap((outcome, i) => (outcome.status === 'rejected' ? [`${['metadata is not served', 'no prefix is announced'][i]}: ${(outcome.reason as Error).message}`] : []));
  }

  async #read(links: DesiredLinks): Promise<Mirror> {
    const namespace = await readNamespace(this.#namespace);
    const lines = planNamespace(this.#namespace, namespace);
    this.#onPlan(lines.map((line) => `ip ${line}`));
    await ipBatch(lines);
    const outside = await readOutside(links.devices.map(({ name }) => name));
    if (namespace !== 'namespace') return { inside: EMPTY_INSIDE, outside, table: undefined };
    const [inside, table] = await Promise.all([readInside(this.#namespace, links.sysctls), readTable(this.#namespace, { family: 'inet', name: 'patchbay' })]);
    return { inside, outside, table };
  }

  /** Connections of addresses that leave the router, and of translations that lead elsewhere now. */
  #cuts(plan: LinkPlan, table: NftTable, { inside, table: found }: Mirror): string[] {
    const addresses = new Set<string>();
    for (const line of plan.takes) {
      const [, address] = /^address del ([0-9.]+)\//.exec(line) ?? [];
      if (address) addresses.add(address);
    }
    for (const name of plan.removesDevices) for (const address of inside.devices.get(name)?.addresses ?? []) if (!address.includes(':')) addresses.add(address.split('/')[0]!);
    const wanted = textOf(table).elements;
    const gone = (set: string): string[] => [...(found?.elements.get(set) ?? [])].filter((element) => !wanted.get(set)!.has(element));
    for (const element of gone('floating')) addresses.add(element.split(' : ')[0]!);
    const ports = [...gone('forwarding'), ...gone('forwarding_range')].flatMap((element) => {
      const [protocol = '', address = '', range = ''] = element.split(' : ')[0]!.split(' . ');
      const [first = 0, last = first] = range.split('-').map(Number);
      return addresses.has(address) ? [] : Array.from({ length: last - first + 1 }, (_, i) => ({ protocol, address, port: first + i }));
    });
    return cutLines([...addresses], ports);
  }

  /** What can be realised of the items, in an order that does not depend on that of events; the others with their reasons. */
  #view(router: RouterItem, reasons: Map<string, string>): RouterView {
    const sound = <T extends RouterPortItem | FloatingIpItem | PortForwardingItem>(items: Iterable<T>, problem: (item: T) => string | undefined): T[] => {
      const sorted = [...items].sort((a, b) => (keyOf(a) < keyOf(b) ? -1 : 1));
      return sorted.filter((item) => {
        const reason = problem(item);
        if (reason !== undefined) reasons.set(keyOf(item), reason);
        return reason === undefined;
      });
    };
    const ports = sound(this.ports.values(), portProblem);
    const gateway = ports.some((port) => port.role === 'gateway');
    const fixed = new Set<string>();
    const floatingIps = sound(this.floatingIps.values(), (item) => {
      if (parseIp(item.floating_ip_address)?.version !== 4) return `${quoted(item.floating_ip_address)} is no IPv4 address`;
      if (!gateway) return 'the router has no gateway on this host';
      if (item.fixed_ip_address === null) return undefined;
      if (parseIp(item.fixed_ip_address)?.version !== 4) return `${quoted(item.fixed_ip_address)} is no IPv4 address`;
      if (fixed.has(item.fixed_ip_address)) return `${item.fixed_ip_address} has another floating IP on this router`;
      fixed.add(item.fixed_ip_address);
      return undefined;
    });
    const forwardings = sound(this.forwardings.values(), (item) => {
      const whole = parseIp(item.floating_ip_address)?.version === 4 && parseIp(item.internal_ip_address)?.version === 4 && /^[a-z]+$/.test(item.protocol);
      return whole ? undefined : `${quoted(`${item.protocol} ${item.floating_ip_address} to ${item.internal_ip_address}`)} cannot be translated`;
    });
    return { router, ports, floatingIps, forwardings };
  }
}

function portProblem(port: RouterPortItem): string | undefined {
  if (!isDeviceName(port.device)) return `${quoted(port.device)} is no device name`;
  if (!parseMac(port.mac_address)) return `${quoted(port.mac_address)} is no MAC address`;
  if (!Number.isInteger(port.mtu) || port.mtu < 68 || port.mtu > 65_535) return `${port.mtu} is no MTU`;
  const wrong = port.addresses.find((address) => canonicalAddress(address) === undefined);
  return wrong === undefined ? undefined : `${quoted(wrong)} is no address`;
}
