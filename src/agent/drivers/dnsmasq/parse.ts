/** Files of a running dnsmasq as data: its leases and the hosts file it was given. */
import { normalizeIp } from '#net/ip.ts';
import { parseMac } from '#net/mac.ts';

export interface Lease4 {
  readonly version: 4;
  readonly ip: string;
  readonly mac: string;
  /** As the client gave it (hex pairs), or null. */
  readonly client_id: string | null;
}

export interface Lease6 {
  readonly version: 6;
  readonly ip: string;
  readonly iaid: string;
  readonly duid: string;
}

export type Lease = Lease4 | Lease6;

export interface LeaseTable {
  readonly leases: readonly Lease[];
  /** Known as soon as DHCPv6 is served. */
  readonly serverDuid: string | null;
}

const HEX = /^[0-9a-f]{2}(:[0-9a-f]{2})*$/i;

/**
 * Reads a lease file: `expiry mac ip name client-id` lines, then `duid SERVER` and `expiry iaid ip name duid` lines. Others (a line cut
 * short while dnsmasq writes, other link layers) are skipped.
 */
export function parseLeases(text: string): LeaseTable {
  const leases: Lease[] = [];
  let serverDuid: string | null = null;
  for (const line of text.split('\n')) {
    const [expiry, who, where, , id] = line.split(' ');
    if (expiry === 'duid') {
      serverDuid = who && HEX.test(who) ? who : null;
      continue;
    }
    const ip = where === undefined ? undefined : normalizeIp(where);
    if (!ip || !who || id === undefined) continue;
    const mac = parseMac(who);
    if (mac && !ip.includes(':')) leases.push({ version: 4, ip, mac, client_id: HEX.test(id) ? id : null });
    else if (ip.includes(':') && /^\d+$/.test(who) && HEX.test(id)) leases.push({ version: 6, ip, iaid: who, duid: id });
  }
  return { leases, serverDuid };
}

/** The lease file without the lines of `stale`. */
export function withoutLeases(text: string, stale: readonly Lease[]): string {
  const gone = new Set(stale.map((lease) => lease.ip));
  return text.split('\n').filter((line) => !gone.has(normalizeIp(line.split(' ')[2] ?? '') ?? '')).join('\n');
}

/** Which address a hosts file gives to which MAC. */
export function parseBindings(text: string): Map<string, string> {
  const bindings = new Map<string, string>();
  for (const line of text.split('\n')) {
    const [mac, address] = line.split(',');
    const ip = address === undefined ? undefined : normalizeIp(address.replace(/^\[|\]$/g, ''));
    if (ip) bindings.set(ip, mac!);
  }
  return bindings;
}
