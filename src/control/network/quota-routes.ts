/** `/v2.0/quotas`: limits by project. A project reads its own; the rest is the admin's. */
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { Config } from '#model/config.ts';
import { ApiError } from '#model/errors.ts';
import { integer, InvalidValue } from '#model/kind.ts';
import type { Store } from '#store/store.ts';
import { invalidInput } from './body.ts';
import { requireAdmin } from './policy.ts';
import { allLimits, defaultLimits, type Limits, projectLimits, QUOTA_RESOURCES, type QuotaResource, usage } from './quotas.ts';

const limitKind = integer(-1);

type ProjectRequest = FastifyRequest<{ Params: { project: string } }>;

export function quotaRoutes(app: FastifyInstance, store: Store, config: Config): void {
  const { reader } = store;
  const url = '/v2.0/quotas';
  app.get(url, async ({ context }) => {
    requireAdmin(context, 'get_quota');
    const all = await allLimits(reader, config);
    return { quotas: [...all].map(([project_id, limits]) => ({ ...limits, project_id, tenant_id: project_id })) };
  });
  for (const key of ['project', 'tenant']) {
    app.get(`${url}/${key}`, async ({ context }) => {
      if (!context.project_id) throw new ApiError('QuotaMissingTenant');
      return { [key]: { [`${key}_id`]: context.project_id } };
    });
  }
  app.get(`${url}/:project`, async (request) => ({ quota: await projectLimits(reader, config, readable(request as ProjectRequest)) }));
  app.get(`${url}/:project/default`, async (request) => {
    readable(request as ProjectRequest);
    return { quota: defaultLimits(config) };
  });
  for (const details of ['details', 'details.json']) {
    app.get(`${url}/:project/${details}`, async (request) => {
      const project = readable(request as ProjectRequest);
      const limits = await projectLimits(reader, config, project);
      const entries = await Promise.all(QUOTA_RESOURCES.map(async (resource) => [resource, { limit: limits[resource], used: await usage(reader, project, resource), reserved: 0 }] as const));
      return { quota: Object.fromEntries(entries) };
    });
  }
  app.put(`${url}/:project`, async (request) => {
    const { context } = request as ProjectRequest;
    const project = named(request as ProjectRequest);
    const { limits, force } = givenLimits(request.body);
    requireAdmin(context, 'update_quota');
    const quota = await store.write(async (tx) => {
      for (const [resource, limit] of Object.entries(limits) as [QuotaResource, number][]) {
        const used = limit < 0 || force ? 0 : await usage(tx, project, resource);
        if (used > limit && limit >= 0) throw bad(`Quota limit ${limit} for ${resource} must be greater than or equal to already used ${used}`);
        await tx.db.insertInto('quotas').values({ project_id: project, resource, hard_limit: limit })
          .onConflict((conflict) => conflict.columns(['project_id', 'resource']).doUpdateSet({ hard_limit: limit })).execute();
      }
      return projectLimits(tx, config, project);
    }, context.request_id);
    return { quota };
  });
  app.delete(`${url}/:project`, async (request, reply) => {
    const { context } = request as ProjectRequest;
    const project = named(request as ProjectRequest);
    requireAdmin(context, 'delete_quota');
    await store.write((tx) => tx.db.deleteFrom('quotas').where('project_id', '=', project).execute(), context.request_id);
    await reply.code(204).send();
  });
  app.post(url, async (request) => {
    throw new ApiError('HTTPMethodNotAllowed', { method: request.method });
  });
}

/** Limits that a PUT names. `force` and `check_limit` are clients' switches: usage is checked unless forced. */
function givenLimits(body: unknown): { limits: Partial<Limits>; force: boolean } {
  const quota = typeof body === 'object' && body !== null && 'quota' in body ? body.quota : undefined;
  if (typeof quota !== 'object' || quota === null || Array.isArray(quota)) throw bad("Unable to find 'quota' in request body");
  const { force, check_limit: _, tenant_id: _tenant, project_id: _project, ...wanted } = quota as Record<string, unknown>;
  const unknown = Object.keys(wanted).filter((name) => !QUOTA_RESOURCES.includes(name as QuotaResource));
  if (unknown.length > 0) throw bad(`Unrecognized attribute(s) '${unknown.slice(0, 20).map((name) => name.slice(0, 100)).join(', ')}'`);
  const limits: Partial<Limits> = {};
  for (const [name, value] of Object.entries(wanted)) {
    try {
      limits[name as QuotaResource] = limitKind.convert(value);
    } catch (error) {
      if (error instanceof InvalidValue) throw invalidInput(name, error.message);
      throw error;
    }
  }
  return { limits, force: force === true };
}

/** The project in the path, if the caller may read its quota. */
function readable(request: ProjectRequest): string {
  const project = named(request);
  if (project !== request.context.project_id) requireAdmin(request.context, 'get_quota');
  return project;
}

function named({ params }: ProjectRequest): string {
  const project = params.project.replace(/\.json$/, '');
  if (project === '' || project.includes('\0')) throw new ApiError('QuotaMissingTenant');
  return project;
}

function bad(reason: string): ApiError {
  return new ApiError('HTTPBadRequest', { reason });
}
