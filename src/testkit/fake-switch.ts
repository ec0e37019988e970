/**
 * An Open vSwitch in memory: bridges joined by patches, flows under OVS's rules, and packets that run through them.
 * test/kernel/fake-switch.test.ts holds it to a real one. It knows nothing of our pipeline.
 */
import type { Action, CtAction, LearnAction, LearnSource } from '#openflow/action.ts';
import type { Subfield } from '#openflow/field.ts';
import type { Flow } from '#openflow/flow.ts';
import { addMatch, type WritableMatch } from '#openflow/match.ts';
import { PORT, widenPort } from '#openflow/port-number.ts';
import { FakeBridge } from './fake-bridge.ts';
import { CT, FakeConntrack } from './fake-conntrack.ts';
import { type Packet, parsePacket, popTag, printHeaders, pushTag, readBits, setWhole, TAG_PRESENT, writeBits } from './fake-packet.ts';
import { isReservedMulticast } from './reserved-multicast.ts';

export interface Copy {
  readonly bridge: string;
  readonly port: number;
  readonly packet: Packet;
}

export interface Copied {
  readonly flow: Flow;
  readonly packet: Packet;
}

/** What became of a packet. */
export interface Journey {
  /** Copies that left by a port that is no patch, in order. */
  readonly outputs: readonly Copy[];
  /** Copies that the action `controller` made, and of which flow. */
  readonly copied: readonly Copied[];
  /** Every lookup in order, `br-int:60`, also one that found nothing. */
  readonly tables: readonly string[];
  /** ct_state of each tracked copy, in the order in which they went on. */
  readonly states: readonly bigint[];
  /** OVS's reason to drop everything. */
  readonly error?: string;
}

export interface RunOptions {
  /** Learns, commits and remembers nothing, as `ofproto/trace` without -generate. */
  readonly dry?: boolean;
  /** ct_state of tracked copies in order, instead of the tracker's (`--ct-next`); after the last new|trk. */
  readonly ctNext?: readonly bigint[];
}

/** xlate's limits (ofproto-dpif-xlate.c). */
const MAX_DEPTH = 64;
const MAX_RESUBMITS = 4096;
/** Tracked copies of one packet; beyond it flows go round in circles, which is an error of the test. */
const MAX_RESUMED = 10_000;

interface Resumed {
  readonly bridge: FakeBridge;
  readonly packet: Packet;
  readonly table: number;
}

interface Run {
  readonly outputs: Copy[];
  readonly copied: Copied[];
  readonly tables: string[];
  readonly states: bigint[];
  readonly resumed: Resumed[];
  readonly options: RunOptions;
  depth: number;
  resubmits: number;
}

class TooDeep extends Error {}

export class FakeSwitch {
  readonly conntrack = new FakeConntrack();
  readonly #bridges = new Map<string, FakeBridge>();

  /** The bridge of this name; made with its LOCAL port when it is new. */
  bridge(name: string): FakeBridge {
    let bridge = this.#bridges.get(name);
    if (!bridge) {
      this.#bridges.set(name, (bridge = new FakeBridge(name)));
      bridge.ports.set(PORT.LOCAL, {});
    }
    return bridge;
  }

  addPort(bridge: string, port: number): void {
    this.bridge(bridge).ports.set(port, {});
  }

  addPatch(bridgeA: string, portA: number, bridgeB: string, portB: number): void {
    this.bridge(bridgeA).ports.set(portA, { peer: { bridge: bridgeB, port: portB } });
    this.bridge(bridgeB).ports.set(portB, { peer: { bridge: bridgeA, port: portA } });
  }

  /** Lets a packet (its text names the `in_port`) into `bridge`. */
  inject(bridge: string, packet: string | Packet, options: RunOptions = {}): Journey {
    const run: Run = { outputs: [], copied: [], tables: [], states: [], resumed: [], options, depth: 0, resubmits: 0 };
    const first = typeof packet === 'string' ? parsePacket(packet) : { ...packet };
    run.resumed.push({ bridge: this.bridge(bridge), packet: first, table: 0 });
    let error: string | undefined;
    // Tracked copies go on after the rest of the translation, first come first served.
    for (let next = run.resumed.shift(); next; next = run.resumed.shift()) {
      run.depth = run.resubmits = 0;
      const before = run.outputs.length;
      try {
        this.#table(run, next.bridge, next.packet, next.table);
      } catch (thrown) {
        if (!(thrown instanceof TooDeep)) throw thrown;
        error = thrown.message;
        run.outputs.length = before;
      }
    }
    const { outputs, copied, tables, states } = run;
    return { outputs, copied, tables, states, ...(error !== undefined && { error }) };
  }

