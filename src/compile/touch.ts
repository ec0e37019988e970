/**
 * Which items of which hosts a change may alter. Asked after the world has taken the change; may name an item too
 * many, never one too few. Where a change reaches too far to say cheaply, whole hosts are named and recompiled.
 */
import { remoteSet } from '#hoststate/port.ts';
import type { AddressAssociation } from '#model/address-groups.ts';
import type { SubnetPool } from '#model/address-scopes.ts';
import type { Server } from '#model/compute.ts';
import type { Log } from '#model/logs.ts';
import type { Network, Port, Subnet } from '#model/networks.ts';
import { type FloatingIp, type PortForwarding, type Router, ROUTER_PORT_OWNERS } from '#model/routers.ts';
import type { SecurityGroup, SecurityGroupRule } from '#model/security-groups.ts';
import { setElement } from '#net/cidr.ts';
import { logsOfPort, portsOfLog } from './nodes/log.ts';
import { TUNNEL_TYPES, boundHost, filteringGroups, memberAddresses, type DhcpBinding, type Host, type LocalVlan, type RouterBinding, type TableName, type Tables, type World } from './world.ts';

export class Touched {
  readonly keys = new Map<string, Set<string>>();
  readonly hosts = new Set<string>();
  /** host → items whose outcome the host has to say again, changed or not. */
  readonly asked = new Map<string, Set<string>>();

  item(host: string, key: string): void {
    const set = this.keys.get(host);
    if (set) set.add(key);
    else this.keys.set(host, new Set([key]));
  }

  wholeHost(host: string): void {
    this.hosts.add(host);
  }

  ask(host: string, key: string): void {
    const set = this.asked.get(host);
    if (set) set.add(key);
    else this.asked.set(host, new Set([key]));
  }
}

/** Adds to `touched` what the change of one row from `before` to `after` may alter. */
export function touch<T extends TableName>(world: World, table: T, before: Tables[T] | undefined, after: Tables[T] | undefined, touched: Touched): void {
  const rows = [before, after].filter((row) => row !== undefined) as unknown[];
  switch (table) {
    case 'ports': return portChanged(world, before as Port | undefined, after as Port | undefined, touched);
    case 'networks': return networkChanged(world, (rows[0] as Network).id, touched);
    case 'subnets': return networkChanged(world, (rows[0] as Subnet).network_id, touched);
    case 'security_groups': return groupChanged(world, before as SecurityGroup | undefined, after as SecurityGroup | undefined, touched);
    case 'security_group_rules': return ruleChanged(world, before as SecurityGroupRule | undefined, after as SecurityGroupRule | undefined, touched);
    // No item has its name.
    case 'address_groups': return;
    case 'address_associations': {
      for (const { address_group_id, address } of rows as AddressAssociation[]) {
        for (const host of world.setUse.of(address_group_id)) touched.item(host, `member/${address_group_id}/${setElement(address) ?? address}`);
      }
      return;
    }
    case 'logs': {
      for (const row of rows as Log[]) logChanged(world, row, touched);
      return;
    }
    case 'servers': {
      for (const row of rows as Server[]) if (row.host) touched.item(row.host, `instance/${row.id}`);
      return;
    }
    case 'local_vlans': {
      const [host = '', network = ''] = (rows[0] as LocalVlan).id.split('/');
      return touched.item(host, `segment/${network}`);
    }
    case 'dhcp_bindings': {
      for (const row of rows as DhcpBinding[]) {
        dhcpTouched(world, row.network_id, row.host, touched);
        // Each server of a network tells its clients of the others.
        for (const id of world.dhcpOfNetwork.of(row.network_id)) touched.item(world.get('dhcp_bindings', id)!.host, `dhcp-server/${row.network_id}`);
      }
      return;
    }
    case 'routers': return routerChanged(world, (rows[0] as Router).id, touched);
    case 'router_bindings': {
      for (const row of rows as RouterBinding[]) routerTouched(world, row.router_id, row.host, touched);
      return;
    }
    case 'floatingips': {
      for (const row of rows as FloatingIp[]) floatingIpTouched(world, row.router_id, row.id, touched);
      // Taken away and given back between two looks it is the item of before, and its host would have nothing to say.
      const floating = after as FloatingIp | undefined;
      if (floating?.router_id && floating.status === 'DOWN') for (const host of world.hostsOfRouter(floating.router_id)) touched.ask(host, `floating-ip/${floating.router_id}/${floating.id}`);
      return;
    }
    case 'port_forwardings': {
      for (const row of rows as PortForwarding[]) forwardingTouched(world, row, touched);
      return;
    }
    case 'subnetpools': return poolChanged(world, before as SubnetPool | undefined, after as SubnetPool | undefined, touched);
    case 'hosts': return hostChanged(world, before as Host | undefined, after as Host | undefined, touched);
  }
}

