/** /v3/auth: tokens, and what the bearer of one may choose from. */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { ApiError } from '#model/errors.ts';
import type { Store } from '#store/store.ts';
import { readAuthRequest } from './auth-request.ts';
import { Authentication } from './authentication.ts';
import { callerOf } from './caller.ts';
import { domains, type Project, projects } from './identity-tables.ts';
import type { IdentityDeps } from './identity-deps.ts';
import { requireSelfOrAdmin } from './policy.ts';
import { show } from './resource-wire.ts';
import { project as projectResource, domain as domainResource } from '#model/identity.ts';
import { tokenBody } from './token-body.ts';
import type { ValidToken } from './valid-token.ts';
import { listLinks } from './wire.ts';

/** The one route that gives tokens to whom has none yet. */
export function tokenIssueRoute(app: FastifyInstance, deps: IdentityDeps): void {
  const authentication = new Authentication({ ...deps, lifetime: deps.config.token_expiration });
  app.post('/v3/auth/tokens', async (request, reply) => {
    const asked = readAuthRequest(request.body);
    try {
      const { token, valid } = await authentication.issue(asked);
      return answerToken(reply.code(201), token, valid, deps, request);
    } catch (error) {
      if (error instanceof ApiError && error.status === 401) {
        deps.log.warning('authentication failed', { request_id: request.requestId, methods: asked.methods.map(({ method }) => method), from: request.ip });
        void reply.header('www-authenticate', `Keystone uri="${deps.base}"`);
      }
      throw error;
    }
  });
}

/** Everything else below /v3/auth; needs `requireCaller`. */
export function tokenRoutes(app: FastifyInstance, deps: IdentityDeps): void {
  const { store, tokens, base, catalog } = deps;
  app.get('/v3/auth/tokens', async (request, reply) => {
    const { token, valid } = await subject(request, deps, 'identity:validate_token');
    return answerToken(reply, token, valid, deps, request);
  });
  app.delete('/v3/auth/tokens', async (request, reply) => {
    const { valid } = await subject(request, deps, 'identity:revoke_token');
    await tokens.revoke(valid.claims, request.requestId);
    return reply.code(204).send();
  });
  app.get('/v3/auth/catalog', async (request) => {
    if (!callerOf(request).domain) throw new ApiError('ForbiddenAction', { action: 'identity:get_auth_catalog' });
    return { catalog, links: listLinks(base, '/auth/catalog') };
  });
  app.get('/v3/auth/projects', async (request) => ({
    projects: (await projectsOf(store, callerOf(request).user.id)).filter((project) => project.enabled).map((project) => show(projectResource, project, base)),
    links: listLinks(base, '/auth/projects'),
  }));
  app.get('/v3/auth/domains', async (request) => ({ domains: await authDomains(deps, callerOf(request).user.id), links: listLinks(base, '/auth/domains') }));
  // Roles on the system do not exist here.
  app.get('/v3/auth/system', async () => ({ system: [], links: listLinks(base, '/auth/system') }));
}

/** Projects on which the user has a role, in enabled domains, by name. */
export async function projectsOf(store: Store, userId: string): Promise<Project[]> {
  const found = await projects.getMany(store.reader, await targetsOf(store, userId, 'project'));
  const enabled = new Set((await domains.list(store.reader, { filters: { enabled: [true] } })).map((domain) => domain.id));
  return found.filter((project) => enabled.has(project.domain_id ?? '')).sort((a, b) => (a.name < b.name ? -1 : 1));
}

async function authDomains({ store, base }: IdentityDeps, userId: string): Promise<unknown[]> {
  const found = await domains.getMany(store.reader, await targetsOf(store, userId, 'domain'));
  return found.filter((domain) => domain.enabled).map((domain) => show(domainResource, domain, base));
}

async function targetsOf(store: Store, userId: string, type: 'project' | 'domain'): Promise<string[]> {
  const rows = await store.reader.db.selectFrom('role_assignments').select('target_id').distinct().where('user_id', '=', userId).where('target_type', '=', type).execute();
  return rows.map((row) => row.target_id);
}

/** The token that the request is about; its own bearer and admins may ask. */
async function subject(request: FastifyRequest, deps: IdentityDeps, action: string): Promise<{ token: string; valid: ValidToken }> {
  const token = request.headers['x-subject-token'];
  const valid = typeof token === 'string' ? await deps.tokens.validate(token) : undefined;
  if (typeof token !== 'string' || !valid) throw new ApiError('TokenNotFound');
  requireSelfOrAdmin(callerOf(request), valid.user.id, action);
  return { token, valid };
}

function answerToken(reply: FastifyReply, token: string, valid: ValidToken, deps: IdentityDeps, request: FastifyRequest): FastifyReply {
  const noCatalog = Object.hasOwn(request.query as object, 'nocatalog');
  return reply.header('x-subject-token', token).header('vary', 'X-Auth-Token').send({ token: tokenBody(valid, noCatalog ? undefined : deps.catalog) });
}
