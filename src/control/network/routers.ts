/** Routers: between networks of one project, and to the world by a gateway (N-L3-1…5; extensions router, ext-gw-mode, extraroute). */
import type { Config } from '#model/config.ts';
import { ApiError } from '#model/errors.ts';
import { type Port, port } from '#model/networks.ts';
import { type Router, router } from '#model/routers.ts';
import type { Reader, Tx } from '#store/store.ts';
import { Table } from '#store/table.ts';
import type { Context } from '../http/context.ts';
import { requireZones } from './agents.ts';
import { newObject } from './new-object.ts';
import { checkQuota } from './quotas.ts';
import { changeGateway, removeGateway, requireGatewayPolicy } from './router-gateway.ts';
import { addInterface, removeInterface } from './router-interfaces.ts';
import { GATEWAY, INTERFACE, lockNetworks } from './router-legs.ts';
import { addRoutes, removeRoutes, requireRoutes } from './router-routes.ts';
import { ensurePlaced, releaseIfEmpty, takeHold } from './router-scheduling.ts';
import type { Given, NetworkDeps, Rule } from './rule.ts';

const routers = new Table(router);
const ports = new Table(port);

const CHUNK = 500;

export function routersRule({ config }: NetworkDeps): Rule<typeof router> {
  return {
    resource: router,
    create: (tx, context, given) => createRouters(tx, context, config, given),
    update: (tx, context, current, changes) => updateRouter(tx, context, config, current, changes),
    delete: (tx, _context, current) => deleteRouter(tx, current),
    present: (reader, _context, objects) => presentRouters(reader, objects),
    actions: {
      add_router_interface: (tx, context, current, body) => addInterface(tx, context, config, current, body),
      remove_router_interface: (tx, context, current, body) => removeInterface(tx, context, config, current, body),
      add_extraroutes: (tx, context, current, body) => addRoutes(tx, context, config, current, body),
      remove_extraroutes: (tx, context, current, body) => removeRoutes(tx, context, config, current, body),
    },
  };
}

async function createRouters(tx: Tx, context: Context, config: Config, given: readonly Given<typeof router>[]): Promise<Router[]> {
  for (const { external_gateway_info: info } of given) requireGatewayPolicy(context, 'create', info ?? null);
  // Before the quota, as ports take them.
  await lockNetworks(tx, given.flatMap(({ external_gateway_info: info }) => info?.network_id ?? []));
  for (const [project, group] of Map.groupBy(given, ({ project_id }) => project_id ?? '')) await checkQuota(tx, config, project, 'router', group.length);
  const made: Router[] = [];
  for (const wanted of given) {
    await requireZones(tx, 'router', wanted.availability_zone_hints ?? []);
    const bare = newObject(router, tx, wanted, { status: 'ACTIVE', routes: [], enable_snat: config.enable_snat_by_default });
    made.push(wanted.external_gateway_info ? { ...bare, ...await changeGateway(tx, context, config, bare, wanted.external_gateway_info) } : bare);
  }
  await routers.insert(tx, made);
  return made;
}

/** Routes first, against the legs of now; then the gateway, against the routes to be. */
async function updateRouter(tx: Tx, context: Context, config: Config, current: Router, given: Given<typeof router>): Promise<Router> {
  const { external_gateway_info: info, ...changes } = given;
  if (info !== undefined) requireGatewayPolicy(context, 'update', info);
  if (changes.routes) await requireRoutes(tx, config, current.id, changes.routes);
  if (info === undefined) await ensurePlaced(tx, config, current);
  else Object.assign(changes, await changeGateway(tx, context, config, { ...current, ...changes }, info));
  return routers.update(tx, current, changes);
}

async function deleteRouter(tx: Tx, current: Router): Promise<void> {
  const held = await takeHold(tx, current.id, (legs) => legs.map((leg) => leg.network_id));
  const inside = held.legs.filter((leg) => leg.device_owner === INTERFACE);
  if (inside.length > 0) throw new ApiError('RouterInUse', { id: current.id, reason: `has ports still attached: ${inside.map(({ id }) => id).slice(0, 100).join(', ')}` });
  for (const gateway of held.legs.filter((leg) => leg.device_owner === GATEWAY)) await removeGateway(tx, current.id, gateway);
  await releaseIfEmpty(tx, current.id, held, []);
  await routers.delete(tx, current.id);
}

/** The gateway as its port has it, and the zones of the hosts that carry the router. */
async function presentRouters(reader: Reader, objects: readonly Router[]): Promise<Record<string, unknown>[]> {
  const gateways = new Map<string, Port>();
  const zones = new Map<string, Set<string>>();
  for (const { id, ...gateway } of await ports.getMany(reader, objects.flatMap(({ gw_port_id }) => gw_port_id ?? []))) gateways.set(id, { id, ...gateway });
  for (let i = 0; i < objects.length; i += CHUNK) {
    const carried = await reader.db.selectFrom('router_bindings as binding').innerJoin('agents', 'agents.host', 'binding.host').select(['binding.router_id', 'agents.availability_zone'])
      .where('binding.router_id', 'in', objects.slice(i, i + CHUNK).map(({ id }) => id)).where('agents.agent_type', '=', 'L3 agent').execute();
    for (const row of carried) zones.set(row.router_id, (zones.get(row.router_id) ?? new Set<string>()).add(row.availability_zone));
  }
  return objects.map(({ id, gw_port_id, enable_snat }) => {
    const gateway = gw_port_id === null ? undefined : gateways.get(gw_port_id);
    return {
      external_gateway_info: gateway ? { network_id: gateway.network_id, enable_snat, external_fixed_ips: gateway.fixed_ips } : null,
      availability_zones: [...(zones.get(id) ?? [])].sort(),
    };
  });
}
