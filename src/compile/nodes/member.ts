/** The address sets that rules on the host refer to, address by address: members of security groups, and address groups. */
import type { Node } from '../node.ts';

export const member: Node<'member'> = {
  type: 'member',
  *all(world, host) {
    for (const set of world.setsOfHost.of(host)) for (const address of world.addresses.of(set)) yield [set, address];
  },
  item(world, host, [set_id = '', ...rest]) {
    const address = rest.join('/');
    return world.addresses.has(set_id, address) && world.setUse.has(set_id, host) ? { type: 'member', set_id, address } : undefined;
  },
};
