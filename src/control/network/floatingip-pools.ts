/** `/v2.0/floatingip_pools`: the IPv4 subnets that floating IPs can be taken from (extension floatingip-pools). */
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { ApiError } from '#model/errors.ts';
import type { Store } from '#store/store.ts';
import { visibleNetworks } from './network-visibility.ts';
import { readOnly } from './versions.ts';

const FIELDS = ['subnet_id', 'subnet_name', 'network_id', 'cidr', 'project_id', 'tenant_id'] as const;

/** Neutron's service answers under the hyphen, its documentation writes the underscore. */
export function floatingIpPoolRoutes(app: FastifyInstance, { reader }: Store): void {
  const answer = async ({ context, query }: FastifyRequest) => {
    const { fields = [], ...filters } = query as Record<string, string | string[]>;
    const unknown = Object.keys(filters);
    if (unknown.length > 0) throw new ApiError('HTTPBadRequest', { reason: `['${unknown.join("', '").slice(0, 200)}'] is invalid attribute for filtering` });
    const wanted = new Set([fields].flat());
    const external = reader.db.selectFrom('subnets').innerJoin('networks', 'networks.id', 'subnets.network_id')
      .select(['subnets.id as subnet_id', 'subnets.name as subnet_name', 'subnets.network_id', 'subnets.cidr'])
      .where('networks.router_external', '=', 1).where('subnets.ip_version', '=', 4).orderBy('subnets.id');
    const found: Record<string, unknown>[] = await (context.is_admin ? external : visibleNetworks(external, context)).execute();
    return {
      floatingip_pools: found.map((row) => {
        const pool: Record<string, unknown> = { ...row, project_id: context.project_id, tenant_id: context.project_id };
        return Object.fromEntries(FIELDS.filter((name) => wanted.size === 0 || wanted.has(name)).map((name) => [name, pool[name]]));
      }),
    };
  };
  for (const path of ['/v2.0/floatingip_pools', '/v2.0/floatingip-pools']) {
    app.get(path, answer);
    readOnly(app, path);
  }
}
