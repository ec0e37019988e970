/** Which host runs a new server: the one with the fewest. */
import { ApiError } from '#model/errors.ts';
import type { Context } from '../http/context.ts';
import type { ComputeHost, Load } from './hosts.ts';
import { mustBeAdmin } from './policy.ts';

/** What `availability_zone` asks for: a zone, and from an admin `zone:host`. */
export interface Placement {
  readonly zone: string | null;
  readonly host: string | null;
}

/** Reads `nova`, `nova:HOST` or `nova:HOST:NODE`; 403 for a host from anybody but admins, 400 for an unknown zone. */
export function readPlacement(context: Context, given: string | null | undefined, hosts: readonly ComputeHost[]): Placement {
  const [zone = '', host = '', node = ''] = (given ?? '').split(':');
  if (host !== '' || node !== '') mustBeAdmin(context, 'servers:create:forced_host');
  // With no host at all it is the scheduler that fails, and the server shows it.
  if (zone !== '' && hosts.length > 0 && !hosts.some((each) => each.zone === zone)) throw new ApiError('badRequest', { reason: 'The requested availability zone is not available' });
  return { zone: zone || null, host: host || node || null };
}

/** A host for each of `count` servers; `undefined` when none is alive that fits. Ties go to the first name. */
export function chooseHosts(hosts: readonly ComputeHost[], loads: ReadonlyMap<string, Load>, { zone, host }: Placement, count: number): ComputeHost[] | undefined {
  const fitting = hosts
    .filter((each) => each.alive && (zone === null || each.zone === zone) && (host === null || each.host === host))
    .map((each) => ({ each, servers: loads.get(each.host)?.servers ?? 0 }))
    .sort((a, b) => (a.each.host < b.each.host ? -1 : 1));
  if (fitting.length === 0) return undefined;
  return Array.from({ length: count }, () => {
    const least = fitting.reduce((best, one) => (one.servers < best.servers ? one : best));
    least.servers++;
    return least.each;
  });
}
