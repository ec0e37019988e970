import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Advertisement, RouterPortItem } from '#hoststate/router.ts';
import { radvdConfig } from './desired.ts';

const leg = (device: string, mtu: number, advertisements: Advertisement[]): RouterPortItem => ({
  type: 'router-port', router_id: 'r', port_id: device, role: 'interface', device, mac_address: 'fa:16:3e:00:00:01', mtu, addresses: [], gateway_ips: [], onlink: [],
  address_scopes: { ipv4: null, ipv6: null }, advertisements,
});
const intervals = { min: 30, max: 100 };

test('each mode has its flags; name servers only where nobody else tells them; addresses spelled out', () => {
  assert.equal(radvdConfig([
    leg('qr-a', 1450, [{ cidr: '2001:DB8:0:1::/64', mode: 'slaac', dns_nameservers: ['2001:db8::53', '8.8.8.8'] }]),
    leg('qr-b', 1000, [{ cidr: '2001:db8:2::/64', mode: 'dhcpv6-stateful', dns_nameservers: ['2001:db8::54'] }, { cidr: '2001:db8:3::/64', mode: 'dhcpv6-stateless', dns_nameservers: [] }]),
    leg('qr-c', 1450, []),
  ], intervals), `interface qr-a {
  AdvSendAdvert on;
  MinRtrAdvInterval 30;
  MaxRtrAdvInterval 100;
  AdvLinkMTU 1450;
  prefix 2001:db8:0:1:0:0:0:0/64 { AdvOnLink on; AdvAutonomous on; };
  RDNSS 2001:db8:0:0:0:0:0:53 { };
};
interface qr-b {
  AdvSendAdvert on;
  MinRtrAdvInterval 30;
  MaxRtrAdvInterval 100;
  AdvManagedFlag on;
  AdvOtherConfigFlag on;
  prefix 2001:db8:2:0:0:0:0:0/64 { AdvOnLink on; AdvAutonomous off; };
  prefix 2001:db8:3:0:0:0:0:0/64 { AdvOnLink on; AdvAutonomous on; };
};
`);
});

test('without an IPv6 prefix to announce there is nothing to run', () => {
  assert.equal(radvdConfig([leg('qr-a', 1450, [])], intervals), undefined);
  assert.equal(radvdConfig([leg('qr-a', 1450, [{ cidr: 'x', mode: 'slaac', dns_nameservers: [] }])], intervals), undefined);
});
