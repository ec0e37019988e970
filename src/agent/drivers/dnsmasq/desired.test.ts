import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { DhcpHostItem, DhcpServerItem, DhcpSubnet } from '#hoststate/dhcp.ts';
import { type DesiredDnsmasq, desiredDnsmasq, serverRefusal } from './desired.ts';
import { hostEntry } from './hosts.ts';

const subnet: DhcpSubnet = {
  subnet_id: 's4', cidr: '172.16.0.0/24', gateway_ip: '172.16.0.1', dns_nameservers: [], dhcp_servers: ['172.16.0.2'], host_routes: [], ipv6_address_mode: null, enable_dhcp: true, metadata: null,
};
const subnet6: DhcpSubnet = { ...subnet, subnet_id: 's6', cidr: '2001:db8::/64', gateway_ip: '2001:db8::1', dhcp_servers: ['2001:db8::2'], ipv6_address_mode: 'dhcpv6-stateful' };
const server: DhcpServerItem = {
  type: 'dhcp-server', network_id: 'n1', port_id: 'd1', device: 'tapd1', mac_address: 'fa:16:3e:00:00:02', mtu: 1450,
  addresses: ['172.16.0.2/24'], subnets: [subnet], dns_domain: 'openstacklocal.', dns_servers: [], local_resolv: false, metadata: false, lease_duration: 86_400,
};
const vm: DhcpHostItem = {
  type: 'dhcp-host', network_id: 'n1', port_id: 'p1', mac_address: 'fa:16:3e:00:00:11', hostname: 'vm1', names: [], options: [],
  addresses: [{ subnet_id: 's4', ip_address: '172.16.0.11' }],
};
const render = (it: DhcpServerItem, ...hosts: DhcpHostItem[]): DesiredDnsmasq =>
  desiredDnsmasq('/s/dhcp/n1', it, hosts.map((host) => hostEntry(it, host, () => undefined)));
const optsOf = (...subnets: DhcpSubnet[]): string[] => render({ ...server, subnets }).files.opts.trim().split('\n');

test('N-DH-6 N-DH-7 N-DH-10 N-DH-11: the command line and files of a plain network', () => {
  const { args, files, bindings, reasons } = render(server, vm);
  assert.deepEqual(args, [
    '--conf-file=/dev/null', '--no-hosts', '--no-resolv', '--pid-file=/s/dhcp/n1/pid', '--dhcp-hostsfile=/s/dhcp/n1/host',
    '--addn-hosts=/s/dhcp/n1/addn_hosts', '--servers-file=/s/dhcp/n1/servers', '--dhcp-optsfile=/s/dhcp/n1/opts', '--dhcp-leasefile=/s/dhcp/n1/leases',
    '--local-service', '--domain-needed', '--dhcp-ignore-names', '--bind-dynamic', '--no-ping', '--dhcp-lease-max=16777216', '--quiet-dhcp', '--quiet-dhcp6',
    '--domain=openstacklocal', '--dhcp-option-force=option:mtu,1450',
    '--dhcp-range=set:subnet-s4,172.16.0.0,static,255.255.255.0,86400s', '--dhcp-ignore=tag:subnet-s4,tag:!known',
  ]);
  assert.deepEqual(files, {
    host: 'fa:16:3e:00:00:11,172.16.0.11,vm1.openstacklocal\n',
    addn_hosts: '172.16.0.11\tvm1.openstacklocal vm1\n',
    servers: 'server=/vm1.openstacklocal/\n',
    opts: 'tag:subnet-s4,option:router,172.16.0.1\ntag:subnet-s4,option:dns-server,172.16.0.2\n',
  });
  assert.deepEqual([...bindings], [['172.16.0.11', 'fa:16:3e:00:00:11']]);
  assert.deepEqual(reasons, []);
});

