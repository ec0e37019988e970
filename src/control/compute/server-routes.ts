/** /servers: create, list, show, rename, delete. */
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { Server } from '#model/compute.ts';
import { ApiError } from '#model/errors.ts';
import { ipAddress, nullable, object, text } from '#model/kind.ts';
import { checked, memberOf, nextLink, type Query } from './body.ts';
import type { Deps } from './deps.ts';
import { createServers, readServerRequest } from './server-create.ts';
import { deleteServer } from './server-delete.ts';
import { listServers } from './server-list.ts';
import { serverOf, serverToChange, updateServer } from './servers.ts';
import { detailed, serverLinks, type View } from './server-view.ts';

const changed = { name: text(), accessIPv4: ipAddress, accessIPv6: ipAddress, 'OS-DCF:diskConfig': text() };
const changedServer = object(changed);
const describedChange = object({ ...changed, description: nullable(text()) });

export function serverRoutes(app: FastifyInstance, deps: Deps): void {
  const { store, publicEndpoint, hosts } = deps;
  const base = `${publicEndpoint}/compute/v2.1`;
  type ById = { Params: { id: string } };

  const view = async ({ context, microversion }: FastifyRequest): Promise<View> => {
    const aliveHosts = context.is_admin ? new Set((await hosts.hosts()).filter(({ alive }) => alive).map(({ host }) => host)) : new Set<string>();
    return { publicEndpoint, context, microversion, aliveHosts };
  };
  const listing = (detail: boolean, path: string) => async (request: FastifyRequest) => {
    const query = request.query as Query;
    const { page, more } = await listServers(store.reader, request.context, query, detail);
    return {
      servers: detail ? await detailed(store.reader, await view(request), page) : page.map(({ id, name }) => ({ id, name, links: serverLinks(publicEndpoint, id) })),
      ...(more ? { servers_links: [nextLink(base, path, query, page.at(-1)!.id)] } : {}),
    };
  };
  app.get('/servers', listing(false, '/servers'));
  app.get('/servers/detail', listing(true, '/servers/detail'));
  app.get<ById>('/servers/:id', async (request) => {
    const found = await serverOf(store.reader, request.context, request.params.id);
    return { server: (await detailed(store.reader, await view(request), [found]))[0] };
  });

  app.post('/servers', async (request, reply) => {
    const asked = readServerRequest(request.body, request.microversion);
    const [first] = await createServers(deps, request.context, asked) as [Server, ...Server[]];
    if (asked.reservation) return reply.code(202).send({ reservation_id: first.reservation_id });
    const names = asked.securityGroups.length > 0 ? asked.securityGroups : ['default'];
    return reply.code(202).header('location', `${base}/servers/${first.id}`).send({
      server: { id: first.id, links: serverLinks(publicEndpoint, first.id), 'OS-DCF:diskConfig': 'MANUAL', security_groups: names.map((name) => ({ name })) },
    });
  });

  app.put<ById>('/servers/:id', async (request) => {
    const given = checked(request.microversion >= 19 ? describedChange : changedServer, memberOf(request.body, 'server'), 'server') as Record<string, any>;
    const name = given['name'] === undefined ? undefined : String(given['name']).trim();
    if (name === '') throw new ApiError('badRequest', { reason: `Invalid input for field/attribute name. Value: ${given['name']}. '${given['name']}' is too short.` });
    const changes: Partial<Server> = {
      ...(name === undefined ? {} : { name }), ...('description' in given ? { description: given['description'] } : {}),
      ...('accessIPv4' in given ? { access_ip_v4: given['accessIPv4'] } : {}), ...('accessIPv6' in given ? { access_ip_v6: given['accessIPv6'] } : {}),
    };
    const updated = await store.write(async (tx) => updateServer(tx, await serverToChange(tx, request.context, request.params.id, 'servers:update'), changes), request.requestId);
    return { server: (await detailed(store.reader, await view(request), [updated]))[0] };
  });

  app.delete<ById>('/servers/:id', async (request, reply) => {
    await deleteServer(deps, request.context, request.params.id);
    return reply.code(204).send();
  });
}
