/** The floating IPs of the routers that the host carries. */
import type { Node } from '../node.ts';
import { routerOn } from './router.ts';

export const floatingIp: Node<'floating-ip'> = {
  type: 'floating-ip',
  *all(world, host) {
    for (const routerId of world.routersOfHost(host)) for (const id of world.floatingIpsOfRouter.of(routerId)) yield [routerId, id];
  },
  item(world, host, [routerId = '', id = '']) {
    const row = world.get('floatingips', id);
    if (row?.router_id !== routerId || !routerOn(world, host, routerId)) return undefined;
    const fixed_ip_address = row.port_id === null ? null : row.fixed_ip_address;
    if (fixed_ip_address === null && world.forwardingsOfFloatingIp.of(id).size === 0) return undefined;
    return { type: 'floating-ip', router_id: routerId, floatingip_id: id, floating_ip_address: row.floating_ip_address!, fixed_ip_address };
  },
};
