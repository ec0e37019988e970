import assert from 'node:assert/strict';
import { loadConfig } from '#model/config.ts';
import { type Port, port } from '#model/networks.ts';
import { freeRanges } from '#store/number-pool.ts';
import type { Store } from '#store/store.ts';
import { Table } from '#store/table.ts';
import { formatIp } from '#net/ip.ts';
import { networkApi, type NetworkApi } from '#testkit/network-api.ts';
import { eachStore } from '#testkit/stores.ts';
import { agentsRule } from './agents.ts';
import type { NetworkHooks } from './network-hooks.ts';
import { networksRule } from './networks.ts';
import { newObject } from './new-object.ts';
import { syncSegmentPools } from './segments.ts';
import { subnetsRule } from './subnets.ts';

const ports = new Table(port);

interface Lab extends NetworkApi {
  /** What the hook was told: `create 10.0.0.0/24`. */
  readonly announced: string[];
  readonly networkId: string;
  subnet(attributes: Record<string, unknown>): Promise<any>;
  /** Status, type and message of a refused create. */
  refused(attributes: Record<string, unknown>): Promise<string>;
  /** Puts a port with one address into the store, as the port rule would. */
  port(subnetId: string, address: string, attributes?: Partial<Port>): Promise<string>;
}

async function lab(store: Store, yaml = '', networkAttributes: Record<string, unknown> = {}): Promise<Lab> {
  const config = loadConfig(yaml);
  const announced: string[] = [];
  const hooks: NetworkHooks = {
    removePort: (tx, _context, removed) => ports.delete(tx, removed.id),
    async onSubnetChanged(_tx, _context, _network, subnet, op) {
      announced.push(`${op} ${subnet.cidr}`);
    },
  };
  await store.write((tx) => syncSegmentPools(tx, config));
  const api = networkApi(store, config, [networksRule({ config, hooks }), subnetsRule({ config, hooks }), agentsRule({ config })]);
  const networkId = (await api.ok('demo', 'POST', '/v2.0/networks', { network: { name: 'net', ...networkAttributes } })).network.id;
  const body = (attributes: Record<string, unknown>) => ({ subnet: { network_id: networkId, ip_version: 4, ...attributes } });
  return {
    ...api, announced, networkId,
    subnet: async (attributes) => (await api.ok('demo', 'POST', '/v2.0/subnets', body(attributes))).subnet,
    refused: async (attributes) => problem(await api.call('demo', 'POST', '/v2.0/subnets', body(attributes))),
    port: (subnet_id, ip_address, attributes = {}) => store.write(async (tx) => {
      const made = newObject(port, tx, {
        name: '', project_id: 'demo-project', network_id: networkId, admin_state_up: true, status: 'DOWN', device_id: '', device_owner: '', mac_address: `fa:16:3e:${crypto.randomUUID().slice(0, 2)}:00:01`,
        fixed_ips: [{ subnet_id, ip_address }], allowed_address_pairs: [], extra_dhcp_opts: [], 'binding:profile': {}, ...attributes,
      });
      await ports.insert(tx, [made]);
      await tx.db.insertInto('ip_allocations').values({ subnet_id, ip_address, network_id: networkId, port_id: made.id }).execute();
      return made.id;
    }),
  };
}

const problem = ({ status, body }: { status: number; body: any }) => `${status} ${body.NeutronError?.type}: ${body.NeutronError?.message}`;
const invalid = (reason: string) => `400 InvalidInput: Invalid input for operation: ${reason}.`;

/** The free addresses that the pool of a subnet holds: `10.0.0.2-10.0.0.254`. */
async function pool(store: Store, subnetId: string): Promise<string[]> {
  const ranges = await store.write((tx) => freeRanges(tx, `subnet:${subnetId}`));
  const ip = (value: bigint) => formatIp({ version: value < 2n ** 32n ? 4 : 6, value });
  return ranges.map(({ first, last }) => `${ip(first)}-${ip(last)}`);
}

