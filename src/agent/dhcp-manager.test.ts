import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import type { DhcpServerItem } from '#hoststate/dhcp.ts';
import { DhcpManager } from './dhcp-manager.ts';
import { MetadataProxies } from './metadata-proxies.ts';

/** One that is refused before anything of the host is touched. */
const refused: DhcpServerItem = {
  type: 'dhcp-server', network_id: 'n1', port_id: 'd1', device: 'tapd1', mac_address: 'none', mtu: 1450, addresses: [], subnets: [], dns_domain: '', dns_servers: [], local_resolv: false, metadata: false, lease_duration: 60,
};

test('a network that fails is tried again by and by, and said once', async () => {
  let wakes = 0;
  const manager = new DhcpManager({ stateDir: '/nonexistent', plugger: { plug: async () => {}, unplug: async () => {} }, proxies: new MetadataProxies({ root: '/nonexistent/metadata', socket: '' }), wake: () => void wakes++, retryMs: 5 });
  manager.update([refused], []);
  assert.deepEqual(await manager.apply(), [{ key: 'dhcp-server/n1', ok: false, reason: '"none" is no MAC address' }]);
  // Changes meanwhile make no more attempts of it.
  for (let i = 0; i < 3; i++) {
    manager.update([refused], []);
    await manager.apply();
  }
  while (wakes === 0) await delay(2);
  assert.deepEqual(await manager.apply(), []);
  while (wakes === 1) await delay(2);
  assert.equal(wakes, 2);
});
