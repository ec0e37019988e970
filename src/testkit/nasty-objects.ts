/** Objects that an API may accept and an agent may choke on, as values for fast-check and as requests of the Networking API. */
import fc from 'fast-check';
import type { RouterApi } from './router-api.ts';

const one = fc.constantFrom;

/** Texts that mean something to a shell, a config file, a web page or SQL; every one is a legal name. */
export const NASTY_TEXTS = [
  '', 'web', '<script>alert(1)</script>', '"; drop table ports; --', '$(reboot)`id`', "it's", 'a\nconf-file=/etc/shadow', 'tab\there', '\u0001\u007f\u2028', '../../etc/passwd', '-rf', '%s%n', '\ud83d\udca3', '\ud800',
  'a,b;c{d}e#f\\', '__proto__', 'constructor', ' ', '0', 'x'.repeat(255),
];
const text = one(...NASTY_TEXTS);
const addresses = [
  '10.0.0.1', '10.0.0.0', '10.0.0.255', '10.0.0.7', '0.0.0.0', '255.255.255.255', '127.0.0.1', '224.0.0.1', '169.254.169.254', '192.0.2.1', 'fd00::', 'fd00::1', 'fd00::7', '::', '::1', 'fe80::1', 'fe80::a9fe:a9fe', 'ff02::1',
  '::ffff:10.0.0.1', '10.0.0.1\n', 'fe80::1%eth0', '10.0.0.01', 'nonsense',
];
const address = one(...addresses);
const prefix = fc.oneof(
  one('0.0.0.0/0', '::/0', '10.0.0.0/8', '10.0.0.0/24', '10.0.0.5/24', '10.0.0.7/32', '127.0.0.0/8', '224.0.0.0/4', '255.255.255.255/32', 'fd00::/64', 'fd00::7/64', 'fe80::/10', 'ff00::/8', '::ffff:0:0/96', '10.0.0.0/33', '10.0.0.0/24 ', '10.0.0.1'),
  fc.tuple(fc.integer({ min: 0, max: 255 }), fc.integer({ min: 0, max: 32 })).map(([byte, length]) => `${byte}.${byte}.${byte}.${byte}/${length}`),
);
const mac = one('fa:16:3e:00:00:77', '00:00:5e:00:01:07', 'ff:ff:ff:ff:ff:ff', '01:00:5e:00:00:01', '33:33:00:00:00:01', '00:00:00:00:00:00', '02-AB-CD-EF-00-01', '00:00:00:00:00:01');
const some = <T>(arbitrary: fc.Arbitrary<T>, maxLength = 3): fc.Arbitrary<T[]> => fc.array(arbitrary, { maxLength });
const routes = some(fc.record({ destination: prefix, nexthop: address }));
const portNumber = fc.oneof(fc.integer({ min: -1, max: 65_536 }), one(0, 1, 22, 255, 256, 65_535));

