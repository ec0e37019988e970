/** Every packet that is sent through a topology: each pair of endpoints, outside and routers, each protocol, and what is not the sender's own. */
import { cidrContains, parseCidr } from '#net/cidr.ts';
import { linkLocalOf, parseIp } from '#net/ip.ts';
import { type AddressOwner, addressOwners } from './address-owners.ts';
import { linkFrames, neighbouring } from './link-frames.ts';
import { probeFrame, type ProbeFrame, type ProbeProtocol, tokenOf } from './probe-frame.ts';
import { PROBED } from './topology.ts';
import { type BuiltEndpoint, type BuiltTopology, OUTSIDE } from './topology-build.ts';

export interface MatrixProbe {
  readonly frame: ProbeFrame;
  /** `outside`, or the endpoint that sends it. */
  readonly from: 'outside' | BuiltEndpoint;
  /** For people: `e0 to e3 tcp/80`. */
  readonly title: string;
  readonly spoofed: { readonly source_mac?: string; readonly source_ip?: string } | null;
  /** The tracer has no word for it: the sender knows a way that nobody told it, or it is no packet of a connection. */
  readonly stray: boolean;
  /** Sent in place of `frame`. */
  readonly raw?: readonly Buffer[];
  /** Its ports are fixed, and a frame the other way would pass for its answer, or it for that one's: it is sent once all others are forgotten. */
  readonly back?: boolean;
}

/**
 * `first` is the number of the first probe: numbers are ports too, and no connection may be known from an earlier run. With `link`
 * also what the base tables of port security judge.
 */
export function probeMatrix(topology: BuiltTopology, first: number, { link = false }: { link?: boolean } = {}): MatrixProbe[] {
  const matrix = new Matrix(topology, first, link ? BESIDE : PROBED, link);
  for (const [i, endpoint] of topology.endpoints.entries()) {
    for (const { name, address, odd } of matrix.targets(endpoint, i)) matrix.towards(endpoint, name, address, odd);
    matrix.foreign(endpoint);
  }
  matrix.fromOutside();
  if (link) {
    for (const sender of [...topology.endpoints, 'outside'] as const) matrix.asAnybody(sender);
    for (const endpoint of topology.endpoints) matrix.onLink(endpoint);
  }
  return matrix.probes;
}

/** Also the ports beside those that rules name: what a match lets pass that is too wide or too narrow. */
const BESIDE = { tcp: [78, 79, 80, 82, 443], udp: [52, 53, 5000] } as const;
const OUT_OF_STATE = { tcp: [79, 80, 443], udp: [53] } as const;

interface Target {
  readonly name: string;
  readonly address: string;
  /** The protocol without ports that is tried, null for none; `only`: nothing but it. */
  readonly odd: ProbeProtocol | null;
}

class Matrix {
  readonly probes: MatrixProbe[] = [];
  readonly #topology: BuiltTopology;
  readonly #ports: { readonly tcp: readonly number[]; readonly udp: readonly number[] };
  readonly #link: boolean;
  #next: number;

  constructor(topology: BuiltTopology, first: number, ports: { readonly tcp: readonly number[]; readonly udp: readonly number[] }, link: boolean) {
    this.#link = link;
    this.#topology = topology;
    this.#ports = ports;
    this.#next = first;
  }

