/** What a network namespace of ours shall hold: devices plugged into br-int, their addresses, routes, settings. */

export interface Route {
  readonly version: 4 | 6;
  /** `default` or a prefix, as `ip route` prints it. */
  readonly destination: string;
  /** null is on the link. */
  readonly via: string | null;
  readonly device: string;
  /** The next hop is in no prefix of the device. */
  readonly onlink: boolean;
}

/** One end of a veth pair; the other, of the same name, is in the host's namespace. */
export interface DesiredDevice {
  readonly name: string;
  readonly mac: string;
  readonly mtu: number;
  /** `address/prefix` in canonical form; link-local ones that the kernel makes are not among them. */
  readonly addresses: readonly string[];
}

export interface DesiredLinks {
  readonly namespace: string;
  /** `name=value`, set before any device is made. */
  readonly sysctls: readonly string[];
  readonly devices: readonly DesiredDevice[];
  /** One for each destination. */
  readonly routes: readonly Route[];
}

/** Settings of all our namespaces: nothing is taken from router advertisements, IPv6 addresses serve at once, and those left stay when the first of a prefix goes. */
export const COMMON_SYSCTLS: readonly string[] = [
  'net.ipv4.conf.all.promote_secondaries=1',
  'net.ipv6.conf.default.disable_ipv6=0',
  'net.ipv6.conf.default.accept_ra=0',
  'net.ipv6.conf.default.accept_dad=0',
  'net.ipv6.conf.all.accept_dad=0',
];
