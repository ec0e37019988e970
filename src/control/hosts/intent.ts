/** Rows of the store as the compiler takes them: all at the start, changed ones after each commit. */
import type { RowChange } from '#compile/compiler.ts';
import type { Host } from '#compile/world.ts';
import { heldAddresses } from '../network/address-groups.ts';
import { addressGroup } from '#model/address-groups.ts';
import { type Agent, agent } from '#model/agents.ts';
import { server } from '#model/compute.ts';
import { subnetPool } from '#model/address-scopes.ts';
import { log } from '#model/logs.ts';
import { network, port, subnet } from '#model/networks.ts';
import type { Resource } from '#model/resource.ts';
import { floatingIp, portForwarding, router } from '#model/routers.ts';
import { securityGroup, securityGroupRule } from '#model/security-groups.ts';
import type { Change, Reader } from '#store/store.ts';
import { parseIp } from '#net/ip.ts';
import { Table } from '#store/table.ts';

/** Kinds of the change log that are tables of the world as they are. */
const TABLES: ReadonlyMap<string, Table<Resource>> = new Map(
  [network, subnetPool, subnet, port, addressGroup, securityGroup, securityGroupRule, router, floatingIp, portForwarding, server, log].map((resource) => [resource.collection, new Table(resource as Resource)]),
);
const agents = new Table(agent);

/** The whole intent, in an order in which nothing refers to what comes later. */
export async function loadIntent(reader: Reader): Promise<RowChange[]> {
  const changes: RowChange[] = [];
  for (const row of await agents.list(reader)) {
    const host = hostOf(row);
    if (host) changes.push({ table: 'hosts', id: host.id, row: host });
  }
  for (const row of await reader.db.selectFrom('host_numbers').selectAll().where('kind', '=', 'local_vlan').execute()) changes.push(localVlan(`${row.host}/${row.key}`, row.number));
  for (const row of await reader.db.selectFrom('network_dhcp_bindings').selectAll().execute()) changes.push(dhcpBinding(`${row.network_id}/${row.host}`, row));
  for (const row of await reader.db.selectFrom('router_bindings').selectAll().execute()) changes.push(routerBinding(`${row.router_id}/${row.host}`, row));
  for (const { address_group_id, address } of await reader.db.selectFrom('address_associations').selectAll().execute()) changes.push(association(`${address_group_id}/${address}`, true));
  for (const [name, table] of TABLES) for (const row of await table.list(reader)) changes.push({ table: name as 'networks', id: (row as { id: string }).id, row: row as never });
  return changes;
}

/** The rows that `changes` name, as they are now; a row changed twice comes once, at its last place. */
export async function loadChanges(reader: Reader, changes: readonly Change[]): Promise<RowChange[]> {
  const latest = new Map<string, Change>();
  for (const change of changes) {
    const key = `${change.kind} ${change.id}`;
    latest.delete(key);
    latest.set(key, change);
  }
  const kinds = Map.groupBy(latest.values(), (change) => change.kind);
  const rows = new Map<string, RowChange>();
  for (const [kind, group] of kinds) for (const [id, row] of await loadKind(reader, kind, group.map((change) => change.id))) rows.set(`${kind} ${id}`, row);
  return [...latest.keys()].map((key) => rows.get(key)).filter((row) => row !== undefined);
}

/** Change-log id → what the row is now; ids that mean nothing to the world are left out. */
async function loadKind(reader: Reader, kind: string, ids: readonly string[]): Promise<Map<string, RowChange>> {
  const found = new Map<string, RowChange>();
  const table = TABLES.get(kind);
  if (table) {
    for (const id of ids) found.set(id, { table: kind as 'networks', id, row: undefined });
    for (const row of await table.getMany(reader, ids)) found.set((row as { id: string }).id, { table: kind as 'networks', id: (row as { id: string }).id, row: row as never });
  } else if (kind === 'agents') {
    for (const row of await agents.getMany(reader, ids)) {
      const host = hostOf(row);
      if (host) found.set(row.id, { table: 'hosts', id: host.id, row: host });
    }
  } else if (kind === 'hosts') {
    const held = await agents.list(reader, { filters: { host: ids, agent_type: ['Open vSwitch agent'] } });
    for (const id of ids) found.set(id, { table: 'hosts', id, row: held.map(hostOf).find((host) => host?.id === id) });
  } else if (kind === 'host_numbers') {
    for (const id of ids) {
      const [host = '', kindOfNumber = '', key = ''] = id.split('/');
      const row = await reader.db.selectFrom('host_numbers').select('number').where('host', '=', host).where('kind', '=', kindOfNumber).where('key', '=', key).executeTakeFirst();
      found.set(id, localVlan(`${host}/${key}`, row?.number));
    }
  } else if (kind === 'network_dhcp_bindings') {
    for (const id of ids) {
      const [networkId = '', host = ''] = id.split('/');
      found.set(id, dhcpBinding(id, await reader.db.selectFrom('network_dhcp_bindings').selectAll().where('network_id', '=', networkId).where('host', '=', host).executeTakeFirst()));
    }
  } else if (kind === 'address_associations') {
    const groups = Map.groupBy(ids.map((id) => association(id, false)), ({ id }) => id.slice(0, id.indexOf('/')));
    for (const [groupId, gone] of groups) {
      for (const change of gone) found.set(change.id, change);
      for (const address of await heldAddresses(reader, groupId, gone.map(({ id }) => id.slice(groupId.length + 1)))) found.set(`${groupId}/${address}`, association(`${groupId}/${address}`, true));
    }
  } else if (kind === 'router_bindings') {
    for (const id of ids) {
      const [routerId = '', host = ''] = id.split('/');
      found.set(id, routerBinding(id, await reader.db.selectFrom('router_bindings').selectAll().where('router_id', '=', routerId).where('host', '=', host).executeTakeFirst()));
    }
  }
  return found;
}

/** Only the switch's agent says where a host's tunnels end. */
function hostOf(row: Agent): Host | undefined {
  if (row.agent_type !== 'Open vSwitch agent') return undefined;
  const { tunneling_ip = null, bridge_mappings = {} } = row.configurations as Partial<Host>;
  // A wrong local_ip on one host must not stand in its peers' switches.
  return { id: row.host, tunneling_ip: tunneling_ip !== null && parseIp(tunneling_ip) ? tunneling_ip : null, bridge_mappings };
}

function localVlan(id: string, number: number | undefined): RowChange {
  return { table: 'local_vlans', id, row: number === undefined ? undefined : { id, number } };
}

/** `group/prefix`: in the group now, or not. */
function association(id: string, held: boolean): RowChange {
  const slash = id.indexOf('/');
  return { table: 'address_associations', id, row: held ? { id, address_group_id: id.slice(0, slash), address: id.slice(slash + 1) } : undefined };
}

function dhcpBinding(id: string, row: { network_id: string; host: string; port_id: string } | undefined): RowChange {
  return { table: 'dhcp_bindings', id, row: row && { id, network_id: row.network_id, host: row.host, port_id: row.port_id } };
}

function routerBinding(id: string, row: { router_id: string; host: string } | undefined): RowChange {
  return { table: 'router_bindings', id, row: row && { id, router_id: row.router_id, host: row.host } };
}
