/** The flow side of an agent on a fake switch: the real pipeline and flow tables, with port numbers that a test decides. */
import { FlowPrograms } from '#agent/flow-programs.ts';
import type { OfPorts } from '#agent/pipeline/host-view.ts';
import type { PacketIn } from '#openflow/codec/packet-in.ts';
import type { Item } from '#hoststate/host-state.ts';
import { type Copy, FakeSwitch } from './fake-switch.ts';

/** br-int: 1 leads to br-tun, 2 to br-phys; Neutron ports begin at 11. */
const PATCHES: Readonly<Record<string, number>> = { 'patch-tun': 1, 'patch-int': 1, 'int-br-phys': 2, 'phy-br-phys': 1 };
export const WIRE = 9;
const FIRST_PORT = 11;
const FIRST_TUNNEL = 21;

export class SimulatedAgent {
  readonly switch = new FakeSwitch();
  readonly programs: FlowPrograms;
  /** Plans as sent, one entry a bundle. */
  readonly plans: (readonly string[])[] = [];
  readonly failures = new Map<string, string>();
  readonly #ports = new Map<string, number>();
  readonly #tunnels = new Map<string, number>();

  constructor() {
    const ofports: OfPorts = {
      port: (id) => this.#ports.get(id),
      patch: (name) => PATCHES[name],
      tunnel: (type, remoteIp) => this.#tunnels.get(`${type} ${remoteIp}`),
    };
    this.programs = new FlowPrograms({ ofports, onPlan: (_, lines) => this.plans.push(lines), onFailure: (owner, reason) => this.failures.set(owner, reason) });
    this.switch.addPatch('br-int', 1, 'br-tun', 1);
    this.switch.addPatch('br-int', 2, 'br-phys', 1);
    this.switch.addPort('br-phys', WIRE);
    for (const [bridge, exclusive] of [['br-int', true], ['br-tun', true], ['br-phys', false]] as const) this.programs.tableOf(bridge, exclusive);
  }

  /** All of `items`, with every port plugged and every tunnel made. */
  static async of(items: readonly Item[]): Promise<SimulatedAgent> {
    const agent = new SimulatedAgent();
    for (const item of items) {
      if (item.type === 'port') agent.plug(item.port_id);
      if (item.type === 'tunnel') agent.connect(item.network_type, item.remote_ip);
    }
    agent.programs.update(items, []);
    await agent.apply();
    return agent;
  }

  /** Puts a Neutron port on br-int, at `ofport` or the next free number. */
  plug(portId: string, ofport = lowest(FIRST_PORT, this.#ports)): number {
    this.#ports.set(portId, ofport);
    this.switch.addPort('br-int', ofport);
    this.programs.portMoved(portId);
    return ofport;
  }

  unplug(portId: string): void {
    this.#ports.delete(portId);
    this.programs.portMoved(portId);
  }

  /** Makes a tunnel port. */
  connect(type: string, remoteIp: string, ofport = lowest(FIRST_TUNNEL, this.#tunnels)): number {
    this.#tunnels.set(`${type} ${remoteIp}`, ofport);
    this.switch.addPort('br-tun', ofport);
    this.programs.tunnelMoved(type, remoteIp);
    return ofport;
  }

  async apply(): Promise<void> {
    this.programs.render();
    for (const name of ['br-int', 'br-tun', 'br-phys']) await this.programs.send(name, this.switch.bridge(name), true);
  }

  ofport(portId: string): number {
    return this.#ports.get(portId)!;
  }

  /** `port a`, `vxlan 192.0.2.2`, `wire`: who gets a copy. */
  nameOf({ bridge, port }: Copy): string {
    const within = bridge === 'br-int' ? this.#ports : bridge === 'br-tun' ? this.#tunnels : new Map([['wire', WIRE]]);
    const [name] = [...within].find(([, number]) => number === port) ?? [`${bridge}:${port}`];
    return bridge === 'br-int' ? `port ${name}` : name;
  }

  /** Sends `packet` (without in_port) from a port; who gets copies, sorted, LOCAL ports left out. */
  sendFrom(portId: string, packet: string): string[] {
    return this.#receivers(this.switch.inject('br-int', `in_port=${this.ofport(portId)},${packet}`).outputs);
  }

  /** What of a packet from a port the log flows copy, as the switch hands it over. */
  copiesOf(portId: string, packet: string): PacketIn[] {
    return this.#packetsIn(`in_port=${this.ofport(portId)},${packet}`, 'br-int');
  }

  copiesFromTunnel(type: string, remoteIp: string, id: number, packet: string): PacketIn[] {
    return this.#packetsIn(`in_port=${this.#tunnels.get(`${type} ${remoteIp}`)},tun_id=${id},${packet}`, 'br-tun');
  }

  sendFromWire(packet: string): string[] {
    return this.#receivers(this.switch.inject('br-phys', `in_port=${WIRE},${packet}`).outputs);
  }

  sendFromTunnel(type: string, remoteIp: string, id: number, packet: string): string[] {
    return this.#receivers(this.switch.inject('br-tun', `in_port=${this.#tunnels.get(`${type} ${remoteIp}`)},tun_id=${id},${packet}`).outputs);
  }

  /** The flows of a bridge as sorted lines without our cookie; of `tables` only, where given. */
  flows(bridge: string, ...tables: number[]): string[] {
    const lines = this.switch.bridge(bridge).print().split('\n').map((line) => line.replace(/^cookie=0x5061746368626179,/, ''));
    return lines.filter((line) => tables.length === 0 || tables.includes(Number(/table=(\d+)/.exec(line)?.[1])));
  }

  #packetsIn(packet: string, bridge: string): PacketIn[] {
    return this.switch.inject(bridge, packet).copied.map(({ flow, packet: copy }) => ({
      table: flow.table, cookie: flow.cookie, total_len: 0, data: Buffer.alloc(0),
      fields: Object.fromEntries(Object.entries(copy).filter(([, value]) => value !== 0n).map(([name, value]) => [name, { value }])),
    }));
  }

  #receivers(copies: readonly Copy[]): string[] {
    return copies.map((copy) => this.nameOf(copy)).filter((name) => !/:\d{5,}$/.test(name)).sort();
  }
}

function lowest(first: number, taken: ReadonlyMap<string, number>): number {
  const numbers = new Set(taken.values());
  let number = first;
  while (numbers.has(number)) number++;
  return number;
}
