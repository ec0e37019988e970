/** The routers that the host carries. */
import type { Router } from '#model/routers.ts';
import type { Node } from '../node.ts';
import type { World } from '../world.ts';

export const router: Node<'router'> = {
  type: 'router',
  *all(world, host) {
    for (const id of world.routersOfHost(host)) yield [id];
  },
  item(world, host, [id = '']) {
    const row = routerOn(world, host, id);
    return row && {
      type: 'router', router_id: id, project_id: row.project_id, enable_snat: row.enable_snat, metadata: world.settings.enable_metadata_proxy,
      routes: row.routes.map((route) => ({ destination: route.destination!, nexthop: route.nexthop! })).sort((a, b) => (`${a.destination} ${a.nexthop}` < `${b.destination} ${b.nexthop}` ? -1 : 1)),
    };
  },
};

/** The router if the host carries it and its owner has not switched it off. */
export function routerOn(world: World, host: string, id: string): Router | undefined {
  if (!world.get('router_bindings', `${id}/${host}`)) return undefined;
  const row = world.get('routers', id);
  return row?.admin_state_up ? row : undefined;
}
