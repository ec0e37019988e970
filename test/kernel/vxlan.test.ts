import assert from 'node:assert/strict';
import { scenario } from '#testkit/cloud.ts';

const A = 'nova:compute1';
const B = 'nova:compute2';

scenario('N-VX-14 N-ML2-1 N-VX-1: two instances on different hosts ping each other over VXLAN right after boot', {}, async (cloud) => {
  const admin = await cloud.api();
  await admin.post('/compute/v2.1/flavors', { flavor: { name: 'm1.nano', ram: 128, vcpus: 1, disk: 1 } });
  const network = await admin.network({ name: 'net' });
  await admin.subnet({ network_id: network.id, cidr: '10.0.0.0/24' });
  const [one, two] = await Promise.all([A, B].map((availability_zone, i) => admin.server({ name: `vm${i + 1}`, networks: [{ uuid: network.id }], availability_zone })));
  const address = two.addresses.net[0].addr;
  await cloud.ping('vm1', address);
  assert.notEqual(one.addresses.net[0].addr, address);
  const tunnels = await cloud.host('compute1', 'ovs-vsctl', '--bare', '--columns=options', 'find', 'Interface', 'type=vxlan');
  assert.equal(tunnels.trim(), 'key=flow local_ip=192.168.2.21 remote_ip=192.168.2.22');
});
