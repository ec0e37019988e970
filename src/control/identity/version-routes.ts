/** The version documents, which every client reads first and without a token. */
import type { FastifyInstance } from 'fastify';

export function versionRoutes(app: FastifyInstance, base: string): void {
  const version = {
    id: 'v3.14',
    status: 'stable',
    updated: '2020-04-07T00:00:00Z',
    links: [{ rel: 'self', href: `${base}/v3/` }],
    'media-types': [{ base: 'application/json', type: 'application/vnd.openstack.identity-v3+json' }],
  };
  app.get('/', async (_request, reply) => reply.code(300).send({ versions: { values: [version] } }));
  app.get('/v3', async () => ({ version }));
}
