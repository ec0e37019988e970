/**
 * The OVS engine: keeps bridges, tunnels, tags and flows at what HostState says. Reads what is plugged from OVS by its
 * monitor; wires a port only after its filter stands (law 3: fail closed).
 */
import type { Item } from '#hoststate/host-state.ts';
import { OpenFlowClient } from '#openflow/openflow-client.ts';
import type { Operation } from '#openflow/ovsdb-client.ts';
import { setInterfaceOps, setPortTagOps } from '#openflow/vswitch-operations.ts';
import type { InterfaceRow, VswitchChange } from '#openflow/vswitch-row.ts';
import { Vswitch } from '#openflow/vswitch.ts';
import type { ItemReport } from '#protocol/messages.ts';
import { planBridges, tunnelPortName } from './drivers/ovs/bridges.ts';
import type { FlowTable } from './drivers/ovs/flow-table.ts';
import { PLUGGED_IFINDEX, replug } from './drivers/ovs/plugger.ts';
import { FlowPrograms } from './flow-programs.ts';
import type { Manager } from './manager.ts';
import type { HostView, OfPorts } from './pipeline/host-view.ts';
import { DEAD_VLAN } from './pipeline/tables.ts';

export interface SwitchOptions {
  /** `/run/openvswitch`. */
  readonly runDir: string;
  readonly datapathType: string;
  readonly localIp: string | null;
  /** Called when OVS has changed by itself and `apply` should run. */
  readonly wake: () => void;
  /** Makes the underlay know the way to a peer before the first frame needs it (dataplane.md trap 11). */
  readonly resolvePeer: (remoteIp: string) => Promise<void>;
  readonly ifindexOf: (device: string) => number | undefined;
  /** Keeps the host's own stack from answering on a device that userspace OVS reads (it reads it too). */
  readonly quieten: (device: string) => void;
  /** Hears each non-empty plan as `ovs-vsctl` and `ovs-ofctl` lines, before it is carried out. */
  readonly onPlan: (what: string, lines: readonly string[]) => void;
  readonly log: (message: string, fields?: Readonly<Record<string, unknown>>) => void;
}

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
  #vswitch: Vswitch | undefined;
  #layoutDirty = true;
  #inSync = false;
  #stopped = false;

  constructor(options: SwitchOptions) {
    this.#options = options;
    this.#programs = new FlowPrograms({
      ofports: this.ofports,
      onPlan: options.onPlan,
      onFailure: (owner, reason) => {
        options.log('flows refused', { owner, reason });
        if (owner.startsWith('port/')) this.#ports.add(owner.slice('port/'.length));
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
      if (item.type === 'segment') for (const port of this.view.portsOfNetwork(item.network_id)) this.#ports.add(port.port_id);
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
    this.#programs.render();
    for (const [name, { client }] of this.#bridges) if (client) await this.#programs.send(name, client, this.#inSync);
    // Before the state is complete a port that it does not mention is none of our business: it may be wired and busy.
    if (!this.#inSync) return [];
    await this.#adopt();
    await this.#setTags();
    return this.#report();
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
    this.#programs.allMoved();
    for (const port of this.view.all('port')) this.#ports.add(port.port_id);
  }

  #ovsChanged(changes: readonly VswitchChange[]): void {
    let wake = false;
    for (const change of changes) {
      if (change.table === 'Bridge' && !change.after) this.#layoutDirty = wake = true;
      if (change.table !== 'Interface') continue;
      const { before, after } = change;
      const row = after ?? before!;
      if (row.external_ids['iface-id']) {
        if (before) this.#forget(before);
        if (after) this.#see(after);
        if (!before || !after || before.ofport !== after.ofport) wake = true;
        else if (before.ifindex !== after.ifindex || before.link_state !== after.link_state) {
          this.#ports.add(row.external_ids['iface-id']);
          wake = true;
        }
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

  #portMoved(portId: string): void {
    this.#programs.portMoved(portId);
    this.#ports.add(portId);
  }

  /** Quietens devices that somebody plugged, and plugs those anew that were made anew under their name. */
  async #adopt(): Promise<void> {
    for (const [portId, row] of [...this.#plugged]) {
      if (!this.#ports.has(portId) || row.type !== '') continue;
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
      if (!bridge.client) await this.#open(name, bridge);
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
    bridge.table.verify(await client.dumpFlows());
    bridge.client = client;
  }

  #wakeSoon(): void {
    if (!this.#stopped) setTimeout(() => this.#options.wake(), 50);
  }

  /** A port gets its network's tag once its flows stand; everything else with an iface-id is dead. */
  async #setTags(): Promise<void> {
    const ops: Operation[] = [];
    for (const [portId, row] of this.#plugged) {
      if (!this.#ports.has(portId)) continue;
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

  #report(): ItemReport[] {
    const reports: ItemReport[] = [];
    for (const portId of this.#ports) {
      if (!this.view.get('port', portId)) continue;
      const row = this.#plugged.get(portId);
      const key = `port/${portId}`;
      const reason = this.#programs.failure(key) ?? (row ? row.error || (this.ofports.port(portId) === undefined ? 'plugged; Open vSwitch has not given it a port number yet' : undefined) : 'not plugged into br-int');
      reports.push(reason === undefined ? { key, ok: true } : { key, ok: false, reason });
    }
    this.#ports.clear();
    return reports;
  }
}

const valid = (ofport: number | undefined): number | undefined => (ofport !== undefined && ofport > 0 ? ofport : undefined);

/** An OVSDB operation in one line; the guards before it say nothing new. */
function printOperation(operation: Operation): string {
  const { op, table, row, where, mutations } = operation as { op: string; table?: string; row?: unknown; where?: unknown; mutations?: unknown };
  return [op, table, JSON.stringify(row ?? mutations ?? where ?? '')].filter(Boolean).join(' ');
}
