import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { DhcpServerItem, DhcpSubnet } from '#hoststate/dhcp.ts';
import { dhcpLinks } from '#agent/dhcp-links.ts';
import { asFound, EMPTY_INSIDE, type FoundInside, type FoundOutside, parseInside } from './parse.ts';
import { planLinks, printLinkPlan } from './plan.ts';

const subnet: DhcpSubnet = {
  subnet_id: 's4', cidr: '172.16.0.0/24', gateway_ip: '172.16.0.1', dns_nameservers: [], dhcp_servers: [], host_routes: [], ipv6_address_mode: null, enable_dhcp: true, metadata: null,
};
const server: DhcpServerItem = {
  type: 'dhcp-server', network_id: 'n1', port_id: 'd1', device: 'tapd1', mac_address: 'fa:16:3e:00:00:02', mtu: 1450,
  addresses: ['172.16.0.2/24', 'FD00:6::0:2/64'],
  subnets: [subnet, { ...subnet, subnet_id: 's5', cidr: '10.5.0.0/24', gateway_ip: null, enable_dhcp: false }, { ...subnet, subnet_id: 's6', cidr: 'fd00:6::/64', gateway_ip: 'fe80::1' }],
  dns_domain: '', dns_servers: [], local_resolv: false, metadata: false, lease_duration: -1,
};
const desired = dhcpLinks(server);
const SYSCTLS = desired.sysctls;
const ends = (end?: FoundOutside) => new Map(end ? [['tapd1', end]] : []);
const planned = (inside: FoundInside, end?: FoundOutside): string[] => printLinkPlan(desired, planLinks(desired, inside, ends(end)));
/** The namespace as it is once the first plan is carried out, as `ip`, `ethtool` and `sysctl` print it. */
const THERE = [
  JSON.stringify([
    { ifname: 'lo', flags: ['LOOPBACK', 'UP'], mtu: 65536, address: '00:00:00:00:00:00', addr_info: [{ family: 'inet', local: '127.0.0.1', prefixlen: 8, scope: 'host' }] },
    {
      ifname: 'tapd1', flags: ['BROADCAST', 'UP'], mtu: 1450, address: 'fa:16:3e:00:00:02', addr_info: [
        { family: 'inet', local: '172.16.0.2', prefixlen: 24, scope: 'global' }, { family: 'inet6', local: 'fd00:6::2', prefixlen: 64, scope: 'global' },
        { family: 'inet6', local: 'fe80::f816:3eff:fe00:2', prefixlen: 64, scope: 'link' },
      ],
    },
  ]),
  JSON.stringify([{ dst: 'default', dev: 'tapd1', gateway: '172.16.0.1', flags: [] }, { dst: '10.5.0.0/24', dev: 'tapd1', flags: [] }, { dst: '172.16.0.0/24', dev: 'tapd1', protocol: 'kernel', flags: [] }]),
  JSON.stringify([{ dst: 'fd00:6::/64', dev: 'tapd1', protocol: 'kernel', flags: [] }, { dst: 'default', dev: 'tapd1', gateway: 'fe80::1', protocol: 'boot', flags: [] }]),
  'tapd1 tx-checksumming: off\n',
  `${SYSCTLS.join('\n')}\n`,
].join('\u0001');

test('N-DH-2 N-DNS-2: a link from nothing: the pair, its addresses, the way to other subnets and out, no checksum offload', () => {
  assert.deepEqual(planned(EMPTY_INSIDE), [
    `ip netns exec qdhcp-n1 sysctl -qw ${SYSCTLS.join(' ')}`,
    'ip link add tapd1 mtu 1450 type veth peer name tapd1 netns qdhcp-n1 address fa:16:3e:00:00:02 mtu 1450',
    'sysctl -qw net.ipv4.conf.tapd1.arp_ignore=8',
    'ip link set tapd1 up',
    'ip -n qdhcp-n1 link set lo up',
    'ip -n qdhcp-n1 link set tapd1 up',
    'ip -n qdhcp-n1 address add 172.16.0.2/24 dev tapd1',
    'ip -n qdhcp-n1 address add fd00:6::2/64 dev tapd1 nodad',
    'ip -n qdhcp-n1 route replace 10.5.0.0/24 dev tapd1',
    'ip -n qdhcp-n1 route replace default via 172.16.0.1 dev tapd1',
    'ip -n qdhcp-n1 route replace default via fe80::1 dev tapd1',
    'ip netns exec qdhcp-n1 ethtool -K tapd1 tx off',
  ]);
});

test('law 2: what is there as it shall be needs nothing', () => {
  assert.deepEqual(planned(parseInside(THERE), { mtu: 1450, up: true, quiet: true }), []);
});

test('only the difference is planned', () => {
  const drifted = THERE.replace('"mtu":1450', '"mtu":1400').replace('172.16.0.2', '172.16.0.3').replace('"dst":"10.5.0.0/24"', '"dst":"10.6.0.0/24"').replace('checksumming: off', 'checksumming: on');
  assert.deepEqual(planned(parseInside(drifted), { mtu: 1400, up: false, quiet: false }), [
    'ip -n qdhcp-n1 address del 172.16.0.3/24 dev tapd1',
    'ip link set tapd1 mtu 1450',
    'ip link set tapd1 up',
    'sysctl -qw net.ipv4.conf.tapd1.arp_ignore=8',
    'ip -n qdhcp-n1 link set tapd1 mtu 1450',
    'ip -n qdhcp-n1 address add 172.16.0.2/24 dev tapd1',
    // The kernel took all IPv4 routes away with the last IPv4 address.
    'ip -n qdhcp-n1 route replace 10.5.0.0/24 dev tapd1',
    'ip -n qdhcp-n1 route replace default via 172.16.0.1 dev tapd1',
    'ip netns exec qdhcp-n1 ethtool -K tapd1 tx off',
  ]);
});

test('routes that nobody wants go before the addresses that they may hang on', () => {
  const drifted = THERE.replace('"dst":"10.5.0.0/24"', '"dst":"10.6.0.0/24"').replace('"local":"fd00:6::2"', '"local":"fd00:6::3"');
  assert.deepEqual(planned(parseInside(drifted), { mtu: 1450, up: true, quiet: true }), [
    'ip -n qdhcp-n1 route del 10.6.0.0/24 dev tapd1',
    'ip -n qdhcp-n1 address del fd00:6::3/64 dev tapd1',
    'ip -n qdhcp-n1 address add fd00:6::2/64 dev tapd1 nodad',
    'ip -n qdhcp-n1 route replace 10.5.0.0/24 dev tapd1',
  ]);
});

test('a device of another port goes; half a pair is made anew', () => {
  const other = parseInside(THERE.replaceAll('"tapd1"', '"tapold"'));
  const plan = planLinks(desired, other, ends());
  assert.deepEqual([plan.takes, plan.removesDevices, plan.creates], [['link del tapold'], ['tapold'], ['tapd1']]);
  const half = planLinks(desired, EMPTY_INSIDE, ends({ mtu: 1450, up: true, quiet: true }));
  assert.deepEqual(half.host[0], 'link del tapd1');
});

test('the mirror: what a plan leads to plans nothing', () => {
  const { inside, outside } = asFound(desired);
  assert.deepEqual(printLinkPlan(desired, planLinks(desired, inside, outside)), []);
  assert.deepEqual(planLinks(desired, EMPTY_INSIDE, ends()).announces, [['tapd1', '172.16.0.2'], ['tapd1', 'fd00:6::2']]);
});
