/** Logs of security groups (extension logging): admins say whose packets the hosts write down. */
import { sql } from 'kysely';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { ApiError } from '#model/errors.ts';
import { LOGGABLE_RESOURCES, log } from '#model/logs.ts';
import { type Port, port } from '#model/networks.ts';
import { securityGroup } from '#model/security-groups.ts';
import type { Tx } from '#store/store.ts';
import { Table } from '#store/table.ts';
import { lockNetwork } from './ipam.ts';
import { newObject } from './new-object.ts';
import { requireAdmin } from './policy.ts';
import type { Given, Rule } from './rule.ts';
import { lockGroup } from './security-groups.ts';
import { readOnly } from './versions.ts';

const logs = new Table(log);
const groups = new Table(securityGroup);
const ports = new Table(port);

/** Of `binding:vif_type`: ours, and those of ports that are on no host yet. */
const LOGGED_VIF_TYPES: readonly string[] = ['ovs', 'unbound', 'binding_failed'];

export function logsRule(): Rule<typeof log> {
  return {
    resource: log,
    prefix: '/log',
    async create(tx, context, given) {
      requireAdmin(context, 'create_log');
      for (const one of given) await checkLog(tx, one);
      const made = given.map((one) => newObject(log, tx, one));
      await logs.insert(tx, made);
      return made;
    },
    update: (tx, _context, current, changes) => logs.update(tx, current, changes),
    delete: (tx, _context, current) => logs.delete(tx, current.id),
    // Neutron's default policy: logs are the admin's, and nobody else learns that there are any.
    visible: (query) => query.where(sql`1 = 0`),
  };
}

/** `/v2.0/log/loggable-resources`: what a log's `resource_type` may be. */
export function loggableResourceRoutes(app: FastifyInstance): void {
  const path = '/v2.0/log/loggable-resources';
  app.get(path, async ({ context }: FastifyRequest) => ({ loggable_resources: context.is_admin ? LOGGABLE_RESOURCES.map((type) => ({ type })) : [] }));
  readOnly(app, path);
}

/** Holds what the log names until the transaction ends. Throws ApiError as Neutron's validators do (sg_validate.py). */
async function checkLog(tx: Tx, { resource_type, resource_id, target_id }: Given<typeof log>): Promise<void> {
  if (!(LOGGABLE_RESOURCES as readonly string[]).includes(resource_type!)) throw new ApiError('InvalidLogResourceType', { resource_type: resource_type! });
  // The network before the group: so do changes of ports.
  const target = target_id ? await heldPort(tx, target_id) : undefined;
  if (resource_id) {
    await lockGroup(tx, resource_id);
    if (!(await groups.get(tx, resource_id))) throw new ApiError('ResourceNotFound', { resource_id });
  }
  if (!target_id) return;
  if (!target) throw new ApiError('TargetResourceNotFound', { target_id });
  if (!LOGGED_VIF_TYPES.includes(target['binding:vif_type'])) throw new ApiError('LoggingTypeNotSupported', { log_type: resource_type!, port_id: target_id });
  if (resource_id && !target.security_groups.includes(resource_id)) throw new ApiError('InvalidResourceConstraint', { resource: resource_type!, resource_id, target_resource: 'port', target_id });
}

/** The port, which keeps its groups and is not deleted before the transaction ends: that needs its network's lock. */
async function heldPort(tx: Tx, id: string): Promise<Port | undefined> {
  const found = await ports.get(tx, id);
  if (!found) return undefined;
  await lockNetwork(tx, found.network_id);
  return ports.get(tx, id);
}
