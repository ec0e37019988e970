/** What hangs on agents beside the collection: availability zones, and which agents serve DHCP on which networks. */
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { Store } from '#store/store.ts';
import type { Collection } from './collection.ts';
import { availabilityZones } from './agents.ts';
import { Presenter } from './present.ts';
import { visibleRows } from './policy.ts';
import { Table } from '#store/table.ts';

type MemberRequest = FastifyRequest<{ Params: { id: string } }>;

export function agentRoutes(app: FastifyInstance, store: Store, networks: Collection, agents: Collection): void {
  const { reader } = store;
  app.get('/v2.0/availability_zones', async () => ({ availability_zones: await availabilityZones(reader) }));
  app.get(`${agents.path}/:id/dhcp-networks`, async (request) => {
    const { context, params } = request as MemberRequest;
    const { host } = await agents.require(reader, context, params.id);
    const served = reader.db.selectFrom('network_dhcp_bindings').select('network_id').where('host', '=', host);
    const found = await new Table<any>(networks.resource).list(reader, { where: (query) => visibleRows(networks.rule, query, context).where('networks.id', 'in', served).orderBy('networks.id') });
    return { networks: await new Presenter(networks.rule).present(reader, context, found) };
  });
  app.get(`${networks.path}/:id/dhcp-agents`, async (request) => {
    const { context, params } = request as MemberRequest;
    await networks.require(reader, context, params.id);
    const hosts = reader.db.selectFrom('network_dhcp_bindings').select('host').where('network_id', '=', params.id);
    const found = await new Table<any>(agents.resource).list(reader, {
      filters: { agent_type: ['DHCP agent'] }, where: (query) => visibleRows(agents.rule, query, context).where('agents.host', 'in', hosts).orderBy('agents.id'),
    });
    return { agents: await new Presenter(agents.rule).present(reader, context, found) };
  });
}
