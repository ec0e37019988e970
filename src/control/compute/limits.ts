/** /limits and /os-quota-sets: how much a project uses. Compute has no quotas of its own; -1 is Nova's word for that. */
import type { FastifyInstance } from 'fastify';
import type { Reader } from '#store/store.ts';
import { type Query, valueOf } from './body.ts';
import type { Deps } from './deps.ts';
import { mustBeAdmin } from './policy.ts';

const UNLIMITED = -1;

export function limitRoutes(app: FastifyInstance, { store }: Deps): void {
  app.get('/limits', async (request) => {
    const given = valueOf(request.query as Query, 'tenant_id');
    if (given !== undefined && given !== request.context.project_id) mustBeAdmin(request.context, 'limits:other_project');
    const used = await usage(store.reader, given ?? request.context.project_id);
    return {
      limits: {
        rate: [],
        absolute: {
          maxTotalInstances: UNLIMITED, maxTotalCores: UNLIMITED, maxTotalRAMSize: UNLIMITED, maxTotalKeypairs: UNLIMITED, maxServerMeta: 128, maxImageMeta: 128,
          maxServerGroups: 0, maxServerGroupMembers: 0, totalInstancesUsed: used.instances, totalCoresUsed: used.cores, totalRAMUsed: used.ram, totalServerGroupsUsed: 0,
          ...(request.microversion < 57 ? { maxPersonality: 0, maxPersonalitySize: 0 } : {}),
        },
      },
    };
  });

  app.get<{ Params: { project: string } }>('/os-quota-sets/:project', async (request) => {
    if (request.params.project !== request.context.project_id) mustBeAdmin(request.context, 'os-quota-sets:show');
    return { quota_set: { id: request.params.project, ...quotas() } };
  });
  app.get<{ Params: { project: string } }>('/os-quota-sets/:project/defaults', async (request) => ({ quota_set: { id: request.params.project, ...quotas() } }));
  app.get<{ Params: { project: string } }>('/os-quota-sets/:project/detail', async (request) => {
    const { project } = request.params;
    if (project !== request.context.project_id) mustBeAdmin(request.context, 'os-quota-sets:detail');
    const used: Readonly<Record<string, number>> = { ...await usage(store.reader, project) };
    return { quota_set: { id: project, ...Object.fromEntries(Object.entries(quotas()).map(([name, limit]) => [name, { limit, in_use: used[name] ?? 0, reserved: 0 }])) } };
  });
}

const quotas = () => ({ instances: UNLIMITED, cores: UNLIMITED, ram: UNLIMITED, key_pairs: UNLIMITED, metadata_items: 128, server_groups: 0, server_group_members: 0 });

async function usage(reader: Reader, projectId: string | null): Promise<{ instances: number; cores: number; ram: number }> {
  const row = await reader.db.selectFrom('servers').where('project_id', '=', projectId)
    .select(({ fn }) => [fn.countAll().as('instances'), fn.sum('vcpus').as('cores'), fn.sum('ram').as('ram')]).executeTakeFirst() as Record<string, any> | undefined;
  return { instances: Number(row?.['instances'] ?? 0), cores: Number(row?.['cores'] ?? 0), ram: Number(row?.['ram'] ?? 0) };
}
