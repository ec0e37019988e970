/** The `openstack` command as Debian ships it: networks, subnets, pools. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ClientLab } from './client-lab.ts';

const lab = ClientLab.declare();
const { openstack, refused } = lab;
const json = ['-f', 'json'];

test('N-ML2-7 N-ML2-8 openstack network create, list, show, set, delete', async () => {
  const { admin } = lab.credentials;
  const demo = lab.credentials.demo!;
  const made = await openstack(demo, 'network', 'create', 'private', '--description', 'mine', '--mtu', '1400', '--tag', 'red', ...json);
  assert.deepEqual([made.name, made.description, made.mtu, made.status, made.shared, made['router:external'], made['provider:network_type']], ['private', 'mine', 1400, 'ACTIVE', false, false, null]);
  assert.deepEqual((await openstack(demo, 'network', 'show', 'private', ...json)).tags, ['red']);
  assert.equal((await openstack(admin, 'network', 'show', made.id, ...json))['provider:network_type'], 'vxlan');
  const provider = await openstack(admin, 'network', 'create', 'provider', '--share', '--external', '--provider-network-type', 'vlan', '--provider-physical-network', 'physnet', '--provider-segment', '100', ...json);
  assert.deepEqual([provider['provider:network_type'], provider['provider:physical_network'], provider['provider:segmentation_id'], provider.shared], ['vlan', 'physnet', 100, true]);
  assert.match(await refused(admin, 'network', 'create', 'again', '--provider-network-type', 'vlan', '--provider-physical-network', 'physnet', '--provider-segment', '100'), /The VLAN 100 on physical network physnet is in use/);
  assert.match(await refused(demo, 'network', 'create', 'x', '--provider-network-type', 'vlan'), /HttpException: 403|ForbiddenException: 403/);
  assert.ok((await openstack(demo, 'network', 'list', '--external', ...json)).some((each: any) => each.Name === 'provider'));
  assert.deepEqual((await openstack(demo, 'network', 'list', '--internal', '--long', '--tags', 'red', ...json)).map((each: any) => each.Name), ['private']);
  await openstack(demo, 'network', 'set', 'private', '--name', 'renamed', '--disable', '--mtu', '1300');
  const renamed = await openstack(demo, 'network', 'show', 'renamed', ...json);
  assert.deepEqual([renamed.id, renamed.mtu, renamed.admin_state_up], [made.id, 1300, false]);
  await openstack(demo, 'network', 'unset', 'renamed', '--tag', 'red');
  assert.deepEqual((await openstack(demo, 'network', 'show', 'renamed', ...json)).tags, []);
  await openstack(demo, 'network', 'delete', 'renamed');
  assert.match(await refused(demo, 'network', 'show', 'renamed'), /No Network found for renamed/);
  await openstack(admin, 'network', 'delete', 'provider');
});

test('N-ML2-17 openstack subnet create, list, show, set, unset, delete', async () => {
  const demo = lab.credentials.demo!;
  await openstack(demo, 'network', 'create', 'net', ...json);
  const made = await openstack(demo, 'subnet', 'create', 'four', '--network', 'net', '--subnet-range', '192.168.7.0/24', '--gateway', '192.168.7.254', '--dns-nameserver', '9.9.9.9',
    '--allocation-pool', 'start=192.168.7.10,end=192.168.7.20', '--host-route', 'destination=10.0.0.0/8,gateway=192.168.7.253', ...json);
  assert.deepEqual([made.cidr, made.gateway_ip, made.enable_dhcp, made.dns_nameservers, made.allocation_pools, made.host_routes],
    ['192.168.7.0/24', '192.168.7.254', true, ['9.9.9.9'], [{ start: '192.168.7.10', end: '192.168.7.20' }], [{ destination: '10.0.0.0/8', nexthop: '192.168.7.253' }]]);
  const six = await openstack(demo, 'subnet', 'create', 'six', '--network', 'net', '--ip-version', '6', '--subnet-range', 'fd00:7::/64', '--ipv6-ra-mode', 'slaac', '--ipv6-address-mode', 'slaac', ...json);
  assert.deepEqual([six.ip_version, six.gateway_ip, six.ipv6_address_mode], [6, 'fd00:7::1', 'slaac']);
  assert.deepEqual((await openstack(demo, 'subnet', 'list', '--network', 'net', '--ip-version', '4', ...json)).map((each: any) => [each.Name, each.Subnet]), [['four', '192.168.7.0/24']]);
  await openstack(demo, 'subnet', 'set', 'four', '--gateway', 'none', '--no-dhcp', '--dns-nameserver', '1.1.1.1');
  await openstack(demo, 'subnet', 'unset', 'four', '--dns-nameserver', '9.9.9.9');
  const changed = await openstack(demo, 'subnet', 'show', 'four', ...json);
  assert.deepEqual([changed.gateway_ip, changed.enable_dhcp, changed.dns_nameservers], [null, false, ['1.1.1.1']]);
  assert.match(await refused(demo, 'subnet', 'create', 'overlap', '--network', 'net', '--subnet-range', '192.168.0.0/16'), /overlaps with another subnet/);
  assert.deepEqual((await openstack(demo, 'network', 'show', 'net', ...json)).subnets.sort(), [made.id, six.id].sort());
  await openstack(demo, 'subnet', 'delete', 'four', 'six');
  await openstack(demo, 'network', 'delete', 'net');
});

test('openstack address scope and subnet pool create, list, show, set, delete; subnets out of a pool', async () => {
  const { admin } = lab.credentials;
  const demo = lab.credentials.demo!;
  const scope = await openstack(demo, 'address', 'scope', 'create', 'campus', '--ip-version', '4', ...json);
  assert.deepEqual([scope.name, scope.ip_version, scope.shared], ['campus', 4, false]);
  const pool = await openstack(demo, 'subnet', 'pool', 'create', 'campus-pool', '--pool-prefix', '10.20.0.0/16', '--pool-prefix', '10.21.0.0/16', '--default-prefix-length', '26', '--min-prefix-length', '20',
    '--max-prefix-length', '28', '--address-scope', 'campus', '--default-quota', '1024', '--description', 'mine', '--tag', 'red', ...json);
  assert.deepEqual([pool.prefixes, Number(pool.default_prefixlen), Number(pool.min_prefixlen), Number(pool.max_prefixlen), pool.address_scope_id, pool.default_quota, pool.description, pool.tags],
    [['10.20.0.0/15'], 26, 20, 28, scope.id, 1024, 'mine', ['red']]);
  await openstack(demo, 'network', 'create', 'pooled', ...json);
  const any = await openstack(demo, 'subnet', 'create', 'any', '--network', 'pooled', '--subnet-pool', 'campus-pool', ...json);
  const sized = await openstack(demo, 'subnet', 'create', 'sized', '--network', 'pooled', '--subnet-pool', 'campus-pool', '--prefix-length', '24', ...json);
  const exact = await openstack(demo, 'subnet', 'create', 'exact', '--network', 'pooled', '--subnet-pool', 'campus-pool', '--subnet-range', '10.21.7.0/24', ...json);
  assert.deepEqual([any, sized, exact].map(({ cidr, subnetpool_id }) => [cidr, subnetpool_id === pool.id]), [['10.20.0.0/26', true], ['10.20.1.0/24', true], ['10.21.7.0/24', true]]);
  assert.equal((await openstack(demo, 'network', 'show', 'pooled', ...json)).ipv4_address_scope, scope.id);
  assert.match(await refused(demo, 'subnet', 'create', 'large', '--network', 'pooled', '--subnet-pool', 'campus-pool', '--prefix-length', '8'), /minimum allowed prefix is 20/);
  assert.deepEqual((await openstack(demo, 'subnet', 'list', '--subnet-pool', 'campus-pool', ...json)).map((each: any) => each.Name).sort(), ['any', 'exact', 'sized']);
  assert.deepEqual((await openstack(demo, 'subnet', 'pool', 'list', '--long', '--address-scope', 'campus', ...json)).map((each: any) => each.Name), ['campus-pool']);
  await openstack(demo, 'subnet', 'pool', 'set', 'campus-pool', '--name', 'renamed', '--pool-prefix', '10.30.0.0/16', '--default-prefix-length', '25');
  const changed = await openstack(demo, 'subnet', 'pool', 'show', 'renamed', ...json);
  assert.deepEqual([changed.prefixes, Number(changed.default_prefixlen)], [['10.20.0.0/15', '10.30.0.0/16'], 25]);
  assert.match(await refused(demo, 'subnet', 'pool', 'delete', 'renamed'), /it has allocated subnets/);
  await openstack(admin, 'subnet', 'pool', 'create', 'everybody', '--pool-prefix', 'fd00:20::/48', '--share', '--default', ...json);
  const six = await openstack(demo, 'subnet', 'create', 'six', '--network', 'pooled', '--ip-version', '6', '--use-default-subnet-pool', ...json);
  assert.equal(six.cidr, 'fd00:20::/64');
  await openstack(demo, 'network', 'delete', 'pooled');
  await openstack(demo, 'subnet', 'pool', 'set', 'renamed', '--no-address-scope');
  await openstack(demo, 'address', 'scope', 'set', 'campus', '--name', 'moved');
  await openstack(demo, 'address', 'scope', 'delete', 'moved');
  await openstack(demo, 'subnet', 'pool', 'delete', 'renamed');
  await openstack(admin, 'subnet', 'pool', 'delete', 'everybody');
});
