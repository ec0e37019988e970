/** The difference between a link that shall be and what is there, as the lines that `ip`, `sysctl` and `ethtool` take. */
import type { DesiredLink, Route } from './desired.ts';
import type { FoundInside, FoundOutside } from './parse.ts';

export interface LinkPlan {
  /** For `ip -n NAMESPACE -batch`, before the pair is made: devices of no use any more. */
  readonly removals: readonly string[];
  /** For `ip -batch` in the host's namespace. */
  readonly host: readonly string[];
  /** `name=value` for `sysctl -w` inside, before any device is made. */
  readonly sysctls: readonly string[];
  /** For `ip -n NAMESPACE -batch`, after the pair exists. */
  readonly inside: readonly string[];
  /** Both ends are new: whoever knew a device of this name has to forget it first. */
  readonly creates: boolean;
  /** Devices that go away. */
  readonly removesDevices: readonly string[];
  /** Userspace OVS passes TCP of a kernel endpoint only when that computes its checksums itself. */
  readonly txOff: boolean;
}

/**
 * Settings of a DHCP namespace: it takes nothing from router advertisements, forwards nothing, uses an IPv6 address at once, and keeps
 * its other addresses when the first of a prefix goes.
 */
export const NAMESPACE_SYSCTLS = [
  'net.ipv4.ip_forward=0',
  'net.ipv4.conf.all.promote_secondaries=1',
  'net.ipv6.conf.default.disable_ipv6=0',
  'net.ipv6.conf.default.accept_ra=0',
  'net.ipv6.conf.default.accept_dad=0',
  'net.ipv6.conf.all.accept_dad=0',
  'net.ipv6.conf.all.forwarding=0',
];

export function planLink(desired: DesiredLink, inside: FoundInside, outside: FoundOutside | undefined): LinkPlan {
  const { device } = desired;
  const found = outside ? inside.devices.get(device) : undefined;
  const host: string[] = [];
  const lines: string[] = [];

  // Half a pair is of no use: its other end went elsewhere.
  if (!found && outside) host.push(`link del ${device}`);
  if (!found) {
    host.push(`link add ${device} mtu ${desired.mtu} type veth peer name ${device} netns ${desired.namespace} address ${desired.mac} mtu ${desired.mtu}`);
  } else if (outside!.mtu !== desired.mtu) host.push(`link set ${device} mtu ${desired.mtu}`);
  if (!found || !outside!.up) host.push(`link set ${device} up`);

  const removesDevices = [...inside.devices.keys()].filter((name) => name !== device || !found);
  if (!inside.loopbackUp) lines.push('link set lo up');
  if (found && found.mac !== desired.mac) lines.push(`link set ${device} address ${desired.mac}`);
  if (found && found.mtu !== desired.mtu) lines.push(`link set ${device} mtu ${desired.mtu}`);
  if (!found?.up) lines.push(`link set ${device} up`);
  const had = found?.addresses ?? [];
  for (const address of desired.addresses) {
    if (!had.includes(address)) lines.push(`address add ${address} dev ${device}${address.includes(':') ? ' nodad' : ''}`);
  }
  for (const address of had) if (!desired.addresses.includes(address)) lines.push(`address del ${address} dev ${device}`);
  lines.push(...planRoutes(desired, found ? inside.routes : []));

  return {
    removals: removesDevices.map((name) => `link del ${name}`),
    host,
    sysctls: NAMESPACE_SYSCTLS.filter((setting) => !inside.sysctls.includes(setting)),
    inside: lines,
    creates: !found,
    removesDevices,
    txOff: !found || inside.txOffload,
  };
}

function planRoutes(desired: DesiredLink, had: readonly Route[]): string[] {
  // The family follows from the addresses: lines of a batch take no -6.
  const text = ({ destination, via, onlink }: Route): string =>
    `${destination}${via === null ? '' : ` via ${via}`} dev ${desired.device}${onlink ? ' onlink' : ''}`;
  const wanted = desired.routes.map(text);
  const present = had.map(text);
  const kept = new Set(desired.routes.map((route) => `${route.version} ${route.destination}`));
  return [
    ...wanted.filter((route) => !present.includes(route)).map((route) => `route replace ${route}`),
    ...had.filter((route) => !kept.has(`${route.version} ${route.destination}`)).map((route) => `route del ${text(route)}`),
  ];
}

/** The plan as an operator would type it; no lines when nothing is to be done. */
export function printLinkPlan(desired: DesiredLink, plan: LinkPlan): string[] {
  const inside = `ip netns exec ${desired.namespace}`;
  return [
    ...(plan.sysctls.length > 0 ? [`${inside} sysctl -qw ${plan.sysctls.join(' ')}`] : []),
    ...plan.removals.map((line) => `ip -n ${desired.namespace} ${line}`),
    ...plan.host.map((line) => `ip ${line}`),
    ...plan.inside.map((line) => `ip -n ${desired.namespace} ${line}`),
    ...(plan.txOff ? [`${inside} ethtool -K ${desired.device} tx off`] : []),
  ];
}