test('N-DH-7: option 121 carries host routes, the other subnets of the network and the default route', () => {
  const other = { ...subnet, subnet_id: 's5', cidr: '10.5.0.0/24', enable_dhcp: false };
  const routes = [{ destination: '10.9.0.0/16', nexthop: '172.16.0.9' }];
  const value = '10.5.0.0/24,0.0.0.0,10.9.0.0/16,172.16.0.9,0.0.0.0/0,172.16.0.1';
  assert.deepEqual(optsOf({ ...subnet, host_routes: routes }, other), [
    'tag:subnet-s4,option:router,172.16.0.1', 'tag:subnet-s4,option:dns-server,172.16.0.2',
    `tag:subnet-s4,option:classless-static-route,${value}`, `tag:subnet-s4,249,${value}`,
  ]);
});

test('law 4: routes that option 121 has no room for are left out, those to other subnets of the network first', () => {
  const others = Array.from({ length: 60 }, (_, i) => ({ ...subnet, subnet_id: `o${i}`, cidr: `10.${i}.0.0/24`, enable_dhcp: false }));
  const routes = Array.from({ length: 20 }, (_, i) => ({ destination: `192.168.255.${i + 100}/32`, nexthop: '172.16.0.9' }));
  const item = { ...server, subnets: [{ ...subnet, host_routes: routes, metadata: 'server' as const }, ...others] };
  const { files, reasons } = render(item);
  const line = files.opts.split('\n').find((each) => each.includes('classless-static-route'))!;
  for (const { destination } of routes) assert.ok(line.includes(`${destination},172.16.0.9`), destination);
  assert.ok(line.includes('169.254.169.254/32,172.16.0.2') && line.endsWith('0.0.0.0/0,172.16.0.1'));
  // 5 for the default route, 9 for each of 21 host routes, 8 for each subnet: 255 bytes have room for 7 of them.
  assert.equal(line.split(',0.0.0.0').length - 2, 7);
  assert.deepEqual(reasons, ['53 of 81 routes of a subnet do not fit into DHCP option 121']);
  assert.ok(Math.max(...files.opts.split('\n').map((each) => each.length)) <= 1024);
});

test('N-DH-7: no gateway is no router; a gateway outside the subnet is made reachable first; a default host route stands in for one', () => {
  assert.equal(optsOf({ ...subnet, gateway_ip: null })[0], 'tag:subnet-s4,option:router');
  assert.equal(optsOf({ ...subnet, gateway_ip: '192.0.2.1' })[2], 'tag:subnet-s4,option:classless-static-route,192.0.2.1/32,0.0.0.0,0.0.0.0/0,192.0.2.1');
  assert.deepEqual(optsOf({ ...subnet, gateway_ip: null, host_routes: [{ destination: '0.0.0.0/0', nexthop: '172.16.0.7' }] }), [
    'tag:subnet-s4,option:router,172.16.0.7', 'tag:subnet-s4,option:dns-server,172.16.0.2',
  ]);
});

test('N-DNS-1 N-DNS-2 N-DNS-3: who resolves for the guests', () => {
  const nameservers = (dns_nameservers: string[]): string | undefined => optsOf({ ...subnet, dns_nameservers })[1];
  assert.equal(nameservers([]), 'tag:subnet-s4,option:dns-server,172.16.0.2');
  assert.equal(nameservers(['9.9.9.9', '8.8.8.8']), 'tag:subnet-s4,option:dns-server,9.9.9.9,8.8.8.8');
  assert.equal(nameservers(['0.0.0.0']), 'tag:subnet-s4,option:dns-server', 'none announced');
  const resolving = (more: Partial<DhcpServerItem>): string[] => render({ ...server, ...more }).args.filter((arg) => /resolv|^--server=/.test(arg));
  assert.deepEqual(resolving({}), ['--no-resolv']);
  assert.deepEqual(resolving({ local_resolv: true }), []);
  const forwarders = ['--no-resolv', '--server=1.1.1.1#5353', '--server=2606:4700::1111'];
  assert.deepEqual(resolving({ dns_servers: ['1.1.1.1#5353', '2606:4700::1111'] }), forwarders);
  assert.deepEqual(resolving({ dns_servers: ['1.1.1.1#5353', '2606:4700::1111'], local_resolv: true }), forwarders, 'named servers go before the host’s resolver');
});

