/** Routers as rows, and a cloud's floating IPs over them, for tests of what leads through routers. */
import { floatingIpsRule } from '#control/network/floating-ips.ts';
import { networksRule } from '#control/network/networks.ts';
import { newObject } from '#control/network/new-object.ts';
import { createPorts } from '#control/network/port-create.ts';
import { portForwardingsRule } from '#control/network/port-forwardings.ts';
import { portHooks } from '#control/network/port-hooks.ts';
import { portsRule } from '#control/network/ports.ts';
import { subnetsRule } from '#control/network/subnets.ts';
import { agentsRule } from '#control/network/agents.ts';
import type { Config } from '#model/config.ts';
import type { Network, Port, Subnet } from '#model/networks.ts';
import { type Router, router } from '#model/routers.ts';
import type { Store, Tx } from '#store/store.ts';
import { Table } from '#store/table.ts';
import { type NetworkApi, networkApi } from './network-api.ts';
import { config as defaults, contextOf, insertNetwork, insertSubnet } from './network-rows.ts';

/** A router with its gateway on `external` and a leg on each subnet, at its gateway address or the address given. */
export async function insertRouter(tx: Tx, external: Network, legs: readonly { subnet: Subnet; ip_address?: string }[], given: Partial<Router> = {}): Promise<Router> {
  const made = newObject(router, tx, { name: 'r', project_id: 'demo-project', description: '', admin_state_up: true, status: 'ACTIVE', routes: [], availability_zone_hints: [], enable_snat: true, ...given });
  const leg = async (network_id: string, device_owner: string, fixed_ips?: { subnet_id: string; ip_address: string }[]): Promise<Port> =>
    (await createPorts(tx, defaults, contextOf('admin', { admin: true }), [{ project_id: '', network_id, device_owner, device_id: made.id, ...(fixed_ips ? { fixed_ips } : {}) }], { quota: false }))[0]!;
  const gateway = await leg(external.id, 'network:router_gateway');
  for (const { subnet, ip_address } of legs) await leg(subnet.network_id, 'network:router_interface', [{ subnet_id: subnet.id, ip_address: ip_address ?? subnet.gateway_ip! }]);
  const stored = { ...made, gw_port_id: gateway.id };
  await new Table(router).insert(tx, [stored]);
  return stored;
}

export interface FloatingLab extends NetworkApi {
  readonly external: Network;
  readonly externalSubnet: Subnet;
  /** The demo project's network 10.0.0.0/24, on `router`. */
  readonly home: Network;
  readonly inside: Subnet;
  readonly router: Router;
  /** A port of demo on `home`, or as `given` says. */
  port(given?: Record<string, unknown>, who?: string): Promise<any>;
  floating(given?: Record<string, unknown>, who?: string): Promise<any>;
  shown(id: string, who?: string): Promise<any>;
}

/** The Networking API with floating IPs and port forwardings over a store, as a further controller speaks it. */
export function floatingApi(store: Store, settings: Partial<Config> = {}): NetworkApi {
  const config = { ...defaults, ...settings };
  const deps = { config, hooks: portHooks(config) };
  return networkApi(store, config, [networksRule(deps), subnetsRule(deps), portsRule(deps), floatingIpsRule(deps), portForwardingsRule(), agentsRule(deps)]);
}

/** That API with an external network 172.16.0.0/24 of the admin, a network of demo, and a router between them. */
export async function floatingLab(store: Store, settings: Partial<Config> = {}): Promise<FloatingLab> {
  const rows = await store.write(async (tx) => {
    const external = await insertNetwork(tx, { name: 'external', project_id: 'admin-project', 'router:external': true, 'provider:network_type': 'flat', port_security_enabled: false });
    const externalSubnet = await insertSubnet(tx, external, '172.16.0.0/24', { name: 'pool' });
    const home = await insertNetwork(tx, { name: 'private', project_id: 'demo-project', 'provider:segmentation_id': 2 });
    const inside = await insertSubnet(tx, home, '10.0.0.0/24');
    return { external, externalSubnet, home, inside, router: await insertRouter(tx, external, [{ subnet: inside }]) };
  });
  const api = floatingApi(store, settings);
  return {
    ...rows, ...api,
    port: async (given = {}, who = 'demo') => (await api.ok(who, 'POST', '/v2.0/ports', { port: { network_id: rows.home.id, ...given } })).port,
    floating: async (given = {}, who = 'demo') => (await api.ok(who, 'POST', '/v2.0/floatingips', { floatingip: { floating_network_id: rows.external.id, ...given } })).floatingip,
    shown: async (id, who = 'demo') => (await api.ok(who, 'GET', `/v2.0/floatingips/${id}`)).floatingip,
  };
}
