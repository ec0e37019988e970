/** Options that describe the simulated data centre: its hosts, and the bridge that joins them where no wire does. */
import { parseCidr } from '#net/cidr.ts';
import { formatIp, parseIp } from '#net/ip.ts';
import { enumeration, integer, InvalidValue, type Kind, list, nullable, object, text } from './kind.ts';

/** What a host is for (N-NN-1); the agent tells the controller in its hello (src/protocol/messages.ts). */
const HOST_ROLES = ['compute', 'network'] as const;
type HostRole = (typeof HOST_ROLES)[number];

export const MAX_HOSTS = 200;
/** Addresses from 192.168.x.12 to .20. */
const MAX_NETWORK_NODES = 9;

export interface HostEntry {
  readonly name: string;
  readonly roles: readonly HostRole[];
}

/** A bridge on every host, joined by VXLAN around one of them: a physical network where there is none (N-NN-4). */
export interface ExternalBridge {
  readonly name: string;
  readonly vni: number;
  /** The host in the middle: it has the address, and is the way to the world. */
  readonly hub: string;
  /** ADDRESS/PREFIX of the hub on the bridge. */
  readonly address: string;
  readonly mtu: number;
}

const hostList = list(object({ name: text(), roles: list(enumeration(...HOST_ROLES), { unique: true }) }, ['name', 'roles']), { max: MAX_HOSTS + MAX_NETWORK_NODES }) as Kind<HostEntry[]>;

/** How many hosts, or which: names become parts of link names, which have at most 15 characters. */
export const hosts: Kind<number | readonly HostEntry[]> = {
  column: 'json',
  schema: () => hostList.schema(),
  convert(value) {
    if (!Array.isArray(value)) return integer(1, MAX_HOSTS).convert(value);
    const entries = hostList.convert(value);
    for (const [i, { name, roles }] of entries.entries()) {
      if (!/^[a-z][a-z0-9]{0,9}$/.test(name)) throw new InvalidValue(`the name '${name}' is not 1 to 10 lower-case letters and digits that begin with a letter`);
      if (['controller', 'fabric', 'outside'].includes(name)) throw new InvalidValue(`the name '${name}' is taken`);
      if (entries.findIndex((other) => other.name === name) < i) throw new InvalidValue(`two hosts have the name '${name}'`);
      if (roles.length === 0) throw new InvalidValue(`${name} has no role; roles are ${HOST_ROLES.join(' and ')}`);
    }
    for (const role of HOST_ROLES) if (!entries.some(({ roles }) => roles.includes(role))) throw new InvalidValue(`no host has the role ${role}`);
    const computes = entries.filter(({ roles }) => roles.includes('compute')).length;
    if (computes > MAX_HOSTS) throw new InvalidValue(`${computes} hosts with the role compute are more than ${MAX_HOSTS}`);
    if (entries.length - computes > MAX_NETWORK_NODES) throw new InvalidValue(`${entries.length - computes} hosts with no role but network are more than ${MAX_NETWORK_NODES}`);
    return entries;
  },
};

const bridge = object({ name: text(15), vni: integer(1, 2 ** 24 - 1), hub: text(), address: text(), mtu: integer(68, 65_535) }, ['hub']);
const BRIDGE_DEFAULTS = { name: 'br-ext', vni: 100, address: '172.16.0.1/24', mtu: 1450 };

export const externalBridge: Kind<ExternalBridge | null> = nullable({
  column: 'json',
  schema: bridge.schema,
  convert(value) {
    const given = { ...BRIDGE_DEFAULTS, ...(bridge.convert(value) as { hub: string }) };
    if (!/^[a-z][a-z0-9-]{0,14}$/.test(given.name) || ['br-int', 'br-tun', 'br-phys', 'br-underlay'].includes(given.name)) throw new InvalidValue(`'${given.name}' is no name for another bridge`);
    return { ...given, address: hostAddress(given.address) };
  },
});

/** Throws when the bridge does not fit to the other options. */
export function checkExternalBridge(given: ExternalBridge, others: { hosts: number | readonly HostEntry[]; vniPool: readonly { first: number; last: number }[]; global_physnet_mtu: number }): void {
  const names = typeof others.hosts === 'number' ? Array.from({ length: others.hosts }, (_, i) => `compute${i + 1}`) : others.hosts.map(({ name }) => name);
  if (!names.includes(given.hub)) throw new Error(`config: external_bridge: the hub '${given.hub}' is none of the hosts`);
  // One UDP port for both: the VNI alone keeps them apart (N-VX-13).
  if (others.vniPool.some(({ first, last }) => first <= given.vni && given.vni <= last)) throw new Error(`config: external_bridge: the vni ${given.vni} is within vni_ranges: a network of a tenant could get it`);
  // A VXLAN header and an Ethernet header more must fit into the underlay, which carries 100 bytes more than the physical network.
  if (given.mtu > others.global_physnet_mtu + 50) throw new Error(`config: external_bridge: the mtu ${given.mtu} does not fit into a tunnel; at most global_physnet_mtu + 50 = ${others.global_physnet_mtu + 50} does`);
}

/** ADDRESS/PREFIX of an IPv4 interface, in canonical form. */
function hostAddress(given: string): string {
  const cidr = given.includes('/') ? parseCidr(given) : undefined;
  const ip = parseIp(given.split('/')[0]!);
  if (!cidr || cidr.version !== 4 || !ip || cidr.prefix > 30 || ip.value === cidr.base) throw new InvalidValue(`'${given}' is not an IPv4 address of a host with its prefix length, as 172.16.0.1/24`);
  return `${formatIp(ip)}/${cidr.prefix}`;
}