eachStore('N-ML2-17 a subnet has gateway, pool and DHCP by default, and its network knows it', async (store) => {
  const { subnet, ok, networkId, announced, close } = await lab(store);
  const made = await subnet({ cidr: '10.0.0.7/24', name: 's' });
  const { id, created_at, updated_at, revision_number, ...rest } = made;
  assert.ok(id && created_at === updated_at && revision_number === 0);
  assert.deepEqual(rest, {
    name: 's', project_id: 'demo-project', tenant_id: 'demo-project', network_id: networkId, ip_version: 4, cidr: '10.0.0.0/24', subnetpool_id: null, gateway_ip: '10.0.0.1',
    allocation_pools: [{ start: '10.0.0.2', end: '10.0.0.254' }], dns_nameservers: [], host_routes: [], enable_dhcp: true, ipv6_ra_mode: null, ipv6_address_mode: null, service_types: [],
    segment_id: null, dns_publish_fixed_ip: false, shared: false, 'router:external': false, description: '', tags: [],
  });
  const { network } = await ok('demo', 'GET', `/v2.0/networks/${networkId}`);
  assert.deepEqual([network.subnets, network.revision_number], [[id], 1]);
  assert.deepEqual(await pool(store, id), ['10.0.0.2-10.0.0.254']);
  assert.deepEqual(announced, ['create 10.0.0.0/24']);
  await close();
});

eachStore('N-ML2-17 gateways and pools as they are asked for', async (store) => {
  const { subnet, close } = await lab(store);
  const shape = async (attributes: Record<string, unknown>) => {
    const made = await subnet({ enable_dhcp: false, ...attributes });
    return [made.gateway_ip, ...made.allocation_pools.map(({ start, end }: any) => `${start}-${end}`)];
  };
  assert.deepEqual(await shape({ cidr: '10.1.0.0/24', gateway_ip: null }), [null, '10.1.0.1-10.1.0.254']);
  assert.deepEqual(await shape({ cidr: '10.2.0.0/24', gateway_ip: '10.2.0.100' }), ['10.2.0.100', '10.2.0.1-10.2.0.99', '10.2.0.101-10.2.0.254']);
  assert.deepEqual(await shape({ cidr: '10.3.0.0/24', gateway_ip: '192.0.2.1' }), ['192.0.2.1', '10.3.0.1-10.3.0.254']);
  assert.deepEqual(await shape({ cidr: '10.4.0.0/24', allocation_pools: [{ start: '10.4.0.50', end: '10.4.0.60' }, { start: '10.4.0.10', end: '10.4.0.20' }] }), ['10.4.0.1', '10.4.0.50-10.4.0.60', '10.4.0.10-10.4.0.20']);
  assert.deepEqual(await shape({ cidr: '10.5.0.0/31' }), ['10.5.0.1', '10.5.0.0-10.5.0.0']);
  assert.deepEqual(await shape({ cidr: '10.6.0.0/32', gateway_ip: null }), [null, '10.6.0.0-10.6.0.0']);
  assert.deepEqual(await shape({ cidr: '2001:db8::/64', ip_version: 6 }), ['2001:db8::1', '2001:db8::2-2001:db8::ffff:ffff:ffff:ffff']);
  assert.deepEqual(await shape({ cidr: '2001:db8:1::/64', ip_version: 6, gateway_ip: 'fe80::1' }), ['fe80::1', '2001:db8:1::1-2001:db8:1:0:ffff:ffff:ffff:ffff']);
  await close();
});

