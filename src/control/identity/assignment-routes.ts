/** Roles of users on projects and domains: give, check, take back, list. */
import type { FastifyInstance } from 'fastify';
import { ApiError } from '#model/errors.ts';
import { role as roleResource } from '#model/identity.ts';
import type { RoleAssignmentRow } from '#store/database.ts';
import type { Reader } from '#store/store.ts';
import { callerOf } from './caller.ts';
import type { IdentityDeps } from './identity-deps.ts';
import { domains, projects, removeAssignments, roles, type Target, users, withImplied } from './identity-tables.ts';
import { requireAdmin } from './policy.ts';
import { show } from './resource-wire.ts';
import { inDomain, listLinks } from './wire.ts';

interface GrantParams {
  target: string;
  user: string;
  role: string;
}

export function assignmentRoutes(app: FastifyInstance, deps: IdentityDeps): void {
  grantRoutes(app, deps, 'project');
  grantRoutes(app, deps, 'domain');
  app.get('/v3/role_assignments', async (request) => {
    requireAdmin(callerOf(request), 'identity:list_role_assignments');
    const query = Object.fromEntries(Object.entries(request.query as Record<string, string | string[]>).map(([name, value]) => [name, [value].flat().at(-1)]));
    return { role_assignments: await listAssignments(deps, query), links: listLinks(deps.base, '/role_assignments') };
  });
}

function grantRoutes(app: FastifyInstance, { store, tokens, base }: IdentityDeps, type: Target['type']): void {
  const userPath = `/v3/${type}s/:target/users/:user/roles`;

  app.get<{ Params: GrantParams }>(userPath, async (request) => {
    requireAdmin(callerOf(request), 'identity:list_grants');
    const { target, user } = request.params;
    await requireBoth(store.reader, { type, id: target }, user);
    const rows = await store.reader.db.selectFrom('role_assignments').select('role_id').where('user_id', '=', user).where('target_type', '=', type).where('target_id', '=', target).execute();
    const found = await roles.getMany(store.reader, rows.map((row) => row.role_id));
    return { roles: found.map((role) => show(roleResource, role, base)), links: listLinks(base, userPath.slice(3).replace(':target', target).replace(':user', user)) };
  });

  app.put<{ Params: GrantParams }>(`${userPath}/:role`, async (request, reply) => {
    requireAdmin(callerOf(request), 'identity:create_grant');
    const { target, user, role } = request.params;
    await tokens.write(async (tx) => {
      await requireBoth(tx, { type, id: target }, user);
      if (!(await roles.get(tx, role))) throw new ApiError('RoleNotFound', { id: role });
      const row = { user_id: user, target_type: type, target_id: target, role_id: role };
      const inserted = await tx.db.insertInto('role_assignments').values(row).onConflict((conflict) => conflict.doNothing()).returning('role_id').executeTakeFirst();
      if (inserted) tx.record('role_assignments', user, 'create');
    }, request.requestId);
    return reply.code(204).send();
  });

  // HEAD comes with it.
  app.get<{ Params: GrantParams }>(`${userPath}/:role`, async (request, reply) => {
    requireAdmin(callerOf(request), 'identity:check_grant');
    const { target, user, role } = request.params;
    const row = await store.reader.db.selectFrom('role_assignments').select('role_id')
      .where('user_id', '=', user).where('target_type', '=', type).where('target_id', '=', target).where('role_id', '=', role).executeTakeFirst();
    if (!row) throw new ApiError('RoleAssignmentNotFound', { role_id: role, user_id: user, target_id: target });
    return reply.code(204).send();
  });

  app.delete<{ Params: GrantParams }>(`${userPath}/:role`, async (request, reply) => {
    requireAdmin(callerOf(request), 'identity:revoke_grant');
    const { target, user, role } = request.params;
    await tokens.write(async (tx) => {
      const removed = await removeAssignments(tx, { user_id: user, target_id: target, role_id: role });
      if (!removed) throw new ApiError('RoleAssignmentNotFound', { role_id: role, user_id: user, target_id: target });
    }, request.requestId);
    return reply.code(204).send();
  });
}

