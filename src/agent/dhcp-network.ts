/** One network's DHCP server on this host: namespace, link, dnsmasq, metadata proxy, and the way from what is there to what shall be. */
import { rm } from 'node:fs/promises';
import type { DhcpHostItem, DhcpServerItem } from '#hoststate/dhcp.ts';
import { ipBatch } from '#agent/drivers/command.ts';
import { readProcess, runningProcesses } from '#agent/drivers/daemon/owned.ts';
import { stopProcess } from '#agent/drivers/daemon/signal.ts';
import { applyDnsmasq, DNSMASQ, optionRefusals, readDnsmasq, readLeases, userFor } from '#agent/drivers/dnsmasq/apply.ts';
import { type DesiredDnsmasq, desiredDnsmasq, serverRefusal } from '#agent/drivers/dnsmasq/desired.ts';
import { type HostEntry, hostEntry } from '#agent/drivers/dnsmasq/hosts.ts';
import { portOptionLine } from '#agent/drivers/dnsmasq/options.ts';
import { type FoundDnsmasq, planDnsmasq, printDnsmasqPlan } from '#agent/drivers/dnsmasq/plan.ts';
import { applyGives, applyTakes, type Refusal } from '#agent/drivers/link/apply.ts';
import { readDeviceNames, readInside, readOutside } from '#agent/drivers/link/parse.ts';
import { planLinks, printLinkPlan } from '#agent/drivers/link/plan.ts';
import { dhcpNamespace } from '#agent/drivers/netns/owned.ts';
import { readNamespace } from '#agent/drivers/netns/parse.ts';
import { planNamespace, planNamespaceRemoval } from '#agent/drivers/netns/plan.ts';
import type { Plugger } from '#agent/drivers/ovs/plugger.ts';
import { dhcpLinks } from './dhcp-links.ts';
import type { MetadataProxies } from './metadata-proxies.ts';

/** What of a network is served after `realise`: reasons of what is not. */
export interface Outcome {
  readonly server: string | undefined;
  /** False when another attempt may do better with the same items. */
  readonly done: boolean;
  /** By port id. */
  readonly hosts: ReadonlyMap<string, string>;
  /** Port ids among `hosts` that are served all the same. */
  readonly partly: ReadonlySet<string>;
}

const REFUSALS_KEPT = 1_000;
/** Of one port: behind so many bad options the rest is not looked at. */
const MOST_REFUSALS = 8;

export class DhcpNetwork {
  server: DhcpServerItem | undefined;
  readonly hosts = new Map<string, DhcpHostItem>();

  readonly #networkId: string;
  readonly #folder: string;
  readonly #namespace: string;
  readonly #plugger: Plugger;
  readonly #proxies: MetadataProxies;
  readonly #onPlan: (lines: readonly string[]) => void;
  /** dnsmasq's judgement of option lines, which costs a program start each. */
  readonly #refusals = new Map<string, string | undefined>();
  /** Rendered clients, good for `#entriesServer`. */
  readonly #entries = new Map<string, HostEntry>();
  #entriesServer: DhcpServerItem | undefined;
  #user: { readonly name: string | undefined } | undefined;
  /** The mirror: what is known to be there. Undefined: read everything first. */
  #link: string | undefined;
  #dnsmasq: FoundDnsmasq | undefined;

  constructor(networkId: string, folder: string, plugger: Plugger, proxies: MetadataProxies, onPlan: (lines: readonly string[]) => void) {
    this.#networkId = networkId;
    this.#folder = folder;
    this.#namespace = dhcpNamespace(networkId);
    this.#plugger = plugger;
    this.#proxies = proxies;
    this.#onPlan = onPlan;
  }

  /** The next `realise` believes nothing and reads namespace, link, files and processes again. */
  distrust(): void {
    this.#user = undefined;
    this.#link = undefined;
    this.#dnsmasq = undefined;
    this.#proxies.distrust(this.#namespace);
  }