eachStore('N-ML2-17 bad subnets are refused and leave nothing', async (store) => {
  const { subnet, refused, networkId, close } = await lab(store, 'max_dns_nameservers: 2\nmax_subnet_host_routes: 1');
  await subnet({ cidr: '10.0.0.0/24' });
  const head = await store.feed.head();
  const cases: [Record<string, unknown>, string][] = [
    [{ cidr: '10.0.0/24' }, "400 HTTPBadRequest: Invalid input for cidr. Reason: '10.0.0/24' is not a valid IP subnet."],
    [{ cidr: '10.0.0.0/33' }, "400 HTTPBadRequest: Invalid input for cidr. Reason: '10.0.0.0/33' is not a valid IP subnet."],
    [{ cidr: '10.0.0.0' }, "400 HTTPBadRequest: Invalid input for cidr. Reason: '10.0.0.0' is not a valid IP subnet."],
    [{ cidr: null }, '400 HTTPBadRequest: Invalid input for cidr. Reason: null is not a valid IP subnet.'],
    [{ cidr: '10.9.0.0/24', ip_version: 5 }, "400 HTTPBadRequest: Invalid input for ip_version. Reason: '5' is not in [4, 6]."],
    [{ cidr: '10.9.0.0/24', ip_version: 6 }, invalid("cidr '10.9.0.0/24' does not match the ip_version '6'")],
    [{ cidr: '0.0.0.0/0' }, invalid('0 is not allowed as CIDR prefix length')],
    [{ cidr: '::/64', ip_version: 6 }, invalid("IPv6 subnet '::' is not supported")],
    [{ cidr: '0.0.0.0/8' }, invalid("First IP '0.0.0.0' of network is not supported if enable_dhcp is True.")],
    [{ cidr: '10.9.0.0/31' }, invalid('Subnet has a prefix length that is incompatible with DHCP service enabled')],
    [{ cidr: '224.0.0.0/24' }, invalid('Multicast IP subnet is not supported if enable_dhcp is True')],
    [{ cidr: '127.0.0.0/24' }, invalid('Loopback IP subnet is not supported if enable_dhcp is True')],
    [{ cidr: '10.0.0.128/25' }, invalid(`Requested subnet with cidr: 10.0.0.128/25 for network: ${networkId} overlaps with another subnet`)],
    [{ cidr: '10.9.0.0/24', gateway_ip: '10.9.0.0' }, invalid('Gateway is not valid on subnet')],
    [{ cidr: '10.9.0.0/24', gateway_ip: '10.9.0.255' }, invalid('Gateway is not valid on subnet')],
    [{ cidr: '10.9.0.0/24', gateway_ip: '2001:db8::1' }, invalid("gateway_ip '2001:db8::1' does not match the ip_version '4'")],
    [{ cidr: '10.9.0.0/24', gateway_ip: 'first' }, "400 HTTPBadRequest: Invalid input for gateway_ip. Reason: 'first' is not a valid IP address."],
    [{ cidr: '10.9.0.0/24', allocation_pools: [{ start: '10.9.1.2', end: '10.9.1.9' }] }, '400 OutOfBoundsAllocationPool: The allocation pool 10.9.1.2-10.9.1.9 spans beyond the subnet cidr 10.9.0.0/24.'],
    [{ cidr: '10.9.0.0/24', allocation_pools: [{ start: '10.9.0.200', end: '10.9.0.255' }] }, '400 OutOfBoundsAllocationPool: The allocation pool 10.9.0.200-10.9.0.255 spans beyond the subnet cidr 10.9.0.0/24.'],
    [{ cidr: '10.9.0.0/24', allocation_pools: [{ start: '10.9.0.9', end: '10.9.0.2' }] }, '400 InvalidAllocationPool: The allocation pool 10.9.0.9-10.9.0.2 is not valid.'],
    [{ cidr: '10.9.0.0/24', allocation_pools: [{ start: '10.9.0.2', end: '10.9.0.9' }, { start: '10.9.0.9', end: '10.9.0.12' }] }, '409 OverlappingAllocationPools: Found overlapping allocation pools: 10.9.0.2-10.9.0.9 10.9.0.9-10.9.0.12 for subnet 10.9.0.0/24.'],
    [{ cidr: '10.9.0.0/24', allocation_pools: [{ start: '10.9.0.1', end: '10.9.0.9' }] }, '409 GatewayConflictWithAllocationPools: Gateway ip 10.9.0.1 conflicts with allocation pool 10.9.0.1-10.9.0.9.'],
    [{ cidr: '10.9.0.0/24', allocation_pools: [{ start: '10.9.0.2' }] }, "400 HTTPBadRequest: Invalid input for allocation_pools. Reason: Expected keys: ['start', 'end'], given: ['start']."],
    [{ cidr: '10.9.0.0/24', dns_nameservers: ['1.1.1.1', '1.1.1.2', '1.1.1.3'] }, '400 DNSNameServersExhausted: Unable to complete operation for new subnet. The number of DNS nameservers exceeds the limit 2.'],
    [{ cidr: '10.9.0.0/24', dns_nameservers: ['1.1.1.1\nserver=6.6.6.6'] }, "400 HTTPBadRequest: Invalid input for dns_nameservers. Reason: '1.1.1.1\nserver=6.6.6.6' is not a valid IP address."],
    [{ cidr: '10.9.0.0/24', dns_nameservers: 'x' }, "400 HTTPBadRequest: Invalid input for dns_nameservers. Reason: 'x' is not a list."],
    [{ cidr: '10.9.0.0/24', dns_nameservers: ['2001:db8::1'] }, invalid("dns_nameserver '2001:db8::1' does not match the ip_version '4'")],
    [{ cidr: '10.9.0.0/24', host_routes: [{ destination: '10.0.0.0/8', nexthop: '10.9.0.2' }, { destination: '11.0.0.0/8', nexthop: '10.9.0.2' }] }, '400 HostRoutesExhausted: Unable to complete operation for new subnet. The number of host routes exceeds the limit 1.'],
    [{ cidr: '10.9.0.0/24', host_routes: [{ destination: '10.0.0.0/8', nexthop: 'fe80::1' }] }, invalid("nexthop 'fe80::1' does not match the ip_version '4'")],
    [{ cidr: '10.9.0.0/24', ipv6_ra_mode: 'slaac' }, invalid('ipv6_ra_mode is not valid when ip_version is 4')],
    [{ cidr: 'fd00::/64', ip_version: 6, ipv6_ra_mode: 'slaac', ipv6_address_mode: 'dhcpv6-stateful' }, invalid("ipv6_ra_mode set to 'slaac' with ipv6_address_mode set to 'dhcpv6-stateful' is not valid. If both attributes are set, they must be the same value")],
    [{ cidr: 'fd00::/60', ip_version: 6, ipv6_ra_mode: 'slaac', ipv6_address_mode: 'slaac' }, invalid('Invalid CIDR fd00::/60 for IPv6 address mode. OpenStack uses the EUI-64 address format, which requires the prefix to be /64')],
    [{ cidr: 'fd00::/64', ip_version: 6, ipv6_ra_mode: 'slaac', enable_dhcp: false }, invalid('ipv6_ra_mode or ipv6_address_mode cannot be set when enable_dhcp is set to False')],
    [{}, '400 BadRequest: Bad subnets request: A cidr must be specified in the absence of a subnet pool.'],
    [{ prefixlen: 24, cidr: '10.9.0.0/24' }, '400 BadRequest: Bad subnets request: cidr and prefixlen must not be supplied together.'],
  ];
  for (const [attributes, expected] of cases) assert.equal(await refused(attributes), expected);
  assert.deepEqual(await store.feed.head(), head);
  await close();
});

