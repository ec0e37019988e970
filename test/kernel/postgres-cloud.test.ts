import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Controller } from '#control/controller.ts';
import { loadConfig } from '#model/config.ts';
import { jsonLog } from '#protocol/log.ts';
import { Api } from '#testkit/api.ts';
import { scenario } from '#testkit/cloud.ts';
import { freshDatabase } from '#testkit/postgres.ts';

const connection = await freshDatabase();

scenario('a cloud on PostgreSQL with two controllers: what one is told, the hosts of the other do', { config: `connection: ${connection}\n` }, async (cloud) => {
  const admin = await cloud.api();
  await admin.post('/compute/v2.1/flavors', { flavor: { name: 'm1.nano', ram: 128, vcpus: 1, disk: 1 } });
  const folder = mkdtempSync(join(tmpdir(), 'patchbay-second-'));
  const lines: string[] = [];
  const second = await Controller.start({ config: { ...loadConfig(`connection: ${connection}\nbootstrap: none\n`), listen: '127.0.0.1:0' }, state: folder, log: jsonLog('second', (line) => lines.push(line)) });
  try {
    const { port } = second.app.server.address() as { port: number };
    // The same token is good at both: they share keys through the store.
    const other = Object.assign(Object.create(Api.prototype), admin, { endpoint: `http://127.0.0.1:${port}` }) as Api;
    const network = await other.network({ name: 'net' });
    await other.subnet({ network_id: network.id, cidr: '10.5.0.0/24' });
    const servers = await Promise.all([[other, 'compute1'], [admin, 'compute2']].map(([api, host], i) => (api as Api).server({ name: `vm${i + 1}`, networks: [{ uuid: network.id }], availability_zone: `nova:${host}` })));
    await cloud.ping('vm1', servers[1].addresses.net[0].addr);
    const made = await Promise.all(Array.from({ length: 40 }, (_, i) => (i % 2 ? admin : other).port({ network_id: network.id })));
    assert.equal(new Set(made.map((each) => each.fixed_ips[0].ip_address)).size, 40);
  } finally {
    await second.stop();
    rmSync(folder, { recursive: true, force: true });
  }
  assert.deepEqual(lines.filter((line) => line.includes('"level":"error"')), []);
});
