/** Version discovery of the Compute API. */
import type { FastifyInstance } from 'fastify';
import { MAX_MICROVERSION, MIN_MICROVERSION } from './microversion.ts';

/** GET /compute/ and /compute/v2.1/, without a token. */
export function versionRoutes(app: FastifyInstance, base: string): void {
  const version = {
    id: 'v2.1', status: 'CURRENT', version: MAX_MICROVERSION, min_version: MIN_MICROVERSION, updated: '2013-07-23T11:33:21Z',
    links: [{ rel: 'self', href: `${base}/v2.1/` }],
  };
  app.get('/', async () => ({ versions: [version] }));
  app.get('/v2.1', async () => ({
    version: {
      ...version,
      links: [...version.links, { rel: 'describedby', type: 'text/html', href: 'https://docs.openstack.org/api-ref/compute/' }],
      'media-types': [{ base: 'application/json', type: 'application/vnd.openstack.compute+json;version=2.1' }],
    },
  }));
}
