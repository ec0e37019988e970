/** The Networking API with routers over a store: hosts that carry them, an external network, and what tests say of refusals. */
import assert from 'node:assert/strict';
import { agentsRule } from '#control/network/agents.ts';
import { networksRule } from '#control/network/networks.ts';
import { portHooks } from '#control/network/port-hooks.ts';
import { portsRule } from '#control/network/ports.ts';
import { evacuate } from '#control/network/router-scheduling.ts';
import { routersRule } from '#control/network/routers.ts';
import { securityGroupRulesRule } from '#control/network/security-group-rules.ts';
import { securityGroupsRule } from '#control/network/security-groups.ts';
import { syncSegmentPools } from '#control/network/segments.ts';
import { subnetsRule } from '#control/network/subnets.ts';
import type { Config } from '#model/config.ts';
import type { Store } from '#store/store.ts';
import { type Answer, type NetworkApi, networkApi } from './network-api.ts';
import { config as defaults, insertAgent } from './network-rows.ts';
import { dump } from './table-dump.ts';

type Attributes = Record<string, unknown>;

export interface RouterApi extends NetworkApi {
  /** A network with one subnet. */
  network(who: string, cidr: string, attributes?: Attributes, subnet?: Attributes): Promise<{ network: any; subnet: any }>;
  /** The admin's external flat network 203.0.113.0/24. */
  external(cidr?: string, attributes?: Attributes): Promise<{ network: any; subnet: any }>;
  router(who: string, attributes?: Attributes): Promise<any>;
  port(who: string, attributes: Attributes): Promise<any>;
  /** `PUT /routers/{id}/{action}`, or a plain PUT of attributes. */
  act(who: string, router: { id: string }, action: string, body: unknown): Promise<any>;
  set(who: string, router: { id: string }, attributes: Attributes): Promise<any>;
  /** The router as `who` sees it. */
  show(who: string, router: { id: string }): Promise<any>;
  /** All ports of a router, as an admin sees them, by owner. */
  legs(router: { id: string }): Promise<any[]>;
  /** Runs every call, `[who, method, path, body, 'status Type']`, and asserts that each is refused so and nothing at all has changed. */
  refuses(calls: readonly (readonly [who: string, method: string, path: string, body: unknown, expected: string])[]): Promise<void>;
}

export const problem = ({ status, body }: Answer): string => `${status} ${body?.NeutronError?.type}`;

const TABLES = ['routers', 'router_bindings', 'ports', 'ip_allocations', 'free_ranges', 'host_numbers', 'floatingips', 'network_dhcp_bindings', 'subnets', 'networks', 'changes'];

/** `hosts` have all roles and alive agents; the physical network `physnet` is on all of them. */
export async function routerApi(store: Store, { hosts = ['host1'], settings = {} }: { hosts?: readonly string[]; settings?: Partial<Config> } = {}): Promise<RouterApi> {
  const config = { ...defaults, vni_ranges: ['1:1000'], quota_router: -1, quota_network: -1, ...settings };
  await store.write((tx) => syncSegmentPools(tx, config));
  for (const host of hosts) await addHost(store, host);
  const deps = { config, hooks: portHooks(config) };
  const spoken = networkApi(store, config, [
    networksRule(deps), subnetsRule(deps), portsRule(deps), securityGroupsRule(deps), securityGroupRulesRule(deps), routersRule(deps),
    agentsRule({ config, evacuate: (tx, host) => evacuate(tx, config, host) }),
  ]);
  const { ok, call } = spoken;
  const network: RouterApi['network'] = async (who, cidr, attributes = {}, given = {}) => {
    const { network: made } = await ok(who, 'POST', '/v2.0/networks', { network: attributes });
    const { subnet } = await ok(who, 'POST', '/v2.0/subnets', { subnet: { network_id: made.id, ip_version: cidr.includes(':') ? 6 : 4, cidr, ...given } });
    return { network: made, subnet };
  };
  return {
    ...spoken,
    network,
    external: (cidr = '203.0.113.0/24', attributes = {}) => network('admin', cidr, { 'router:external': true, 'provider:network_type': 'flat', 'provider:physical_network': 'physnet', ...attributes }, { enable_dhcp: false }),
    router: async (who, attributes = {}) => (await ok(who, 'POST', '/v2.0/routers', { router: attributes })).router,
    port: async (who, attributes) => (await ok(who, 'POST', '/v2.0/ports', { port: attributes })).port,
    act: (who, { id }, action, body) => ok(who, 'PUT', `/v2.0/routers/${id}/${action}`, body),
    set: async (who, { id }, attributes) => (await ok(who, 'PUT', `/v2.0/routers/${id}`, { router: attributes })).router,
    show: async (who, { id }) => (await ok(who, 'GET', `/v2.0/routers/${id}`)).router,
    legs: async ({ id }) => (await ok('admin', 'GET', `/v2.0/ports?device_id=${id}&sort_key=device_owner&sort_dir=asc`)).ports,
    async refuses(calls) {
      const before = await dump(store.reader, TABLES);
      for (const [who, method, path, body, expected] of calls) assert.equal(problem(await call(who, method, path, body)), expected, `${who} ${method} ${path} ${JSON.stringify(body)}`);
      assert.deepEqual(await dump(store.reader, TABLES), before);
    },
  };
}

/** A host with a live agent of every type. */
export async function addHost(store: Store, host: string, { l3 = {}, ovs = {} }: { l3?: Attributes; ovs?: Attributes } = {}): Promise<void> {
  await store.write(async (tx) => {
    await insertAgent(tx, host, { availability_zone: 'nova', ...ovs });
    await insertAgent(tx, host, { agent_type: 'DHCP agent', binary: 'neutron-dhcp-agent', availability_zone: 'nova' });
    await insertAgent(tx, host, { agent_type: 'L3 agent', binary: 'neutron-l3-agent', availability_zone: 'nova', ...l3 });
  });
}