eachStore('N-ML2-2 overlapping CIDRs live on different networks', async (store) => {
  const { subnet, ok, close } = await lab(store);
  await subnet({ cidr: '10.0.0.0/24' });
  const other = (await ok('demo', 'POST', '/v2.0/networks', { network: {} })).network.id;
  assert.equal((await ok('demo', 'POST', '/v2.0/subnets', { subnet: { network_id: other, ip_version: 4, cidr: '10.0.0.0/16' } })).subnet.cidr, '10.0.0.0/16');
  await close();
});

eachStore('two subnets made at once on one network never overlap', async (store) => {
  const { call, networkId, close } = await lab(store);
  const answers = await Promise.all(Array.from({ length: 6 }, () => call('demo', 'POST', '/v2.0/subnets', { subnet: { network_id: networkId, ip_version: 4, cidr: '10.0.0.0/24' } })));
  assert.deepEqual(answers.map(({ status }) => status).sort(), [201, 400, 400, 400, 400, 400]);
  await close();
});

eachStore('an update moves gateway, pools, DNS and routes; what is allocated stays allocated', async (store) => {
  const { subnet, call, ok, port: attach, announced, close } = await lab(store);
  const made = await subnet({ cidr: '10.0.0.0/24' });
  await attach(made.id, '10.0.0.12');
  const put = (attributes: Record<string, unknown>) => call('demo', 'PUT', `/v2.0/subnets/${made.id}`, { subnet: attributes });
  assert.equal((await put({ allocation_pools: [{ start: '10.0.0.10', end: '10.0.0.20' }] })).status, 200);
  assert.deepEqual(await pool(store, made.id), ['10.0.0.10-10.0.0.11', '10.0.0.13-10.0.0.20']);
  assert.equal(problem(await put({ gateway_ip: '10.0.0.15' })), '409 GatewayConflictWithAllocationPools: Gateway ip 10.0.0.15 conflicts with allocation pool 10.0.0.10-10.0.0.20.');
  assert.equal(problem(await put({ allocation_pools: [{ start: '10.0.9.1', end: '10.0.9.2' }] })), '400 OutOfBoundsAllocationPool: The allocation pool 10.0.9.1-10.0.9.2 spans beyond the subnet cidr 10.0.0.0/24.');
  assert.equal((await put({ cidr: '10.0.0.0/25' })).body.NeutronError.message, 'Cannot update read-only attribute cidr');
  const changed = (await put({ gateway_ip: null, dns_nameservers: ['9.9.9.9'], host_routes: [{ destination: '0.0.0.0/0', nexthop: '10.0.0.5' }], enable_dhcp: false, name: 'x' })).body.subnet;
  assert.deepEqual([changed.gateway_ip, changed.dns_nameservers, changed.enable_dhcp, changed.name, changed.host_routes], [null, ['9.9.9.9'], false, 'x', [{ destination: '0.0.0.0/0', nexthop: '10.0.0.5' }]]);
  assert.deepEqual(announced, ['create 10.0.0.0/24', 'update 10.0.0.0/24', 'update 10.0.0.0/24']);
  assert.deepEqual((await ok('demo', 'GET', `/v2.0/subnets/${made.id}`)).subnet, changed);
  await close();
});

