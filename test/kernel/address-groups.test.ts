/** Rules by address group, and templates of rules, seen by packets. */
import assert from 'node:assert/strict';
import { type Cloud, scenario, until } from '#testkit/cloud.ts';
import type { Api } from '#testkit/api.ts';

interface Guest {
  readonly name: string;
  readonly ip: string;
  readonly ip6: string;
  readonly port_id: string;
}

scenario('address groups and templates of rules', {}, async (cloud, t) => {
  const admin = await cloud.api();
  await admin.post('/compute/v2.1/flavors', { flavor: { name: 'm1.nano', ram: 128, vcpus: 1, disk: 1 } });
  const { api, guests } = await tenant(cloud, 'red', 3);
  const [one, two, three] = guests as [Guest, Guest, Guest];
  const path = '/network/v2.0/address-groups';
  const friends = await api.post(path, { address_group: { name: 'friends' } }, 'address_group');
  const change = async (action: 'add_addresses' | 'remove_addresses', ...addresses: string[]): Promise<void> => {
    await api.request('PUT', `${path}/${friends.id}/${action}`, { addresses });
    await cloud.settle();
  };
  /** Which of the first and the second guest the third answers, IPv4 and IPv6. */
  const reach = async (): Promise<boolean[]> => Promise.all([cloud.answers(one.name, three.ip), cloud.answers(two.name, three.ip), cloud.answers(one.name, three.ip6), cloud.answers(two.name, three.ip6)]);

  await t.test('a rule by address group admits exactly its addresses and follows them, IPv4 and IPv6', async () => {
    const closed = await api.post('/network/v2.0/security-groups', { security_group: { name: 'closed' } }, 'security_group');
    await api.rule({ security_group_id: closed.id, direction: 'ingress', protocol: 'icmp', remote_address_group_id: friends.id });
    await api.rule({ security_group_id: closed.id, direction: 'ingress', ethertype: 'IPv6', protocol: 'icmp', remote_address_group_id: friends.id });
    await api.change('ports', three.port_id, { security_groups: [closed.id] });
    await cloud.settle();
    assert.deepEqual(await reach(), [false, false, false, false]);
    await change('add_addresses', one.ip, `${two.ip6}/128`);
    await cloud.ping(one.name, three.ip);
    await cloud.ping(two.name, three.ip6);
    assert.deepEqual(await reach(), [true, false, false, true]);
    await change('add_addresses', '10.1.0.0/24');
    await cloud.ping(two.name, three.ip);
    await change('remove_addresses', one.ip);
    await cloud.ping(one.name, three.ip);
    assert.deepEqual(await reach(), [true, true, false, true], 'the prefix still holds the address that went');
    await change('remove_addresses', '10.1.0.0/24', two.ip6);
    assert.deepEqual(await reach(), [false, false, false, false]);
    await assert.rejects(api.delete(`${path}/${friends.id}`), /409.*AddressGroupInUse/);
  });

  await t.test('a template shows in the default group of a project that is new, and packets follow it', async () => {
    await admin.post('/network/v2.0/default-security-group-rules', { default_security_group_rule: { direction: 'ingress', protocol: 'icmp', used_in_default_sg: true, used_in_non_default_sg: false, description: 'ping' } });
    await assert.rejects(api.post('/network/v2.0/default-security-group-rules', { default_security_group_rule: { direction: 'ingress' } }), /403/);
    const meanings = (group: any): string[] => group.security_group_rules.filter((rule: any) => rule.direction === 'ingress').map((rule: any) => `${rule.ethertype} ${rule.protocol} ${rule.remote_group_id === group.id ? 'itself' : rule.remote_group_id}`).sort();
    const [standard] = (await api.get('/network/v2.0/security-groups?name=default')).security_groups;
    assert.deepEqual(meanings(standard), ['IPv4 null itself', 'IPv6 null itself'], 'a project that was there keeps its rules');
    const blue = await cloud.makeProject('blue');
    const [fresh] = (await blue.get('/network/v2.0/security-groups?name=default')).security_groups;
    assert.deepEqual(meanings(fresh), ['IPv4 icmp null', 'IPv4 null itself', 'IPv6 null itself']);
    // A port of the third guest in a group with the rules of the new project's default one.
    const open = await api.post('/network/v2.0/security-groups', { security_group: { name: 'open' } }, 'security_group');
    const template = fresh.security_group_rules.find((rule: any) => rule.protocol === 'icmp');
    await api.rule({ security_group_id: open.id, direction: template.direction, protocol: template.protocol, remote_ip_prefix: template.remote_ip_prefix });
    await api.change('ports', three.port_id, { security_groups: [open.id] });
    await cloud.settle();
    await cloud.ping(one.name, three.ip);
    assert.deepEqual(await reach(), [true, true, false, false]);
  });

  await t.test('law 4: a rule that the switch cannot match is in error with its reason and admits nothing', async () => {
    const group = await api.post('/network/v2.0/security-groups', { security_group: { name: 'lite' } }, 'security_group');
    const rule = await api.rule({ security_group_id: group.id, direction: 'ingress', protocol: 'udplite', port_range_min: 7, port_range_max: 7 });
    await api.change('ports', three.port_id, { security_groups: [group.id] });
    const reason = 'Open vSwitch matches no ports of protocol 136: the rule admits nothing';
    await until(10, 'status names the rule', async () => (await cloud.patchbay('status', '--json')).stdout.includes(reason));
    assert.ok((await cloud.patchbay('status', '--json')).stdout.includes(rule.id));
    await api.delete(`/network/v2.0/security-group-rules/${rule.id}`);
    await until(10, 'status is well again', async () => !(await cloud.patchbay('status', '--json')).stdout.includes(reason));
  });
});

/** A project with a dual-stack network and guests that have their addresses. */
async function tenant(cloud: Cloud, name: string, count: number): Promise<{ api: Api; guests: Guest[] }> {
  const api = await cloud.makeProject(name);
  const network = await api.network({ name });
  await api.subnet({ network_id: network.id, cidr: '10.1.0.0/24' });
  await api.subnet({ network_id: network.id, ip_version: 6, cidr: 'fd00:1::/64', ipv6_ra_mode: 'dhcpv6-stateful', ipv6_address_mode: 'dhcpv6-stateful' });
  const servers = await Promise.all(Array.from({ length: count }, (_, i) => api.server({ name: `${name}${i + 1}`, networks: [{ uuid: network.id }] })));
  const { ports } = await api.get(`/network/v2.0/ports?network_id=${network.id}`);
  const guests = servers.map((server): Guest => {
    const port = ports.find((each: { device_id: string }) => each.device_id === server.id);
    const [ip, ip6] = [4, 6].map((version) => port.fixed_ips.map((fixed: { ip_address: string }) => fixed.ip_address).find((address: string) => address.includes(':') === (version === 6)));
    return { name: server.name, ip, ip6, port_id: port.id };
  });
  for (const guest of guests) await until(20, `${guest.name} has its addresses`, async () => {
    const { stdout } = await cloud.exec(guest.name, 'ip', '-o', 'address', 'show', 'dev', 'eth0');
    return stdout.includes(guest.ip) && stdout.includes(guest.ip6);
  });
  return { api, guests };
}