test('DHCPv6: a stateful range with addresses, a stateless one with options only, SLAAC without a range', () => {
  const dual: DhcpHostItem = { ...vm, addresses: [...vm.addresses, { subnet_id: 's6', ip_address: '2001:db8:0::11' }] };
  const of = (mode: string | null): DesiredDnsmasq =>
    render({ ...server, addresses: [...server.addresses, '2001:db8::2/64'], subnets: [subnet, { ...subnet6, ipv6_address_mode: mode }] }, dual);
  const ranges = (desired: DesiredDnsmasq): string[] => desired.args.filter((arg) => arg.startsWith('--dhcp-range=set:subnet-s6'));
  const stateful = of('dhcpv6-stateful');
  assert.deepEqual(ranges(stateful), ['--dhcp-range=set:subnet-s6,2001:db8::,static,64,86400s']);
  assert.equal(stateful.files.host, 'fa:16:3e:00:00:11,172.16.0.11,vm1.openstacklocal\nfa:16:3e:00:00:11,[2001:db8::11]\n', 'no name for DHCPv6');
  assert.equal(stateful.files.addn_hosts, '172.16.0.11\tvm1.openstacklocal vm1\n2001:db8::11\tvm1.openstacklocal vm1\n');
  assert.match(stateful.files.opts, /^tag:subnet-s6,option6:dns-server,\[2001:db8::2\]\ntag:subnet-s6,option6:domain-search,openstacklocal$/m);
  const stateless = of('dhcpv6-stateless');
  assert.equal(ranges(stateless).length, 1);
  assert.equal(stateless.files.host, 'fa:16:3e:00:00:11,172.16.0.11,vm1.openstacklocal\n');
  assert.deepEqual(ranges(of('slaac')), []);
});

test('N-MD-12 N-MD-4 N-MD-13: the metadata route leads to the server, when asked for', () => {
  assert.match(render({ ...server, metadata: true, subnets: [{ ...subnet, metadata: 'server' }] }).files.opts, /option:classless-static-route,169\.254\.169\.254\/32,172\.16\.0\.2,0\.0\.0\.0\/0,172\.16\.0\.1\n/);
  // N-MD-4: where a router of ours holds the gateway address, the gateway answers.
  assert.match(render({ ...server, subnets: [{ ...subnet, metadata: 'gateway' }] }).files.opts, /option:classless-static-route,169\.254\.169\.254\/32,172\.16\.0\.1,0\.0\.0\.0\/0,172\.16\.0\.1\n/);
  assert.doesNotMatch(render(server).files.opts, /169\.254/);
});

test('a port without a name is called after its address; a lease of -1 never ends', () => {
  assert.equal(render(server, { ...vm, hostname: '' }).files.addn_hosts, '172.16.0.11\thost-172-16-0-11.openstacklocal host-172-16-0-11\n');
  assert.match(render({ ...server, lease_duration: -1 }).args.join(' '), /static,255\.255\.255\.0,infinite /);
});

test('N-DH-12: clients are told of all DHCP servers of their network', () => {
  assert.equal(optsOf({ ...subnet, dhcp_servers: ['172.16.0.2', '172.16.0.3'] })[1], 'tag:subnet-s4,option:dns-server,172.16.0.2,172.16.0.3');
  assert.equal(optsOf({ ...subnet, dhcp_servers: ['172.16.0.2', '172.16.0.3'], dns_nameservers: ['9.9.9.9'] })[1], 'tag:subnet-s4,option:dns-server,9.9.9.9');
  assert.equal(optsOf({ ...subnet, dhcp_servers: [] })[1], 'tag:subnet-s4,option:dns-server,172.16.0.2', 'this one, if nobody is known in the subnet');
});

test('a port is called by its name in the cloud’s domain first, by its name alone, and by further names', () => {
  const of = (hostname: string, names: string[] = [], dns_domain = 'openstacklocal.'): string[] => {
    const { addn_hosts, servers } = render({ ...server, dns_domain }, { ...vm, hostname, names }).files;
    return [addn_hosts.trim().split('\t')[1]!, ...servers.trim().split('\n')];
  };
  assert.deepEqual(of('vm1', ['vm1.net.example']), ['vm1.openstacklocal vm1 vm1.net.example', 'server=/vm1.openstacklocal/', 'server=/vm1.net.example/']);
  assert.deepEqual(of('com'), ['com.openstacklocal com', 'server=/com.openstacklocal/'], 'a short name claims no domain');
  assert.deepEqual(of('www.google'), ['www.google.openstacklocal', 'server=/www.google.openstacklocal/'], 'several labels alone could be somebody’s outside');
  assert.deepEqual(of('vm1', [], ''), ['vm1', '']);
});

