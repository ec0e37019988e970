/** The difference between the dnsmasq that shall serve a network and what runs and stands in its folder. Pure. */
import { sameArgs } from '#agent/drivers/daemon/plan.ts';
import { type DesiredDnsmasq, READ_FILES, type ReadFiles } from './desired.ts';
import { type Lease, type LeaseTable, parseBindings } from './parse.ts';

export interface FoundDnsmasq {
  /** The process that serves; null when none does. `elsewhere`: it is in another namespace than the network's. */
  readonly process: { readonly pid: number; readonly args: readonly string[]; readonly elsewhere: boolean } | null;
  /** What the files hold; undefined where one is missing. */
  readonly files: Partial<ReadFiles>;
  /** The hosts file before a change that was cut short; undefined when the last change was finished. */
  readonly unfinished: string | undefined;
  readonly leases: LeaseTable;
}

export interface DnsmasqPlan {
  readonly write: readonly (keyof ReadFiles)[];
  /** `reload` is a SIGHUP. */
  readonly action: 'none' | 'start' | 'restart' | 'reload';
  /** Leases that would keep their address from its new owner (trap 8), or an address that nobody has any more. */
  readonly stale: readonly Lease[];
}

export function planDnsmasq(desired: DesiredDnsmasq, found: FoundDnsmasq): DnsmasqPlan {
  const write = READ_FILES.filter((name) => found.files[name] !== desired.files[name]);
  const stale = staleLeases(desired, found);
  if (!found.process) return { write, action: 'start', stale };
  if (found.process.elsewhere || !sameArgs(found.process.args, desired.args)) return { write, action: 'restart', stale };
  return { write, action: write.length > 0 || found.unfinished !== undefined ? 'reload' : 'none', stale };
}

/**
 * An IPv4 lease names its MAC, so the table itself shows what is stale. One of DHCPv6 names only a DUID, which may come from any
 * interface of the guest: it is stale when its address went from one MAC to another since the last finished change.
 */
function staleLeases(desired: DesiredDnsmasq, found: FoundDnsmasq): Lease[] {
  let before: Map<string, string> | undefined;
  return found.leases.leases.filter((lease) => {
    const mac = desired.bindings.get(lease.ip);
    if (mac === undefined) return true;
    if (lease.version === 4) return lease.mac !== mac;
    before ??= parseBindings(found.unfinished ?? found.files.host ?? '');
    const had = before.get(lease.ip);
    return had !== undefined && had !== mac;
  });
}

/** The plan as an operator would say it; no lines when nothing is to be done. */
export function printDnsmasqPlan(desired: DesiredDnsmasq, plan: DnsmasqPlan): string[] {
  const release = plan.action === 'start' || plan.action === 'restart' ? 'forget lease' : 'dhcp_release';
  return [
    ...plan.write.map((name) => `write ${desired.folder}/${name}`),
    ...(plan.action === 'none' ? [] : [`${plan.action === 'reload' ? 'kill -HUP' : plan.action} dnsmasq`]),
    ...plan.stale.map((lease) => `${release} ${lease.ip} ${lease.version === 4 ? lease.mac : lease.duid}`),
  ];
}
