/** What is there: devices, addresses, routes and settings of a namespace, and the host's ends of its pairs. One program start reads a whole inside. */
import { readFile } from 'node:fs/promises';
import { inNamespace } from '#agent/drivers/command.ts';
import { linkLocalOf } from '#net/ip.ts';
import type { DesiredLinks, Route } from './desired.ts';
import { isQuiet } from './quiet.ts';

export interface FoundDevice {
  readonly mac: string;
  readonly mtu: number;
  readonly up: boolean;
  /** `address/prefix`, without the link-local one that the kernel makes of the MAC. */
  readonly addresses: readonly string[];
  /** Transmit checksum offload. */
  readonly txOffload: boolean;
}

export interface FoundInside {
  /** Without `lo`. */
  readonly devices: ReadonlyMap<string, FoundDevice>;
  readonly loopbackUp: boolean;
  /** Without the kernel's own. */
  readonly routes: readonly Route[];
  /** `name=value` of those asked for. */
  readonly sysctls: readonly string[];
}

/** The host's end of a pair. */
export interface FoundOutside {
  readonly mtu: number;
  readonly up: boolean;
  /** The host's own stack does not answer on it. */
  readonly quiet: boolean;
}

export const EMPTY_INSIDE: FoundInside = { devices: new Map(), loopbackUp: false, routes: [], sysctls: [] };

const IFF_UP = 1;
const SEPARATOR = '\u0001';
const READ_INSIDE = `ip -j address show; printf '\\001'
ip -j -4 route show; printf '\\001'
ip -j -6 route show; printf '\\001'
for path in /sys/class/net/*; do device=\${path##*/}; [ "$device" = lo ] || echo "$device $(ethtool -k "$device" 2>/dev/null | grep '^tx-checksumming:')"; done; printf '\\001'
sysctl -e "$@" | sed 's/ = /=/'`;

/** Reads a namespace that exists; `sysctls` as in DesiredLinks. */
export async function readInside(namespace: string, sysctls: readonly string[]): Promise<FoundInside> {
  const names = sysctls.map((setting) => setting.slice(0, setting.indexOf('=')));
  return parseInside(await inNamespace(namespace, 'sh', ['-c', READ_INSIDE, 'sh', ...names]));
}

/** The names of all devices in a namespace but `lo`. */
export async function readDeviceNames(namespace: string): Promise<string[]> {
  const links = JSON.parse(await inNamespace(namespace, 'ip', ['-j', 'link', 'show'])) as AddressJson[];
  return links.map((link) => link.ifname).filter((name) => name !== 'lo');
}

/** The host's ends that are there, by device name. */
export async function readOutside(devices: Iterable<string>): Promise<Map<string, FoundOutside>> {
  const found = new Map<string, FoundOutside>();
  for (const device of devices) {
    try {
      const [mtu, flags] = await Promise.all(['mtu', 'flags'].map((file) => readFile(`/sys/class/net/${device}/${file}`, 'utf8')));
      found.set(device, { mtu: Number(mtu), up: (Number(flags) & IFF_UP) !== 0, quiet: isQuiet(device) });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    }
  }
  return found;
}

/** What a reading would find where `desired` is true: the mirror after a plan was carried out. */
export function asFound(desired: DesiredLinks): { inside: FoundInside; outside: Map<string, FoundOutside> } {
  return {
    inside: {
      devices: new Map(desired.devices.map(({ name, mac, mtu, addresses }) => [name, { mac, mtu, up: true, addresses, txOffload: false }])),
      loopbackUp: true, routes: desired.routes, sysctls: desired.sysctls,
    },
    outside: new Map(desired.devices.map(({ name, mtu }) => [name, { mtu, up: true, quiet: true }])),
  };
}

interface AddressJson {
  ifname: string;
  flags: string[];
  mtu: number;
  address: string;
  addr_info: { family: string; local: string; prefixlen: number; scope: string }[];
}

interface RouteJson {
  dst: string;
  dev: string;
  gateway?: string;
  protocol?: string;
  flags: string[];
}

export function parseInside(text: string): FoundInside {
  const [addresses, routes4, routes6, offload, sysctls] = text.split(SEPARATOR).map((part) => part.trim());
  const links = parseJson<AddressJson>(addresses);
  const withoutOffload = new Set((offload ?? '').split('\n').filter((line) => line.endsWith(' tx-checksumming: off')).map((line) => line.split(' ')[0]));
  const isUp = (link: AddressJson): boolean => link.flags.includes('UP');
  return {
    devices: new Map(links.filter((link) => link.ifname !== 'lo').map((link) => [link.ifname, {
      mac: link.address,
      mtu: link.mtu,
      up: isUp(link),
      addresses: link.addr_info.filter((info) => info.local !== kernelsOwn(link)).map((info) => `${info.local}/${info.prefixlen}`),
      txOffload: !withoutOffload.has(link.ifname),
    }])),
    loopbackUp: links.some((link) => link.ifname === 'lo' && isUp(link)),
    routes: [...parseRoutes(parseJson<RouteJson>(routes4), 4), ...parseRoutes(parseJson<RouteJson>(routes6), 6)],
    sysctls: sysctls ? sysctls.split('\n') : [],
  };
}

function kernelsOwn(link: AddressJson): string {
  return linkLocalOf(link.address);
}

function parseRoutes(routes: readonly RouteJson[], version: 4 | 6): Route[] {
  return routes.filter((route) => route.protocol !== 'kernel').map((route) => ({
    version,
    destination: route.dst === 'default' || route.dst.includes('/') ? route.dst : `${route.dst}/${version === 4 ? 32 : 128}`,
    via: route.gateway ?? null,
    device: route.dev,
    onlink: route.flags.includes('onlink'),
  }));
}

/** `ip -j` prints nothing at all for an empty table. */
function parseJson<T>(text: string | undefined): T[] {
  return text ? (JSON.parse(text) as T[]) : [];
}
