import assert from 'node:assert/strict';
import { test } from 'node:test';
import { tunnelPortName } from './bridges.ts';

test('a tunnel port has the name that Neutron gives it; IPv6 peers that end alike have ports of their own, with names that a device may have', () => {
  assert.equal(tunnelPortName('vxlan', '192.168.2.22'), 'vxlan-c0a80216');
  const peers = ['2001:db8:a::11', '2001:db8:b::11', 'fd00::11', '::11'].flatMap((ip) => ['vxlan', 'gre', 'geneve'].map((type) => tunnelPortName(type, ip)));
  assert.equal(new Set(peers).size, peers.length);
  for (const name of peers) assert.match(name, /^[a-z]+-[0-9a-z]{8}$/);
  assert.ok(peers.every(({ length }) => length <= 15));
  assert.equal(tunnelPortName('vxlan', '2001:DB8:a:0::11'), tunnelPortName('vxlan', '2001:db8:a::11'));
});
