import assert from 'node:assert/strict';
import { test } from 'node:test';
import { loadConfig } from './config.ts';

const entries = (...hosts: [name: string, ...roles: string[]][]) => `hosts: [${hosts.map(([name, ...roles]) => `{name: ${name}, roles: [${roles}]}`)}]\n`;
const three = entries(['network', 'network'], ['compute1', 'compute'], ['compute2', 'compute']);

const complaint = (yaml: string): string => {
  try {
    loadConfig(yaml);
    return 'none';
  } catch (error) {
    return (error as Error).message;
  }
};

test('N-NN-1: hosts are a number, or a list of names with roles', () => {
  assert.equal(loadConfig('').hosts, 2);
  assert.equal(loadConfig('hosts: 3').hosts, 3);
  assert.deepEqual(loadConfig(three).hosts, [
    { name: 'network', roles: ['network'] }, { name: 'compute1', roles: ['compute'] }, { name: 'compute2', roles: ['compute'] },
  ]);
  assert.equal(complaint(entries(['all', 'compute', 'network'])), 'none');
});

test('a list of hosts that cannot be built is refused with the reason', () => {
  const compute = ['c1', 'compute'] as [string, string];
  for (const [yaml, reason] of [
    ['hosts: 201', "'201' is too large - must be no larger than '200'"],
    ['hosts: many', "'many' is not an integer"],
    ['hosts: [compute1]', "'compute1' is not a dictionary"],
    ['hosts: [{name: c1}]', "Expected keys: ['name', 'roles'], given: ['name']"],
    [entries(['c1', 'storage']), "'storage' is not in ['compute', 'network']"],
    [entries(['Compute1', 'compute']), "the name 'Compute1' is not 1 to 10 lower-case letters and digits that begin with a letter"],
    [entries(['compute0001', 'compute']), "the name 'compute0001' is not 1 to 10 lower-case letters and digits that begin with a letter"],
    [entries(compute, ['c1', 'network']), "two hosts have the name 'c1'"],
    [entries(compute, ['outside', 'network']), "the name 'outside' is taken"],
    [entries(compute, ['n1']), 'n1 has no role; roles are compute and network'],
    [entries(compute), 'no host has the role network'],
    [entries(['n1', 'network']), 'no host has the role compute'],
    [entries(compute, ...Array.from({ length: 10 }, (_, i) => [`n${i}`, 'network'] as [string, string])), '10 hosts with no role but network are more than 9'],
  ] as const) assert.equal(complaint(yaml), `config: hosts: ${reason}`, yaml);
});

test('N-NN-6, N-VX-13: an external bridge has the values of lab 10 unless told others, and a VNI that no tenant can get', () => {
  const bridge = (given: string, more = "vni_ranges: ['2000:2100']\n") => `${three}external_bridge: {${given}}\n${more}`;
  assert.equal(loadConfig('').external_bridge, null);
  assert.deepEqual(loadConfig(bridge('hub: network')).external_bridge, { name: 'br-ext', vni: 100, hub: 'network', address: '172.16.0.1/24', mtu: 1450 });
  assert.equal(loadConfig(`external_bridge: {hub: compute2}\ntype_drivers: [flat]\ntenant_network_types: []\n`).external_bridge?.hub, 'compute2');
  for (const [yaml, reason] of [
    [bridge('vni: 100'), "Expected keys: ['hub'], given: ['vni']"],
    [bridge('hub: compute3'), "the hub 'compute3' is none of the hosts"],
    [bridge('hub: network', ''), 'the vni 100 is within vni_ranges: a network of a tenant could get it'],
    [bridge('hub: network, mtu: 1551'), 'the mtu 1551 does not fit into a tunnel; at most global_physnet_mtu + 50 = 1550 does'],
    [bridge('hub: network, name: br-int'), "'br-int' is no name for another bridge"],
    [bridge('hub: network, name: a b'), "'a b' is no name for another bridge"],
    ...['172.16.0.0/24', '172.16.0.1', '172.16.0.1/33', '172.16.0.1/31', 'fd00::1/64'].map((address) => [bridge(`hub: network, address: '${address}'`), `'${address}' is not an IPv4 address of a host with its prefix length, as 172.16.0.1/24`] as const),
  ] as const) assert.equal(complaint(yaml), `config: external_bridge: ${reason}`, yaml);
});
