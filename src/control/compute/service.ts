/** The Compute service (Nova v2.1) at /compute. */
import { ApiError } from '#model/errors.ts';
import { requireToken, type Service } from '../http/frame.ts';
import type { Deps } from './deps.ts';
import { flavorRoutes } from './flavors.ts';
import { hostRoutes } from './hosts.ts';
import { keypairRoutes } from './keypairs.ts';
import { limitRoutes } from './limits.ts';
import { negotiate } from './microversion.ts';
import { actionRoutes } from './server-actions.ts';
import { interfaceRoutes } from './server-interfaces.ts';
import { metadataRoutes } from './server-metadata.ts';
import { passwordRoutes } from './server-password.ts';
import { serverRoutes } from './server-routes.ts';
import { versionRoutes } from './versions.ts';

/** Nova names the envelope after the status. */
const ENVELOPES: Readonly<Record<number, string>> = {
  400: 'badRequest', 401: 'unauthorized', 403: 'forbidden', 404: 'itemNotFound', 405: 'badMethod', 409: 'conflictingRequest', 413: 'overLimit',
  415: 'badMediaType', 429: 'overLimit', 501: 'notImplemented', 503: 'serviceUnavailable',
};

export function computeService(deps: Deps): Service {
  return {
    prefix: '/compute',
    envelope: computeEnvelope,
    routes(app) {
      versionRoutes(app, `${deps.publicEndpoint}/compute`);
      void app.register(async (api) => {
        api.decorateRequest('microversion', 1);
        api.addHook('onRequest', requireToken(deps.authenticator, `${deps.publicEndpoint}/identity`));
        api.addHook('onRequest', negotiate);
        api.addHook('onRequest', async (request) => {
          // No id or name holds a NUL, and PostgreSQL would refuse it as an error of ours.
          if (request.url.includes('%00')) throw new ApiError('badRequest', { reason: 'The URL holds a NUL character.' });
        });
        for (const routes of [flavorRoutes, keypairRoutes, serverRoutes, actionRoutes, interfaceRoutes, metadataRoutes, passwordRoutes, hostRoutes, limitRoutes]) routes(api, deps);
      }, { prefix: '/v2.1' });
    },
  };
}

/** `{"itemNotFound": {"code": 404, "message": …}}` */
export function computeEnvelope(error: ApiError): unknown {
  return { [ENVELOPES[error.status] ?? 'computeFault']: { code: error.status, message: error.message } };
}