async function requireBoth(reader: Reader, target: Target, userId: string): Promise<void> {
  const found = target.type === 'project' ? await projects.get(reader, target.id) : await domains.get(reader, target.id);
  if (!found) throw new ApiError(target.type === 'project' ? 'ProjectNotFound' : 'DomainNotFound', { id: target.id });
  if (!(await users.get(reader, userId))) throw new ApiError('UserNotFound', { id: userId });
}

/** `user.id`, `role.id`, `scope.project.id`, `scope.domain.id` filter; `effective` adds implied roles, `include_names` names. */
async function listAssignments({ store, base }: IdentityDeps, query: Readonly<Record<string, string | undefined>>): Promise<unknown[]> {
  const { reader } = store;
  // Groups and roles on the system do not exist here, so nothing is assigned by them.
  if (query['group.id'] !== undefined || query['scope.system'] !== undefined) return [];
  let select = reader.db.selectFrom('role_assignments').selectAll();
  if (query['user.id'] !== undefined) select = select.where('user_id', '=', query['user.id']);
  for (const type of ['project', 'domain'] as const) {
    const id = query[`scope.${type}.id`];
    if (id !== undefined) select = select.where('target_type', '=', type).where('target_id', '=', id);
  }
  const effective = isSet(query['effective']);
  // With `effective` a role is also held by what implies it, so it can only be chosen after that is known.
  if (query['role.id'] !== undefined && !effective) select = select.where('role_id', '=', query['role.id']);
  let rows = await select.orderBy('target_id').orderBy('user_id').orderBy('role_id').execute();
  const all = await roles.list(reader);
  if (effective) rows = withImpliedRows(rows, (ids) => withImplied(all, ids).map((role) => role.id)).filter((row) => query['role.id'] === undefined || row.role_id === query['role.id']);
  const names = isSet(query['include_names']) ? await namesFor(reader, rows) : undefined;
  return rows.map((row) => ({
    role: names ? { id: row.role_id, name: all.find((role) => role.id === row.role_id)?.name } : { id: row.role_id },
    user: names?.user(row.user_id) ?? { id: row.user_id },
    scope: { [row.target_type]: names?.target(row) ?? { id: row.target_id } },
    links: { assignment: `${base}/v3/${row.target_type}s/${row.target_id}/users/${row.user_id}/roles/${row.role_id}` },
  }));
}

function withImpliedRows(rows: readonly RoleAssignmentRow[], implied: (ids: string[]) => string[]): RoleAssignmentRow[] {
  const expanded = new Map<string, RoleAssignmentRow>();
  for (const row of rows) {
    for (const role_id of implied([row.role_id])) expanded.set(`${row.user_id} ${row.target_type} ${row.target_id} ${role_id}`, { ...row, role_id });
  }
  return [...expanded.values()];
}

async function namesFor(reader: Reader, rows: readonly RoleAssignmentRow[]) {
  const idsOf = (values: string[]) => [...new Set(values)];
  const domainById = new Map((await domains.list(reader)).map((domain) => [domain.id, domain]));
  const userById = new Map((await users.getMany(reader, idsOf(rows.map((row) => row.user_id)))).map((user) => [user.id, user]));
  const projectIds = idsOf(rows.filter((row) => row.target_type === 'project').map((row) => row.target_id));
  const projectById = new Map((await projects.getMany(reader, projectIds)).map((project) => [project.id, project]));
  const withDomain = (object: Parameters<typeof inDomain>[0] | undefined) => object && inDomain(object, domainById.get(object.domain_id ?? ''));
  return {
    user: (id: string) => withDomain(userById.get(id)),
    target: (row: RoleAssignmentRow) => (row.target_type === 'project' ? withDomain(projectById.get(row.target_id)) : { id: row.target_id, name: domainById.get(row.target_id)?.name }),
  };
}

/** A key without a value, or with one that is not false. */
function isSet(value: string | undefined): boolean {
  return value !== undefined && !['0', 'false', 'no'].includes(value.toLowerCase());
}
