/**
 * The OVS engine: keeps bridges, tunnels, tags and flows at what HostState says. Reads what is plugged from OVS by its
 * monitor; wires a port only after its filter stands (law 3: fail closed).
 */
import type { Item } from '#hoststate/host-state.ts';
import { parseMatch } from '#openflow/match.ts';
import { OpenFlowClient } from '#openflow/openflow-client.ts';
import type { Operation } from '#openflow/ovsdb-client.ts';
import { setInterfaceOps, setPortTagOps } from '#openflow/vswitch-operations.ts';
import type { InterfaceRow, VswitchChange } from '#openflow/vswitch-row.ts';
import { Vswitch } from '#openflow/vswitch.ts';
import type { ItemReport } from '#protocol/messages.ts';
import { Zones } from './drivers/conntrack/zones.ts';
import { planBridges, tunnelPortName } from './drivers/ovs/bridges.ts';
import type { FlowTable } from './drivers/ovs/flow-table.ts';
import { PLUGGED_IFINDEX, replug } from './drivers/ovs/plugger.ts';
import { FlowPrograms } from './flow-programs.ts';
import type { Manager } from './manager.ts';
import type { HostView, OfPorts } from './pipeline/host-view.ts';
import { zoneKey } from './pipeline/segment-flows.ts';
import { DEAD_VLAN, LEARNED_COOKIE, TUN } from './pipeline/tables.ts';

export interface SwitchOptions {
  /** `/run/openvswitch`. */
  readonly runDir: string;
  readonly datapathType: string;
  readonly localIp: string | null;
  /** Called when OVS has changed by itself and `apply` should run. */
  readonly wake: () => void;
  /** Makes the underlay know the way to a peer before the first frame needs it (dataplane.md trap 11). */
  readonly resolvePeer: (remoteIp: string) => Promise<void>;
  /** Forgets all connections of conntrack zones. */
  readonly flushZones: (zones: readonly number[]) => Promise<void>;
  /** Bounds how much each of these conntrack zones holds. */
  readonly limitZones: (zones: readonly number[]) => Promise<void>;
  /** Called with each new connection to a bridge, before flows are written over it. */
  readonly opened?: (bridge: string, client: OpenFlowClient) => Promise<void>;
  /** Called after a bridge has taken a change of its flows, and when the switch may have taken one of an agent before. */
  readonly flowsChanged?: () => void;
  readonly ifindexOf: (device: string) => number | undefined;
  /** Keeps the host's own stack from answering on a device that userspace OVS reads (it reads it too). */
  readonly quieten: (device: string) => void;
  /** Hears each non-empty plan as `ovs-vsctl` and `ovs-ofctl` lines, before it is carried out. */
  readonly onPlan: (what: string, lines: readonly string[]) => void;
  readonly log: (message: string, fields?: Readonly<Record<string, unknown>>) => void;
}

const EVERY_BIT = 0xffff_ffff_ffff_ffffn;

interface Bridge {
  readonly table: FlowTable;
  client: OpenFlowClient | undefined;
}

export class SwitchManager implements Manager {
  readonly #options: SwitchOptions;
  readonly #programs: FlowPrograms;
  readonly #bridges = new Map<string, Bridge>();
  /** Ports whose tag or report must be looked at again. */
  readonly #ports = new Set<string>();
  /** Neutron port id → interface row on br-int, as the monitor shows it. */
  readonly #plugged = new Map<string, InterfaceRow>();
  readonly #resolved = new Set<string>();
  readonly #zones: Zones;
  /** Networks whose conntrack zone must be looked at before their flows are written. */
  readonly #segments = new Set<string>();
  /** Ports whose flows were refused in this round. */
  readonly #refused = new Set<string>();
  /** Owners of flows that are not ports, whose failure or recovery must be told. */
  readonly #failures = new Set<string>();
  /** Physical bridges that stand in the database and cannot be spoken to. */
  readonly #unreachable = new Map<string, string>();
  #vswitch: Vswitch | undefined;
  #layoutDirty = true;
  #inSync = false;
  #stopped = false;

