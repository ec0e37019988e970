/**
 * Topologies on a running cloud with guests that are nothing but probes: taps plugged by the port contract, all played by one
 * process, and an ear on every wire between the hosts.
 */
import { askWait } from '#cli/control-socket.ts';
import { hostInit } from '#cli/datacentre/host.ts';
import { wireNames } from '#cli/datacentre/fabric.ts';
import { ipBytes, parseIp } from '#net/ip.ts';
import { addressOwners } from './address-owners.ts';
import type { Api } from './api.ts';
import type { Cloud } from './cloud.ts';
import { until } from './cloud.ts';
import { arp, BROADCAST, neighbourSolicitation } from './frames.ts';
import { probeFrame } from './probe-frame.ts';
import { type MatrixProbe, probeMatrix } from './probe-matrix.ts';
import { Prober, type ProbeResult, type ProbeRun, type Question } from './prober.ts';
import type { TopologyPart } from './topology.ts';
import { type BuiltEndpoint, type BuiltTopology, type Construction, construct, OUTSIDE } from './topology-build.ts';

const OUTSIDE_DEVICE = 'probe-out';
const DEAD_VLAN = 4095;

/** A probe and everything that was seen of it, one line each: `e1 10.0.0.10:10001 > 10.0.0.11:80`, `answer at e0 …`, `wire compute1-ul`. */
export interface Outcome {
  readonly probe: MatrixProbe;
  readonly seen: readonly string[];
}

export interface Observation {
  readonly outcomes: readonly Outcome[];
  /** Broadcasts of each station: `e0 > e1`, with a number where it was not seen exactly once. */
  readonly broadcasts: readonly string[];
  /** What is wrong with that: broadcasts that reach somebody of another network, not everybody of their own, or somebody twice. */
  readonly strayBroadcasts: readonly string[];
}

export class ProbeLab {
  readonly cloud: Cloud;
  readonly api: Api;
  readonly #prober: Prober;
  /** The topology that stands, with the taps of its guests. */
  #standing: (Construction & { readonly devices: ReadonlyMap<string, readonly string[]>; readonly places: readonly string[] }) | undefined;
  #nextProbe = 1;
  #built = 0;

  private constructor(cloud: Cloud, api: Api, prober: Prober) {
    this.cloud = cloud;
    this.api = api;
    this.#prober = prober;
  }

  static async start(cloud: Cloud): Promise<ProbeLab> {
    const lab = new ProbeLab(cloud, await cloud.api(), Prober.start());
    const fabric = hostInit(cloud.state, 'fabric').pid;
    const ears = cloud.plan.hosts.flatMap((host) => {
      const { segment, underlay } = wireNames(cloud.plan, host);
      return [segment, underlay].filter((device) => device !== undefined).map((device) => ({ kind: 'wire', place: device, pid: fabric, device }) as const);
    });
    await lab.#prober.open([...ears, { kind: 'tap', place: 'outside', pid: fabric, device: OUTSIDE_DEVICE, mac: OUTSIDE.mac, addresses: OUTSIDE.addresses, onlink: true, neighbours: {}, gateways: {} }]);
    await cloud.host('fabric', 'ip', 'link', 'set', OUTSIDE_DEVICE, 'master', 'physnet');
    return lab;
  }

