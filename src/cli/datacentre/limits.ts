/** Limits of the kernel that all namespaces of a machine share (dataplane.md trap 9). */
import { readFileSync, readdirSync, readlinkSync, writeFileSync } from 'node:fs';

export interface Limit {
  readonly sysctl: string;
  readonly current: number;
  readonly needed: number;
}

/** What `up --raise-limits` changed, for `down` to restore. */
export interface RaisedLimit {
  readonly sysctl: string;
  readonly before: number;
  readonly raised: number;
}

/** dnsmasq and cloud tools take a few each; a host's own daemons take none. */
const INOTIFY_PER_HOST = 4;
/** Gateway, peers met by the kernel, DHCP and router namespaces of a host. */
const NEIGHBOURS_PER_HOST = 32;

/** Reading and writing sysctls; a port, so that a test can stand in for the machine. */
export interface SysctlPort {
  read(sysctl: string): number;
  write(sysctl: string, value: number): void;
  /** How many inotify instances root holds now. */
  inotifyInstances(): number;
}

export const machineSysctls: SysctlPort = {
  read: readSysctl,
  write: (sysctl, value) => writeFileSync(sysctlPath(sysctl), String(value)),
  inotifyInstances: countInotifyInstances,
};

/** The shared limits that `hosts` simulated hosts would exceed. */
export function missingLimits(hosts: number, port: SysctlPort = machineSysctls): Limit[] {
  const limits = [
    { sysctl: 'fs.inotify.max_user_instances', needed: port.inotifyInstances() + hosts * INOTIFY_PER_HOST },
    { sysctl: 'net.ipv4.neigh.default.gc_thresh3', needed: hosts * NEIGHBOURS_PER_HOST },
    { sysctl: 'net.ipv6.neigh.default.gc_thresh3', needed: hosts * NEIGHBOURS_PER_HOST },
  ];
  return limits.map((limit) => ({ ...limit, current: port.read(limit.sysctl) })).filter(({ current, needed }) => needed > current);
}

/** The line with which `up` refuses. */
export function formatMissingLimits(hosts: number, limits: readonly Limit[]): string {
  const each = limits.map(({ sysctl, current, needed }) => `${sysctl} is ${current}, ${needed} needed`);
  return `${hosts} hosts exceed limits of this machine (${each.join('; ')}): use fewer hosts, or --raise-limits to set them until \`down\``;
}

/** Sets each limit to what is needed and returns what to restore. */
export function raiseLimits(limits: readonly Limit[], port: SysctlPort = machineSysctls): RaisedLimit[] {
  return limits.map(({ sysctl, current, needed }) => {
    port.write(sysctl, needed);
    return { sysctl, before: current, raised: needed };
  });
}

/** Puts the former values back, but for those that somebody else has set since. */
export function restoreLimits(raised: readonly RaisedLimit[], port: SysctlPort = machineSysctls): void {
  for (const { sysctl, before, raised: ours } of raised) if (port.read(sysctl) === ours) port.write(sysctl, before);
}

/** A limit that this namespace does not show (we run inside a container) cannot be the one that we hit first. */
function readSysctl(sysctl: string): number {
  try {
    return Number(readFileSync(sysctlPath(sysctl), 'utf8'));
  } catch {
    return Infinity;
  }
}

function sysctlPath(sysctl: string): string {
  return `/proc/sys/${sysctl.replaceAll('.', '/')}`;
}

function countInotifyInstances(): number {
  let count = 0;
  for (const pid of readdirSync('/proc').filter((name) => /^[0-9]+$/.test(name))) {
    try {
      for (const fd of readdirSync(`/proc/${pid}/fd`)) if (readlinkSync(`/proc/${pid}/fd/${fd}`) === 'anon_inode:inotify') count++;
    } catch {
      // ended meanwhile
    }
  }
  return count;
}