eachStore('null is no name server and no route, as in Neutron', async (store) => {
  const { subnet, ok, close } = await lab(store);
  const none = { dns_nameservers: null, host_routes: null };
  const lists = ({ dns_nameservers, host_routes }: any) => [dns_nameservers, host_routes];
  assert.deepEqual(lists(await subnet({ cidr: '10.0.0.0/24', ...none })), [[], []]);
  const made = await subnet({ cidr: '10.0.1.0/24', dns_nameservers: ['9.9.9.9'], host_routes: [{ destination: '0.0.0.0/0', nexthop: '10.0.1.5' }] });
  assert.deepEqual(lists((await ok('demo', 'PUT', `/v2.0/subnets/${made.id}`, { subnet: none })).subnet), [[], []]);
  assert.deepEqual(lists((await ok('demo', 'GET', `/v2.0/subnets/${made.id}`)).subnet), [[], []]);
  await close();
});

eachStore('a gateway that a router port holds stays', async (store) => {
  const { subnet, call, port: attach, close } = await lab(store);
  const made = await subnet({ cidr: '10.0.0.0/24' });
  const holder = await attach(made.id, '10.0.0.1', { device_owner: 'network:router_interface' });
  assert.equal(problem(await call('demo', 'PUT', `/v2.0/subnets/${made.id}`, { subnet: { gateway_ip: '10.0.0.254' } })), `409 GatewayIpInUse: Current gateway ip 10.0.0.1 already in use by port ${holder}. Unable to update.`);
  await close();
});

