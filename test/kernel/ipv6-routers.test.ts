import assert from 'node:assert/strict';
import { scenario, until } from '#testkit/cloud.ts';

/** The outside's own address on the physical segment. */
const OUTSIDE = '2001:db8:16::1';

scenario('routers and IPv6: addresses by advertisement and by DHCPv6, and the way out, without translation', {}, async (cloud, t) => {
  const admin = await cloud.api();
  await admin.post('/compute/v2.1/flavors', { flavor: { name: 'm1.nano', ram: 128, vcpus: 1, disk: 1 } });
  const external = await admin.network({ name: 'ext', 'router:external': true, 'provider:network_type': 'flat', 'provider:physical_network': 'physnet' });
  await admin.subnet({ network_id: external.id, ip_version: 6, cidr: '2001:db8:16::/64', gateway_ip: OUTSIDE, enable_dhcp: false, allocation_pools: [{ start: '2001:db8:16::100', end: '2001:db8:16::1ff' }] });
  const [group] = (await admin.get(`/network/v2.0/security-groups?name=default&project_id=${admin.project_id}`)).security_groups;
  await admin.rule({ security_group_id: group.id, direction: 'ingress', ethertype: 'IPv6', protocol: 'ipv6-icmp' });
  const router = await admin.router({ name: 'r6', external_gateway_info: { network_id: external.id } });
  const modes = ['slaac', 'dhcpv6-stateless', 'dhcpv6-stateful'] as const;
  const servers = new Map<string, { name: string; address: string }>();
  for (const [i, mode] of modes.entries()) {
    const network = await admin.network({ name: mode });
    const subnet = await admin.subnet({ network_id: network.id, ip_version: 6, cidr: `2001:db8:${i + 1}::/64`, ipv6_ra_mode: mode, ipv6_address_mode: mode, dns_nameservers: ['2001:db8:ffff::53'] });
    await admin.addInterface(router.id, subnet.id);
    const server = await admin.server({ name: `vm-${mode}`, networks: [{ uuid: network.id }] });
    servers.set(mode, { name: server.name, address: server.addresses[mode][0].addr });
  }
  const [gateway] = (await admin.get(`/network/v2.0/ports?device_id=${router.id}&device_owner=network:router_gateway`)).ports;
  // What an operator outside does for a cloud's prefixes: a route to its router.
  for (const i of [1, 2, 3]) await cloud.host('outside', 'ip', '-6', 'route', 'replace', `2001:db8:${i}::/64`, 'via', gateway.fixed_ips[0].ip_address);

  for (const mode of modes) {
    await t.test(`${mode}: the instance has its address and a default route by the router's advertisement, and pings the outside`, async () => {
      const { name, address } = servers.get(mode)!;
      await until(30, `${name} has ${address}`, async () => (await cloud.exec(name, 'ip', '-6', 'address', 'show', 'dev', 'eth0')).stdout.includes(` ${address}/`));
      await until(20, `${name} has a default route`, async () => /^default via fe80::\S+ dev eth0 proto ra/m.test((await cloud.exec(name, 'ip', '-6', 'route', 'show')).stdout));
      await cloud.ping(name, OUTSIDE, 20);
    });
  }

  await t.test('instances of different subnets reach each other through the router, and the outside reaches them: nothing is translated', async () => {
    await cloud.ping('vm-slaac', servers.get('dhcpv6-stateful')!.address);
    await cloud.ping('vm-dhcpv6-stateful', servers.get('dhcpv6-stateless')!.address);
    const seen = await cloud.capture('outside', 'phys', 'icmp6 and ip6[40] == 128');
    assert.ok(await cloud.answers('vm-slaac', OUTSIDE));
    assert.match(await seen.stop(), new RegExp(`${servers.get('slaac')!.address} > ${OUTSIDE}: ICMP6, echo request`));
    await until(10, 'outside pings an instance', async () => (await cloud.tryHost('outside', 'ping', '-6', '-c', '1', '-W', '1', servers.get('dhcpv6-stateful')!.address)).code === 0);
  });

  await t.test('the MTU of the network is in the advertisement; a frame of just that size passes to the other side of the router', async () => {
    const { name } = servers.get('slaac')!;
    await until(10, 'the kernel took the MTU', async () => (await cloud.exec(name, 'cat', '/proc/sys/net/ipv6/conf/eth0/mtu')).stdout.trim() === '1450');
    const full = await cloud.exec(name, 'ping', '-6', '-c', '2', '-i', '0.3', '-W', '2', '-M', 'do', '-s', String(1450 - 48), OUTSIDE);
    assert.equal(full.code, 0, full.stdout + full.stderr);
  });

  await t.test('a leg that goes takes its advertisement along', async () => {
    const host = gateway['binding:host_id'];
    const serving = (): Promise<string> => cloud.host(host, 'sh', '-c', 'for p in $(cat /run/patchbay/radvd/*/pid); do ps -o pid=,comm= -p $p; done');
    const before = await serving();
    assert.match(before, / radvd\n$/);
    const [subnet] = (await admin.get('/network/v2.0/subnets?cidr=2001:db8:1::/64')).subnets;
    await admin.request('PUT', `/network/v2.0/routers/${router.id}/remove_router_interface`, { subnet_id: subnet.id });
    await until(10, 'radvd says it no more', async () => !(await cloud.host(host, 'sh', '-c', 'cat /run/patchbay/radvd/*/config')).includes('2001:db8:1::'));
    await admin.addInterface(router.id, subnet.id);
    await cloud.ping('vm-slaac', OUTSIDE, 20);
    assert.equal(await serving(), before, 'one radvd took all changes');
  });
});
