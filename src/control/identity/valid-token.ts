/** What a signed claim is worth now: every condition on user, scope, roles and revocation, in one place. */
import type { Reader } from '#store/store.ts';
import type { Context } from '../http/context.ts';
import { contextOf } from './context-of.ts';
import { applicationCredentials, type ApplicationCredential, type Domain, domains, effectiveRoles, type Project, projects, type Role, type User, users } from './identity-tables.ts';
import type { Claims } from './token-codec.ts';

export interface ValidToken {
  readonly claims: Claims;
  readonly user: User;
  readonly userDomain: Domain;
  /** Both null for an unscoped token; of a project, its domain too. */
  readonly project: Project | null;
  readonly domain: Domain | null;
  /** With the implied ones; empty for an unscoped token. */
  readonly roles: readonly Role[];
  readonly applicationCredential: ApplicationCredential | null;
  readonly context: Omit<Context, 'request_id'>;
}

/** `undefined` when the claims do not hold; does not look at their signature. */
export async function resolveClaims(reader: Reader, claims: Claims): Promise<ValidToken | undefined> {
  if (claims.expires_at * 1000 <= Date.now() || (await isRevoked(reader, claims))) return undefined;
  const user = await users.get(reader, claims.user_id);
  const userDomain = user && (await domains.get(reader, user.domain_id));
  if (!user?.enabled || !userDomain?.enabled) return undefined;
  const scope = await resolveScope(reader, claims);
  if (!scope) return undefined;
  const { roles, applicationCredential } = scope;
  return { claims, user, userDomain, ...scope, applicationCredential, context: contextOf(user, scope.project, roles) };
}

type Scope = Pick<ValidToken, 'project' | 'domain' | 'roles' | 'applicationCredential'>;

async function resolveScope(reader: Reader, claims: Claims): Promise<Scope | undefined> {
  if (!claims.scope) return claims.application_credential_id === null ? { project: null, domain: null, roles: [], applicationCredential: null } : undefined;
  const project = claims.scope.type === 'project' ? await projects.get(reader, claims.scope.id) : null;
  const domain = await domains.get(reader, project?.domain_id ?? claims.scope.id);
  if (project === undefined || project?.enabled === false || !domain?.enabled) return undefined;
  let roles = await effectiveRoles(reader, claims.user_id, claims.scope);
  let applicationCredential: ApplicationCredential | null = null;
  if (claims.application_credential_id !== null) {
    applicationCredential = (await applicationCredentials.get(reader, claims.application_credential_id)) ?? null;
    if (!applicationCredential || applicationCredential.user_id !== claims.user_id || applicationCredential.project_id !== project?.id) return undefined;
    if (hasExpired(applicationCredential)) return undefined;
    // Never more than the user has now, nor more than it was given.
    roles = roles.filter((role) => applicationCredential!.roles.includes(role.id));
  }
  return roles.length > 0 ? { project, domain, roles, applicationCredential } : undefined;
}

export function hasExpired(credential: ApplicationCredential): boolean {
  return credential.expires_at !== null && Date.parse(credential.expires_at) <= Date.now();
}

async function isRevoked(reader: Reader, claims: Claims): Promise<boolean> {
  const secret = await reader.db.selectFrom('identity_secrets').select('generation').where('owner_id', '=', claims.user_id).executeTakeFirst();
  if (secret?.generation !== claims.generation) return true;
  return (await reader.db.selectFrom('revoked_tokens').select('audit_id').where('audit_id', '=', claims.audit_ids[0] ?? '').executeTakeFirst()) !== undefined;
}