function portChanged(world: World, before: Port | undefined, after: Port | undefined, touched: Touched): void {
  const oldHost = before ? boundHost(before) : null;
  const newHost = after ? boundHost(after) : null;
  instancesTouched(world, (after ?? before)!.id, touched);
  const moved = oldHost !== newHost || before?.network_id !== after?.network_id;
  for (const [port, host] of [[before, oldHost], [after, newHost]] as const) {
    if (!port) continue;
    for (const peer of world.presence.of(port.network_id)) {
      touched.item(peer, `forward/${port.network_id}/${port.id}`);
    }
    const bindings = [...world.dhcpOfNetwork.of(port.network_id)].map((id) => world.get('dhcp_bindings', id)!);
    // Each server of a network tells its clients of the others.
    const serves = bindings.some((binding) => binding.port_id === port.id);
    for (const binding of bindings) {
      touched.item(binding.host, `dhcp-host/${port.network_id}/${port.id}`);
      if (serves) touched.item(binding.host, `dhcp-server/${port.network_id}`);
    }
    if (ROUTER_PORT_OWNERS.has(port.device_owner)) legChanged(world, port, touched);
    if (!host) continue;
    touched.item(host, `port/${port.id}`);
    for (const id of logsOfPort(world, port)) touched.item(host, `log/${port.id}/${id}`);
    const flipped = moved && (port === before ? !world.presence.has(port.network_id, host) : world.portsOnHost.of(`${host}/${port.network_id}`).size === 1);
    if (flipped) presenceChanged(world, port.network_id, host, touched);
  }
  groupsOfPortChanged(world, before, after, touched);
}

/** A network has appeared on the host or left it. */
function presenceChanged(world: World, networkId: string, host: string, touched: Touched): void {
  const own = world.get('hosts', host)?.tunneling_ip;
  touched.item(host, `segment/${networkId}`);
  dhcpTouched(world, networkId, host, touched);
  for (const peer of world.peers(networkId, host)) {
    touched.item(host, `flood/${networkId}/${peer.tunneling_ip}`);
    touched.item(peer.id, `flood/${networkId}/${own}`);
    for (const type of TUNNEL_TYPES) {
      touched.item(host, `tunnel/${type}/${peer.tunneling_ip}`);
      touched.item(peer.id, `tunnel/${type}/${own}`);
    }
  }
  for (const portId of world.portsOfNetwork.of(networkId)) touched.item(host, `forward/${networkId}/${portId}`);
}

function groupsOfPortChanged(world: World, before: Port | undefined, after: Port | undefined, touched: Touched): void {
  const [left, came] = [new Set<string>(), new Set<string>()];
  const groups = new Set([...(before?.security_groups ?? []), ...(after?.security_groups ?? [])]);
  for (const group of groups) {
    const had = before?.security_groups.includes(group) ? memberAddresses(before) : new Set<string>();
    const has = after?.security_groups.includes(group) ? memberAddresses(after) : new Set<string>();
    const changed = [...had].filter((address) => !has.has(address)).concat([...has].filter((address) => !had.has(address)));
    if (changed.length > 0) {
      // The port's own hosts too: with this change they may have ceased to use the group, and nobody else would say so.
      const hosts = new Set(world.setUse.of(group));
      for (const port of [before, after]) if (port && boundHost(port)) hosts.add(boundHost(port)!);
      for (const host of hosts) for (const address of changed) touched.item(host, `member/${group}/${address}`);
    }
    const filteredOn = (port: Port | undefined) => (port && filteringGroups(port).includes(group) ? boundHost(port) : null);
    const [oldHost, newHost] = [filteredOn(before), filteredOn(after)];
    if (oldHost === newHost) continue;
    if (oldHost && !world.groupUse.has(group, oldHost)) left.add(group);
    if (newHost && world.groupUse.count(group, newHost) === 1) came.add(group);
  }
  if (left.size > 0) groupUseChanged(world, left, boundHost(before!)!, 'left', touched);
  if (came.size > 0) groupUseChanged(world, came, boundHost(after!)!, 'came', touched);
}

