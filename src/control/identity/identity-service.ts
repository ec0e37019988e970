/** The Identity service (Keystone v3), as clients of a network cloud need it. */
import type { FastifyInstance } from 'fastify';
import type { Config } from '#model/config.ts';
import { ApiError } from '#model/errors.ts';
import type { Store } from '#store/store.ts';
import type { Authenticator } from '../http/context.ts';
import type { Service } from '../http/frame.ts';
import type { Log } from '../http/log.ts';
import { applicationCredentialRoutes } from './application-credential-routes.ts';
import { assignmentRoutes } from './assignment-routes.ts';
import { bootstrap } from './bootstrap.ts';
import { requireCaller } from './caller.ts';
import { buildCatalog } from './catalog.ts';
import { catalogRoutes } from './catalog-routes.ts';
import { collectionRoutes } from './collection-routes.ts';
import { domainRule } from './domain-rule.ts';
import type { IdentityDeps } from './identity-deps.ts';
import { PasswordHasher } from './password-hasher.ts';
import { projectRule } from './project-rule.ts';
import { roleRule } from './role-rule.ts';
import { tokenIssueRoute, tokenRoutes } from './token-routes.ts';
import { TokenService } from './token-service.ts';
import { passwordChangeRoute, userRoutes } from './user-routes.ts';
import { userRule } from './user-rule.ts';
import { versionRoutes } from './version-routes.ts';

export interface IdentityOptions {
  readonly store: Store;
  readonly config: Config;
  /** Where `credentials.json` goes. */
  readonly stateDir: string;
  /** `http://127.0.0.1:8770`: what the catalog's URLs begin with. */
  readonly publicEndpoint: string;
  readonly log: Log;
}

export interface Identity {
  readonly service: Service;
  readonly authenticator: Authenticator;
  /** See `bootstrap.ts`; to be awaited before the first request. */
  bootstrap(): Promise<void>;
  /** Stops following the feed; call it before the store is closed. */
  close(): void;
}

/** Keystone reads no larger body either. */
const BODY_LIMIT = 114_688;

export function identityService({ store, config, stateDir, publicEndpoint, log }: IdentityOptions): Identity {
  const root = publicEndpoint.replace(/\/+$/, '');
  const tokens = new TokenService(store, log);
  const deps: IdentityDeps = { store, config, log, tokens, passwords: new PasswordHasher(), base: `${root}/identity`, catalog: buildCatalog(root, config.region_name) };
  return {
    authenticator: tokens,
    service: { prefix: '/identity', envelope, bodyLimit: BODY_LIMIT, routes: (app) => routes(app, deps) },
    bootstrap: () => bootstrap(deps, stateDir),
    close: () => tokens.close(),
  };
}

function routes(app: FastifyInstance, deps: IdentityDeps): void {
  app.addHook('onRequest', async (request) => {
    // No id or name holds a NUL, and PostgreSQL would refuse it as an error of ours.
    if (request.url.includes('%00')) throw new ApiError('ValidationError', { reason: 'The URL holds a NUL character.' });
  });
  versionRoutes(app, deps.base);
  tokenIssueRoute(app, deps);
  passwordChangeRoute(app, deps);
  void app.register(async (guarded) => {
    requireCaller(guarded, deps.tokens, deps.base);
    tokenRoutes(guarded, deps);
    collectionRoutes(guarded, deps, domainRule);
    collectionRoutes(guarded, deps, projectRule);
    collectionRoutes(guarded, deps, userRule);
    collectionRoutes(guarded, deps, roleRule);
    userRoutes(guarded, deps);
    assignmentRoutes(guarded, deps);
    applicationCredentialRoutes(guarded, deps);
    catalogRoutes(guarded, deps);
  });
}

const TITLES: Readonly<Record<number, string>> = {
  400: 'Bad Request', 401: 'Unauthorized', 403: 'Forbidden', 404: 'Not Found', 405: 'Method Not Allowed', 409: 'Conflict',
  413: 'Request Entity Too Large', 414: 'Request-URI Too Long', 500: 'Internal Server Error', 503: 'Service Unavailable',
};

/** Keystone's form of an error. */
function envelope(error: ApiError): unknown {
  return { error: { code: error.status, title: TITLES[error.status] ?? error.type, message: error.message } };
}
