/**
 * The intent of the whole cloud as compile sees it: rows of the store with the indexes that make the cost of a change
 * follow the change. Rows are replaced, never altered; every index is updated by `put` and `remove` only.
 */
import { remoteSet } from '#hoststate/port.ts';
import type { AddressAssociation, AddressGroup } from '#model/address-groups.ts';
import type { Server } from '#model/compute.ts';
import type { Config } from '#model/config.ts';
import type { SubnetPool } from '#model/address-scopes.ts';
import type { Log } from '#model/logs.ts';
import type { Network, Port, Subnet } from '#model/networks.ts';
import { type FloatingIp, type PortForwarding, type Router, ROUTER_PORT_OWNERS } from '#model/routers.ts';
import type { SecurityGroup, SecurityGroupRule } from '#model/security-groups.ts';
import { setElement } from '#net/cidr.ts';
import { Index, PairCounts } from './counts.ts';

/** A host as its agent reports it. */
export interface Host {
  readonly id: string;
  /** Where peers tunnel to; null for a host without tunnels. */
  readonly tunneling_ip: string | null;
  /** physical network → bridge. */
  readonly bridge_mappings: Readonly<Record<string, string>>;
}

/** The host-local number of a network on a host. */
export interface LocalVlan {
  /** `host/network`. */
  readonly id: string;
  readonly number: number;
}

/** Which host serves a network's DHCP by which port. */
export interface DhcpBinding {
  /** `network/host`. */
  readonly id: string;
  readonly network_id: string;
  readonly host: string;
  readonly port_id: string;
}

/** Which host carries a router. */
export interface RouterBinding {
  /** `router/host`. */
  readonly id: string;
  readonly router_id: string;
  readonly host: string;
}

export interface Tables {
  networks: Network;
  subnets: Subnet;
  ports: Port;
  security_groups: SecurityGroup;
  security_group_rules: SecurityGroupRule;
  /** For their names: what hosts hold are the associations. */
  address_groups: AddressGroup;
  address_associations: AddressAssociation;
  servers: Server;
  hosts: Host;
  local_vlans: LocalVlan;
  dhcp_bindings: DhcpBinding;
  subnetpools: SubnetPool;
  routers: Router;
  router_bindings: RouterBinding;
  floatingips: FloatingIp;
  port_forwardings: PortForwarding;
  logs: Log;
}
export type TableName = keyof Tables;

/** The options that show in items. */
export type Settings = Pick<Config, 'l2_population' | 'dns_domain' | 'dnsmasq_dns_servers' | 'dnsmasq_local_resolv' | 'dhcp_lease_duration' | 'enable_isolated_metadata' | 'force_metadata' | 'enable_metadata_proxy' | 'connections_of_removed_rules'>;

/** Network types whose ports on other hosts are reached through a tunnel. */
export const TUNNEL_TYPES: ReadonlySet<string> = new Set(['vxlan', 'gre', 'geneve']);

