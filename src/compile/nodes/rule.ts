/** The rules of the groups that filter ports on the host. */
import { protocolNumber } from '#model/security-groups.ts';
import type { Node } from '../node.ts';

export const rule: Node<'rule'> = {
  type: 'rule',
  *all(world, host) {
    for (const group of world.groupsOfHost.of(host)) for (const id of world.rulesOfGroup.of(group)) yield [group, id];
  },
  item(world, host, [groupId = '', id = '']) {
    const row = world.get('security_group_rules', id);
    if (row?.security_group_id !== groupId || !world.groupUse.has(groupId, host)) return undefined;
    return {
      type: 'rule',
      rule_id: id,
      security_group_id: groupId,
      direction: row.direction,
      ethertype: row.ethertype,
      protocol: protocolNumber(row.protocol, row.ethertype),
      port_range_min: row.port_range_min === -1 ? null : row.port_range_min,
      port_range_max: row.port_range_max === -1 ? null : row.port_range_max,
      remote_ip_prefix: row.normalized_cidr ?? row.remote_ip_prefix,
      remote_group_id: row.remote_group_id,
      remote_address_group_id: row.remote_address_group_id,
      conj_id: row.conj_id,
    };
  },
};
