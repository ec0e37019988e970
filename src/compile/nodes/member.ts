/** The address sets of the remote groups that rules on the host refer to, address by address. */
import type { Node } from '../node.ts';

export const member: Node<'member'> = {
  type: 'member',
  *all(world, host) {
    const remotes = new Set<string>();
    for (const group of world.groupsOfHost.of(host)) {
      for (const id of world.rulesOfGroup.of(group)) {
        const remote = world.get('security_group_rules', id)?.remote_group_id;
        if (remote) remotes.add(remote);
      }
    }
    for (const remote of remotes) for (const address of world.addresses.of(remote)) yield [remote, address];
  },
  item(world, host, [groupId = '', ...rest]) {
    const address = rest.join('/');
    if (!world.addresses.has(groupId, address)) return undefined;
    for (const id of world.rulesOfRemoteGroup.of(groupId)) {
      const rule = world.get('security_group_rules', id);
      if (rule && world.groupUse.has(rule.security_group_id, host)) return { type: 'member', set_id: groupId, address };
    }
    return undefined;
  },
};