  constructor(options: SwitchOptions) {
    this.#options = options;
    this.#zones = new Zones(async (zones) => {
      options.onPlan('conntrack', zones.map((zone) => `ovs-appctl dpctl/flush-conntrack zone=${zone}`));
      await options.flushZones(zones);
      await this.#forgetLearned(zones);
    }, options.limitZones);
    this.#programs = new FlowPrograms({
      ofports: this.ofports,
      onPlan: options.onPlan,
      onFailure: (owner, reason) => {
        options.log('flows refused', { owner, reason });
        if (owner.startsWith('port/')) this.#refused.add(owner.slice('port/'.length));
        else this.#failures.add(owner);
        if (owner.startsWith('segment/')) for (const port of this.view.portsOfNetwork(owner.slice('segment/'.length))) this.#refused.add(port.port_id);
      },
    });
  }

  get view(): HostView {
    return this.#programs.view;
  }

  readonly ofports: OfPorts = {
    port: (portId) => valid(this.#plugged.get(portId)?.ofport),
    patch: (name) => valid(this.#vswitch?.find('Interface', name)?.ofport),
    tunnel: (type, remoteIp) => valid(this.#vswitch?.find('Interface', tunnelPortName(type, remoteIp))?.ofport),
  };

  /** The Neutron port at a port number of br-int. */
  portAt(ofport: number): string | undefined {
    for (const [portId, row] of this.#plugged) if (row.ofport === ofport) return portId;
    return undefined;
  }

  /** The database; throws while it is not connected. */
  get vswitch(): Vswitch {
    if (!this.#vswitch) throw new Error('Open vSwitch does not answer');
    return this.#vswitch;
  }

  /** Ports of br-int that belong to no instance that talks: what slows userspace OVS (dataplane.md trap 7). */
  get idlePorts(): number {
    let idle = 0;
    for (const id of this.#plugged.keys()) if (!this.view.get('port', id)) idle++;
    return idle;
  }

  update(upserts: readonly Item[], removals: readonly string[]): void {
    this.#programs.update(upserts, removals, (item) => {
      if (item.type === 'port') this.#ports.add(item.port_id);
      if (item.type === 'segment') {
        this.#segments.add(item.network_id);
        this.#portsOf(item.network_id);
      }
      if (item.type === 'tunnel' || item.type === 'physnet') this.#layoutDirty = true;
    });
  }

  inSync(): void {
    this.#inSync = true;
    this.#layoutDirty = true;
  }

  async apply(): Promise<ItemReport[]> {
    await this.#connect();
    await this.#layOut();
    await this.#emptyZones();
    this.#programs.render();
    // What is said of ports from here on, while the switch works, waits for the next round: its flows are not in this one.
    const ports = new Set(this.#ports);
    this.#ports.clear();
    try {
      for (const [name, { client }] of this.#bridges) if (client && (await this.#programs.send(name, client, this.#inSync))) this.#options.flowsChanged?.();
      for (const portId of this.#refused) ports.add(portId);
      this.#refused.clear();
      if (this.#inSync) {
        for (const portId of this.#ports) ports.delete(portId);
        await this.#adopt(ports);
        await this.#setTags(ports);
        for (const portId of this.#ports) ports.delete(portId);
        return [...this.#reportPorts(ports), ...this.#reportFailures()];
      }
    } catch (error) {
      for (const portId of ports) this.#ports.add(portId);
      throw error;
    }
    // Before the state is complete a port that it does not mention is none of our business: it may be wired and busy.
    for (const portId of ports) this.#ports.add(portId);
    return [];
  }

  async check(): Promise<void> {
    for (const portId of this.#plugged.keys()) this.#ports.add(portId);
    for (const bridge of this.#bridges.values()) if (bridge.client) bridge.table.verify(await bridge.client.dumpFlows());
  }

  stop(): void {
    this.#stopped = true;
    this.#vswitch?.close();
    for (const bridge of this.#bridges.values()) bridge.client?.close();
  }

  /** Each bridge's desired flows, for the tests that compare agents. */
  printFlows(): string {
    return this.#programs.print();
  }

  /** How many flow changes are still owed to the switch: 0 when state and switch agree (oracle 2 and 3). */
  pending(): number {
    return this.#programs.pending();
  }

  async #connect(): Promise<void> {
    if (this.#vswitch) return;
    const vswitch = await Vswitch.connect(`${this.#options.runDir}/db.sock`, (changes) => this.#ovsChanged(changes));
    this.#vswitch = vswitch;
    void vswitch.closed.then(() => {
      if (this.#vswitch === vswitch) this.#vswitch = undefined;
      this.#wakeSoon();
    });
    this.#plugged.clear();
    for (const row of vswitch.rows('Interface').values()) this.#see(row);
    this.#layoutDirty = true;
    this.#options.flowsChanged?.();
    this.#programs.allMoved();
    for (const port of this.view.all('port')) this.#ports.add(port.port_id);
  }

  #ovsChanged(changes: readonly VswitchChange[]): void {
    let wake = false;
    for (const change of changes) {
      if (change.table === 'Bridge' && !(change.before && change.after)) {
        this.#layoutDirty = wake = true;
        this.#portsBehind((change.after ?? change.before)!.name);
      }
      if (change.table !== 'Interface') continue;
      const { before, after } = change;
      const row = after ?? before!;
      const [had, has] = [before?.external_ids['iface-id'], after?.external_ids['iface-id']];
      if (had || has) {
        if (had) this.#forget(before!);
        if (after) this.#see(after);
        if (had && had !== has) this.#seeOther(had);
        // The port is looked at again, whatever changed: the echo of our own mark on a foreign plug takes it out of the round that works.
        wake = true;
      } else if (before?.ofport !== after?.ofport) {
        this.#layoutDirty = wake = true;
        if (row.type === 'patch') this.#programs.allMoved();
        else if (row.options['remote_ip']) this.#programs.tunnelMoved(row.type, row.options['remote_ip']);
      }
    }
    if (wake) this.#options.wake();
  }

  #see(row: InterfaceRow): void {
    const portId = row.external_ids['iface-id'];
    if (!portId) return;
    const known = this.#plugged.get(portId);
    this.#plugged.set(portId, row);
    if (known?.ofport !== row.ofport || known?.name !== row.name) this.#portMoved(portId);
  }

  #forget(row: InterfaceRow): void {
    const portId = row.external_ids['iface-id']!;
    if (this.#plugged.get(portId)?._uuid !== row._uuid) return;
    this.#plugged.delete(portId);
    this.#portMoved(portId);
  }

  /** A device is the port's no more: if somebody plugged it twice, the other device has it now. */
  #seeOther(portId: string): void {
    for (const row of this.#vswitch?.rows('Interface').values() ?? []) if (row.external_ids['iface-id'] === portId) this.#see(row);
  }

  #portMoved(portId: string): void {
    this.#programs.portMoved(portId);
    this.#ports.add(portId);
  }

  #portsOf(networkId: string): void {
    for (const port of this.view.portsOfNetwork(networkId)) this.#ports.add(port.port_id);
  }

  /** The ports whose networks leave through the physical bridge. */
  #portsBehind(bridge: string): void {
    const physnets = new Set([...this.view.all('physnet')].filter((item) => item.bridge === bridge).map((item) => item.physical_network));
    if (physnets.size === 0) return;
    for (const segment of this.view.all('segment')) if (physnets.has(segment.physical_network ?? '')) this.#portsOf(segment.network_id);
  }

  async #emptyZones(): Promise<void> {
    const table = this.#bridges.get('br-int')?.table;
    const uses = [...this.#segments].map((networkId) => this.view.get('segment', networkId)).filter((segment) => segment !== undefined);
    const taken = [...this.#segments];
    await this.#zones.take(uses, (zone) => table?.holds(zoneKey(zone)) ?? false);
    for (const networkId of taken) this.#segments.delete(networkId);
  }

  /** What br-tun has learned of the network that had a local VLAN before leads to that network's hosts, with its id. */
  async #forgetLearned(localVlans: readonly number[]): Promise<void> {
    await this.#bridges.get('br-tun')?.client?.bundle(localVlans.map((vlan) => ({ command: 'delete', table: TUN.UNICAST, cookie: LEARNED_COOKIE, cookieMask: EVERY_BIT, match: parseMatch([`vlan_tci=${vlan}/0xfff`]) })));
  }

  /** Quietens devices that somebody plugged, and plugs those anew that were made anew under their name. */
  async #adopt(ports: ReadonlySet<string>): Promise<void> {
    for (const portId of ports) {
      const row = this.#plugged.get(portId);
      if (row?.type !== '') continue;
      const ifindex = this.#options.ifindexOf(row.name);
      if (ifindex === undefined) continue;
      const plugged = row.external_ids[PLUGGED_IFINDEX];
      if (plugged === String(ifindex)) continue;
      this.#options.quieten(row.name);
      this.#options.onPlan('plug', [`${plugged === undefined ? 'adopt' : 'plug again'} ${row.name}`]);
      if (plugged === undefined) await this.vswitch.transact(setInterfaceOps(row.name, { external_ids: { [PLUGGED_IFINDEX]: String(ifindex) } }));
      else await replug(this.vswitch, row, ifindex);
    }
  }

  /** Bridges, patches, tunnels; and a connection to each bridge. */
  async #layOut(): Promise<void> {
    const physical = [...this.view.all('physnet')].map((item) => item.bridge);
    if (this.#layoutDirty) {
      this.#layoutDirty = false;
      const tunnels = [...this.view.all('tunnel')];
      try {
        const ops = planBridges(this.vswitch, { datapathType: this.#options.datapathType, physicalBridges: physical, tunnels, localIp: this.#options.localIp, sweep: this.#inSync });
        if (ops.length > 0) {
          this.#options.onPlan('bridges', ops.map(printOperation));
          await this.vswitch.transactAndWait(ops);
        }
      } catch (error) {
        this.#layoutDirty = true;
        throw error;
      }
      const fresh = tunnels.filter((tunnel) => !this.#resolved.has(tunnel.remote_ip));
      await Promise.all(fresh.map(async ({ remote_ip }) => {
        this.#resolved.add(remote_ip);
        await this.#options.resolvePeer(remote_ip);
      }));
    }
    for (const name of ['br-int', 'br-tun', ...physical]) {
      // Whoever set up the host makes the physical bridges; one that is missing hurts its own networks only.
      if (!this.vswitch.find('Bridge', name)) continue;
      let bridge = this.#bridges.get(name);
      if (!bridge) this.#bridges.set(name, (bridge = { table: this.#programs.tableOf(name, name === 'br-int' || name === 'br-tun'), client: undefined }));
      if (!bridge.client) {
        try {
          await this.#open(name, bridge);
        } catch (error) {
          if (!physical.includes(name)) throw error;
          this.#beyondReach(name, (error as Error).message);
          continue;
        }
      }
      if (this.#unreachable.delete(name)) this.#portsBehind(name);
    }
  }

  async #open(name: string, bridge: Bridge): Promise<void> {
    const client = await OpenFlowClient.connect(`${this.#options.runDir}/${name}.mgmt`);
    void client.closed.then(() => {
      if (bridge.client === client) bridge.client = undefined;
      // A killed vswitchd comes back without flows: everything is written again (N-OVS-14).
      this.#resolved.clear();
      this.#layoutDirty = true;
      this.#wakeSoon();
    });
    await this.#options.opened?.(name, client);
    if (name === 'br-int') this.#zones.switchOpened();
    bridge.table.verify(await client.dumpFlows());
    bridge.client = client;
  }

  /** A physical bridge that does not answer stops its own networks only; it is tried again. */
  #beyondReach(name: string, reason: string): void {
    if (this.#unreachable.get(name) !== reason) {
      this.#unreachable.set(name, reason);
      this.#options.log('physical bridge does not answer', { bridge: name, reason });
      this.#portsBehind(name);
    }
    if (!this.#stopped) setTimeout(() => this.#options.wake(), 1_000).unref();
  }

  #wakeSoon(): void {
    if (!this.#stopped) setTimeout(() => this.#options.wake(), 50);
  }

  /** A port gets its network's tag once its flows stand; everything else with an iface-id is dead. */
  async #setTags(ports: ReadonlySet<string>): Promise<void> {
    const ops: Operation[] = [];
    for (const portId of ports) {
      const row = this.#plugged.get(portId);
      if (!row) continue;
      const item = this.view.get('port', portId);
      const segment = item && this.view.get('segment', item.network_id);
      const tag = item && segment && !this.#programs.failure(`port/${portId}`) ? segment.local_vlan : DEAD_VLAN;
      const port = this.vswitch.find('Port', row.name);
      if (port && port.tag !== tag) ops.push(...setPortTagOps(row.name, tag));
    }
    if (ops.length === 0) return;
    this.#options.onPlan('tags', ops.map(printOperation));
    await this.vswitch.transact(ops);
  }

  #reportPorts(ports: ReadonlySet<string>): ItemReport[] {
    const reports: ItemReport[] = [];
    for (const portId of ports) {
      const item = this.view.get('port', portId);
      if (!item) continue;
      const key = `port/${portId}`;
      // Neither is anybody's fault: the port is DOWN, and the host is well.
      const waits = !item.admin_state_up ? 'admin_state_up is false' : !this.#plugged.has(portId) ? 'not plugged into br-int' : undefined;
      const fault = this.#programs.failure(key) ?? this.#portFault(portId, item.network_id);
      if (waits !== undefined) reports.push({ key, ok: false, reason: waits, waits: true });
      else reports.push(fault === undefined ? { key, ok: true } : { key, ok: false, reason: fault });
    }
    return reports;
  }

  /** Why a plugged port passes nothing, or not all that it should. */
  #portFault(portId: string, networkId: string): string | undefined {
    const row = this.#plugged.get(portId);
    if (row?.error) return row.error;
    // Open vSwitch keeps the port number of a device that has vanished, and says nothing.
    if (row?.type === '' && row.external_ids[PLUGGED_IFINDEX] && this.#options.ifindexOf(row.name) === undefined) return `its device ${row.name} is gone`;
    if (this.ofports.port(portId) === undefined) return 'plugged; Open vSwitch has not given it a port number yet';
    const segment = this.view.get('segment', networkId);
    if (!segment) return 'its network has no local VLAN on this host';
    const failure = this.#programs.failure(`segment/${networkId}`);
    if (failure !== undefined) return failure;
    if (segment.physical_network === null) return undefined;
    const bridge = this.view.get('physnet', segment.physical_network)?.bridge;
    if (bridge === undefined) return `bridge_mappings of this host has no physical network ${segment.physical_network}`;
    if (!this.vswitch.find('Bridge', bridge)) return `this host has no bridge ${bridge} for physical network ${segment.physical_network}`;
    return this.#unreachable.get(bridge);
  }

  /** Networks, rules, members and peers whose flows were refused, and those that are well again. */
  #reportFailures(): ItemReport[] {
    return [...this.#failures].map((key): ItemReport => {
      const reason = this.#programs.failure(key);
      if (reason !== undefined) return { key, ok: false, reason };
      this.#failures.delete(key);
      return { key, ok: true };
    });
  }
}

const valid = (ofport: number | undefined): number | undefined => (ofport !== undefined && ofport > 0 ? ofport : undefined);

/** An OVSDB operation in one line; the guards before it say nothing new. */
function printOperation(operation: Operation): string {
  const { op, table, row, where, mutations } = operation as { op: string; table?: string; row?: unknown; where?: unknown; mutations?: unknown };
  return [op, table, JSON.stringify(row ?? mutations ?? where ?? '')].filter(Boolean).join(' ');
}
