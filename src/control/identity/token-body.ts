/** A token as the API shows it. */
import type { CatalogService } from './catalog.ts';
import type { ValidToken } from './valid-token.ts';
import { inDomain, tokenTime } from './wire.ts';

/** The `token` object; `catalog` is left out where the caller asked so, and unscoped tokens have none. */
export function tokenBody(valid: ValidToken, catalog: readonly CatalogService[] | undefined): Record<string, unknown> {
  const { claims, user, userDomain, project, domain, roles, applicationCredential } = valid;
  return {
    methods: claims.methods,
    user: { ...inDomain(user, userDomain), password_expires_at: null },
    audit_ids: claims.audit_ids,
    expires_at: tokenTime(claims.expires_at),
    issued_at: tokenTime(claims.issued_at),
    ...(project && domain ? { project: inDomain(project, domain), is_domain: false } : {}),
    ...(domain && !project ? { domain: { id: domain.id, name: domain.name } } : {}),
    ...(domain ? { roles: roles.map(({ id, name }) => ({ id, name })), ...(catalog ? { catalog } : {}) } : {}),
    ...(applicationCredential ? { application_credential: { id: applicationCredential.id, name: applicationCredential.name, restricted: !applicationCredential.unrestricted } } : {}),
  };
}
