/** What is there of a link, on the host and inside its namespace. One program start reads the whole inside. */
import { readFile } from 'node:fs/promises';
import { inNamespace } from '#agent/drivers/command.ts';
import type { Route } from './desired.ts';

export interface FoundDevice {
  readonly mac: string;
  readonly mtu: number;
  readonly up: boolean;
  /** `address/prefix`, without the link-local one that the kernel makes. */
  readonly addresses: readonly string[];
}

export interface FoundInside {
  /** Without `lo`. */
  readonly devices: ReadonlyMap<string, FoundDevice>;
  readonly loopbackUp: boolean;
  /** Without the kernel's own. */
  readonly routes: readonly Route[];
  /** Transmit checksum offload of the device that was asked for. */
  readonly txOffload: boolean;
  /** `name=value` as asked for. */
  readonly sysctls: readonly string[];
}

/** The host's end. */
export interface FoundOutside {
  readonly mtu: number;
  readonly up: boolean;
}

const IFF_UP = 1;
const SEPARATOR = '\u0001';
const READ_INSIDE = `device=$1; shift
ip -j address show; printf '\\001'
ip -j -4 route show; printf '\\001'
ip -j -6 route show; printf '\\001'
ethtool -k "$device" 2>/dev/null | grep '^tx-checksumming:'; printf '\\001'
sysctl -e "$@" | sed 's/ = /=/'`;

export async function readInside(namespace: string, device: string, sysctlNames: readonly string[]): Promise<FoundInside> {
  return parseInside(await inNamespace(namespace, 'sh', ['-c', READ_INSIDE, 'sh', device, ...sysctlNames]));
}

/** The names of all devices in a namespace but `lo`. */
export async function readDeviceNames(namespace: string): Promise<string[]> {
  const links = JSON.parse(await inNamespace(namespace, 'ip', ['-j', 'link', 'show'])) as AddressJson[];
  return links.map((link) => link.ifname).filter((name) => name !== 'lo');
}

export async function readOutside(device: string): Promise<FoundOutside | undefined> {
  try {
    const [mtu, flags] = await Promise.all(['mtu', 'flags'].map((file) => readFile(`/sys/class/net/${device}/${file}`, 'utf8')));
    return { mtu: Number(mtu), up: (Number(flags) & IFF_UP) !== 0 };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
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
  gateway?: string;
  protocol?: string;
  flags: string[];
}

export function parseInside(text: string): FoundInside {
  const [addresses, routes4, routes6, offload, sysctls] = text.split(SEPARATOR).map((part) => part.trim());
  const links = parseJson<AddressJson>(addresses);
  const isUp = (link: AddressJson): boolean => link.flags.includes('UP');
  return {
    devices: new Map(links.filter((link) => link.ifname !== 'lo').map((link) => [link.ifname, {
      mac: link.address,
      mtu: link.mtu,
      up: isUp(link),
      addresses: link.addr_info
        .filter((info) => !(info.family === 'inet6' && info.scope === 'link'))
        .map((info) => `${info.local}/${info.prefixlen}`),
    }])),
    loopbackUp: links.some((link) => link.ifname === 'lo' && isUp(link)),
    routes: [...parseRoutes(parseJson<RouteJson>(routes4), 4), ...parseRoutes(parseJson<RouteJson>(routes6), 6)],
    txOffload: offload !== 'tx-checksumming: off',
    sysctls: sysctls ? sysctls.split('\n') : [],
  };
}

function parseRoutes(routes: readonly RouteJson[], version: 4 | 6): Route[] {
  return routes.filter((route) => route.protocol !== 'kernel').map((route) => ({
    version,
    destination: route.dst === 'default' || route.dst.includes('/') ? route.dst : `${route.dst}/${version === 4 ? 32 : 128}`,
    via: route.gateway ?? null,
    onlink: route.flags.includes('onlink'),
  }));
}

/** `ip -j` prints nothing at all for an empty table. */
function parseJson<T>(text: string | undefined): T[] {
  return text ? (JSON.parse(text) as T[]) : [];
}
