/** Makes a random topology on a running cloud through the API, and takes it away again. */
import { type Api, ApiFailure } from './api.ts';
import { PROBED, type EndpointPart, type RemotePart, type RulePart, type TopologyPart } from './topology.ts';

/** A guest to be: a port of the API, and what its guest knows of itself. */
export interface BuiltEndpoint {
  /** `e0`, `e1`, … in the topology's order. */
  readonly name: string;
  readonly part: EndpointPart;
  readonly host: string;
  readonly port_id: string;
  readonly network_id: string;
  /** `n0`, `n1`, … or `outside`. */
  readonly network: string;
  /** Its network does not leave its host. */
  readonly local: boolean;
  readonly mac: string;
  readonly addresses: readonly string[];
  /** `single`: an address, which neighbours send to, not one out of a prefix. */
  readonly pair: { readonly mac: string; readonly ip: string; readonly single: boolean } | null;
  readonly floating: string | null;
}

export interface BuiltLeg {
  readonly port_id: string;
  readonly router_id: string;
  readonly network_id: string;
  readonly external: boolean;
  readonly host: string;
  readonly mac: string;
  readonly addresses: readonly string[];
}

export interface BuiltSubnet {
  readonly network_id: string;
  readonly cidr: string;
  readonly gateway_ip: string | null;
}

export interface BuiltTopology {
  readonly external: string;
  readonly endpoints: readonly BuiltEndpoint[];
  readonly legs: readonly BuiltLeg[];
  readonly subnets: readonly BuiltSubnet[];
}

/** The world outside, as the probe lab plays it; it is what routers take for the way to the Internet. */
export const OUTSIDE = { mac: '02:50:42:00:00:fe', addresses: ['172.16.0.250', '2001:db8:16::250'] } as const;
const FIRST_VLAN = 3001;

/** What a topology is made of in the API, as it grows: enough to remove it when the making fails half-way. */
class Made {
  readonly api: Api;
  readonly paths: string[] = [];
  readonly routers: string[] = [];

  constructor(api: Api) {
    this.api = api;
  }

  async create(collection: string, member: string, attributes: Record<string, unknown>): Promise<any> {
    const made = await this.api.post(`/network/v2.0/${collection}`, { [member]: attributes }, member);
    this.paths.push(`/network/v2.0/${collection}/${made.id}`);
    return made;
  }

  async remove(): Promise<void> {
    for (const id of this.routers) {
      const { ports } = await this.api.get(`/network/v2.0/ports?device_id=${id}&device_owner=network:router_interface`);
      for (const { path } of this.#of('floatingips')) await this.#delete(path);
      for (const port of ports) await this.api.request('PUT', `/network/v2.0/routers/${id}/remove_router_interface`, { port_id: port.id });
      await this.api.delete(`/network/v2.0/routers/${id}`);
    }
    for (const collection of ['ports', 'networks', 'security-groups', 'address-groups']) await Promise.all(this.#of(collection).map(({ path }) => this.#delete(path)));
  }

  #of(collection: string): { path: string }[] {
    return this.paths.filter((path) => path.startsWith(`/network/v2.0/${collection}/`)).map((path) => ({ path }));
  }

  async #delete(path: string): Promise<void> {
    await this.api.delete(path).catch((error: unknown) => {
      if (!(error instanceof ApiFailure && error.status === 404)) throw error;
    });
  }
}

export interface Construction {
  readonly topology: BuiltTopology;
  /** Deletes everything that was made. */
  remove(): Promise<void>;
}

/** `sharedMac` is one that several guests may use, as VRRP has them. */
export async function construct(api: Api, topology: TopologyPart, hosts: readonly string[], sharedMac: string): Promise<Construction> {
  const made = new Made(api);
  try {
    return { topology: await build(made, topology, hosts, sharedMac), remove: () => made.remove() };
  } catch (error) {
    await made.remove();
    throw error;
  }
}