  /**
   * Makes true what `server` and `hosts` (by port id) say. Throws when the network as such cannot be served; then nothing that served before has been
   * taken away on purpose, and the next call begins with a reading. `pids` are processes seen of this network.
   */
  async realise(server: DhcpServerItem, hosts: ReadonlyMap<string, DhcpHostItem>, pids: readonly number[]): Promise<Outcome> {
    const refusal = serverRefusal(server);
    if (refusal !== undefined) throw new Error(refusal);
    try {
      await this.#renderHosts(server, hosts);
      const desired = desiredDnsmasq(this.#folder, server, this.#entries.values(), this.#dnsmasqUser());
      const link = await this.#realiseLink(server);
      // Beside the rest, because it takes longest; waited for also when that fails, so that it never meets its own next attempt.
      const proxy = this.#realiseProxy(server);
      try {
        await this.#realiseDnsmasq(server, desired, pids);
        if (link) await this.#plugger.plug({ device: server.device, port_id: server.port_id, mac_address: server.mac_address });
      } finally {
        await proxy;
      }
      const refused = (link ?? []).map(({ what, subject, reason }) => `${what} ${subject}: ${reason}`);
      const lacking = [...refused, ...(await proxy)];
      return { server: [...desired.reasons, ...lacking].join('; ') || undefined, done: lacking.length === 0, hosts: desired.hostReasons, partly: desired.partly };
    } catch (error) {
      this.distrust();
      throw error;
    }
  }

  /** Removes processes, link, namespace and files, whatever of them is there. */
  async remove(pids: readonly number[]): Promise<void> {
    this.distrust();
    const lines: string[] = [];
    await this.#proxies.remove(this.#namespace);
    for (const { pid } of runningProcesses(DNSMASQ, this.#folder, pids)) {
      await stopProcess(DNSMASQ, pid, this.#folder);
      lines.push(`stop dnsmasq ${pid}`);
    }
    const namespace = await readNamespace(this.#namespace);
    if (namespace === 'namespace') {
      for (const device of await readDeviceNames(this.#namespace)) {
        await this.#plugger.unplug(device);
        // With the namespace the pair would go too, but only some time later.
        await ipBatch([`link del ${device}`], this.#namespace);
        lines.push(`ip -n ${this.#namespace} link del ${device}`);
      }
    }
    const removal = planNamespaceRemoval(this.#namespace, namespace);
    await ipBatch(removal);
    await rm(this.#folder, { recursive: true, force: true });
    this.#onPlan([...lines, ...removal.map((line) => `ip ${line}`)]);
  }

  /** Renders clients that are new or changed. */
  async #renderHosts(server: DhcpServerItem, hosts: ReadonlyMap<string, DhcpHostItem>): Promise<void> {
    if (this.#entriesServer !== server) this.#entries.clear();
    this.#entriesServer = server;
    if (this.#refusals.size > REFUSALS_KEPT) this.#refusals.clear();
    for (const portId of this.#entries.keys()) if (!hosts.has(portId)) this.#entries.delete(portId);
    const changed = [...hosts.values()].filter((host) => this.#entries.get(host.port_id)?.item !== host);
    await this.#judgeOptions(changed);
    for (const host of changed) this.#entries.set(host.port_id, hostEntry(server, host, (line) => this.#refusals.get(line)));
  }

  /** All at once where all are good; a port with many bad ones must not keep its neighbours waiting. */
  async #judgeOptions(hosts: readonly DhcpHostItem[]): Promise<void> {
    const unknown = hosts.map((host) => host.options.flatMap((option) => portOptionLine(host, option) ?? []).filter((line) => !this.#refusals.has(line)));
    const lines = unknown.flat();
    if (lines.length === 0) return;
    const good = (await optionRefusals(lines, 1)).size === 0;
    for (const own of good ? [lines] : unknown) {
      const refusals = good ? undefined : await optionRefusals(own, MOST_REFUSALS);
      for (const line of own) this.#refusals.set(line, refusals?.get(line));
    }
  }

  #dnsmasqUser(): string | undefined {
    this.#user ??= { name: userFor(this.#folder) };
    return this.#user.name;
  }

  /** What the kernel refused of the link, which has to be plugged because it is new or nobody knows; undefined while it is as it was. */
  async #realiseLink(server: DhcpServerItem): Promise<Refusal[] | undefined> {
    const desired = dhcpLinks(server);
    const text = JSON.stringify([desired, server.port_id]);
    if (this.#link === text) return undefined;

    const namespaceLines = planNamespace(this.#namespace, await readNamespace(this.#namespace));
    await ipBatch(namespaceLines);
    const plan = planLinks(desired, await readInside(this.#namespace, desired.sysctls), await readOutside([server.device]));
    this.#onPlan([...namespaceLines.map((line) => `ip ${line}`), ...printLinkPlan(desired, plan)]);
    // A port keeps the device that it once opened: a new one of the same name passes nothing until the old is forgotten (trap 14).
    for (const device of new Set([...plan.removesDevices, ...plan.creates])) await this.#plugger.unplug(device);
    await applyTakes(desired, plan);
    const refusals = await applyGives(desired, plan);
    this.#link = refusals.length > 0 ? undefined : text;
    return refusals;
  }

  async #realiseDnsmasq(server: DhcpServerItem, desired: DesiredDnsmasq, pids: readonly number[]): Promise<void> {
    const found = await this.#findDnsmasq(pids);
    const plan = planDnsmasq(desired, found);
    const lines = printDnsmasqPlan(desired, plan);
    this.#onPlan(lines);
    const process = lines.length === 0 ? found.process : await applyDnsmasq(desired, plan, found, this.#namespace, server.device);
    this.#dnsmasq = { process: process && { ...process, elsewhere: false }, files: desired.files, unfinished: undefined, leases: found.leases };
  }

  /** Why metadata is not served although it shall be: nobody's address has to wait for that. */
  async #realiseProxy(server: DhcpServerItem): Promise<string[]> {
    try {
      if (server.metadata) await this.#proxies.ensure(this.#namespace, { network_id: this.#networkId });
      else await this.#proxies.remove(this.#namespace);
      return [];
    } catch (error) {
      return [`metadata is not served: ${(error as Error).message}`];
    }
  }

  /** From the mirror, but for what changes without us: whether the process lives, and the leases. */
  async #findDnsmasq(pids: readonly number[]): Promise<FoundDnsmasq> {
    const mirror = this.#dnsmasq;
    if (!mirror?.process) return readDnsmasq(this.#folder, this.#namespace, pids);
    const process = readProcess(DNSMASQ, mirror.process.pid, this.#folder);
    return { ...mirror, process: process ? { ...process, elsewhere: false } : null, leases: await readLeases(this.#folder) };
  }
}
