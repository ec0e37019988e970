/** Ports: what a client may see of them and ask for. How they come to be and change is in port-create.ts and port-update.ts. */
import { ApiError } from '#model/errors.ts';
import { network, port } from '#model/networks.ts';
import { normalizeIp } from '#net/ip.ts';
import type { Reader } from '#store/store.ts';
import { Table } from '#store/table.ts';
import type { Context } from '../http/context.ts';
import { aliveHosts } from './agents.ts';
import { ensureDhcp } from './dhcp-scheduling.ts';
import { dnsAssignment } from './dns-names.ts';
import { createPorts, type NewPort } from './port-create.ts';
import { ownsNetwork } from './port-policy.ts';
import { deletePorts, updatePort } from './port-update.ts';
import { requireDeletable, requireLegKept, requireNoLeg } from './router-port-policy.ts';
import type { NetworkDeps, Rule } from './rule.ts';

const networks = new Table(network);

export function portsRule({ config }: NetworkDeps): Rule<typeof port> {
  return {
    resource: port,
    async create(tx, context, given) {
      for (const one of given as readonly NewPort[]) await requireNoLeg(tx, context, 'create', { device_owner: '', device_id: '', ...one });
      return createPorts(tx, config, context, given as readonly NewPort[]);
    },
    async update(tx, context, current, changes) {
      if (!context.is_admin && current.project_id !== context.project_id) throw new ApiError('PolicyNotAuthorized', { rule: 'update_port' });
      await requireLegKept(tx, context, current, changes);
      return updatePort(tx, config, context, current, changes);
    },
    async delete(tx, context, current) {
      await requireDeletable(tx, current);
      await deletePorts(tx, [current], context);
      // Its network still needs the server: another port takes its place, as Neutron's agent makes one.
      const home = current.device_owner === 'network:dhcp' ? await networks.get(tx, current.network_id) : undefined;
      if (home) await ensureDhcp(tx, config, home, await aliveHosts(tx, config, 'DHCP agent'));
    },
    present: async (_reader, _context, objects) => objects.map((one) => ({ dns_assignment: dnsAssignment(config, one), ip_allocation: one.fixed_ips.length > 0 ? 'immediate' : 'none' })),
    visible: visiblePorts,
    filters: { fixed_ips: byFixedIps, security_groups: byGroups },
    // Who owns the network may also remove others' ports from it; `update` refuses the rest.
    owns: async (reader, context, current) => current.project_id === context.project_id || ownsNetwork(context, await networks.get(reader, current.network_id)),
    ownsNetwork: async (reader: Reader, context, given) => ownsNetwork(context, given.network_id === undefined ? undefined : await networks.get(reader, given.network_id)),
  };
}

/** A network's owner sees every port on it, whose ever it is (N-ML2-25). */
export function visiblePorts(query: any, context: Context): any {
  return query.where((e: any) => e.or([
    e('ports.project_id', '=', context.project_id),
    e('ports.network_id', 'in', e.selectFrom('networks').select('id').where('project_id', '=', context.project_id)),
  ]));
}

/** `ip_address=…`, `subnet_id=…` and `ip_address_substr=…`, each with any of its values (extension ip-substring-filtering). */
function byFixedIps(query: any, values: readonly string[]): any {
  const wanted = Map.groupBy(values.map((value) => /^(ip_address|subnet_id|ip_address_substr)=(.*)$/s.exec(value) ?? badFilter(value)), (match) => match[1]!);
  return query.where((e: any) => {
    let ids = e.selectFrom('ip_allocations').select('port_id');
    for (const [key, matches] of wanted) {
      const given = matches.map((match) => match[2]!);
      if (key === 'ip_address_substr') ids = ids.where((a: any) => a.or(given.map((part) => a('ip_address', 'like', `%${substring(part)}%`))));
      else ids = ids.where(key, 'in', key === 'ip_address' ? given.map((ip) => normalizeIp(ip) ?? ip) : given);
    }
    return e('ports.id', 'in', ids);
  });
}

/** Only what an address is made of: nothing here means more than itself to LIKE. */
function substring(part: string): string {
  return /^[0-9a-fA-F.:]{0,45}$/.test(part) ? part.toLowerCase() : badFilter(part);
}

function badFilter(value: string): never {
  throw new ApiError('HTTPBadRequest', { reason: `Invalid input for fixed_ips. Reason: '${value.slice(0, 60)}' is none of ip_address=, subnet_id= and ip_address_substr=.` });
}

function byGroups(query: any, values: readonly string[]): any {
  return query.where((e: any) => e('ports.id', 'in', e.selectFrom('port_security_groups').select('port_id').where('security_group_id', 'in', values)));
}