  /**
   * A protocol without ports has one connection for each pair of addresses, and an answer looks like a packet of the other direction:
   * the two directions use two protocols, and only where no translation makes two pairs one.
   */
  *targets(endpoint: BuiltEndpoint, i: number): Iterable<Target> {
    for (const [j, other] of this.#topology.endpoints.entries()) {
      if (other === endpoint) continue;
      const odd = !this.#isInside(endpoint, other) ? null : i < j ? 'vrrp' : 'sctp';
      for (const address of other.addresses) yield { name: other.name, address, odd };
      if (other.floating) yield { name: `${other.name}'s floating IP`, address: other.floating, odd: null };
      if (other.part.up && other.pair?.single && other.network_id === endpoint.network_id && !(endpoint.pair && endpoint.pair.ip === other.pair.ip)) yield { name: `${other.name}'s pair`, address: other.pair.ip, odd: null };
    }
    for (const address of OUTSIDE.addresses) yield { name: 'outside', address, odd: null };
    for (const leg of this.#topology.legs) for (const address of leg.addresses) yield { name: 'router', address, odd: null };
  }

  /** No address is translated between the two: they are neighbours, or one router has a leg on both their networks. */
  #isInside(one: BuiltEndpoint, other: BuiltEndpoint): boolean {
    const routers = (id: string): string[] => this.#topology.legs.filter(({ network_id, external }) => network_id === id && !external).map(({ router_id }) => router_id);
    return one.network_id === other.network_id || routers(one.network_id).some((id) => routers(other.network_id).includes(id));
  }

