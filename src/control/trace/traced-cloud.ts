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

export function tracedCloud(compiler: Pick<Compiler, 'world' | 'stateOf'>): Topology {
  const { world } = compiler;
  const states = new Map<string, HostState>([...world.all('hosts')].map(({ id }) => [id, compiler.stateOf(id)]));
  return {
    states,
    subnetsOf: (networkId) => [...world.subnetsOfNetwork.of(networkId)].map((id) => world.get('subnets', id)!).map(({ cidr, gateway_ip, host_routes }) => ({
      cidr, gateway_ip, host_routes: host_routes.map((route) => ({ destination: route.destination!, nexthop: route.nexthop! })),
    })),
    nameOf: (kind, id) => nameOf(world, kind, id),
  };
}

/** The project that an object belongs to; undefined where it is gone. */
export function projectOf(world: World, { kind, id }: Named): string | null | undefined {
  const row = world.get(TABLES[kind], id) as { readonly project_id?: string | null; readonly floatingip_id?: string } | undefined;
  return row?.floatingip_id ? world.get('floatingips', row.floatingip_id)?.project_id : row?.project_id;
}

/** A port without a name goes by its server's, or by what it is for. */
function nameOf(world: World, kind: ObjectKind, id: string): string | undefined {
  const row = world.get(TABLES[kind], id) as { readonly name?: string | null; readonly floating_ip_address?: string } | undefined;
  if (kind !== 'port' || row?.name) return row?.floating_ip_address ?? row?.name ?? undefined;
  const [server] = world.serversOfPort.of(id);
  if (server !== undefined) return world.get('servers', server)?.name;
  const port = world.get('ports', id);
  const network = port && world.get('networks', port.network_id)?.name;
  if (port?.device_owner === 'network:dhcp') return `of the DHCP server of ${network}`;
  return port && ROUTER_PORT_OWNERS.has(port.device_owner) ? `of router ${world.get('routers', port.device_id)?.name} on ${network}` : undefined;
}
