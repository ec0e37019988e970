/** The hosts that run servers, as their agents report them; and what the API shows of them. */
import { createHash } from 'node:crypto';
import type { FastifyInstance } from 'fastify';
import { ApiError } from '#model/errors.ts';
import type { Reader } from '#store/store.ts';
import type { Deps } from './deps.ts';
import { mustBeAdmin } from './policy.ts';
import { type Query, valueOf } from './body.ts';

export interface ComputeHost {
  readonly host: string;
  readonly zone: string;
  /** Its agent reported within `agent_down_time`. */
  readonly alive: boolean;
  /** When its agent last reported: `2026-11-23T15:53:12Z`. */
  readonly updated_at: string;
  readonly vcpus: number;
  /** MiB. */
  readonly memory_mb: number;
  /** GiB. */
  readonly local_gb: number;
  /** The address other hosts reach it at. */
  readonly host_ip: string;
}

export interface HostDirectory {
  /** Every host that has a compute driver, alive or not. */
  hosts(): Promise<readonly ComputeHost[]>;
}

/** Asks a host something that only it knows. */
export interface HostCalls {
  /** The last `lines` lines of a server's console, or all that is kept. Rejects when the host does not answer. */
  consoleOutput(host: string, serverId: string, lines?: number): Promise<string>;
}

/** os-availability-zone, os-services, os-hypervisors. */
export function hostRoutes(app: FastifyInstance, { store, hosts }: Deps): void {
  const zones = async (detail: boolean) => {
    const byZone = Map.groupBy(await hosts.hosts(), ({ zone }) => zone);
    return [...byZone].map(([zoneName, members]) => ({
      zoneName, zoneState: { available: members.some(({ alive }) => alive) },
      hosts: detail ? Object.fromEntries(members.map((each) => [each.host, { 'nova-compute': { active: true, available: each.alive, updated_at: novaTime(each.updated_at) } }])) : null,
    }));
  };
  app.get('/os-availability-zone', async () => ({ availabilityZoneInfo: await zones(false) }));
  app.get('/os-availability-zone/detail', async (request) => {
    mustBeAdmin(request.context, 'os-availability-zone:detail');
    return { availabilityZoneInfo: await zones(true) };
  });

  app.get('/os-services', async (request) => {
    mustBeAdmin(request.context, 'os-services:list');
    const query = request.query as Query;
    const [host, binary] = [valueOf(query, 'host'), valueOf(query, 'binary')];
    const services = (await hosts.hosts()).map((each) => ({
      id: numberOf(each.host), binary: 'nova-compute', host: each.host, zone: each.zone, status: 'enabled', state: each.alive ? 'up' : 'down',
      updated_at: novaTime(each.updated_at), disabled_reason: null, ...(request.microversion >= 11 ? { forced_down: false } : {}),
    }));
    return { services: services.filter((each) => (host === undefined || each.host === host) && (binary === undefined || each.binary === binary)) };
  });

  app.get('/os-hypervisors', async (request) => {
    mustBeAdmin(request.context, 'os-hypervisors:list');
    return { hypervisors: (await hosts.hosts()).map(hypervisor) };
  });
  app.get('/os-hypervisors/detail', async (request) => {
    mustBeAdmin(request.context, 'os-hypervisors:list-detail');
    const load = await loads(store.reader);
    return { hypervisors: (await hosts.hosts()).map((each) => hypervisorDetail(each, load.get(each.host), request.microversion)) };
  });
  app.get<{ Params: { id: string } }>('/os-hypervisors/:id', async (request) => {
    mustBeAdmin(request.context, 'os-hypervisors:show');
    const found = (await hosts.hosts()).find(({ host }) => String(numberOf(host)) === request.params.id);
    if (!found) throw new ApiError('itemNotFound', { reason: `Hypervisor with ID '${request.params.id}' could not be found.` });
    return { hypervisor: hypervisorDetail(found, (await loads(store.reader)).get(found.host), request.microversion) };
  });
}

/** How many servers, and of what size, each host carries. */
export interface Load {
  readonly servers: number;
  readonly vcpus: number;
  readonly ram: number;
  readonly disk: number;
}

export async function loads(reader: Reader): Promise<Map<string, Load>> {
  const rows = await reader.db.selectFrom('servers').where('host', 'is not', null).groupBy('host')
    .select(({ fn }) => ['host', fn.countAll().as('servers'), fn.sum('vcpus').as('vcpus'), fn.sum('ram').as('ram'), fn.sum('disk').as('disk')]).execute();
  return new Map(rows.map((row: Record<string, any>) => [row['host'], { servers: Number(row['servers']), vcpus: Number(row['vcpus']), ram: Number(row['ram']), disk: Number(row['disk']) }]));
}

const hypervisor = ({ host, alive }: ComputeHost) => ({ id: numberOf(host), hypervisor_hostname: host, state: alive ? 'up' : 'down', status: 'enabled' });

function hypervisorDetail(each: ComputeHost, load: Load = { servers: 0, vcpus: 0, ram: 0, disk: 0 }, microversion: number) {
  return {
    ...hypervisor(each), service: { id: numberOf(each.host), host: each.host, disabled_reason: null }, hypervisor_type: 'container', hypervisor_version: 1,
    host_ip: each.host_ip, vcpus: each.vcpus, vcpus_used: load.vcpus, memory_mb: each.memory_mb, memory_mb_used: load.ram, free_ram_mb: each.memory_mb - load.ram,
    local_gb: each.local_gb, local_gb_used: load.disk, free_disk_gb: each.local_gb - load.disk, disk_available_least: each.local_gb - load.disk,
    running_vms: load.servers, current_workload: 0, cpu_info: microversion >= 28 ? {} : '{}',
  };
}

/** Before 2.53 services and hypervisors have numbers: one that follows from the name stays when hosts come and go. */
function numberOf(host: string): number {
  return (createHash('sha256').update(host).digest().readUInt32BE() & 0x7fffffff) || 1;
}

/** Times outside of servers have microseconds and no zone. */
export const novaTime = (time: string): string => `${time.replace('Z', '')}.000000`;
