/** The port forwardings of the floating IPs that the host carries. */
import type { Node } from '../node.ts';
import { routerOn } from './router.ts';

/** Neutron takes ICMP too, which has no ports: there is nothing to translate. */
const PORTED: ReadonlySet<string> = new Set(['tcp', 'udp', 'sctp', 'dccp']);

export const portForwarding: Node<'port-forwarding'> = {
  type: 'port-forwarding',
  *all(world, host) {
    for (const routerId of world.routersOfHost(host)) {
      for (const floating of world.floatingIpsOfRouter.of(routerId)) for (const id of world.forwardingsOfFloatingIp.of(floating)) yield [routerId, id];
    }
  },
  item(world, host, [routerId = '', id = '']) {
    const row = world.get('port_forwardings', id);
    const floating = row && world.get('floatingips', row.floatingip_id);
    if (!row || !PORTED.has(row.protocol) || floating?.router_id !== routerId || !routerOn(world, host, routerId)) return undefined;
    const [external_first, external_last] = bounds(row.external_port_range!);
    const [internal_first, internal_last] = bounds(row.internal_port_range!);
    return {
      type: 'port-forwarding', router_id: routerId, port_forwarding_id: id, floating_ip_address: floating.floating_ip_address!, protocol: row.protocol,
      external_first, external_last, internal_ip_address: row.internal_ip_address, internal_first, internal_last,
    };
  },
};

/** Of `FIRST:LAST`. */
function bounds(range: string): [first: number, last: number] {
  const [first = '', last = first] = range.split(':');
  return [Number(first), Number(last)];
}