  /** Makes the topology and plugs its guests; returns when every host has applied it. Whatever stood before is removed first. */
  async build(part: TopologyPart): Promise<BuiltTopology> {
    await this.clear();
    const construction = await construct(this.api, part, this.cloud.hosts, sharedMac(this.#built++));
    const { endpoints } = construction.topology;
    const deviceOf = ({ port_id }: BuiltEndpoint): string => `tap${port_id.slice(0, 11)}`;
    const devices = new Map(this.cloud.hosts.map((host) => [host, endpoints.filter((endpoint) => endpoint.host === host).map(deviceOf)]));
    this.#standing = { ...construction, devices, places: endpoints.map(({ name }) => name) };
    await this.#prober.open(endpoints.map((endpoint) => ({
      kind: 'tap', place: endpoint.name, pid: hostInit(this.cloud.state, endpoint.host).pid, device: deviceOf(endpoint), mac: endpoint.mac, addresses: endpoint.addresses,
      ...waysOf(construction.topology, endpoint),
    })));
    await Promise.all(this.cloud.hosts.map((host) => this.#plug(host, endpoints.filter((endpoint) => endpoint.host === host).map((endpoint) => ({ ...endpoint, device: deviceOf(endpoint) })))));
    await this.#settled(construction.topology);
    return construction.topology;
  }

  /** Sends the whole matrix and tells what was seen of each probe. No connection of before is known any more. */
  async observe(topology: BuiltTopology, options: { link?: boolean } = {}): Promise<Observation> {
    await this.forget(topology);
    const probes = probeMatrix(topology, this.#nextProbe, options);
    this.#nextProbe += probes.length;
    // Switches learn from whoever claims a MAC: what is not the sender's own comes last.
    const phases = [probes.filter(({ spoofed }) => !spoofed), probes.filter(({ spoofed, raw }) => spoofed && !raw), probes.filter(({ raw, back }) => raw && !back)].map(framesOf);
    const senders = ['outside', ...topology.endpoints.filter(({ part }) => part.up).map(({ name }) => name)];
    const expected = sentinels(topology, senders);
    const run = (sent: ProbeRun['phases']) => this.#prober.run({ senders, sentinels: expected, questions: questions(topology), phases: sent });
    const there = await run(phases);
    const back = probes.filter((probe) => probe.back);
    if (back.length === 0) return observation(probes, there, expected);
    await this.forget(topology);
    const { stations, wires } = await run([framesOf(back)]);
    return observation(probes, { ...there, stations: [...there.stations, ...stations], wires: [...there.wires, ...wires] }, expected);
  }

  /** Connections of earlier probes are cut on every host, in the switch and in the routers; routers forget their neighbours, whom somebody may have claimed to be. */
  async forget(topology: BuiltTopology): Promise<void> {
    const routers = [...new Set(topology.legs.map(({ router_id }) => `qrouter-${router_id}`))];
    const script = `ovs-appctl dpctl/flush-conntrack; for n in ${routers.join(' ')}; do [ ! -e /run/netns/$n ] || { ip netns exec $n conntrack -F 2>/dev/null; ip -n $n neigh flush all; }; done`;
    await Promise.all(this.cloud.hosts.map((host) => this.cloud.host(host, 'sh', '-c', script)));
  }

  /** Removes the topology that stands. */
  async clear(): Promise<void> {
    const standing = this.#standing;
    if (!standing) return;
    this.#standing = undefined;
    await Promise.all([...standing.devices].filter(([, devices]) => devices.length > 0).map(([host, devices]) =>
      this.cloud.host(host, 'ovs-vsctl', ...devices.flatMap((device) => ['--', '--if-exists', 'del-port', 'br-int', device]).slice(1))));
    await this.#prober.close(standing.places);
    await standing.remove();
    await askWait(this.cloud.state, 30);
  }

  async stop(): Promise<void> {
    await this.clear();
    await this.#prober.stop();
  }

  /** As os-vif does it: dead until the agent has wired it. */
  async #plug(host: string, guests: readonly { readonly device: string; readonly port_id: string; readonly mac: string }[]): Promise<void> {
    if (guests.length === 0) return;
    const calls = guests.flatMap(({ device, port_id, mac }) => [
      '--', 'add-port', 'br-int', device, `tag=${DEAD_VLAN}`, '--', 'set', 'Interface', device, `external_ids:iface-id=${port_id}`, `external_ids:attached-mac="${mac}"`, 'external_ids:iface-status=active',
    ]);
    await this.cloud.host(host, 'ovs-vsctl', ...calls.slice(1));
  }

  async #settled({ endpoints, legs }: BuiltTopology): Promise<void> {
    const up = new Set([...endpoints.filter(({ part }) => part.up).map(({ port_id }) => port_id)]);
    const routers = new Set(legs.map(({ router_id }) => router_id));
    await until(20, 'all ports of the topology are ACTIVE', async () => {
      const { ports } = await this.api.get('/network/v2.0/ports?fields=id&fields=status&fields=device_id');
      return ports.every((port: any) => !(up.has(port.id) || routers.has(port.device_id)) || port.status === 'ACTIVE');
    });
    const { waiting } = await askWait(this.cloud.state, 30);
    if (waiting.length > 0) throw new Error(`the hosts do not settle: ${JSON.stringify(waiting)}`);
  }
}

/** Another for each topology: switches remember the last one for minutes. */
function sharedMac(number: number): string {
  return `00:00:5e:00:${(1 + (number >> 8)).toString(16).padStart(2, '0')}:${(number & 255).toString(16).padStart(2, '0')}`;
}

/** What a guest knows of its network: who has which address, and who leads on. */
function waysOf(topology: BuiltTopology, { network_id: here, host }: BuiltEndpoint): { neighbours: Record<string, string>; gateways: Record<string, string> } {
  const neighbours = Object.fromEntries([...addressOwners(topology, here, host)].filter(([, { answers }]) => answers).map(([address, { mac }]) => [address, mac]));
  const gateways = topology.subnets.flatMap(({ network_id, gateway_ip }) => (network_id === here && gateway_ip && neighbours[gateway_ip] ? [[gateway_ip, neighbours[gateway_ip]]] : []));
  return { neighbours, gateways: Object.fromEntries(gateways) };
}

