/** A real packet from the instance, or from outside, and who gets it: by tcpdump on all hosts and outside. */
import { randomInt } from 'node:crypto';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { InstanceState } from '#instances/instance-driver.ts';
import type { Crossing } from '#trace/crossing.ts';
import { endsOf, type Path } from '#trace/step.ts';
import { segmentOf } from '../datacentre/fabric.ts';
import { runOnHost } from '../datacentre/host.ts';
import type { DataCentrePlan } from '../datacentre/plan.ts';
import { statePath } from '../datacentre/state-folder.ts';
import { nodeArgv } from '../services.ts';
import { forgetProbe } from './connections.ts';
import { type Names, portText } from './names.ts';
import { type ProbeMark, probeFilter, probeFrame } from './probe-frame.ts';
import type { Switches } from './switches.ts';
import { watch, type Watch } from './watch.ts';

export type LiveProbe = {
  /** Where the packet came out. */
  readonly hosts: readonly { readonly host: string; readonly intended: readonly string[]; readonly actual: readonly string[]; readonly agrees: boolean; readonly text: string; readonly objects: readonly string[] }[];
} & ({ readonly sent: true } | { readonly sent: false; readonly reason: string });

export interface ProbeOrder {
  readonly plan: DataCentrePlan;
  readonly switches: Switches;
  readonly path: Path;
  /** The first is where the packet comes from. */
  readonly crossings: readonly Crossing[];
  readonly names: Names;
}

/** python3 is there wherever Open vSwitch is: Debian's openvswitch-switch depends on it. Nothing else of ours sends a frame as it is. */
const SEND = 'import socket,sys\ns=socket.socket(socket.AF_PACKET,socket.SOCK_RAW)\ns.bind((sys.argv[1],0))\ns.send(bytes.fromhex(sys.argv[2]))';
const OUTSIDE = 'outside';
const ON_HOST = join(import.meta.dirname, 'instance-on-host.ts');
/** Milliseconds: a neighbour that a router has to look for first answers within this, and so does a tunnel that lost its first packet. */
const [PATIENCE, COPIES, GRACE] = [1_000, 3, 300];

/** Sends up to three copies of one packet, as a guest's own stack would, until it is where it shall be. Forgets its connections. */
export async function confirmProbe({ plan, switches, path, crossings, names }: ProbeOrder): Promise<LiveProbe> {
  const [first] = crossings;
  if (!first) return { sent: false, reason: 'it would not leave its sender', hosts: [] };
  const sender = 'port_id' in first.entry ? await guestOf(plan, switches, first) : outsideSender(plan);
  if ('reason' in sender) return { sent: false, reason: sender.reason, hosts: [] };
  const { packet } = first;
  const mark: ProbeMark = { token: randomInt(1, 2 ** 32), icmp_id: randomInt(1, 2 ** 16) };
  const frame = probeFrame(packet, mark, 'physical_network' in first.entry ? first.entry.segmentation_id : null);
  const intended = intendedOf(plan, path, crossings);
  const watches = await startWatches(plan, probeFilter(packet, mark));
  try {
    const seen = (): Map<string, Set<string>> => new Map(watches.map((one) => [one.host, comesOut(one, switches)]));
    const complete = (): boolean => [...intended].every(([host, places]) => [...places].every((place) => seen().get(host)?.has(place)));
    for (let copy = 0; copy < COPIES; copy++) {
      await runOnHost(plan.state, sender.host, [...sender.enter, 'python3', '-c', SEND, sender.device, frame.toString('hex')]);
      for (const end = Date.now() + PATIENCE; Date.now() < end && !complete(); ) await delay(10);
      if (complete()) break;
    }
    await delay(GRACE);
    const actual = seen();
    const hosts = [...new Set([...intended.keys(), ...[...actual].filter(([, places]) => places.size > 0).map(([host]) => host)])];
    return { sent: true, hosts: hosts.map((host) => compare(host, intended.get(host) ?? new Set(), actual.get(host) ?? new Set(), names)) };
  } catch (error) {
    return { sent: false, reason: (error as Error).message, hosts: [] };
  } finally {
    await Promise.all(watches.map((one) => one.stop()));
    await forget(plan, path, crossings, mark);
  }
}

type Sender = { readonly host: string; readonly enter: readonly string[]; readonly device: string } | { readonly reason: string };

