import assert from 'node:assert/strict';
import { routerApi } from '#testkit/router-api.ts';
import { eachStore } from '#testkit/stores.ts';

eachStore('routes are set as a whole, added and removed one by one, and cleared by null', async (store) => {
  const { router, network, act, set, show, close } = await routerApi(store);
  const { subnet } = await network('demo', '10.0.0.0/24');
  const made = await router('demo');
  await act('demo', made, 'add_router_interface', { subnet_id: subnet.id });
  const [a, b, c] = ['192.168.0.0/16', '192.0.2.0/24', '0.0.0.0/0'].map((destination) => ({ destination, nexthop: '10.0.0.9' }));
  assert.deepEqual((await set('demo', made, { routes: [a] })).routes, [a]);
  const routes = (...wanted: unknown[]) => ({ router: { routes: wanted } });
  assert.deepEqual((await act('demo', made, 'add_extraroutes', routes(a, b, c))).router.routes, [a, b, c]);
  assert.deepEqual((await act('demo', made, 'remove_extraroutes', routes(b, { ...b, nexthop: '10.0.0.8' }))).router.routes, [a, c]);
  const { router: answered } = await act('demo', made, 'remove_extraroutes', routes(b));
  assert.deepEqual(answered, await show('demo', made));
  assert.deepEqual((await set('demo', made, { routes: null })).routes, []);
  assert.deepEqual((await set('demo', made, { routes: [{ destination: '2001:DB8::/32', nexthop: '10.0.0.9' }] }).catch((error: Error) => error.message)), `PUT /v2.0/routers/${made.id}: 400 ${JSON.stringify({
    NeutronError: { type: 'InvalidRoutes', message: 'Invalid format for routes: [{"destination":"2001:db8::/32","nexthop":"10.0.0.9"}], the nexthop is of another IP version than the destination', detail: '' },
  })}`);
  await close();
});

eachStore('routes that no leg reaches, malformed and too many ones are refused, and nothing changes', async (store) => {
  const { router, network, act, set, refuses, close } = await routerApi(store, { settings: { max_routes: 2 } });
  const { subnet } = await network('demo', '10.0.0.0/24');
  const made = await router('demo');
  const bare = await router('demo');
  await act('demo', made, 'add_router_interface', { subnet_id: subnet.id });
  const good = { destination: '192.168.0.0/16', nexthop: '10.0.0.9' };
  await set('demo', made, { routes: [good] });
  const cases: [routes: unknown, expected: string][] = [
    [[{ ...good, nexthop: '10.9.0.9' }], '400 InvalidRoutes'],
    [[{ ...good, nexthop: '10.0.0.1' }], '400 InvalidRoutes'],
    [[good, { ...good, nexthop: '10.0.0.8' }, { ...good, nexthop: '10.0.0.7' }], '400 RoutesExhausted'],
    [[good, good], '400 HTTPBadRequest'],
    [[{ destination: '192.168.0.0/16' }], '400 HTTPBadRequest'],
    [[{ nexthop: '10.0.0.9' }], '400 HTTPBadRequest'],
    [{ destination: '192.168.0.0/16' }, '400 HTTPBadRequest'],
    [[{ ...good, destination: null }], '400 HTTPBadRequest'],
    [[{ ...good, nexthop: null }], '400 HTTPBadRequest'],
    [[{ ...good, destination: '512.207.0.0/16' }], '400 HTTPBadRequest'],
    [[{ ...good, destination: '127.207.0.0/48' }], '400 HTTPBadRequest'],
    [[{ ...good, destination: '1.1.1.1/24' }], '400 HTTPBadRequest'],
    [[{ ...good, destination: '1.1.1.1' }], '400 HTTPBadRequest'],
    [[{ ...good, nexthop: ' 300.10.10.4' }], '400 HTTPBadRequest'],
    [[{ ...good, metric: 1 }], '400 HTTPBadRequest'],
  ];
  await refuses(cases.map(([routes, expected]) => ['demo', 'PUT', `/v2.0/routers/${made.id}`, { router: { routes } }, expected] as const));
  const add = `/v2.0/routers/${made.id}/add_extraroutes`;
  await refuses([
    ['demo', 'PUT', `/v2.0/routers/${bare.id}`, { router: { routes: [good] } }, '400 InvalidRoutes'],
    ['demo', 'PUT', add, { router: { routes: [{ ...good, nexthop: '10.9.0.9' }] } }, '400 InvalidRoutes'],
    ['demo', 'PUT', add, { router: { routes: [{ ...good, nexthop: '10.0.0.8' }, { ...good, nexthop: '10.0.0.7' }] } }, '400 RoutesExhausted'],
    ['demo', 'PUT', add, { router: { name: 'x', routes: [] } }, '400 HTTPBadRequest'],
    ['demo', 'PUT', add, { router: {} }, '400 HTTPBadRequest'],
    ['demo', 'PUT', add, { routes: [] }, '400 HTTPBadRequest'],
    ['demo', 'PUT', add, 'x', '400 HTTPBadRequest'],
    ['demo', 'PUT', add, undefined, '400 HTTPBadRequest'],
    ['reader', 'PUT', add, { router: { routes: [good] } }, '403 PolicyNotAuthorized'],
    ['alt', 'PUT', add, { router: { routes: [good] } }, '404 RouterNotFound'],
  ]);
  await close();
});

eachStore('a gateway stays while routes go by it, unless nothing else is left of the router', async (store) => {
  const { router, network, external, act, set, refuses, close } = await routerApi(store);
  const { subnet } = await network('demo', '10.0.0.0/24');
  const outside = await external();
  const other = await external('198.51.100.0/24', { 'provider:network_type': 'vxlan', 'provider:physical_network': undefined });
  const made = await router('demo', { external_gateway_info: { network_id: outside.network.id } });
  await set('demo', made, { routes: [{ destination: '192.168.0.0/16', nexthop: '203.0.113.77' }] });
  await act('demo', made, 'add_router_interface', { subnet_id: subnet.id });
  const path = `/v2.0/routers/${made.id}`;
  await refuses([
    ['demo', 'PUT', path, { router: { external_gateway_info: null } }, '400 InvalidRoutes'],
    ['demo', 'PUT', path, { router: { external_gateway_info: { network_id: other.network.id } } }, '400 InvalidRoutes'],
    // What a gateway of now does not reach is not reached by that of the same request either.
    ['demo', 'PUT', path, { router: { external_gateway_info: { network_id: other.network.id }, routes: [{ destination: '192.168.0.0/16', nexthop: '198.51.100.77' }] } }, '400 InvalidRoutes'],
  ]);
  assert.deepEqual((await set('demo', made, { external_gateway_info: null, routes: [] })).external_gateway_info, null);
  await set('demo', made, { external_gateway_info: { network_id: outside.network.id } });
  await set('demo', made, { routes: [{ destination: '192.168.0.0/16', nexthop: '203.0.113.77' }] });
  await act('demo', made, 'remove_router_interface', { subnet_id: subnet.id });
  assert.equal((await set('demo', made, { external_gateway_info: {} })).external_gateway_info, null);
  await close();
});