test('a port on a subnet without DHCP, or of its own addressing, has its name and no lease', () => {
  const fixed = { ...subnet, subnet_id: 'fixed', cidr: '10.5.0.0/24', enable_dhcp: false };
  const slaac = { ...subnet6, ipv6_address_mode: 'slaac' };
  const addresses = [{ subnet_id: 'fixed', ip_address: '10.5.0.9' }, { subnet_id: 's6', ip_address: '2001:db8::9' }];
  const { files, hostReasons, bindings } = render({ ...server, subnets: [subnet, fixed, slaac] }, { ...vm, addresses });
  assert.deepEqual([files.host, files.addn_hosts, hostReasons.size, bindings.size], ['', '10.5.0.9\tvm1.openstacklocal vm1\n2001:db8::9\tvm1.openstacklocal vm1\n', 0, 0]);
});

test('a name that DNS cannot carry costs the name, not the lease', () => {
  for (const poison of [{ hostname: 'x'.repeat(64) }, { hostname: 'vm1', names: ['vm1.a b'] }]) {
    const { files, hostReasons, partly } = render(server, { ...vm, ...poison });
    assert.match(hostReasons.get('p1') ?? '', /is no host name$/);
    assert.ok(partly.has('p1'));
    assert.equal(files.addn_hosts, poison.names ? '172.16.0.11\tvm1.openstacklocal vm1\n' : '172.16.0.11\thost-172-16-0-11.openstacklocal host-172-16-0-11\n');
    assert.match(files.host, /^fa:16:3e:00:00:11,172\.16\.0\.11,/);
  }
});

test('a client with two addresses of a subnet gets the first, and both resolve', () => {
  const two = { ...vm, addresses: [...vm.addresses, { subnet_id: 's4', ip_address: '172.16.0.12' }] };
  assert.equal(render(server, two).files.host, 'fa:16:3e:00:00:11,172.16.0.11,vm1.openstacklocal\n');
  assert.match(render(server, two).files.addn_hosts, /172\.16\.0\.12\tvm1/);
});

test('trap 15: options of one port by a tag that its MAC sets on the command line', () => {
  const options = [
    { name: 'bootfile-name', value: 'pxelinux.0', ip_version: 4 }, { name: '42', value: '10.0.0.1,10.0.0.2', ip_version: 4 },
    { name: 'dns-server', value: '[2001:db8::53]', ip_version: 6 }, { name: 'tftp-server', value: 'a "b" #c\\', ip_version: 4 },
  ];
  const { args, files } = render(server, { ...vm, options });
  assert.equal(args.at(-1), '--dhcp-mac=set:port-p1,fa:16:3e:00:00:11');
  assert.deepEqual(files.opts.trim().split('\n').slice(2), [
    'tag:port-p1,option:bootfile-name,pxelinux.0', 'tag:port-p1,42,10.0.0.1,10.0.0.2', 'tag:port-p1,option6:dns-server,[2001:db8::53]',
    'tag:port-p1,option:tftp-server,"a \\"b\\" #c\\\\"',
  ]);
  assert.doesNotMatch(files.host, /set:/, 'trap 3');
});

