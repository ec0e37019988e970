/** The physical networks that the host's bridge_mappings name. */
import type { Node } from '../node.ts';

export const physnet: Node<'physnet'> = {
  type: 'physnet',
  *all(world, host) {
    for (const name of Object.keys(world.get('hosts', host)?.bridge_mappings ?? {})) yield [name];
  },
  item(world, host, [name = '']) {
    const bridge = world.get('hosts', host)?.bridge_mappings[name];
    return bridge === undefined ? undefined : { type: 'physnet', physical_network: name, bridge };
  },
};