/** Each station asks for the routers on its network. */
function questions(topology: BuiltTopology): Question[] {
  const stations = [...topology.endpoints, { name: 'outside', network_id: topology.external, ...OUTSIDE }];
  return stations.flatMap(({ name, network_id, mac, addresses }) => topology.legs.filter((leg) => leg.network_id === network_id).flatMap((leg) => leg.addresses.flatMap((target): Question[] => {
    const own = addresses.find((address) => address.includes(':') === target.includes(':'));
    if (own === undefined) return [];
    return [{ from: name, target, frame: target.includes(':') ? solicitation(mac, own, target) : arp(BROADCAST, mac, { op: 'request', sha: mac, spa: own, tpa: target }) }];
  })));
}

/** To the solicited-node multicast address of `target` (RFC 4861). */
function solicitation(mac: string, own: string, target: string): Buffer {
  const [a, b, c] = [...ipBytes(parseIp(target)!)].slice(13).map((byte) => byte.toString(16).padStart(2, '0'));
  return neighbourSolicitation(`33:33:ff:${a}:${b}:${c}`, mac, own, `ff02::1:ff${a}:${b}${c}`, target);
}

function framesOf(probes: readonly MatrixProbe[]): Record<string, Buffer[]> {
  const frames: Record<string, Buffer[]> = {};
  for (const { from, frame, raw } of probes) (frames[from === 'outside' ? from : from.name] ??= []).push(...(raw ?? [probeFrame(frame)]));
  return frames;
}

/** Who must see whose broadcasts: neighbours on one network, where it reaches from host to host. */
function sentinels({ endpoints, external }: BuiltTopology, senders: readonly string[]): [string, string][] {
  const here = endpoints.filter(({ name }) => senders.includes(name));
  const pairs = here.flatMap((from) => here.filter((to) => to !== from && to.network_id === from.network_id && (to.host === from.host || !to.local)).map((to): [string, string] => [from.name, to.name]));
  const flat = here.filter(({ network_id }) => network_id === external).flatMap(({ name }): [string, string][] => [[name, 'outside'], ['outside', name]]);
  return [...pairs, ...flat];
}

function observation(probes: readonly MatrixProbe[], { stations, wires, broadcasts }: ProbeResult, expected: readonly (readonly [string, string])[]): Observation {
  const seen = new Map<number, string[]>(probes.map(({ frame }) => [frame.id, []]));
  const add = (id: number, line: string, count: number): void => {
    for (let i = 0; i < count; i++) seen.get(id)?.push(line);
  };
  const byId = new Map(probes.map((probe) => [probe.frame.id, probe]));
  for (const sight of stations) {
    const probe = byId.get(sight.id);
    if (probe?.raw) add(sight.id, `${sight.place}${sight.vlan === null ? '' : ` vlan ${sight.vlan}`}`, sight.count);
    else if (probe && sight.kind === 'E') add(sight.id, `error at ${sight.place} ${sight.source_ip} > ${sight.destination_ip}`, sight.count);
    else if (probe) add(sight.id, sightLine(sight.place, sight.kind === 'R', probe.frame.protocol, sight), sight.count);
  }
  // What goes to a host has been heard where it came from.
  for (const { place, id, kind, count } of wires) if (place.endsWith('<')) add(id, `${kind === 'R' ? 'answer on ' : ''}wire ${place.slice(0, -1)}`, count);
  return {
    outcomes: probes.map((probe) => ({ probe, seen: seen.get(probe.frame.id)!.sort() })),
    broadcasts: broadcasts.map(([from, to, times]) => `${from} > ${to}${times === 1 ? '' : ` ${times} times`}`),
    strayBroadcasts: strayBroadcasts(broadcasts, expected),
  };
}

/** One that was lost under way is none of the switch's: a pair counts once it was seen at all. The outside hears every VLAN of its wire, each with its tag. */
function strayBroadcasts(broadcasts: ProbeResult['broadcasts'], expected: readonly (readonly [string, string])[]): string[] {
  const wanted = new Set(expected.map(([from, to]) => `${from} > ${to}`));
  const seen = new Map(broadcasts.map(([from, to, times]) => [`${from} > ${to}`, times]));
  const all = [...seen.keys()];
  return [
    ...[...wanted].filter((pair) => !seen.has(pair)).map((pair) => `${pair}: never`),
    ...all.filter((pair) => !wanted.has(pair) && !pair.endsWith(' > outside')).map((pair) => `${pair}: reaches whom it must not`),
    ...all.filter((pair) => wanted.has(pair) && seen.get(pair)! > 1).map((pair) => `${pair}: ${seen.get(pair)} times`),
  ];
}

export function sightLine(place: string, answer: boolean, protocol: string, packet: { source_ip: string; destination_ip: string; source_port: number; destination_port: number }): string {
  const ported = protocol === 'tcp' || protocol === 'udp' || protocol === 'sctp';
  const end = (ip: string, port: number): string => (ported ? (ip.includes(':') ? `[${ip}]:${port}` : `${ip}:${port}`) : ip);
  return `${answer ? 'answer at ' : ''}${place} ${end(packet.source_ip, packet.source_port)} > ${end(packet.destination_ip, packet.destination_port)}`;
}