const network = fc.record({ name: text, description: text, dns_domain: one('', 'a.', 'a.b.', text, 'com', '.'), mtu: one(0, 67, 68, 576, 1279, 1280, 1450, 1500, 9000, 65_535), admin_state_up: one(true, true, true, false), port_security_enabled: one(true, true, false) }, { requiredKeys: [] });
const mode = one(null, 'slaac', 'dhcpv6-stateful', 'dhcpv6-stateless');
const subnet = fc.record({
  cidr: fc.oneof({ weight: 4, arbitrary: one('10.0.0.0/24', '10.1.0.0/24', 'fd00:1::/64') }, one('10.0.0.0/24', '10.0.0.0/8', '10.0.0.4/30', '10.0.0.4/31', '10.0.0.4/32', '240.0.0.0/8', '169.254.169.0/24', 'fd00::/64', 'fd00::/48', 'fd00::/127', 'fe80::/64', '::ffff:a00:0/112'), prefix),
  name: text, gateway_ip: fc.option(address), dns_nameservers: some(address), host_routes: routes, enable_dhcp: one(true, true, false), allocation_pools: some(fc.record({ start: address, end: address }), 2),
  modes: fc.oneof({ weight: 2, arbitrary: mode.map((both) => ({ ipv6_ra_mode: both, ipv6_address_mode: both })) }, fc.record({ ipv6_ra_mode: mode, ipv6_address_mode: mode })),
}, { requiredKeys: ['cidr', 'modes'] }).map(({ modes, ...given }) => (given.cidr.includes(':') ? { ...given, ...modes } : given));
const option = fc.record({
  opt_name: one('mtu', 'server-ip-address', 'bootfile-name', 'tftp-server', '150', '255', '999', '0', 'no-such', 'option:mtu', 'tag:known', 'dns-server', 'domain-search', 'a\nb', 'classless-static-route'), opt_value: fc.oneof(text, one('1', '1.2.3.4', '10.0.0.0/8,1.2.3.4', '#', '[fd00::1]')), ip_version: one(4, 6, 5),
}, { requiredKeys: ['opt_name', 'opt_value'] });
const port = fc.record({
  name: text, mac_address: mac, dns_name: fc.oneof(text, one('www', 'a.b', '-x', 'localhost', 'infinite', '1h', '10.0.0.9')), device_owner: one('', 'compute:nova', text), device_id: text, fixed_ips: some(fc.record({ ip_address: address }), 2),
  allowed_address_pairs: some(fc.record({ ip_address: fc.oneof(address, prefix), mac_address: mac }, { requiredKeys: ['ip_address'] }), 11), extra_dhcp_opts: some(option, 6), admin_state_up: one(true, true, false), port_security_enabled: one(true, true, false),
}, { requiredKeys: [] });
const range = fc.oneof({ weight: 3, arbitrary: one({}) }, fc.record({ port_range_min: portNumber, port_range_max: portNumber }));
/** The kinds of rules apart: of values drawn independently nearly all would be refused. */
const rule = fc.record({
  family: one(
    { ethertype: 'IPv4', remote_ip_prefix: null }, { ethertype: 'IPv4', remote_ip_prefix: '0.0.0.0/0' }, { ethertype: 'IPv4', remote_ip_prefix: '10.0.0.5/24' }, { ethertype: 'IPv4', remote_ip_prefix: '10.0.0.128/25' }, { ethertype: 'IPv4', remote_ip_prefix: '255.255.255.255/32' },
    { ethertype: 'IPv6', remote_ip_prefix: null }, { ethertype: 'IPv6', remote_ip_prefix: '::/0' }, { ethertype: 'IPv6', remote_ip_prefix: 'fd00::7/64' }, { ethertype: 'IPv6', remote_ip_prefix: '::ffff:0:0/96' }, { ethertype: 'IPv4', remote_ip_prefix: 'fd00::/64' },
    { ethertype: 'IPv4', remote_group_id: 'its own' }, { ethertype: 'IPv6', remote_group_id: 'its own' },
  ),
  service: fc.oneof(
    one({ protocol: null }, { protocol: 'any' }, { protocol: 'constructor' }, { protocol: '__proto__' }, { protocol: 'valueof' }, { protocol: 'vrrp', port_range_min: 1, port_range_max: 2 }, { protocol: '112' }, { protocol: 'ip' }),
    fc.integer({ min: 0, max: 256 }).map((protocol) => ({ protocol })),
    fc.tuple(one('tcp', 'UDP', 'sctp', 'udplite', 'dccp', '6'), fc.tuple(fc.integer({ min: 1, max: 65_535 }), fc.integer({ min: 1, max: 65_535 }))).map(([protocol, [a, b]]) => ({ protocol, port_range_min: Math.min(a, b), port_range_max: Math.max(a, b) })),
    fc.tuple(one('icmp', 'icmpv6', '1', '58'), range).map(([protocol, ports]) => ({ protocol, ...ports })),
  ),
  direction: one('ingress', 'egress'), description: text,
}).map(({ family, service, ...more }) => ({ ...family, ...service, ...more }));
const router = fc.record({ name: text, routes }, { requiredKeys: ['routes'] });

export interface NastyObjects {
  readonly network: Record<string, unknown>;
  readonly subnets: readonly Record<string, any>[];
  readonly ports: readonly Record<string, unknown>[];
  readonly rules: readonly Record<string, any>[];
  readonly router: Record<string, any>;
}