async function build(made: Made, part: TopologyPart, hosts: readonly string[], sharedMac: string): Promise<BuiltTopology> {
  const external = await made.create('networks', 'network', { name: 'outside', 'router:external': true, 'provider:network_type': 'flat', 'provider:physical_network': 'physnet' });
  const subnets: BuiltSubnet[] = [];
  const subnet = async (network_id: string, attributes: Record<string, unknown>): Promise<void> => {
    const { cidr, gateway_ip } = await made.api.subnet({ network_id, enable_dhcp: false, ...attributes });
    subnets.push({ network_id, cidr, gateway_ip });
  };
  await subnet(external.id, { cidr: '172.16.0.0/24', gateway_ip: OUTSIDE.addresses[0], allocation_pools: [{ start: '172.16.0.100', end: '172.16.0.199' }] });
  await subnet(external.id, { cidr: '2001:db8:16::/64', ip_version: 6, gateway_ip: OUTSIDE.addresses[1] });
  const networks = await Promise.all(part.networks.map(async ({ type, prefix, ipv6, segmentation_id }, i) => {
    const network = await made.create('networks', 'network', {
      name: `n${i}`, 'provider:network_type': type, ...(type === 'vlan' ? { 'provider:physical_network': 'physnet', 'provider:segmentation_id': segmentation_id ?? FIRST_VLAN + i } : {}),
    });
    await subnet(network.id, { cidr: `10.0.${prefix}.0/24` });
    if (ipv6) await subnet(network.id, { cidr: `fd00:${prefix + 1}::/64`, ip_version: 6 });
    return network.id as string;
  }));
  const place = (endpoint: EndpointPart): number => (endpoint.network < 0 ? -1 : endpoint.network % networks.length);
  const addressesOf = (i: number): string[] => {
    const endpoint = part.endpoints[i % part.endpoints.length]!;
    // Every other address: the ones between are nobody's.
    const number = 10 + 2 * (i % part.endpoints.length);
    const network = place(endpoint);
    if (network < 0) return [`172.16.0.${number}`, `2001:db8:16::${number}`];
    const { prefix, ipv6 } = part.networks[network]!;
    return [`10.0.${prefix}.${number}`, ...(ipv6 ? [`fd00:${prefix + 1}::${number}`] : [])];
  };
  const groups = await buildGroups(made, part, addressesOf);
  const routerOf = await buildRouters(made, part, networks, external.id);
  const endpoints = await Promise.all(part.endpoints.map(async (endpoint, i): Promise<BuiltEndpoint> => {
    const at = place(endpoint);
    const network_id = at < 0 ? external.id : networks[at]!;
    const addresses = addressesOf(i);
    const pair = endpoint.groups === null || endpoint.pair === null ? null : pairOf(endpoint.pair, addresses[0]!, i, sharedMac);
    const port = await made.create('ports', 'port', {
      name: `e${i}`, network_id, 'binding:host_id': hosts[endpoint.host % hosts.length], device_owner: 'compute:nova', device_id: crypto.randomUUID(), admin_state_up: endpoint.up,
      fixed_ips: addresses.map((ip_address) => ({ ip_address })),
      ...(endpoint.groups === null ? { port_security_enabled: false, security_groups: [] } : { security_groups: [...new Set(endpoint.groups.map((group) => groups[group % groups.length]!))] }),
      ...(pair ? { allowed_address_pairs: [{ ip_address: pair.ip_address, ...(pair.mac_address ? { mac_address: pair.mac_address } : {}) }] } : {}),
    });
    const router = at < 0 ? undefined : routerOf.get(at);
    const floating = endpoint.floating && router?.gateway
      ? (await made.create('floatingips', 'floatingip', { floating_network_id: external.id, port_id: port.id, fixed_ip_address: addresses[0], floating_ip_address: `172.16.0.${200 + i}` })).floating_ip_address : null;
    return {
      name: `e${i}`, part: endpoint, host: hosts[endpoint.host % hosts.length]!, port_id: port.id, network_id, network: at < 0 ? 'outside' : `n${at}`, local: at >= 0 && part.networks[at]!.type === 'local', mac: port.mac_address, addresses, floating,
      pair: pair && { ip: pair.uses, mac: pair.mac_address ?? port.mac_address, single: pair.uses === pair.ip_address },
    };
  }));
  const ports = (await Promise.all(made.routers.map((id) => made.api.get(`/network/v2.0/ports?device_id=${id}`)))).flatMap((answer) => answer.ports);
  const legs = ports.map((port): BuiltLeg => ({
    port_id: port.id, router_id: port.device_id, network_id: port.network_id, external: port.device_owner === 'network:router_gateway', host: port['binding:host_id'], mac: port.mac_address,
    addresses: port.fixed_ips.map(({ ip_address }: { ip_address: string }) => ip_address),
  }));
  return { external: external.id, endpoints, legs, subnets };
}

/** `uses` is an address of the pair that the guest sends from. */
function pairOf(kind: NonNullable<EndpointPart['pair']>, address: string, i: number, sharedMac: string): { ip_address: string; uses: string; mac_address?: string } {
  const prefix = address.slice(0, address.lastIndexOf('.'));
  switch (kind) {
    case 'address': return { ip_address: `${prefix}.${60 + i}`, uses: `${prefix}.${60 + i}` };
    case 'address and mac': return { ip_address: `${prefix}.77`, uses: `${prefix}.77`, mac_address: sharedMac };
    case 'prefix': return { ip_address: `${prefix}.224/28`, uses: `${prefix}.${226 + i}` };
  }
}