type Course = 'came' | 'left';

/** The host's first port of each of `groups` has come, or its last one left: their rules come or go, and the sets that these refer to. */
function groupUseChanged(world: World, groups: ReadonlySet<string>, host: string, course: Course, touched: Touched): void {
  // Counted over all of them: two groups that refer to one set bring it together.
  const uses = new Map<string, number>();
  for (const group of groups) {
    for (const id of world.rulesOfGroup.of(group)) {
      touched.item(host, `rule/${group}/${id}`);
      const set = remoteSet(world.get('security_group_rules', id)!);
      if (set !== null) uses.set(set, (uses.get(set) ?? 0) + 1);
    }
  }
  for (const [set, count] of uses) setUseChanged(world, set, host, course, count, touched);
}

/** `uses` uses of the set have come to the host or left it: its members come or go with the first and the last one, not with each rule. */
function setUseChanged(world: World, set: string, host: string, course: Course, uses: number, touched: Touched): void {
  if (world.setUse.count(set, host) !== (course === 'came' ? uses : 0)) return;
  for (const address of world.addresses.of(set)) touched.item(host, `member/${set}/${address}`);
}

function ruleChanged(world: World, before: SecurityGroupRule | undefined, after: SecurityGroupRule | undefined, touched: Touched): void {
  const kept = before && after && before.security_group_id === after.security_group_id && remoteSet(before) === remoteSet(after);
  for (const [rule, course] of [[before, 'left'], [after, 'came']] as const) {
    if (!rule) continue;
    const set = remoteSet(rule);
    for (const host of world.groupUse.of(rule.security_group_id)) {
      touched.item(host, `rule/${rule.security_group_id}/${rule.id}`);
      if (set !== null && !kept) setUseChanged(world, set, host, course, 1, touched);
    }
  }
}

/** Of a group, hosts are told only whether its ports are stateful, and the logs of its project are its ports' too; its row changes with each rule of it. */
function groupChanged(world: World, before: SecurityGroup | undefined, after: SecurityGroup | undefined, touched: Touched): void {
  if (before?.stateful === after?.stateful && before?.project_id === after?.project_id) return;
  const group = (before ?? after)!.id;
  for (const id of world.portsOfGroup.of(group)) {
    const host = boundHost(world.get('ports', id)!);
    if (!host) continue;
    touched.item(host, `port/${id}`);
    for (const row of [before, after]) for (const log of world.logsOfProject.of(row?.project_id ?? '')) touched.item(host, `log/${id}/${log}`);
  }
}

/** A log concerns its port, its group's ports, or those of a whole project: as many items as ports that it names. */
function logChanged(world: World, log: Log, touched: Touched): void {
  for (const portId of portsOfLog(world, log)) {
    const port = world.get('ports', portId);
    const host = port && boundHost(port);
    if (host) touched.item(host, `log/${portId}/${log.id}`);
  }
}

/** Networks and subnets change rarely and show in every port and lease of theirs. */
function networkChanged(world: World, networkId: string, touched: Touched): void {
  for (const host of world.presence.of(networkId)) {
    presenceChanged(world, networkId, host, touched);
    for (const portId of world.portsOnHost.of(`${host}/${networkId}`)) touched.item(host, `port/${portId}`);
  }
  legsTouched(world, networkId, touched);
  for (const portId of world.portsOfNetwork.of(networkId)) instancesTouched(world, portId, touched);
}

