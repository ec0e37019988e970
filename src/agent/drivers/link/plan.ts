/** The difference between what a namespace shall hold and what is there, as the lines that `ip`, `sysctl` and `ethtool` take. */
import type { DesiredDevice, DesiredLinks, Route } from './desired.ts';
import type { FoundDevice, FoundInside, FoundOutside } from './parse.ts';

export interface LinkPlan {
  /** For `ip -n NAMESPACE -batch`, first of all: devices, routes and addresses of no use any more. */
  readonly takes: readonly string[];
  /** `name=value` for `sysctl -w` inside, before any device is made. */
  readonly sysctls: readonly string[];
  /** For `ip -batch` in the host's namespace. */
  readonly host: readonly string[];
  /** The host's ends on which its own stack is silenced before they come up. */
  readonly quiets: readonly string[];
  /** For `ip -n NAMESPACE -batch`, at the end. */
  readonly gives: readonly string[];
  /** Pairs that are new: whoever knew a device of this name has to forget it first. */
  readonly creates: readonly string[];
  /** Devices that go away. */
  readonly removesDevices: readonly string[];
  /** Userspace OVS passes TCP of a kernel endpoint only when that computes its checksums itself. */
  readonly txOff: readonly string[];
  /** `device address` of what is new there: neighbours may know it at another place. */
  readonly announces: readonly (readonly [device: string, address: string])[];
}

export function planLinks(desired: DesiredLinks, inside: FoundInside, outside: ReadonlyMap<string, FoundOutside>): LinkPlan {
  const takes: string[] = [];
  const host: string[] = [];
  const gives: string[] = [];
  const creates: string[] = [];
  const announces: [string, string][] = [];
  const pairs = new Map<string, FoundDevice>();
  for (const [name, found] of inside.devices) if (outside.has(name) && desired.devices.some((device) => device.name === name)) pairs.set(name, found);
  const removesDevices = [...inside.devices.keys()].filter((name) => !pairs.has(name));
  const quiets = desired.devices.filter(({ name }) => !pairs.has(name) || !outside.get(name)!.quiet).map(({ name }) => name);

  takes.push(...removesDevices.map((name) => `link del ${name}`));
  if (!inside.loopbackUp) gives.push('link set lo up');
  for (const device of desired.devices) {
    const found = pairs.get(device.name);
    const end = outside.get(device.name);
    if (found) host.push(...hostLines(device, end!));
    else {
      // Half a pair is of no use: its other end went elsewhere.
      if (end) host.push(`link del ${device.name}`);
      creates.push(device.name);
      host.push(`link add ${device.name} mtu ${device.mtu} type veth peer name ${device.name} netns ${desired.namespace} address ${device.mac} mtu ${device.mtu}`);
    }
    gives.push(...deviceLines(device, found));
    for (const address of found?.addresses ?? []) if (!device.addresses.includes(address)) takes.push(`address del ${address} dev ${device.name}`);
    for (const address of device.addresses) {
      if (found?.addresses.includes(address)) continue;
      gives.push(`address add ${address} dev ${device.name}${address.includes(':') ? ' nodad' : ''}`);
      announces.push([device.name, address.slice(0, address.indexOf('/'))]);
    }
  }
  const routes = planRoutes(desired, inside.routes.filter((route) => !vanishes(route, desired, pairs)));
  return {
    // Routes first: the kernel takes some away with an address, and then they cannot be deleted.
    takes: [...routes.takes, ...takes],
    sysctls: desired.sysctls.filter((setting) => !inside.sysctls.includes(setting)),
    host, quiets, gives: [...gives, ...routes.gives], creates, removesDevices,
    txOff: desired.devices.filter(({ name }) => pairs.get(name)?.txOffload ?? true).map(({ name }) => name),
    announces,
  };
}

function hostLines(device: DesiredDevice, end: FoundOutside): string[] {
  return [...(end.mtu === device.mtu ? [] : [`link set ${device.name} mtu ${device.mtu}`]), ...(end.up ? [] : [`link set ${device.name} up`])];
}

function deviceLines({ name, mac, mtu }: DesiredDevice, found: FoundDevice | undefined): string[] {
  return [
    ...(found && found.mac !== mac ? [`link set ${name} address ${mac}`] : []),
    ...(found && found.mtu !== mtu ? [`link set ${name} mtu ${mtu}`] : []),
    ...(found?.up ? [] : [`link set ${name} up`]),
  ];
}

/** True for a route that goes with its device, or with the last IPv4 address of its device. */
function vanishes(route: Route, desired: DesiredLinks, pairs: ReadonlyMap<string, FoundDevice>): boolean {
  const found = pairs.get(route.device);
  if (!found) return true;
  if (route.version === 6) return false;
  const wanted = desired.devices.find(({ name }) => name === route.device)!.addresses;
  const had = found.addresses.filter((address) => !address.includes(':'));
  return had.length > 0 && !had.some((address) => wanted.includes(address));
}

function planRoutes(desired: DesiredLinks, had: readonly Route[]): { takes: string[]; gives: string[] } {
  // The family follows from the addresses: lines of a batch take no -6.
  const text = ({ destination, via, device, onlink }: Route): string => `${destination}${via === null ? '' : ` via ${via}`} dev ${device}${onlink ? ' onlink' : ''}`;
  const wanted = desired.routes.map(text);
  const present = had.map(text);
  const kept = new Set(desired.routes.map((route) => `${route.version} ${route.destination}`));
  return {
    takes: had.filter((route) => !kept.has(`${route.version} ${route.destination}`)).map((route) => `route del ${text(route)}`),
    gives: wanted.filter((route) => !present.includes(route)).map((route) => `route replace ${route}`),
  };
}

/** The plan as an operator would type it; no lines when nothing is to be done. */
export function printLinkPlan({ namespace }: DesiredLinks, plan: LinkPlan): string[] {
  const inside = `ip netns exec ${namespace}`;
  return [
    ...plan.takes.map((line) => `ip -n ${namespace} ${line}`),
    ...(plan.sysctls.length > 0 ? [`${inside} sysctl -qw ${plan.sysctls.join(' ')}`] : []),
    ...plan.host.map((line) => `ip ${line}`),
    ...plan.quiets.map((device) => `sysctl -qw net.ipv4.conf.${device}.arp_ignore=8`),
    ...plan.creates.map((device) => `ip link set ${device} up`),
    ...plan.gives.map((line) => `ip -n ${namespace} ${line}`),
    ...plan.txOff.map((device) => `${inside} ethtool -K ${device} tx off`),
  ];
}