async function buildGroups(made: Made, part: TopologyPart, addressesOf: (endpoint: number) => string[]): Promise<string[]> {
  const groups = await Promise.all(part.groups.map(({ egress, stateless = part.stateless }, i) => buildGroup(made, `g${i}`, egress, !stateless)));
  const addressGroups = await Promise.all(part.address_groups.map((endpoints, i) => made.create('address-groups', 'address_group', {
    name: `a${i}`, addresses: [...new Set(endpoints.flatMap(addressesOf))].map((address) => `${address}/${address.includes(':') ? 128 : 32}`),
  })));
  for (const [i, { rules }] of part.groups.entries()) {
    for (const rule of rules) await addRule(made.api, { security_group_id: groups[i]!, ...ruleAttributes(rule, groups, addressGroups.map(({ id }) => id), addressesOf) });
  }
  return groups;
}

async function buildGroup(made: Made, name: string, egress: boolean, stateful: boolean): Promise<string> {
  const group = await made.create('security-groups', 'security_group', { name, stateful });
  if (!egress) for (const { id } of group.security_group_rules) await made.api.delete(`/network/v2.0/security-group-rules/${id}`);
  return group.id;
}

async function addRule(api: Api, attributes: Record<string, unknown>): Promise<void> {
  await api.rule(attributes).catch((error: unknown) => {
    // Two parts may say the same.
    if (!(error instanceof ApiFailure && error.status === 409)) throw error;
  });
}

const ICMP_TYPES = { 4: { echo: 8, reply: 0, unreachable: 3 }, 6: { echo: 128, reply: 129, unreachable: 1 } } as const;

function ruleAttributes(rule: RulePart, groups: readonly string[], addressGroups: readonly string[], addressesOf: (endpoint: number) => string[]): Record<string, unknown> {
  const { family, protocol } = rule;
  const ported = protocol !== null && Object.hasOwn(PROBED, protocol);
  const type = protocol === 'icmp' && rule.icmp_type !== null ? ICMP_TYPES[family][rule.icmp_type] : null;
  return {
    direction: rule.direction, ethertype: `IPv${family}`,
    protocol: protocol === 'icmp' && family === 6 ? 'ipv6-icmp' : protocol,
    ...(ported && rule.ports ? { port_range_min: rule.ports[0], port_range_max: rule.ports[1] } : {}),
    ...(type === null ? {} : { port_range_min: type }),
    ...remoteAttributes(rule.remote, family, groups, addressGroups, addressesOf),
  };
}

function remoteAttributes(remote: RemotePart, family: 4 | 6, groups: readonly string[], addressGroups: readonly string[], addressesOf: (endpoint: number) => string[]): Record<string, unknown> {
  switch (remote.kind) {
    case 'any': return {};
    case 'group': return { remote_group_id: groups[remote.group % groups.length] };
    case 'address group': return { remote_address_group_id: addressGroups[remote.address_group % addressGroups.length] };
    case 'prefix': {
      const address = addressesOf(remote.endpoint).find((each) => each.includes(':') === (family === 6)) ?? (family === 6 ? 'fd00::10' : '10.0.0.10');
      const lengths = family === 6 ? { host: 128, half: 125, subnet: 64 } : { host: 32, half: 29, subnet: 24 };
      return { remote_ip_prefix: `${address}/${lengths[remote.length]}` };
    }
  }
}

/** Which network has which router: the first that wants it, unless its prefix is on that router already. */
async function buildRouters(made: Made, part: TopologyPart, networks: readonly string[], external: string): Promise<Map<number, { gateway: boolean }>> {
  const routerOf = new Map<number, { gateway: boolean }>();
  for (const [i, router] of part.routers.entries()) {
    const { id } = await made.api.router({ name: `r${i}`, ...(router.gateway ? { external_gateway_info: { network_id: external, enable_snat: router.snat } } : {}) });
    made.routers.push(id);
    const prefixes = new Set<number>();
    for (const network of new Set(router.networks.map((each) => each % networks.length))) {
      const { prefix } = part.networks[network]!;
      if (routerOf.has(network) || prefixes.has(prefix)) continue;
      routerOf.set(network, router);
      prefixes.add(prefix);
      for (const { id: subnet } of (await made.api.get(`/network/v2.0/subnets?network_id=${networks[network]}`)).subnets) await made.api.addInterface(id, subnet);
    }
  }
  return routerOf;
}