eachStore('a subnet in use stays; addresses of DHCP ports go with it', async (store) => {
  const { subnet, call, port: attach, announced, close } = await lab(store);
  const [made, other] = [await subnet({ cidr: '10.0.0.0/24' }), await subnet({ cidr: '10.0.1.0/24' })];
  const user = await attach(made.id, '10.0.0.9');
  const dhcp = await attach(made.id, '10.0.0.2', { device_owner: 'network:dhcp', fixed_ips: [{ subnet_id: made.id, ip_address: '10.0.0.2' }, { subnet_id: other.id, ip_address: '10.0.1.2' }] });
  assert.equal(problem(await call('demo', 'DELETE', `/v2.0/subnets/${made.id}`)), `409 SubnetInUse: Unable to complete operation on subnet ${made.id}: One or more ports have an IP allocation from this subnet.`);
  await store.write(async (tx) => {
    await tx.db.deleteFrom('ip_allocations').where('port_id', '=', user).execute();
    await ports.delete(tx, user);
  });
  assert.equal((await call('demo', 'DELETE', `/v2.0/subnets/${made.id}`)).status, 204);
  assert.deepEqual((await ports.get(store.reader, dhcp))?.fixed_ips, [{ subnet_id: other.id, ip_address: '10.0.1.2' }]);
  assert.deepEqual(await pool(store, made.id), []);
  assert.equal(announced.at(-1), 'delete 10.0.0.0/24');
  await close();
});

eachStore('subnets of others: seen on shared networks, made by the network\'s owner only', async (store) => {
  const { ok, call, subnet, close } = await lab(store);
  const own = await subnet({ cidr: '10.0.0.0/24' });
  const [shared, external] = [await ok('admin', 'POST', '/v2.0/networks', { network: { shared: true } }), await ok('admin', 'POST', '/v2.0/networks', { network: { 'router:external': true } })].map(({ network }) => network.id);
  const [onShared, onExternal] = [await ok('admin', 'POST', '/v2.0/subnets', { subnet: { network_id: shared, ip_version: 4, cidr: '10.5.0.0/24' } }), await ok('admin', 'POST', '/v2.0/subnets', { subnet: { network_id: external, ip_version: 4, cidr: '10.6.0.0/24' } })].map((answer) => answer.subnet.id);
  const list = async (who: string, query = '') => (await ok(who, 'GET', `/v2.0/subnets?${query}`)).subnets.map(({ id }: any) => id).sort();
  assert.deepEqual(await list('demo'), [own.id, onShared].sort());
  assert.deepEqual(await list('alt'), [onShared]);
  assert.deepEqual(await list('admin', 'shared=true'), [onShared]);
  assert.deepEqual(await list('admin', 'router:external=True'), [onExternal]);
  assert.equal((await ok('demo', 'GET', `/v2.0/subnets/${onShared}`)).subnet.shared, true);
  assert.equal((await call('demo', 'POST', '/v2.0/subnets', { subnet: { network_id: shared, ip_version: 4, cidr: '10.7.0.0/24' } })).status, 403);
  assert.equal(problem(await call('alt', 'POST', '/v2.0/subnets', { subnet: { network_id: own.network_id, ip_version: 4, cidr: '10.7.0.0/24' } })), `404 NetworkNotFound: Network ${own.network_id} could not be found.`);
  assert.equal((await call('demo', 'DELETE', `/v2.0/subnets/${onShared}`)).status, 403);
  assert.equal((await call('alt', 'DELETE', `/v2.0/subnets/${own.id}`)).status, 404);
  await close();
});

eachStore('N-MTU-1 IPv6 needs an MTU of 1280', async (store) => {
  const { subnet, refused, call, networkId, close } = await lab(store, '', { mtu: 1000 });
  await subnet({ cidr: '10.0.0.0/24' });
  assert.ok((await refused({ cidr: 'fd00::/64', ip_version: 6 })).startsWith('409 NetworkMTUSubnetConflict'));
  await call('demo', 'PUT', `/v2.0/networks/${networkId}`, { network: { mtu: 1280 } });
  await subnet({ cidr: 'fd00::/64', ip_version: 6 });
  assert.equal((await call('demo', 'PUT', `/v2.0/networks/${networkId}`, { network: { mtu: 1279 } })).body.NeutronError.type, 'NetworkMTUSubnetConflict');
  await close();
});
