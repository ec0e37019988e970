import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { RouterItem, RouterPortItem } from '#hoststate/router.ts';
import { routeProblems, routerLinks } from './router-links.ts';

const leg: RouterPortItem = {
  type: 'router-port', router_id: 'r', port_id: 'p', role: 'interface', device: 'qr-p', mac_address: 'fa:16:3e:00:00:01', mtu: 1500, addresses: ['10.1.0.1/24'],
  gateway_ips: [], onlink: [], address_scopes: { ipv4: null, ipv6: null }, advertisements: [],
};
const view = (routes: RouterItem['routes'], mtu = 1500) => ({ router: { type: 'router' as const, router_id: 'r', project_id: 'p', routes, enable_snat: true, metadata: true }, ports: [{ ...leg, mtu }], floatingIps: [], forwardings: [] });

test('law 4: a route that would take the place of a leg’s own prefix, or that no leg reaches, is left out alone, with its reason', () => {
  const routes = [{ destination: '10.1.0.0/24', nexthop: '10.1.0.5' }, { destination: '10.1.0.5/32', nexthop: '10.1.0.5' }, { destination: '10.2.0.0/16', nexthop: '10.9.0.9' }, { destination: '0.0.0.0/0', nexthop: '10.1.0.9' }];
  assert.deepEqual(routerLinks(view(routes)).routes.map(({ destination, via }) => `${destination} via ${via}`), ['10.1.0.5/32 via 10.1.0.5', 'default via 10.1.0.9']);
  assert.deepEqual(routeProblems(view(routes)), ['route 10.1.0.0/24 via 10.1.0.5: the prefix is on the link of qr-p', 'route 10.2.0.0/16 via 10.9.0.9: no leg on this host reaches the next hop']);
});

test('a leg whose MTU is too small for IPv6 has no IPv6 address for metadata: the kernel would refuse it', () => {
  assert.deepEqual(routerLinks(view([])).devices[0]!.addresses, ['10.1.0.1/24', 'fe80::a9fe:a9fe/128']);
  assert.deepEqual(routerLinks(view([], 1279)).devices[0]!.addresses, ['10.1.0.1/24']);
});
