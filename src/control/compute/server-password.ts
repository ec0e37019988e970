/** /servers/{id}/os-server-password: what a guest told its metadata service, encrypted for the owner of its key. */
import type { FastifyInstance } from 'fastify';
import type { Deps } from './deps.ts';
import { serverOf, serverToChange, updateServer } from './servers.ts';

export function passwordRoutes(app: FastifyInstance, { store }: Deps): void {
  type ById = { Params: { id: string } };

  app.get<ById>('/servers/:id/os-server-password', async (request) => ({ password: (await serverOf(store.reader, request.context, request.params.id)).password ?? '' }));
  app.delete<ById>('/servers/:id/os-server-password', async (request, reply) => {
    await store.write(async (tx) => updateServer(tx, await serverToChange(tx, request.context, request.params.id, 'os-server-password:clear'), { password: null }), request.requestId);
    return reply.code(204).send();
  });
}
