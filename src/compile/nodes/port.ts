/** The ports bound to the host. */
import { deviceName } from '#model/metadata-tree.ts';
import { ROUTER_PORT_OWNERS, routerDeviceName } from '#model/routers.ts';
import { setElement } from '#net/cidr.ts';
import type { Node } from '../node.ts';
import { boundHost, filteringGroups, isFiltered } from '../world.ts';

export const port: Node<'port'> = {
  type: 'port',
  *all(world, host) {
    for (const id of world.portsOfHost.of(host)) yield [id];
  },
  item(world, host, [id = '']) {
    const row = world.get('ports', id);
    if (!row || boundHost(row) !== host) return undefined;
    const networkUp = world.get('networks', row.network_id)?.admin_state_up ?? false;
    return {
      type: 'port',
      port_id: id,
      network_id: row.network_id,
      project_id: row.project_id ?? '',
      device: ROUTER_PORT_OWNERS.has(row.device_owner) ? routerDeviceName(id, row.device_owner) : deviceName(id),
      device_owner: row.device_owner,
      mac_address: row.mac_address,
      ip_addresses: row.fixed_ips.map((fixed) => fixed.ip_address!),
      admin_state_up: row.admin_state_up && networkUp,
      port_security_enabled: isFiltered(row),
      allowed_address_pairs: row.allowed_address_pairs.map((pair) => ({ mac_address: pair.mac_address ?? row.mac_address, ip_address: setElement(pair.ip_address!) ?? pair.ip_address! })),
      security_groups: [...filteringGroups(row)].sort(),
      stateful: filteringGroups(row).every((group) => world.get('security_groups', group)?.stateful ?? true),
    };
  },
};
