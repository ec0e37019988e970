/** What hangs on agents beside the collection: availability zones, and which agents carry which networks and routers (extensions dhcp_agent_scheduler, l3_agent_scheduler). */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Agent, AgentType } from '#model/agents.ts';
import type { Config } from '#model/config.ts';
import { ApiError } from '#model/errors.ts';
import type { Network } from '#model/networks.ts';
import type { Router } from '#model/routers.ts';
import type { Reader, Store } from '#store/store.ts';
import { Table } from '#store/table.ts';
import type { Context } from '../http/context.ts';
import { availabilityZones } from './agents.ts';
import type { Collection } from './collection.ts';
import { addDhcpServer, removeDhcpServer } from './dhcp-scheduling.ts';
import { requireAdmin } from './policy.ts';
import { Presenter } from './present.ts';
import { lockRouter } from './router-legs.ts';
import { addRouterToHost, removeRouterFromHost } from './router-scheduling.ts';

type MemberRequest = FastifyRequest<{ Params: { id: string; other: string } }>;

export interface AgentRoutesOptions {
  readonly store: Store;
  readonly config: Config;
  readonly agents: Collection;
  readonly networks: Collection;
  /** Undefined in a cloud without routers. */
  readonly routers: Collection | undefined;
}

export function agentRoutes(app: FastifyInstance, { store, config, agents, networks, routers }: AgentRoutesOptions): void {
  const { reader } = store;
  app.get('/v2.0/availability_zones', async () => ({ availability_zones: await availabilityZones(reader) }));
  carryRoutes(app, { store, agents, carried: networks, type: 'DHCP agent', table: 'network_dhcp_bindings', key: 'network_id', noun: 'dhcp', member: 'network' });
  app.post(`${agents.path}/:id/dhcp-networks`, async (request, reply) => {
    const { context, params } = request as MemberRequest;
    requireAdmin(context, 'create_dhcp-network');
    const networkId = named(request.body, 'network_id');
    await store.write(async (tx) => {
      const found: Network = await networks.require(tx, context, networkId);
      const agent: Agent = await agents.require(tx, context, params.id);
      if (agent.agent_type !== 'DHCP agent' || !agent.admin_state_up) throw new ApiError('InvalidDHCPAgent', { id: agent.id });
      if (!(await addDhcpServer(tx, config, found, agent.host))) throw new ApiError('NetworkHostedByDHCPAgent', { network_id: found.id, agent_id: agent.id });
    }, context.request_id);
    return created(reply);
  });
  app.delete(`${agents.path}/:id/dhcp-networks/:other`, async (request, reply) => {
    const { context, params } = request as MemberRequest;
    requireAdmin(context, 'delete_dhcp-network');
    await store.write(async (tx) => {
      const { host, agent_type, id } = await agents.require(tx, context, params.id);
      if (agent_type !== 'DHCP agent' || params.other.includes('\0') || !(await removeDhcpServer(tx, params.other, host))) throw new ApiError('NetworkNotHostedByDhcpAgent', { network_id: params.other, agent_id: id });
    }, context.request_id);
    await reply.code(204).send();
  });
  if (routers) routerRoutes(app, store, config, agents, routers);
}

function routerRoutes(app: FastifyInstance, store: Store, config: Config, agents: Collection, routers: Collection): void {
  carryRoutes(app, { store, agents, carried: routers, type: 'L3 agent', table: 'router_bindings', key: 'router_id', noun: 'l3', member: 'router' });
  app.post(`${agents.path}/:id/l3-routers`, async (request, reply) => {
    const { context, params } = request as MemberRequest;
    requireAdmin(context, 'create_l3-router');
    const routerId = named(request.body, 'router_id');
    await store.write(async (tx) => {
      await lockRouter(tx, routerId);
      const found: Router = await routers.require(tx, context, routerId);
      const agent: Agent = await agents.require(tx, context, params.id);
      if (agent.agent_type !== 'L3 agent' || !agent.admin_state_up) throw new ApiError('InvalidL3Agent', { id: agent.id });
      await addRouterToHost(tx, config, found, agent.host);
    }, context.request_id);
    return created(reply);
  });
  app.delete(`${agents.path}/:id/l3-routers/:other`, async (request, reply) => {
    const { context, params } = request as MemberRequest;
    requireAdmin(context, 'delete_l3-router');
    if (params.other.includes('\0')) throw new ApiError('RouterNotFound', { id: params.other });
    await store.write(async (tx) => {
      await lockRouter(tx, params.other);
      const { host, agent_type, id } = await agents.require(tx, context, params.id);
      await routers.require(tx, context, params.other);
      if (agent_type !== 'L3 agent' || !(await removeRouterFromHost(tx, params.other, host))) throw new ApiError('RouterNotHostedByL3Agent', { router_id: params.other, agent_id: id });
    }, context.request_id);
    await reply.code(204).send();
  });
}

interface Carrying {
  readonly store: Store;
  readonly agents: Collection;
  readonly carried: Collection;
  readonly type: AgentType;
  readonly table: 'network_dhcp_bindings' | 'router_bindings';
  readonly key: 'network_id' | 'router_id';
  /** `dhcp` of `dhcp-agents`. */
  readonly noun: 'dhcp' | 'l3';
  /** `network` of `dhcp-networks`. */
  readonly member: 'network' | 'router';
}

/** Lists from both sides: `/agents/{id}/dhcp-networks` and `/networks/{id}/dhcp-agents`. */
function carryRoutes(app: FastifyInstance, { store: { reader }, agents, carried, type, table, key, noun, member }: Carrying): void {
  app.get(`${agents.path}/:id/${noun}-${member}s`, async (request) => {
    const { context, params } = request as MemberRequest;
    requireAdmin(context, `get_${noun}-${member}s`);
    const { host, agent_type } = await agents.require(reader, context, params.id);
    const ids = reader.db.selectFrom(table).select(key).where('host', '=', agent_type === type ? host : '');
    return { [`${member}s`]: await shown(reader, context, carried, (query) => query.where(`${member}s.id`, 'in', ids)) };
  });
  app.get(`${carried.path}/:id/${noun}-agents`, async (request) => {
    const { context, params } = request as MemberRequest;
    requireAdmin(context, `get_${noun}-agents`);
    await carried.require(reader, context, params.id);
    const hosts = reader.db.selectFrom(table).select('host').where(key as 'host', '=', params.id);
    return { agents: await shown(reader, context, agents, (query) => query.where('agents.agent_type', '=', type).where('agents.host', 'in', hosts)) };
  });
}

async function shown(reader: Reader, context: Context, { rule, resource }: Collection, where: (query: any) => any): Promise<unknown> {
  const found = await new Table<any>(resource).list(reader, { where: (query) => where(query).orderBy(`${resource.collection}.id`) });
  return new Presenter(rule).present(reader, context, found);
}

/** The id that a body names under `key`. */
function named(body: unknown, key: string): string {
  const id = typeof body === 'object' && body !== null ? (body as Record<string, unknown>)[key] : undefined;
  if (typeof id !== 'string' || id.includes('\0')) throw new ApiError('HTTPBadRequest', { reason: `Required attribute '${key}' not specified` });
  return id;
}

/** Clients read the answer as JSON, and Neutron has nothing to say. */
function created(reply: FastifyReply): FastifyReply {
  return reply.code(201).type('application/json').send('null');
}