test('law 4: values that would write lines of their own reach no file, and say why', () => {
  const injected = 'x\nfa:16:3e:00:00:66,172.16.0.66';
  const cases: [Partial<DhcpHostItem>, string][] = [
    [{ hostname: injected }, '"x\\nfa:16:3e:00:00:66,172.16.0.66.openstacklocal" is no host name'],
    [{ names: ['ignore,set:x'] }, '"ignore,set:x" is no host name'],
    [{ mac_address: 'fa:16:3e:00:00:11,ignore' }, '"fa:16:3e:00:00:11,ignore" is no MAC address'],
    [{ addresses: [{ subnet_id: 's4', ip_address: '172.16.0.11\n' }] }, '"172.16.0.11\\n" is no address'],
    [{ addresses: [{ subnet_id: 'gone', ip_address: '172.16.0.11' }] }, '172.16.0.11 is in no subnet of this network'],
    [{ options: [{ name: 'router', value: '1.1.1.1\nlog-queries', ip_version: 4 }] }, 'DHCP option "router": not a name and value that can be sent'],
    [{ options: [{ name: 'tag:x,router', value: '1.1.1.1', ip_version: 4 }] }, 'DHCP option "tag:x,router": not a name and value that can be sent'],
  ];
  const good = { ...vm, port_id: 'p2', mac_address: 'fa:16:3e:00:00:12', addresses: [{ subnet_id: 's4', ip_address: '172.16.0.12' }], hostname: 'good' };
  for (const [poison, reason] of cases) {
    const { files, args, hostReasons, partly } = render(server, { ...vm, ...poison }, good);
    assert.deepEqual([...hostReasons], [['p1', reason]]);
    // What is refused of a name or an option costs just that; without a good MAC and address there is no lease.
    assert.deepEqual([...partly], files.host.includes('172.16.0.11') ? ['p1'] : []);
    assert.equal(partly.has('p1'), /^DHCP option|is no host name$/.test(reason));
    assert.match(files.host, /^fa:16:3e:00:00:12,172\.16\.0\.12,good\.openstacklocal$/m);
    assert.doesNotMatch(JSON.stringify([files, args]), /66|ignore,|log-queries|tag:x/);
  }
});

test('dnsmasq takes some words for orders: such a name is not given to it without a domain', () => {
  for (const hostname of ['ignore', 'infinite', '10m', '3600']) {
    assert.equal(render({ ...server, dns_domain: '' }, { ...vm, hostname }).files.host, 'fa:16:3e:00:00:11,172.16.0.11\n');
    assert.equal(render(server, { ...vm, hostname }).files.host, `fa:16:3e:00:00:11,172.16.0.11,${hostname}.openstacklocal\n`);
  }
});

test('law 4: a subnet, route, name server or domain that cannot be is left out of its network, with the reason', () => {
  const { args, files, reasons } = render({
    ...server, dns_domain: 'a b', dns_servers: ['resolver'],
    subnets: [
      { ...subnet, host_routes: [{ destination: 'x', nexthop: '172.16.0.9' }], dns_nameservers: ['9.9.9.9\n'] },
      { ...subnet6, cidr: '2001:db8::/48' }, { ...subnet, subnet_id: 'bad', cidr: '10.0.0.0/33' },
    ],
  });
  assert.deepEqual(reasons, [
    'subnet s6: 2001:db8::/48 is too large for DHCPv6, whose prefixes have 64 bits or more', 'subnet "bad": "10.0.0.0/33" is no prefix',
    'subnet s4: host route "x via 172.16.0.9" is none', 'subnet s4: name server "9.9.9.9\\n" is no address', '"a b" is no domain name',
    'DNS server "resolver" is no address',
  ]);
  assert.equal(args.filter((arg) => arg.startsWith('--dhcp-range')).length, 1);
  assert.match(files.opts, /^tag:subnet-s4,option:router,172\.16\.0\.1$/m);
});

test('two ports with one address: the lower id is served, the other says why; the order of arrival does not matter', () => {
  const second = { ...vm, port_id: 'p2', mac_address: 'fa:16:3e:00:00:12', hostname: 'vm2' };
  const [ab, ba] = [render(server, vm, second), render(server, second, vm)];
  assert.deepEqual(ab, ba);
  assert.deepEqual([...ab.hostReasons], [['p2', '172.16.0.11 belongs to another port']]);
});

test('a server whose names could leave their place is refused as a whole', () => {
  assert.equal(serverRefusal(server), undefined);
  assert.equal(serverRefusal({ ...server, device: 'tap x' }), '"tap x" is no device name');
  assert.equal(serverRefusal({ ...server, network_id: '../../etc' }), '"../../etc" is no network id');
  assert.equal(serverRefusal({ ...server, mtu: 12 }), '12 is no MTU');
});
