/** Application credentials: a secret that acts for a user in one project, with some of the user's roles. */
import { randomBytes } from 'node:crypto';
import type { FastifyInstance } from 'fastify';
import { ApiError } from '#model/errors.ts';
import { applicationCredential as resource } from '#model/identity.ts';
import type { Reader } from '#store/store.ts';
import { callerOf } from './caller.ts';
import { refuseDuplicate } from './collection-routes.ts';
import type { IdentityDeps } from './identity-deps.ts';
import { applicationCredentials, type ApplicationCredential, deleteApplicationCredentials, effectiveRoles, newId, type Role, roles } from './identity-tables.ts';
import { requireSelfOrAdmin } from './policy.ts';
import { envelope, invalid, readFields, readFilters } from './resource-wire.ts';
import type { ValidToken } from './valid-token.ts';
import { listLinks } from './wire.ts';

interface CredentialParams {
  user: string;
  id: string;
}

export function applicationCredentialRoutes(app: FastifyInstance, { store, tokens, passwords, base }: IdentityDeps): void {
  const path = '/v3/users/:user/application_credentials';

  app.get<{ Params: CredentialParams }>(path, async (request) => {
    const { user } = request.params;
    requireSelfOrAdmin(callerOf(request), user, 'identity:list_application_credentials');
    const filters = { ...readFilters(resource, request.query as Record<string, unknown>), user_id: [user] };
    const found = await applicationCredentials.list(store.reader, { filters, sort: [{ key: 'name', dir: 'asc' }] });
    const all = await roles.list(store.reader);
    return { application_credentials: found.map((one) => present(one, all, base)), links: listLinks(base, `/users/${user}/application_credentials`) };
  });

  app.post<{ Params: CredentialParams }>(path, async (request, reply) => {
    const caller = callerOf(request);
    const { user } = request.params;
    const action = 'identity:create_application_credential';
    // Not even an admin makes one for somebody else: it would act in that user's name.
    if (caller.user.id !== user) throw new ApiError('ForbiddenAction', { action });
    refuseRestricted(caller, action);
    if (!caller.project) throw invalid('project', 'an application credential needs a token that is scoped to a project');
    const { secret: given, roles: wished, access_rules, ...fields } = envelope(resource.member, request.body);
    if (Array.isArray(access_rules) ? access_rules.length > 0 : access_rules != null) throw invalid('access_rules', 'access rules are not supported, and leaving them out would give more than asked');
    const secret = readSecret(given);
    const asked = readFields(resource, withoutNulls(fields));
    const made = { ...asked, id: newId(), user_id: user, project_id: caller.project.id, expires_at: readExpiry(asked.expires_at), roles: chosenRoles(wished, caller).map((role) => role.id) } as ApplicationCredential;
    const secret_hash = await passwords.hash(secret);
    await tokens.write(async (tx) => {
      await refuseDuplicate(tx, applicationCredentials, { user_id: user, name: made.name });
      // The roles may have gone while the secret was hashed.
      const held = new Set((await effectiveRoles(tx, user, { type: 'project', id: made.project_id })).map((role) => role.id));
      if (!made.roles.every((id) => held.has(id))) throw new ApiError('ForbiddenAction', { action });
      await applicationCredentials.insert(tx, [made]);
      await tx.db.insertInto('identity_secrets').values({ owner_id: made.id, secret_hash, generation: 1 }).execute();
    }, request.requestId);
    const shown = present(made, caller.roles, base);
    return reply.code(201).send({ application_credential: { ...shown, secret } });
  });

  app.get<{ Params: CredentialParams }>(`${path}/:id`, async (request) => {
    const { user, id } = request.params;
    requireSelfOrAdmin(callerOf(request), user, 'identity:get_application_credential');
    return { application_credential: present(await find(store.reader, user, id), await roles.list(store.reader), base) };
  });

  app.delete<{ Params: CredentialParams }>(`${path}/:id`, async (request, reply) => {
    const { user, id } = request.params;
    const action = 'identity:delete_application_credential';
    requireSelfOrAdmin(callerOf(request), user, action);
    refuseRestricted(callerOf(request), action);
    await tokens.write(async (tx) => deleteApplicationCredentials(tx, [await find(tx, user, id)]), request.requestId);
    return reply.code(204).send();
  });
}

/** The credential must belong to the user of the path: a foreign one is not there (features.md D: parent–child). */
async function find(reader: Reader, user: string, id: string): Promise<ApplicationCredential> {
  const found = await applicationCredentials.get(reader, id);
  if (!found || found.user_id !== user) throw new ApiError('ApplicationCredentialNotFound', { id });
  return found;
}

/** OSSA-2026-005: a restricted credential makes and deletes no credentials. */
function refuseRestricted(caller: ValidToken, action: string): void {
  if (caller.applicationCredential && !caller.applicationCredential.unrestricted) throw new ApiError('ForbiddenAction', { action });
}

function readSecret(given: unknown): string {
  if (given === undefined || given === null) return randomBytes(64).toString('base64url');
  if (typeof given !== 'string' || given === '' || given.length > 255) throw invalid('secret', 'it has to be a text of 1 to 255 characters');
  return given;
}

/** UTC unless it says otherwise, as Keystone reads it. */
function readExpiry(given: string | null | undefined): string | null {
  if (given === null || given === undefined) return null;
  const zoned = /(Z|[+-]\d\d:?\d\d)$/.test(given) ? given : `${given}Z`;
  const time = /^\d{4}-\d\d-\d\dT\d\d:\d\d/.test(given) ? Date.parse(zoned) : NaN;
  if (Number.isNaN(time)) throw invalid('expires_at', `'${given.slice(0, 40)}' is not a time like 2027-01-31T12:00:00`);
  if (time <= Date.now()) throw invalid('expires_at', 'it lies in the past');
  return `${new Date(time).toISOString().slice(0, 19)}Z`;
}

/** Roles by id or name out of those that the token has; all of them when none is named. */
function chosenRoles(wished: unknown, caller: ValidToken): readonly Role[] {
  if (wished === undefined || wished === null || (Array.isArray(wished) && wished.length === 0)) return caller.roles;
  if (!Array.isArray(wished)) throw invalid('roles', 'it has to be a list');
  const chosen = wished.map((one: { id?: unknown; name?: unknown } | null) => {
    const found = caller.roles.find((role) => (one?.id !== undefined ? role.id === one.id : role.name === one?.name));
    if (!found) throw invalid('roles', `role ${JSON.stringify(one).slice(0, 100)} is not assigned to you in this project`);
    return found;
  });
  return [...new Set(chosen)];
}

/** Clients send null for what the user left out. */
function withoutNulls(fields: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== null));
}

function present(credential: ApplicationCredential, all: readonly Role[], base: string): Record<string, unknown> {
  const { expires_at, roles: ids, user_id, ...rest } = credential;
  return {
    ...rest,
    user_id,
    // Keystone shows this one without a zone.
    expires_at: expires_at === null ? null : `${expires_at.slice(0, 19)}.000000`,
    roles: all.filter((role) => ids.includes(role.id)).map(({ id, name }) => ({ id, name, domain_id: null })),
    links: { self: `${base}/v3/users/${user_id}/application_credentials/${credential.id}` },
  };
}