export class World {
  readonly #rows: { [T in TableName]: Map<string, Tables[T]> } = {
    networks: new Map(), subnets: new Map(), ports: new Map(), security_groups: new Map(), security_group_rules: new Map(), address_groups: new Map(), address_associations: new Map(),
    servers: new Map(), hosts: new Map(), local_vlans: new Map(), dhcp_bindings: new Map(), subnetpools: new Map(),
    routers: new Map(), router_bindings: new Map(), floatingips: new Map(), port_forwardings: new Map(), logs: new Map(),
  };
  readonly subnetsOfNetwork = new Index();
  readonly portsOfNetwork = new Index();
  readonly portsOfHost = new Index();
  /** Key `host/network`. */
  readonly portsOnHost = new Index();
  readonly portsOfGroup = new Index();
  readonly groupsOfProject = new Index();
  readonly rulesOfGroup = new Index();
  readonly serversOfHost = new Index();
  readonly serversOfPort = new Index();
  readonly dhcpOfNetwork = new Index();
  readonly subnetsOfPool = new Index();
  /** Ids of bindings. */
  readonly bindingsOfRouter = new Index();
  readonly bindingsOfHost = new Index();
  /** The legs of a router: its gateway and its interfaces. */
  readonly portsOfRouter = new Index();
  /** The legs of routers that a network has. */
  readonly routerPortsOfNetwork = new Index();
  readonly floatingIpsOfRouter = new Index();
  readonly floatingIpsOfPort = new Index();
  readonly forwardingsOfFloatingIp = new Index();
  readonly logsOfTarget = new Index();
  readonly logsOfGroup = new Index();
  /** Logs that name neither port nor group. */
  readonly logsOfProject = new Index();
  /** Host → the ids of its local VLANs, also those that no port needs any more. */
  readonly localVlansOfHost = new Index();
  /** Tunnel endpoint → hosts: one, unless somebody copied a host with its address. */
  readonly hostsOfEndpoint = new Index();
  /** (network, host): how many of its ports the host has. */
  readonly presence = new PairCounts();
  /** (host, network): the same, from the host's side. */
  readonly networksOfHost = new PairCounts();
  /** (group, host): how many filtered ports there have the group. */
  readonly groupUse = new PairCounts();
  /** (host, group). */
  readonly groupsOfHost = new PairCounts();
  /** (set, host): how many pairs of a rule that refers to the set and a host that filters by the rule there are. */
  readonly setUse = new PairCounts();
  /** (host, set). */
  readonly setsOfHost = new PairCounts();
  /** (set, address): how many members of the security group hold it, or that the address group lists it. */
  readonly addresses = new PairCounts();

  readonly settings: Settings;

  constructor(settings: Settings) {
    this.settings = settings;
  }

  get<T extends TableName>(table: T, id: string): Tables[T] | undefined {
    return this.#rows[table].get(id);
  }

  all<T extends TableName>(table: T): IterableIterator<Tables[T]> {
    return this.#rows[table].values();
  }

  /** Every row there is, by table and id. */
  keys(): { table: TableName; id: string }[] {
    return (Object.keys(this.#rows) as TableName[]).flatMap((table) => [...this.#rows[table].keys()].map((id) => ({ table, id })));
  }

  put<T extends TableName>(table: T, row: Tables[T]): void {
    this.remove(table, row.id);
    this.#rows[table].set(row.id, row);
    this.#index(table, row, 1);
  }

  remove(table: TableName, id: string): void {
    const row = this.#rows[table].get(id);
    if (!row) return;
    this.#index(table, row, -1);
    this.#rows[table].delete(id);
  }

  /** The hosts other than `host` that have ports of the network. */
  *peers(networkId: string, host: string): Iterable<Host> {
    for (const id of this.presence.of(networkId)) {
      const peer = id === host ? undefined : this.get('hosts', id);
      if (peer) yield peer;
    }
  }

  /** The routers that the host carries. */
  *routersOfHost(host: string): Iterable<string> {
    for (const id of this.bindingsOfHost.of(host)) yield this.get('router_bindings', id)!.router_id;
  }

  /** The hosts that carry the router. */
  *hostsOfRouter(routerId: string): Iterable<string> {
    for (const id of this.bindingsOfRouter.of(routerId)) yield this.get('router_bindings', id)!.host;
  }

  /** The networks that have a local VLAN on the host and no port there: their numbers wait for the host's word. */
  unusedVlans(host: string): string[] {
    return [...this.localVlansOfHost.of(host)].map((id) => id.slice(host.length + 1)).filter((networkId) => !this.presence.has(networkId, host));
  }

  #index(table: TableName, row: Tables[TableName], by: 1 | -1): void {
    const set = (index: Index, key: string | null) => {
      if (key) by === 1 ? index.add(key, row.id) : index.delete(key, row.id);
    };
    switch (table) {
      case 'hosts': return set(this.hostsOfEndpoint, (row as Host).tunneling_ip);
      case 'local_vlans': return set(this.localVlansOfHost, row.id.split('/')[0]!);
      case 'subnets': {
        const subnet = row as Subnet;
        set(this.subnetsOfPool, subnet.subnetpool_id);
        return set(this.subnetsOfNetwork, subnet.network_id);
      }
      case 'router_bindings': {
        const binding = row as RouterBinding;
        set(this.bindingsOfRouter, binding.router_id);
        return set(this.bindingsOfHost, binding.host);
      }
      case 'floatingips': {
        const { router_id, port_id } = row as FloatingIp;
        set(this.floatingIpsOfPort, port_id);
        return set(this.floatingIpsOfRouter, router_id);
      }
      case 'security_groups': return set(this.groupsOfProject, (row as SecurityGroup).project_id);
      case 'logs': {
        const log = row as Log;
        if (log.target_id !== null) return set(this.logsOfTarget, log.target_id);
        return log.resource_id !== null ? set(this.logsOfGroup, log.resource_id) : set(this.logsOfProject, log.project_id);
      }
      case 'port_forwardings': return set(this.forwardingsOfFloatingIp, (row as PortForwarding).floatingip_id);
      case 'servers': {
        const server = row as Server;
        for (const { port_id } of server.ports) set(this.serversOfPort, port_id);
        return set(this.serversOfHost, server.host);
      }
      case 'dhcp_bindings': return set(this.dhcpOfNetwork, (row as DhcpBinding).network_id);
      case 'security_group_rules': {
        const rule = row as SecurityGroupRule;
        set(this.rulesOfGroup, rule.security_group_id);
        for (const host of this.groupUse.of(rule.security_group_id)) this.#useSet(rule, host, by);
        return;
      }
      case 'address_associations': {
        const { address_group_id, address } = row as AddressAssociation;
        this.addresses.add(address_group_id, setElement(address) ?? address, by);
        return;
      }
      case 'ports': {
        const port = row as Port;
        set(this.portsOfNetwork, port.network_id);
        if (ROUTER_PORT_OWNERS.has(port.device_owner)) {
          set(this.portsOfRouter, port.device_id);
          set(this.routerPortsOfNetwork, port.network_id);
        }
        for (const group of port.security_groups) {
          set(this.portsOfGroup, group);
          for (const address of memberAddresses(port)) this.addresses.add(group, address, by);
        }
        const host = boundHost(port);
        if (!host) return;
        set(this.portsOfHost, host);
        set(this.portsOnHost, `${host}/${port.network_id}`);
        this.presence.add(port.network_id, host, by);
        this.networksOfHost.add(host, port.network_id, by);
        for (const group of filteringGroups(port)) {
          this.groupsOfHost.add(host, group, by);
          if (!this.groupUse.add(group, host, by)) continue;
          for (const id of this.rulesOfGroup.of(group)) this.#useSet(this.get('security_group_rules', id)!, host, by);
        }
      }
    }
  }

  /** The host begins or ceases to filter by the rule. */
  #useSet(rule: SecurityGroupRule, host: string, by: 1 | -1): void {
    const id = remoteSet(rule);
    if (id === null) return;
    this.setUse.add(id, host, by);
    this.setsOfHost.add(host, id, by);
  }
}

/** The host that a port is wired on; null while it is unbound or its binding failed. */
export function boundHost(port: Port): string | null {
  return port['binding:vif_type'] === 'ovs' ? port['binding:host_id'] : null;
}

/** False for a leg of a router, which sends and takes what is not its own: a port that became one keeps its groups, as in Neutron, and is not filtered by them. */
export function isFiltered(port: Port): boolean {
  return port.port_security_enabled && !ROUTER_PORT_OWNERS.has(port.device_owner);
}

/** The groups whose rules filter the port. */
export function filteringGroups(port: Port): readonly string[] {
  return isFiltered(port) ? port.security_groups : [];
}

/** What a port adds to the address sets of its groups: fixed addresses and allowed pairs, `10.0.0.5/24` as the prefix that it is. */
export function memberAddresses(port: Port): Set<string> {
  const held = [...port.fixed_ips, ...port.allowed_address_pairs].map(({ ip_address }) => ip_address!);
  return new Set(held.map((address) => setElement(address) ?? address));
}