/** A network with what is on it, a group of rules, a router. */
export const nastyObjects: fc.Arbitrary<NastyObjects> = fc.record({
  network, subnets: fc.array(subnet, { minLength: 1, maxLength: 4 }), ports: fc.array(port, { minLength: 1, maxLength: 5 }), rules: fc.array(rule, { minLength: 1, maxLength: 10 }), router,
});

/** One whose router announces prefixes: few of those drawn do. radvd refuses its whole file for `::ffff:a00:0/112`, and for `::1`. */
export const ANNOUNCED: NastyObjects = {
  network: {}, subnets: [
    { cidr: 'fd00:1::/64', ipv6_ra_mode: 'slaac', ipv6_address_mode: 'slaac', dns_nameservers: ['::1', '::ffff:10.0.0.1', 'fe80::1'] },
    { cidr: '::ffff:a00:0/112', ipv6_ra_mode: 'dhcpv6-stateful', ipv6_address_mode: 'dhcpv6-stateful' },
  ], ports: [{}], rules: [], router: { name: 'announcing', routes: [] },
};

/** A request that was answered 5xx, as text. */
export interface Asked {
  readonly accepted: number;
  readonly crashed: readonly string[];
}

/**
 * Asks for all of `objects` as the project `demo`, its ports bound to `host`. What is refused is not there; attributes that are the
 * reason are given one by one, so that one bad value does not keep the others away.
 */
export async function askFor(api: RouterApi, objects: NastyObjects, host: string): Promise<Asked> {
  const crashed: string[] = [];
  let accepted = 0;
  const ask = async (method: string, path: string, member: string, given: Record<string, unknown>): Promise<any> => {
    const { status, body } = await api.call('admin', method, path, { [member]: given });
    if (status >= 500) crashed.push(`${status} ${method} ${path} ${JSON.stringify(given)}`);
    if (status < 300) accepted++;
    return status < 300 ? body?.[member] : undefined;
  };
  /** With all attributes, else with those alone that are accepted one by one. */
  const create = async (path: string, member: string, fixed: Record<string, unknown>, wished: Record<string, unknown>): Promise<any> => {
    const whole = await ask('POST', path, member, { ...wished, ...fixed });
    if (whole) return whole;
    const made = await ask('POST', path, member, fixed);
    for (const [name, value] of made ? Object.entries(wished) : []) await ask('PUT', `${path}/${made.id}`, member, { [name]: value });
    return made;
  };
  const project_id = 'demo-project';
  const network = await create('/v2.0/networks', 'network', { project_id }, objects.network);
  const subnets: any[] = [];
  for (const { cidr, ipv6_ra_mode, ipv6_address_mode, ...wished } of objects.subnets) {
    // No update gives the modes.
    const modes = ipv6_ra_mode ? { ipv6_ra_mode, ipv6_address_mode } : {};
    subnets.push(await create('/v2.0/subnets', 'subnet', { network_id: network.id, project_id, ip_version: cidr.includes(':') ? 6 : 4, cidr, ...modes }, wished));
  }
  const group = await create('/v2.0/security-groups', 'security_group', { project_id, name: 'nasty' }, {});
  for (const { remote_group_id, ...given } of objects.rules) await ask('POST', '/v2.0/security-group-rules', 'security_group_rule', { project_id, security_group_id: group.id, ...given, ...(remote_group_id ? { remote_group_id: group.id } : {}) });
  for (const wished of objects.ports) {
    const made = await create('/v2.0/ports', 'port', { network_id: network.id, project_id, 'binding:host_id': host }, wished);
    if (made?.port_security_enabled) await ask('PUT', `/v2.0/ports/${made.id}`, 'port', { security_groups: [group.id] });
  }
  const router = await ask('POST', '/v2.0/routers', 'router', { project_id, name: objects.router['name'] });
  for (const subnet of subnets) if (subnet && router) await api.call('admin', 'PUT', `/v2.0/routers/${router.id}/add_router_interface`, { subnet_id: subnet.id });
  for (const route of router ? objects.router['routes'] : []) await api.call('admin', 'PUT', `/v2.0/routers/${router.id}/add_extraroutes`, { router: { routes: [route] } });
  return { accepted, crashed };
}