  towards(endpoint: BuiltEndpoint, name: string, address: string, odd: ProbeProtocol | null): void {
    const source = endpoint.addresses.find((each) => each.includes(':') === address.includes(':'));
    const hop = this.#nextHop(endpoint, address);
    if (source === undefined || hop === undefined) return;
    const head = { destination_mac: hop.mac, source_mac: endpoint.mac, source_ip: source, destination_ip: address };
    const add = (protocol: ProbeProtocol, port: number): void => this.#add(endpoint, name, { ...head, protocol }, port, null, !hop.answers);
    add('icmp', 0);
    if (name === 'router') return;
    for (const port of this.#ports.tcp) add('tcp', port);
    for (const port of this.#ports.udp) add('udp', port);
    if (odd !== null) add(odd, odd === 'sctp' ? PROBED.sctp[0] : 0);
    if (!this.#link) return;
    for (const answered of ['unreachable', 'unreachable in fragments'] as const) this.#add(endpoint, name, { ...head, protocol: 'udp' }, BESIDE.udp[1], null, !hop.answers, answered);
    this.#outOfState(endpoint, name, head);
  }

  /** What conntrack calls invalid, and new connections that look like answers: no rule admits either, only its words about state tell. */
  #outOfState(from: MatrixProbe['from'], name: string, head: Pick<ProbeFrame, 'destination_mac' | 'source_mac' | 'source_ip' | 'destination_ip'>): void {
    const add = (words: string, probe: Pick<ProbeFrame, 'protocol' | 'fault'>, ports: (own: number) => readonly [number, number]): void => {
      const id = this.#next++;
      const [source_port, destination_port] = ports(portOf(id));
      const frame = { ...head, ...probe, id, source_port, destination_port, answered: 'only seen' } as const;
      this.probes.push({ frame, from, spoofed: {}, stray: true, title: `${from === 'outside' ? from : from.name} to ${name} ${head.destination_ip} ${words}`, raw: [probeFrame(frame)] });
    };
    add('icmp, damaged', { protocol: 'icmp', fault: 'damaged' }, (own) => [own, 0]);
    add('icmp reply, unasked', { protocol: 'icmp', fault: 'unasked' }, (own) => [own, 0]);
    for (const protocol of ['tcp', 'udp'] as const) {
      for (const port of OUT_OF_STATE[protocol]) {
        add(`${protocol}/${port}, damaged`, { protocol, fault: 'damaged' }, (own) => [own, port]);
        add(`${protocol} from ${port}`, { protocol }, (own) => [port, own]);
      }
    }
  }

  /** What only a port without port security, or an allowed address pair, may send; to each neighbour. */
  foreign(endpoint: BuiltEndpoint): void {
    const { endpoints, external } = this.#topology;
    const neighbours = [...endpoints.filter((other) => other !== endpoint && isBeside(endpoint, other)), ...(endpoint.network_id === external ? [{ name: 'outside', ...OUTSIDE }] : [])];
    for (const [i, neighbour] of neighbours.entries()) {
      for (const address of neighbour.addresses) {
        const six = address.includes(':');
        const own = endpoint.addresses.find((each) => each.includes(':') === six)!;
        const other = neighbours[(i + 1) % neighbours.length]!.addresses.find((each) => each.includes(':') === six);
        const claims: { source_mac?: string; source_ip?: string }[] = [
          { source_mac: '02:50:42:66:66:66' },
          { source_ip: own.replace(/[^.:]*$/, six ? 'bad' : '201') },
          { source_ip: neighbouring(own) },
          // What a port without port security may claim reveals a rule whose remote address is too wide.
          ...(endpoint.part.groups === null && other ? [{ source_ip: neighbouring(other) }] : []),
          ...(other && neighbours.length > 1 ? [{ source_ip: other }] : []),
          ...(endpoint.pair && !six ? [{ source_mac: endpoint.pair.mac, source_ip: endpoint.pair.ip }, ...(endpoint.pair.mac === endpoint.mac ? [] : [{ source_ip: endpoint.pair.ip }])] : []),
        ];
        const services = [['udp', PROBED.udp[0]], ['tcp', PROBED.tcp[0]]] as const;
        for (const claim of claims) {
          for (const [protocol, port] of services) {
            this.#add(endpoint, neighbour.name, { destination_mac: neighbour.mac, source_mac: claim.source_mac ?? endpoint.mac, source_ip: claim.source_ip ?? own, destination_ip: address, protocol }, port, claim);
          }
        }
      }
    }
  }

  /**
   * What nobody checks at its source: a port without port security, or the world outside, speaks to each neighbour in the name of every
   * address of the topology, which is each member of a group to each port whose rules name it, and of the address beside it.
   */
  asAnybody(sender: BuiltEndpoint | 'outside'): void {
    const { endpoints, external } = this.#topology;
    if (sender !== 'outside' && sender.part.groups !== null) return;
    const { network_id, mac } = sender === 'outside' ? { network_id: external, mac: OUTSIDE.mac } : sender;
    const members = endpoints.flatMap(({ addresses, pair }) => [...addresses, ...(pair?.single ? [pair.ip] : [])]);
    for (const neighbour of endpoints) {
      if (neighbour === sender || neighbour.network_id !== network_id || (sender !== 'outside' && !isBeside(sender, neighbour))) continue;
      for (const source_ip of new Set(members.flatMap((address) => [address, neighbouring(address)]))) {
        const six = source_ip.includes(':');
        // A network without IPv6 has link-local addresses still.
        const destination_ip = neighbour.addresses.find((address) => address.includes(':') === six) ?? linkLocalOf(neighbour.mac);
        for (const [protocol, port] of [['tcp', PROBED.tcp[0]], ['udp', PROBED.udp[0]]] as const) {
          this.#add(sender, neighbour.name, { destination_mac: neighbour.mac, source_mac: mac, source_ip, destination_ip, protocol }, port, { source_ip }, false, true);
        }
      }
    }
  }

  onLink(endpoint: BuiltEndpoint): void {
    const neighbours = this.#topology.endpoints.filter((other) => other !== endpoint && other.network_id === endpoint.network_id);
    const others = this.#topology.endpoints.filter((other) => other !== endpoint && other.host === endpoint.host && !neighbours.includes(other));
    for (const { title, frame, to } of linkFrames(endpoint, neighbours, others)) {
      const id = this.#next++;
      this.probes.push({
        frame: { id, destination_mac: '', source_mac: endpoint.mac, source_ip: '', destination_ip: '', protocol: 'vrrp', source_port: 0, destination_port: 0, answered: false },
        from: endpoint, spoofed: {}, stray: true, title: `${endpoint.name}: ${title}`, raw: [frame(tokenOf(id, 'L'))].flat(), back: to !== undefined && to < endpoint.name,
      });
    }
  }

  fromOutside(): void {
    const { external, endpoints, legs } = this.#topology;
    const send = (name: string, address: string, destination_mac: string, protocols: readonly (readonly [ProbeProtocol, number])[], stray = false): void => {
      const source_ip = OUTSIDE.addresses[address.includes(':') ? 1 : 0];
      for (const [protocol, port] of protocols) this.#add('outside', name, { destination_mac, source_mac: OUTSIDE.mac, source_ip, destination_ip: address, protocol }, port, null, stray);
    };
    const all = [['icmp', 0], ...PROBED.tcp.map((port) => ['tcp', port] as const), ...PROBED.udp.map((port) => ['udp', port] as const), ['vrrp', 0]] as const;
    for (const endpoint of endpoints) {
      if (endpoint.floating) send(`${endpoint.name}'s floating IP`, endpoint.floating, addressOwners(this.#topology, external, null).get(endpoint.floating)!.mac, all);
      for (const address of endpoint.network_id === external ? endpoint.addresses : []) {
        send(endpoint.name, address, endpoint.mac, all);
        if (this.#link) this.#outOfState('outside', endpoint.name, { destination_mac: endpoint.mac, source_mac: OUTSIDE.mac, source_ip: OUTSIDE.addresses[address.includes(':') ? 1 : 0], destination_ip: address });
      }
      for (const leg of legs) {
        if (!leg.external || endpoint.network_id === external || !legs.some((other) => other.router_id === leg.router_id && other.network_id === endpoint.network_id)) continue;
        for (const address of endpoint.addresses) send(endpoint.name, address, leg.mac, [['icmp', 0], ['tcp', PROBED.tcp[0]]], true);
      }
    }
    for (const leg of legs) if (leg.external) for (const address of leg.addresses) send('router', address, leg.mac, [['icmp', 0]]);
  }

  #add(from: 'outside' | BuiltEndpoint, name: string, frame: Omit<ProbeFrame, 'id' | 'source_port' | 'destination_port' | 'answered'>, port: number, spoofed: MatrixProbe['spoofed'] = null, stray = false, answered: ProbeFrame['answered'] = spoofed === null): void {
    const id = this.#next++;
    const claim = spoofed ? ` claiming ${Object.values(spoofed).join(' ')}` : '';
    this.probes.push({
      frame: { ...frame, id, source_port: portOf(id), destination_port: port, answered },
      from, spoofed, stray,
      title: `${from === 'outside' ? from : from.name} to ${name} ${frame.destination_ip} ${frame.protocol}${port ? `/${port}` : ''}${claim}${typeof answered === 'string' ? `, ${answered}` : ''}`,
    });
  }

  /** To whom an endpoint sends for `address`; undefined when it has no way there. */
  #nextHop({ network_id, host }: BuiltEndpoint, address: string): AddressOwner | undefined {
    const owners = addressOwners(this.#topology, network_id, host);
    const subnets = this.#topology.subnets.filter((subnet) => subnet.network_id === network_id && subnet.cidr.includes(':') === address.includes(':'));
    const gateway = subnets[0]?.gateway_ip;
    if (!subnets.some((subnet) => cidrContains(parseCidr(subnet.cidr)!, parseIp(address)!))) return gateway ? owners.get(gateway) : undefined;
    const sharing = this.#topology.endpoints.filter((endpoint) => endpoint.network_id === network_id && endpoint.pair?.ip === address);
    return owners.get(address) ?? (sharing[0] && { mac: sharing[0].pair!.mac, answers: sharing.some((other) => !other.local || other.host === host) });
  }
}

/** On one network, and on one host where the network is local. */
function isBeside(one: BuiltEndpoint, other: BuiltEndpoint): boolean {
  return one.network_id === other.network_id && (!one.local || one.host === other.host);
}

/** Above the ports that are probed, and another for each probe. */
function portOf(id: number): number {
  return 10_000 + (id % 55_536);
}
