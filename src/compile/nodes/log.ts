/** The logs of the ports on the host that groups filter: what N logs say of one port is N items. */
import type { Log } from '#model/logs.ts';
import type { Port } from '#model/networks.ts';
import type { Node } from '../node.ts';
import { boundHost, filteringGroups, isFiltered, type World } from '../world.ts';

export const log: Node<'log'> = {
  type: 'log',
  *all(world, host) {
    for (const portId of world.portsOfHost.of(host)) for (const id of logsOfPort(world, world.get('ports', portId)!)) yield [portId, id];
  },
  item(world, host, [portId = '', id = '']) {
    const row = world.get('logs', id);
    const port = world.get('ports', portId);
    if (!row?.enabled || !port || boundHost(port) !== host || !isLogged(world, row, port)) return undefined;
    return { type: 'log', port_id: portId, log_id: id, event: row.event, security_group_id: row.resource_id };
  },
};

/** The logs that may concern the port: those that name it or a group of it, and those of the projects of its groups. */
export function logsOfPort(world: World, port: Port): Set<string> {
  const ids = new Set(world.logsOfTarget.of(port.id));
  for (const group of port.security_groups) {
    for (const id of world.logsOfGroup.of(group)) ids.add(id);
    for (const id of world.logsOfProject.of(world.get('security_groups', group)?.project_id ?? '')) ids.add(id);
  }
  return ids;
}

/** The ports that the log may concern. */
export function* portsOfLog(world: World, log: Log): Iterable<string> {
  if (log.target_id !== null) yield log.target_id;
  else if (log.resource_id !== null) yield* world.portsOfGroup.of(log.resource_id);
  else for (const group of world.groupsOfProject.of(log.project_id ?? '')) yield* world.portsOfGroup.of(group);
}

/** As Neutron finds the ports of a log (services/logapi/common/db_api.py): the target, else the group's, else those with a group of its project. */
function isLogged(world: World, { resource_id, target_id, project_id }: Log, port: Port): boolean {
  if (!isFiltered(port)) return false;
  if (target_id !== null) return target_id === port.id;
  const groups = filteringGroups(port);
  if (resource_id !== null) return groups.includes(resource_id);
  return groups.some((group) => world.get('security_groups', group)?.project_id === project_id);
}
