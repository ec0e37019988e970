import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hostnameOf, type Server } from './compute.ts';
import { configDrive, metaData, networkData, OPENSTACK_VERSIONS, openstackFiles, type OpenstackVersion } from './metadata-tree.ts';
import type { Subnet } from './networks.ts';

const server = {
  id: 's', name: 'My Web_1.example', hostname: hostnameOf('My Web_1.example', 's'), project_id: 'p', key_name: 'k', key_data: 'ssh-ed25519 AAAA me', user_data: Buffer.from('#!/bin/sh\n\xff', 'latin1').toString('base64'),
  metadata: {}, launch_index: 0, availability_zone: 'nova', seed: 'ab'.repeat(32), ports: [{ port_id: '11111111-2222-4333-8444-555555555555', owned: true, tag: 'blue' }],
} as unknown as Server;
const port = {
  id: '11111111-2222-4333-8444-555555555555', network_id: 'n', mac_address: 'fa:16:3e:00:00:01',
  fixed_ips: [{ subnet_id: 'v4', ip_address: '10.0.0.5' }, { subnet_id: 'static', ip_address: '10.1.0.5' }, { subnet_id: 'slaac', ip_address: '2001:db8::5' }, { subnet_id: 'dhcp6', ip_address: '2001:db8:1::5' }],
};
const subnet = (id: string, given: object): Subnet => ({ id, ip_version: 4, enable_dhcp: true, ipv6_address_mode: null, ipv6_ra_mode: null, gateway_ip: null, host_routes: [], dns_nameservers: [], ...given }) as unknown as Subnet;
const subnets = [
  subnet('v4', { cidr: '10.0.0.0/24', gateway_ip: '10.0.0.1', dns_nameservers: ['9.9.9.9'] }),
  subnet('static', { cidr: '10.1.0.0/20', gateway_ip: '10.1.0.1', enable_dhcp: false, host_routes: [{ destination: '192.0.2.0/25', nexthop: '10.1.0.9' }], dns_nameservers: ['9.9.9.9', '1.1.1.1'] }),
  subnet('slaac', { cidr: '2001:db8::/64', ip_version: 6, gateway_ip: '2001:db8::1', ipv6_address_mode: 'slaac' }),
  subnet('dhcp6', { cidr: '2001:db8:1::/64', ip_version: 6 }),
];
const source = { server, ports: [port], networks: [{ id: 'n', mtu: 1450 }], subnets };

test('N-MD-17: meta_data.json has Nova\'s keys, and the same random seed at each read', () => {
  const data = metaData(source);
  const { random_seed, ...rest } = data;
  assert.deepEqual(rest, {
    uuid: 's', public_keys: { k: 'ssh-ed25519 AAAA me' }, keys: [{ name: 'k', type: 'ssh', data: 'ssh-ed25519 AAAA me' }], hostname: 'my-web-1-example.novalocal',
    name: 'My Web_1.example', launch_index: 0, availability_zone: 'nova', project_id: 'p',
    devices: [{ vf_trusted: false, type: 'nic', bus: 'none', address: 'none', mac: 'fa:16:3e:00:00:01', tags: ['blue'] }], dedicated_cpus: [],
  });
  assert.equal(Buffer.from(random_seed as string, 'base64').length, 512);
  assert.equal(metaData(source)['random_seed'], random_seed);
  assert.notEqual(metaData({ ...source, server: { ...server, seed: 'cd' } })['random_seed'], random_seed);
  const plain = metaData({ ...source, server: { ...server, key_name: null, key_data: null, metadata: { role: 'db' } } });
  assert.deepEqual([plain['meta'], 'public_keys' in plain, 'keys' in plain], [{ role: 'db' }, false, false]);
});

test('N-MD-18: network_data.json has a link per NIC and a network per address, as DHCP or RA give it or written out', () => {
  assert.deepEqual(networkData(source), {
    links: [{ id: 'tap11111111-22', vif_id: port.id, type: 'ovs', mtu: 1450, ethernet_mac_address: 'fa:16:3e:00:00:01' }],
    networks: [
      { id: 'network0', link: 'tap11111111-22', network_id: 'n', type: 'ipv4_dhcp' },
      {
        id: 'network1', link: 'tap11111111-22', network_id: 'n', type: 'ipv4', ip_address: '10.1.0.5', netmask: '255.255.240.0',
        routes: [{ network: '0.0.0.0', netmask: '0.0.0.0', gateway: '10.1.0.1' }, { network: '192.0.2.0', netmask: '255.255.255.128', gateway: '10.1.0.9' }],
        services: [{ type: 'dns', address: '9.9.9.9' }, { type: 'dns', address: '1.1.1.1' }],
      },
      {
        id: 'network2', link: 'tap11111111-22', network_id: 'n', type: 'ipv6_slaac', ip_address: '2001:db8::5', netmask: 'ffff:ffff:ffff:ffff::',
        routes: [{ network: '::', netmask: '::', gateway: '2001:db8::1' }], services: [],
      },
      { id: 'network3', link: 'tap11111111-22', network_id: 'n', type: 'ipv6_dhcp' },
    ],
    services: [{ type: 'dns', address: '9.9.9.9' }, { type: 'dns', address: '1.1.1.1' }],
  });
});

test('N-MD-3, N-MD-20: user data is on the config drive byte for byte, or not at all', () => {
  const drive = configDrive(source);
  assert.deepEqual(Object.keys(drive).map((path) => path.replace('openstack/latest/', '')), ['meta_data.json', 'user_data', 'vendor_data.json', 'network_data.json', 'vendor_data2.json']);
  assert.deepEqual(drive['openstack/latest/user_data'], Buffer.from('#!/bin/sh\n\xff', 'latin1'));
  assert.equal('openstack/latest/user_data' in configDrive({ ...source, server: { ...server, user_data: null } }), false);
});

test('N-MD-17: an older version has the files and keys of its day', () => {
  const first = ['uuid', 'public_keys', 'keys', 'hostname', 'name', 'launch_index', 'availability_zone'];
  const keysOf = (version: OpenstackVersion) => Object.keys(metaData(source, version));
  assert.deepEqual(keysOf('2012-08-10'), first);
  assert.deepEqual(keysOf('2013-04-04'), [...first, 'random_seed']);
  assert.deepEqual(keysOf('2015-10-15'), [...first, 'random_seed', 'project_id']);
  assert.deepEqual(keysOf('2017-02-22'), [...first, 'random_seed', 'project_id', 'devices']);
  assert.deepEqual(keysOf('2020-10-14'), Object.keys(metaData(source)));
  assert.deepEqual(metaData(source, '2016-06-30')['devices'], [{ type: 'nic', bus: 'none', address: 'none', mac: 'fa:16:3e:00:00:01', tags: ['blue'] }]);
  assert.deepEqual(OPENSTACK_VERSIONS.map((version) => openstackFiles(source, version).size), [2, 2, 3, 4, 4, 5, 5, 5, 5, 5]);
});

test('a host name is a DNS label, whatever the server is called', () => {
  assert.deepEqual(['web', 'Web Server', '_a.b_', 'ünïcode', '日本', `${'x'.repeat(62)}--y`].map((name) => hostnameOf(name, 'id')), ['web', 'web-server', 'a-b', 'ncode', 'server-id', 'x'.repeat(62)]);
});