/** Of a pool, hosts are told its address scope only; it may have thousands of subnets. */
function poolChanged(world: World, before: SubnetPool | undefined, after: SubnetPool | undefined, touched: Touched): void {
  if (before?.address_scope_id === after?.address_scope_id) return;
  const networks = new Set([...world.subnetsOfPool.of((before ?? after)!.id)].map((id) => world.get('subnets', id)!.network_id));
  for (const networkId of networks) legsTouched(world, networkId, touched);
}

/** A leg of a router: with it the gateway of a subnet may have become a router of ours, or ceased to be one (N-MD-16). */
function legChanged(world: World, port: Port, touched: Touched): void {
  for (const host of world.hostsOfRouter(port.device_id)) touched.item(host, `router-port/${port.device_id}/${port.id}`);
  for (const id of world.dhcpOfNetwork.of(port.network_id)) touched.item(world.get('dhcp_bindings', id)!.host, `dhcp-server/${port.network_id}`);
}

/** The legs that routers have on a network show its MTU and subnets. */
function legsTouched(world: World, networkId: string, touched: Touched): void {
  for (const id of world.routerPortsOfNetwork.of(networkId)) {
    const { device_id } = world.get('ports', id)!;
    for (const host of world.hostsOfRouter(device_id)) touched.item(host, `router-port/${device_id}/${id}`);
  }
}

function routerChanged(world: World, routerId: string, touched: Touched): void {
  for (const host of world.hostsOfRouter(routerId)) routerTouched(world, routerId, host, touched);
}

/** The router and all that hangs on it: it came to the host or left it, or was switched on or off. */
function routerTouched(world: World, routerId: string, host: string, touched: Touched): void {
  touched.item(host, `router/${routerId}`);
  for (const id of world.portsOfRouter.of(routerId)) touched.item(host, `router-port/${routerId}/${id}`);
  for (const id of world.floatingIpsOfRouter.of(routerId)) {
    touched.item(host, `floating-ip/${routerId}/${id}`);
    for (const forwarding of world.forwardingsOfFloatingIp.of(id)) touched.item(host, `port-forwarding/${routerId}/${forwarding}`);
  }
}

function floatingIpTouched(world: World, routerId: string | null, id: string, touched: Touched): void {
  if (routerId === null) return;
  for (const host of world.hostsOfRouter(routerId)) {
    touched.item(host, `floating-ip/${routerId}/${id}`);
    for (const forwarding of world.forwardingsOfFloatingIp.of(id)) touched.item(host, `port-forwarding/${routerId}/${forwarding}`);
  }
}

/** The address of a floating IP stands on its router only while something leads on from it. */
function forwardingTouched(world: World, row: PortForwarding, touched: Touched): void {
  const routerId = world.get('floatingips', row.floatingip_id)?.router_id;
  for (const host of routerId ? world.hostsOfRouter(routerId) : []) touched.item(host, `port-forwarding/${routerId}/${row.id}`);
  floatingIpTouched(world, routerId ?? null, row.floatingip_id, touched);
}

/** An instance is told of its NICs' addresses and networks, wherever the port itself is bound. */
function instancesTouched(world: World, portId: string, touched: Touched): void {
  for (const id of world.serversOfPort.of(portId)) {
    const host = world.get('servers', id)?.host;
    if (host) touched.item(host, `instance/${id}`);
  }
}

function dhcpTouched(world: World, networkId: string, host: string, touched: Touched): void {
  touched.item(host, `dhcp-server/${networkId}`);
  for (const portId of world.portsOfNetwork.of(networkId)) touched.item(host, `dhcp-host/${networkId}/${portId}`);
}

function hostChanged(world: World, before: Host | undefined, after: Host | undefined, touched: Touched): void {
  if (JSON.stringify(before) === JSON.stringify(after)) return;
  for (const row of [before, after]) if (row) touched.wholeHost(row.id);
  if (before?.tunneling_ip === after?.tunneling_ip) return;
  const id = (before ?? after)!.id;
  for (const networkId of world.networksOfHost.of(id)) for (const peer of world.presence.of(networkId)) touched.wholeHost(peer);
}
