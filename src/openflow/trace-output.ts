/** Reads what `ovs-appctl ofproto/trace` prints: the tables that were visited, and the frames that leave. */
import { splitArguments } from './action-argument.ts';

/** The headers that our flows may change, as text. */
export interface Frame {
  /** Outermost first. */
  readonly tags: readonly number[];
  readonly src: string;
  readonly dst: string;
  /** `op=2,sip=…,tip=…,sha=…,tha=…` of ARP. */
  readonly arp: Readonly<Record<string, string>> | undefined;
}

/** A frame that leaves. */
export interface TracedCopy {
  /** As `nameOf` calls the port; a tunnel is `vxlan 192.0.2.2 2000`. */
  readonly port: string;
  readonly frame: Frame;
}

export interface TraceOutput {
  readonly tables: readonly number[];
  readonly outputs: readonly TracedCopy[];
}

/** `start` is the frame that was traced. Tables of `underlay`, where encapsulated frames leave, are left out. */
export function readTrace(text: string, start: Frame, nameOf: (dpPort: string) => string, underlay: string): TraceOutput {
  const tables: number[] = [];
  const outputs: TracedCopy[] = [];
  const frames = new Map<string, Frame>([['', start]]);
  let recirc = '';
  let skip = false;
  for (const line of text.split('\n')) {
    const resumed = /^recirc\((0x[0-9a-f]+)\) - resume/.exec(line)?.[1];
    if (resumed) recirc = resumed;
    if (/^\s*bridge\("/.test(line)) skip = line.includes(`bridge("${underlay}")`);
    const table = /^\s*(\d+)\. /.exec(line)?.[1];
    if (table !== undefined) {
      // One flow, NORMAL: what is printed behind it belongs to the bridge before.
      if (!skip) tables.push(Number(table));
      skip = false;
    }
    const actions = /^Datapath actions: (.*)$/.exec(line)?.[1];
    if (actions !== undefined) execute(actions, frames.get(recirc)!, { frames, outputs, nameOf, underlay });
  }
  return { tables, outputs };
}

export function printFrame({ tags, src, dst, arp }: Frame): string {
  const header = `${tags.length > 0 ? `vlan ${tags.join('.')} ` : ''}${src} > ${dst}`;
  return arp ? `${header} ${ARP_KEYS.map((key) => `${key}=${arp[key]}`).join(',')}` : header;
}

const ARP_KEYS = ['op', 'sip', 'tip', 'sha', 'tha'];

interface Execution {
  readonly frames: Map<string, Frame>;
  readonly outputs: TracedCopy[];
  readonly nameOf: (dpPort: string) => string;
  readonly underlay: string;
}

/** Runs datapath actions (odp-util.c prints them) on `frame`. */
function execute(actions: string, frame: Frame, out: Execution): void {
  for (const action of splitArguments(actions)) {
    const [, name = '', argument = ''] = /^(\w+)(?:\((.*)\))?$/s.exec(action) ?? [];
    if (/^\d+$/.test(name)) {
      const port = out.nameOf(name);
      // The encapsulated frame itself: its tnl_push was counted.
      if (!port.startsWith(`${out.underlay}:`)) out.outputs.push({ port, frame });
    } else if (name === 'push_vlan') frame = { ...frame, tags: [Number(/vid=(\d+)/.exec(argument)![1]), ...frame.tags] };
    else if (name === 'pop_vlan') frame = { ...frame, tags: frame.tags.slice(1) };
    else if (name === 'recirc') out.frames.set(argument, frame);
    else if (name === 'clone') execute(argument, frame, out);
    else if (name === 'tnl_push') out.outputs.push({ port: tunnelOf(argument), frame });
    else if (name === 'set') frame = set(frame, argument);
    else if (!['ct', 'ct_clear', 'drop'].includes(name)) throw new Error(`unknown datapath action ${action}`);
  }
}

function tunnelOf(argument: string): string {
  const [, remote] = /ipv4\(src=[\d.]+,dst=([\d.]+)/.exec(argument)!;
  const vni = /vni=(0x[0-9a-f]+)/.exec(argument)?.[1];
  return vni ? `vxlan ${remote} ${Number(vni)}` : `gre ${remote} ${Number(/key=(0x[0-9a-f]+)/.exec(argument)![1])}`;
}

function set(frame: Frame, argument: string): Frame {
  const [, header, fields = ''] = /^(\w+)\((.*)\)$/s.exec(argument)!;
  const changes = Object.fromEntries(splitArguments(fields).map((field) => field.replace(/\/.*$/, '').split('=') as [string, string]));
  if (header === 'eth') return { ...frame, src: changes['src'] ?? frame.src, dst: changes['dst'] ?? frame.dst };
  if (header === 'arp') return { ...frame, arp: { ...frame.arp, ...changes } };
  // Not kept: the id of a tunnel is read where the frame enters it.
  if (header === 'tunnel' || header === 'ipv4' || header === 'ipv6') return frame;
  throw new Error(`unknown datapath action set(${argument})`);
}
