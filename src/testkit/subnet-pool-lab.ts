/** The Networking API with networks, subnets, subnet pools and address scopes, for tests of them. */
import { addressScopesRule } from '#control/network/address-scopes.ts';
import { agentsRule } from '#control/network/agents.ts';
import { networksRule } from '#control/network/networks.ts';
import { syncSegmentPools } from '#control/network/segments.ts';
import { subnetPoolsRule } from '#control/network/subnet-pools.ts';
import { subnetsRule } from '#control/network/subnets.ts';
import { loadConfig } from '#model/config.ts';
import type { Store } from '#store/store.ts';
import { networkApi, type NetworkApi } from './network-api.ts';

type Attributes = Record<string, unknown>;

export interface SubnetPoolLab extends NetworkApi {
  pool(who: string, attributes: Attributes): Promise<any>;
  scope(who: string, attributes?: Attributes): Promise<any>;
  network(who: string, attributes?: Attributes): Promise<string>;
  subnet(who: string, attributes: Attributes): Promise<any>;
  /** `400 InvalidInput: …` of what was refused; throws when it was not. */
  refused(who: string, method: string, path: string, body?: unknown): Promise<string>;
}

export async function subnetPoolLab(store: Store, yaml = ''): Promise<SubnetPoolLab> {
  const config = loadConfig(yaml);
  const hooks = { async removePort() {}, async onSubnetChanged() {} };
  await store.write((tx) => syncSegmentPools(tx, config));
  const rules = [networksRule({ config, hooks }), subnetsRule({ config, hooks }), subnetPoolsRule({ config }), addressScopesRule(), agentsRule({ config })];
  const api = networkApi(store, config, rules);
  const made = async (who: string, path: string, member: string, attributes: Attributes) => (await api.ok(who, 'POST', `/v2.0/${path}`, { [member]: attributes }))[member];
  return {
    ...api,
    pool: (who, attributes) => made(who, 'subnetpools', 'subnetpool', { name: 'pool', ...attributes }),
    scope: (who, attributes = {}) => made(who, 'address-scopes', 'address_scope', { name: 'scope', ip_version: 4, ...attributes }),
    network: async (who, attributes = {}) => (await made(who, 'networks', 'network', attributes)).id,
    subnet: (who, attributes) => made(who, 'subnets', 'subnet', { ip_version: 4, ...attributes }),
    async refused(who, method, path, body) {
      const answer = await api.call(who, method, path, body);
      if (answer.status < 400) throw new Error(`${method} ${path} was not refused: ${answer.status} ${JSON.stringify(answer.body)}`);
      return `${answer.status} ${answer.body.NeutronError.type}: ${answer.body.NeutronError.message}`;
    },
  };
}