/** The network namespace of the guest behind the port that sends, and the NIC there. */
async function guestOf({ state }: DataCentrePlan, switches: Switches, { host, entry }: Crossing): Promise<Sender> {
  const port = switches.get(host)?.find(({ port_id }) => 'port_id' in entry && port_id === entry.port_id);
  if (!port) return { reason: `the sender has no device on ${host}: its instance is off` };
  if (port.server_id === undefined) return { reason: 'no instance of ours is behind the port' };
  if (existsSync(join(statePath.hostFolder(state, host), 'machines', port.server_id))) return { reason: 'the sender is a virtual machine: nobody but itself sends out of its NIC' };
  const text = await runOnHost(state, host, nodeArgv(ON_HOST, statePath.hostFolder(state, host), port.server_id));
  const { pid } = text.trim() === '' ? {} : (JSON.parse(text) as Partial<InstanceState>);
  if (pid === undefined) return { reason: `the sender's instance is off on ${host}` };
  const enter = ['nsenter', '-t', String(pid), '-n', '--'];
  const links = JSON.parse(await runOnHost(state, host, [...enter, 'ip', '-j', 'link'])) as { ifname: string; address: string }[];
  const nic = links.find(({ address }) => address === port.mac_address);
  return nic ? { host, enter, device: nic.ifname } : { reason: `the sender's instance has no NIC with the MAC ${port.mac_address}` };
}

function outsideSender(plan: DataCentrePlan): Sender {
  if (plan.external_bridge) return { reason: 'behind an external bridge nobody outside is on the physical network' };
  return { host: OUTSIDE, enter: [], device: segmentOf(plan).nic };
}

/** By host: the ports that a copy comes out of, routers' legs among them; on `outside`, the wire. */
function intendedOf(plan: DataCentrePlan, path: Path, crossings: readonly Crossing[]): Map<string, Set<string>> {
  const intended = new Map<string, Set<string>>();
  for (const { host, ends } of crossings) for (const end of ends) if ('port_id' in end) intended.set(host, (intended.get(host) ?? new Set()).add(end.port_id));
  if (!plan.external_bridge && [...endsOf(path)].some((end) => end.type === 'deliver' && end.to === 'outside')) intended.set(OUTSIDE, new Set([OUTSIDE]));
  return intended;
}

function startWatches(plan: DataCentrePlan, filter: string): Promise<Watch[]> {
  const { state } = plan;
  // On a device of its own a filter sees the tag of a VLAN; `vlan` moves all offsets behind it, hence comes last.
  const outside = plan.external_bridge ? [] : [watch(state, OUTSIDE, `(${filter}) or (vlan and ${filter})`, segmentOf(plan).nic)];
  return all([...plan.hosts.map(({ name }) => watch(state, name, filter)), ...outside]);
}

/** All, or none is left running. */
async function all(starting: Promise<Watch>[]): Promise<Watch[]> {
  const settled = await Promise.allSettled(starting);
  const failed = settled.find((one) => one.status === 'rejected');
  const started = settled.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
  if (!failed) return started;
  await Promise.all(started.map((one) => one.stop()));
  throw failed.reason;
}

/** Ports that copies came out of. */
function comesOut({ host, sightings }: Watch, switches: Switches): Set<string> {
  if (host === OUTSIDE) return new Set(sightings.map(() => OUTSIDE));
  const ports = switches.get(host) ?? [];
  return new Set(sightings.flatMap(({ device, direction }) => (direction === 'Out' ? (ports.find(({ name }) => name === device)?.port_id ?? []) : [])));
}

function compare(host: string, intended: ReadonlySet<string>, actual: ReadonlySet<string>, names: Names): LiveProbe['hosts'][number] {
  const [missing, extra] = [[...intended].filter((id) => !actual.has(id)), [...actual].filter((id) => !intended.has(id))];
  const say = (ids: Iterable<string>): string => [...ids].map((id) => (id === OUTSIDE ? 'the wire' : portText(names, id))).join(' and ');
  const text = [
    actual.size > 0 ? `comes out at ${say(actual)}` : 'comes out nowhere',
    ...(missing.length > 0 ? [`it should at ${say(missing)}`] : []), ...(extra.length > 0 ? [`it should not at ${say(extra)}`] : []),
  ].join('; ');
  const agrees = missing.length + extra.length === 0;
  return { host, intended: [...intended].sort(), actual: [...actual].sort(), agrees, text, objects: [...missing, ...extra].filter((id) => id !== OUTSIDE) };
}

async function forget({ state }: DataCentrePlan, path: Path, crossings: readonly Crossing[], mark: ProbeMark): Promise<void> {
  const routers = new Map<string, string[]>();
  for (const [host, id] of routersOf(path)) routers.set(host, [...(routers.get(host) ?? []), `qrouter-${id}`]);
  const hosts = new Set(crossings.map(({ host }) => host));
  await Promise.all([...hosts].map((host) => forgetProbe(state, host, crossings[0]!.packet, mark, routers.get(host) ?? [])));
}

function* routersOf(path: Path): Iterable<[host: string, id: string]> {
  for (const step of path) {
    if (step.type === 'route') yield [step.host!, step.router_id];
    else if (step.type === 'fork') for (const branch of step.branches) yield* routersOf(branch);
  }
}
