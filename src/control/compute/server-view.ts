/** Servers as the API shows them, by role and microversion. */
import { createHash } from 'node:crypto';
import type { Server } from '#model/compute.ts';
import type { FixedIp, Port } from '#model/networks.ts';
import { securityGroup as securityGroupResource } from '#model/security-groups.ts';
import { parseIp } from '#net/ip.ts';
import type { Reader } from '#store/store.ts';
import { Table } from '#store/table.ts';
import type { Context } from '../http/context.ts';
import { flavorLinks } from './flavors.ts';
import { novaTime } from './hosts.ts';
import { networks } from './requested-networks.ts';
import { portsOf, VM_STATES } from './servers.ts';

const securityGroups = new Table(securityGroupResource);

export interface View {
  readonly publicEndpoint: string;
  readonly context: Context;
  readonly microversion: number;
  /** Names of hosts whose agent reports. */
  readonly aliveHosts: ReadonlySet<string>;
}

export function serverLinks(publicEndpoint: string, id: string): unknown[] {
  return [{ rel: 'self', href: `${publicEndpoint}/compute/v2.1/servers/${id}` }, { rel: 'bookmark', href: `${publicEndpoint}/compute/servers/${id}` }];
}

/** Full views of a page of servers, with the same few reads for one and for a thousand. */
export async function detailed(reader: Reader, view: View, page: readonly Server[]): Promise<Record<string, unknown>[]> {
  const ports = await portsOf(reader, page);
  const all = [...ports.values()].flat();
  const floating = await floatingOf(reader, all);
  const networkNames = new Map((await networks.getMany(reader, distinct(all.map(({ network_id }) => network_id)))).map(({ id, name }) => [id, name]));
  const groupNames = new Map((await securityGroups.getMany(reader, distinct(all.flatMap((port) => port.security_groups ?? [])))).map(({ id, name }) => [id, name]));
  return page.map((server) => wire(server, view, ports.get(server.id) ?? [], floating, networkNames, groupNames));
}

function wire(server: Server, view: View, ports: readonly Port[], floating: FloatingOf, networkNames: ReadonlyMap<string, string>, groupNames: ReadonlyMap<string, string>): Record<string, unknown> {
  const { publicEndpoint, context: { is_admin }, microversion } = view;
  const groups = distinct(ports.flatMap((port) => port.security_groups ?? [])).flatMap((id) => (groupNames.has(id) ? [{ name: groupNames.get(id) }] : []));
  return {
    id: server.id, name: server.name, status: statusOf(server), tenant_id: server.project_id, user_id: server.user_id, metadata: server.metadata,
    hostId: server.host === null ? '' : createHash('sha224').update(`${server.project_id}${server.host}`).digest('hex'),
    image: { id: server.image_id, links: [{ rel: 'bookmark', href: `${publicEndpoint}/compute/images/${server.image_id}` }] },
    flavor: { id: server.flavor_id, links: flavorLinks(publicEndpoint, server.flavor_id).slice(1) },
    created: server.created_at, updated: server.updated_at, addresses: addresses(ports, floating, networkNames), accessIPv4: server.access_ip_v4, accessIPv6: server.access_ip_v6,
    links: serverLinks(publicEndpoint, server.id), 'OS-DCF:diskConfig': 'MANUAL', ...(server.status === 'ACTIVE' || server.status === 'BUILD' ? { progress: 0 } : {}),
    ...(server.status === 'ERROR' && server.fault !== null ? { fault: server.fault } : {}),
    'OS-EXT-AZ:availability_zone': server.availability_zone ?? '', config_drive: server.config_drive ? 'True' : '', key_name: server.key_name,
    'OS-SRV-USG:launched_at': server.launched_at === null ? null : novaTime(server.launched_at), 'OS-SRV-USG:terminated_at': null,
    ...(groups.length > 0 ? { security_groups: groups } : {}),
    'OS-EXT-STS:task_state': server.task_state, 'OS-EXT-STS:vm_state': VM_STATES[server.status],
    'OS-EXT-STS:power_state': server.status === 'ACTIVE' ? 1 : server.status === 'SHUTOFF' ? 4 : 0,
    'os-extended-volumes:volumes_attached': [],
    ...(is_admin ? {
      'OS-EXT-SRV-ATTR:host': server.host, 'OS-EXT-SRV-ATTR:hypervisor_hostname': server.host, 'OS-EXT-SRV-ATTR:instance_name': `instance-${server.id.slice(0, 8)}`,
    } : {}),
    ...(is_admin && microversion >= 3 ? {
      'OS-EXT-SRV-ATTR:hostname': server.hostname, 'OS-EXT-SRV-ATTR:reservation_id': server.reservation_id, 'OS-EXT-SRV-ATTR:launch_index': server.launch_index,
      'OS-EXT-SRV-ATTR:kernel_id': server.machine?.kernel_id ?? '', 'OS-EXT-SRV-ATTR:ramdisk_id': server.machine?.ramdisk_id ?? '', 'OS-EXT-SRV-ATTR:root_device_name': null, 'OS-EXT-SRV-ATTR:user_data': server.user_data,
    } : {}),
    ...(microversion >= 9 ? { locked: server.locked } : {}),
    ...(is_admin && microversion >= 16 ? { host_status: server.host === null ? '' : view.aliveHosts.has(server.host) ? 'UP' : 'DOWN' } : {}),
    ...(microversion >= 19 ? { description: server.description } : {}),
    ...(microversion >= 26 ? { tags: server.tags } : {}),
  };
}

/** Floating addresses by port. */
type FloatingOf = ReadonlyMap<string, readonly string[]>;

async function floatingOf(reader: Reader, ports: readonly Port[]): Promise<FloatingOf> {
  const found = new Map<string, string[]>();
  for (let i = 0; i < ports.length; i += 500) {
    const rows = await reader.db.selectFrom('floatingips').select(['port_id', 'floating_ip_address']).where('port_id', 'in', ports.slice(i, i + 500).map(({ id }) => id)).orderBy('floating_ip_address').execute();
    for (const { port_id, floating_ip_address } of rows) found.set(port_id, [...(found.get(port_id) ?? []), floating_ip_address]);
  }
  return found;
}

/** Addresses by the name of their network, in the order of the guest's NICs: the fixed ones, then the floating ones that lead there. */
function addresses(ports: readonly Port[], floating: FloatingOf, networkNames: ReadonlyMap<string, string>): Record<string, unknown[]> {
  const found: Record<string, unknown[]> = {};
  for (const type of ['fixed', 'floating'] as const) {
    for (const { id, network_id, mac_address, fixed_ips } of ports) {
      const name = networkNames.get(network_id) ?? network_id;
      for (const addr of type === 'fixed' ? ((fixed_ips ?? []) as FixedIp[]).map(({ ip_address }) => ip_address) : floating.get(id) ?? []) {
        (found[name] ??= []).push({ version: parseIp(addr)?.version ?? 4, addr, 'OS-EXT-IPS:type': type, 'OS-EXT-IPS-MAC:mac_addr': mac_address });
      }
    }
  }
  return found;
}

/** Nova's status: while a running server is started anew it is REBOOT. */
export function statusOf({ status, task_state }: Server): string {
  if (status !== 'ACTIVE') return status;
  return task_state === 'rebooting' ? 'REBOOT' : task_state === 'rebooting_hard' ? 'HARD_REBOOT' : status;
}

const distinct = (values: readonly string[]): string[] => [...new Set(values)];
