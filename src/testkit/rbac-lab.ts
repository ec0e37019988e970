/** The Networking API with everything that RBAC policies share, and what uses it, for tests of them. */
import { addressGroupsRule } from '#control/network/address-groups.ts';
import { addressScopesRule } from '#control/network/address-scopes.ts';
import { agentsRule } from '#control/network/agents.ts';
import { floatingIpsRule } from '#control/network/floating-ips.ts';
import { networksRule } from '#control/network/networks.ts';
import { portHooks } from '#control/network/port-hooks.ts';
import { portsRule } from '#control/network/ports.ts';
import { rbacPoliciesRule } from '#control/network/rbac-policies.ts';
import { routersRule } from '#control/network/routers.ts';
import { securityGroupRulesRule } from '#control/network/security-group-rules.ts';
import { securityGroupsRule } from '#control/network/security-groups.ts';
import { syncSegmentPools } from '#control/network/segments.ts';
import { subnetPoolsRule } from '#control/network/subnet-pools.ts';
import { subnetsRule } from '#control/network/subnets.ts';
import type { Config } from '#model/config.ts';
import type { Store } from '#store/store.ts';
import { type NetworkApi, networkApi } from './network-api.ts';
import { config as defaults } from './network-rows.ts';
import { addHost } from './router-api.ts';

type Attributes = Record<string, unknown>;
type Shared = { readonly id: string };

export interface RbacLab extends NetworkApi {
  /** Creates one of `collection` (`security-groups`) and answers it. */
  make(who: string, collection: string, attributes?: Attributes): Promise<any>;
  /** Shares an object with a project, `alt-project` if none is named. */
  share(who: string, type: string, object: Shared, attributes?: Attributes): Promise<any>;
  /** Ids of what `who` finds in `collection`, in order. */
  ids(who: string, collection: string, query?: string): Promise<string[]>;
  /** `404 NetworkNotFound` of what was refused, `200` of what was not. */
  answer(who: string, method: string, path: string, body?: unknown): Promise<string>;
}

/** `host1` carries networks and routers; the projects are demo's and alt's, and the admin's. */
export async function rbacLab(store: Store, settings: Partial<Config> = {}): Promise<RbacLab> {
  const config = { ...defaults, vni_ranges: ['1:1000'], ...settings };
  await store.write((tx) => syncSegmentPools(tx, config));
  await addHost(store, 'host1');
  const deps = { config, hooks: portHooks(config) };
  const api = networkApi(store, config, [
    networksRule(deps), subnetsRule(deps), portsRule(deps), addressScopesRule(), subnetPoolsRule(deps), securityGroupsRule(deps), securityGroupRulesRule(deps),
    addressGroupsRule(), rbacPoliciesRule(deps), routersRule(deps), floatingIpsRule(deps), agentsRule(deps),
  ]);
  const make: RbacLab['make'] = async (who, collection, attributes = {}) => {
    const member = collection.replaceAll('-', '_').replace(/policies$/, 'policy').replace(/s$/, '');
    return (await api.ok(who, 'POST', `/v2.0/${collection}`, { [member]: attributes }))[member];
  };
  return {
    ...api,
    make,
    share: (who, object_type, { id }, attributes = {}) => make(who, 'rbac-policies', { object_type, object_id: id, action: 'access_as_shared', target_project: 'alt-project', ...attributes }),
    ids: async (who, collection, query = '') => (await api.ok(who, 'GET', `/v2.0/${collection}?${query}`))[collection.replaceAll('-', '_')].map(({ id }: Shared) => id).sort(),
    async answer(who, method, path, body) {
      const { status, body: answered } = await api.call(who, method, path, body);
      return status < 300 ? String(status) : `${status} ${answered?.NeutronError?.type}`;
    },
  };
}
