/** The cloud as the tracer reads it, from what the controller has compiled. */
import type { Compiler } from '#compile/compiler.ts';
import type { TableName, World } from '#compile/world.ts';
import type { HostState } from '#hoststate/host-state.ts';
import { ROUTER_PORT_OWNERS } from '#model/routers.ts';
import type { Named, ObjectKind } from '#trace/step.ts';
import type { Topology } from '#trace/topology.ts';

const TABLES: Readonly<Record<ObjectKind, TableName>> = {
  port: 'ports', network: 'networks', router: 'routers', security_group: 'security_groups', address_group: 'address_groups', floatingip: 'floatingips', port_forwarding: 'port_forwardings',
};

/** The project that asks, and what is shared with it. */
export interface Asker {
  readonly project_id: string | null;
  /** Ids of objects of others that RBAC policies let it use. */
  readonly reached: ReadonlySet<string>;
}

/** With an `asker`, names are only those of objects that it sees in the API; without one, all. */
export function tracedCloud(compiler: Pick<Compiler, 'world' | 'stateOf'>, asker?: Asker): Topology {
  const { world } = compiler;
  const states = new Map<string, HostState>([...world.all('hosts')].map(({ id }) => [id, compiler.stateOf(id)]));
  return {
    states,
    subnetsOf: (networkId) => [...world.subnetsOfNetwork.of(networkId)].map((id) => world.get('subnets', id)!).map(({ cidr, gateway_ip, host_routes }) => ({
      cidr, gateway_ip, host_routes: host_routes.map((route) => ({ destination: route.destination!, nexthop: route.nexthop! })),
    })),
    nameOf: (kind, id) => nameOf(world, asker, kind, id),
  };
}

/** The project that an object belongs to; undefined where it is gone. */
export function projectOf(world: World, { kind, id }: Pick<Named, 'kind' | 'id'>): string | null | undefined {
  const row = world.get(TABLES[kind], id) as { readonly project_id?: string | null; readonly floatingip_id?: string } | undefined;
  return row?.floatingip_id ? world.get('floatingips', row.floatingip_id)?.project_id : row?.project_id;
}

/** A port without a name goes by its server's, or by what it is for. */
function nameOf(world: World, asker: Asker | undefined, kind: ObjectKind, id: string): string | undefined {
  if (asker && !sees(world, asker, kind, id)) return undefined;
  const row = world.get(TABLES[kind], id) as { readonly name?: string | null; readonly floating_ip_address?: string } | undefined;
  if (kind !== 'port' || row?.name) return row?.floating_ip_address ?? row?.name ?? undefined;
  const [serverId] = world.serversOfPort.of(id);
  if (serverId !== undefined) return nameOfServer(world, asker, serverId);
  const port = world.get('ports', id);
  if (!port) return undefined;
  const called = (what: ObjectKind, itsId: string): string => nameOf(world, asker, what, itsId) || itsId;
  if (port.device_owner === 'network:dhcp') return `of the DHCP server of ${called('network', port.network_id)}`;
  return ROUTER_PORT_OWNERS.has(port.device_owner) ? `of router ${called('router', port.device_id)} on ${called('network', port.network_id)}` : undefined;
}

/** What the API shows to the project: its own, what is shared with it, and every port on its own networks. */
function sees(world: World, { project_id, reached }: Asker, kind: ObjectKind, id: string): boolean {
  if (reached.has(id) || projectOf(world, { kind, id }) === project_id) return true;
  const port = kind === 'port' ? world.get('ports', id) : undefined;
  return port !== undefined && projectOf(world, { kind: 'network', id: port.network_id }) === project_id;
}

/** Servers are seen by their own project alone, also where their ports are seen by others. */
function nameOfServer(world: World, asker: Asker | undefined, id: string): string | undefined {
  const server = world.get('servers', id);
  return asker && server?.project_id !== asker.project_id ? undefined : server?.name;
}