  #table(run: Run, bridge: FakeBridge, packet: Packet, table: number, inPort?: number): void {
    if (run.depth >= MAX_DEPTH) throw new TooDeep('over max translation depth');
    if (run.resubmits++ >= MAX_RESUBMITS) throw new TooDeep('over max number of resubmits');
    run.tables.push(`${bridge.name}:${table}`);
    const seen = visible(packet);
    const flow = bridge.lookup(table, inPort === undefined ? seen : { ...seen, in_port: BigInt(inPort) });
    if (!flow) return;
    run.depth++;
    for (const action of flow.actions) if (!this.#act(run, bridge, packet, flow, action)) break;
    run.depth--;
  }

  /** False when nothing more of the flow happens. */
  #act(run: Run, bridge: FakeBridge, packet: Packet, flow: Flow, action: Action): boolean {
    switch (action.type) {
      case 'output': this.#output(run, bridge, packet, action.port); return true;
      case 'output_reg': this.#output(run, bridge, packet, widenPort(Number(readBits(packet, action.src)))); return true;
      case 'resubmit': this.#table(run, bridge, packet, action.table ?? flow.table, action.in_port); return true;
      case 'goto_table': this.#table(run, bridge, packet, action.table); return true;
      case 'set_field': setWhole(packet, action.field, action.value); return true;
      case 'load': writeBits(packet, action.dst, action.value); return true;
      case 'move': writeBits(packet, action.dst, readBits(packet, action.src)); return true;
      case 'push_vlan': pushTag(packet); return true;
      case 'strip_vlan': popTag(packet); return true;
      case 'dec_ttl':
        if ((packet['nw_ttl'] ?? 0n) <= 1n) return false;
        packet['nw_ttl']!--;
        return true;
      case 'ct': this.#track(run, bridge, packet, action); return true;
      case 'ct_clear': clearConntrack(packet); return true;
      case 'learn': if (!run.options.dry) learn(bridge, packet, action); return true;
      case 'controller': run.copied.push({ flow, packet: { ...packet } }); return true;
      case 'meter': case 'set_queue': case 'conjunction': return true;
      case 'group': case 'unknown': throw new Error(`the fake switch does not know the action ${action.type}`);
    }
  }

  #output(run: Run, bridge: FakeBridge, packet: Packet, port: number): void {
    const inPort = Number(packet['in_port'] ?? 0n);
    switch (port) {
      case PORT.IN_PORT: return this.#leave(run, bridge, packet, inPort);
      case PORT.NORMAL: return this.#normal(run, bridge, packet, inPort);
      case PORT.FLOOD:
      case PORT.ALL:
        for (const each of bridge.ports.keys()) if (each !== inPort) this.#leave(run, bridge, packet, each);
        return;
      default:
        // A switch never sends a packet back to where it came from, unless IN_PORT says so.
        if (port !== inPort) this.#leave(run, bridge, packet, port);
    }
  }

  #leave(run: Run, bridge: FakeBridge, packet: Packet, port: number): void {
    const to = bridge.ports.get(port);
    if (!to && port !== PORT.CONTROLLER) return;
    if (!to?.peer) {
      run.outputs.push({ bridge: bridge.name, port, packet: { ...packet } });
      return;
    }
    const other: Packet = Object.fromEntries(Object.entries(packet).filter(([name]) => !/^(reg|tun_|ct_|metadata)/.test(name)));
    other['in_port'] = BigInt(to.peer.port);
    this.#table(run, this.bridge(to.peer.bridge), other, 0);
  }

  /** A learning switch: one table of MACs per VLAN, every port a trunk. */
  #normal(run: Run, bridge: FakeBridge, packet: Packet, inPort: number): void {
    const [src, dst] = [packet['dl_src'] ?? 0n, packet['dl_dst'] ?? 0n];
    if (isReservedMulticast(dst)) return;
    const tci = packet['vlan_tci'] ?? 0n;
    const vlan = tci & TAG_PRESENT ? tci & 0xfffn : 0n;
    if (!run.options.dry && !isMulticast(src)) bridge.macs.set(`${vlan} ${src}`, inPort);
    if (vlan === 0n && tci & TAG_PRESENT) {
      // A priority tag says no VLAN: no tag goes on.
      packet = { ...packet, vlan_tci: 0n, inner_tci: 0n };
    }
    const known = isMulticast(dst) ? undefined : bridge.macs.get(`${vlan} ${dst}`);
    if (known !== undefined && bridge.ports.has(known)) {
      if (known !== inPort) this.#leave(run, bridge, packet, known);
      return;
    }
    for (const port of bridge.ports.keys()) if (port !== inPort) this.#leave(run, bridge, packet, port);
  }

  #track(run: Run, bridge: FakeBridge, packet: Packet, action: CtAction): void {
    const zone = typeof action.zone === 'object' ? readBits(packet, action.zone) : BigInt(action.zone ?? 0);
    const { dry = false, ctNext } = run.options;
    const tracked = dry && !ctNext ? { state: CT.NEW | CT.TRK, mark: 0n, first: {} } : this.conntrack.track(zone, packet);
    if (action.commit && !dry) {
      this.conntrack.commit(zone, packet, (mark) => {
        const connection: Packet = { ct_mark: mark };
        for (const each of action.exec ?? []) {
          if (each.type === 'load') writeBits(connection, each.dst, each.value);
          else if (each.type === 'move') writeBits(connection, each.dst, readBits(packet, each.src));
          else if (each.type === 'set_field') setWhole(connection, each.field, each.value);
        }
        return connection['ct_mark']!;
      });
    }
    if (action.table !== undefined) {
      const state = ctNext ? (ctNext[run.states.length] ?? CT.NEW | CT.TRK) : tracked.state;
      run.states.push(state);
      if (run.states.length > MAX_RESUMED) throw new Error('the flows track one packet again and again');
      run.resumed.push({ bridge, packet: { ...packet, ct_state: state, ct_zone: zone, ct_mark: ctNext ? 0n : tracked.mark, ...(ctNext ? {} : tracked.first) }, table: action.table });
    }
    clearConntrack(packet);
  }
}

/** `tap1 < ip,…` for each copy that left, sorted: what tests compare. */
export function printOutputs({ outputs }: Journey, nameOf = ({ bridge, port }: Copy): string => `${bridge}:${port}`): string[] {
  return outputs.map((copy) => `${nameOf(copy)} < ${printHeaders(copy.packet)}`).sort();
}

/** Of fragments flows see no ports and no type, not of the first one either (OFPC_FRAG_NORMAL). */
function visible(packet: Packet): Packet {
  return packet['nw_frag'] ? { ...packet, tp_src: 0n, tp_dst: 0n, icmp_type: 0n, icmp_code: 0n } : packet;
}

function clearConntrack(packet: Packet): void {
  for (const name of Object.keys(packet)) if (name.startsWith('ct_')) delete packet[name];
}

function isMulticast(mac: bigint): boolean {
  return (mac & (1n << 40n)) !== 0n;
}

function learn(bridge: FakeBridge, packet: Packet, action: LearnAction): void {
  const match: WritableMatch = {};
  const actions: Action[] = [];
  const valueOf = (src: LearnSource): bigint => ('value' in src ? src.value : readBits(packet, src.subfield));
  for (const spec of action.specs) {
    if (spec.type === 'output') actions.push({ type: 'output', port: widenPort(Number(readBits(packet, spec.src))) });
    else if (spec.type === 'load') actions.push({ type: 'load', dst: spec.dst, value: valueOf(spec.src) });
    else narrow(match, spec.dst, valueOf(spec.src));
  }
  const { table, priority, cookie, idle_timeout, hard_timeout } = action;
  bridge.add({ table, priority, cookie, ...(idle_timeout && { idle_timeout }), ...(hard_timeout && { hard_timeout }), match, actions });
}

function narrow(match: WritableMatch, { field, offset, bits }: Subfield, value: bigint): void {
  const mask = ((1n << BigInt(bits)) - 1n) << BigInt(offset);
  addMatch(match, field.match as Exclude<keyof WritableMatch, 'unknown'>, { value: value << BigInt(offset), mask });
}
