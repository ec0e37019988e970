import assert from 'node:assert/strict';
import { subnetPoolLab } from '#testkit/subnet-pool-lab.ts';
import { eachStore } from '#testkit/stores.ts';

eachStore('a subnet takes the lowest free prefix of its pool, and gives it back when it goes', async (store) => {
  const { pool, network, subnet, call, close } = await subnetPoolLab(store);
  const { id } = await pool('demo', { prefixes: ['10.0.0.0/22', '10.9.0.0/25'], min_prefixlen: 24, default_prefixlen: 24, max_prefixlen: 26 });
  const network_id = await network('demo');
  const take = (attributes: Record<string, unknown> = {}) => subnet('demo', { network_id, subnetpool_id: id, ...attributes });
  const first = await take();
  assert.deepEqual([first.cidr, first.gateway_ip, first.allocation_pools, first.subnetpool_id, 'prefixlen' in first, 'use_default_subnetpool' in first],
    ['10.0.0.0/24', '10.0.0.1', [{ start: '10.0.0.2', end: '10.0.0.254' }], id, false, false]);
  assert.equal((await take()).cidr, '10.0.1.0/24');
  assert.equal((await take({ prefixlen: 26 })).cidr, '10.9.0.0/26', 'a small prefix goes where no large one fits');
  assert.deepEqual((({ cidr, gateway_ip }) => [cidr, gateway_ip])(await take({ cidr: '10.0.3.9/24', gateway_ip: null })), ['10.0.3.0/24', null]);
  assert.deepEqual((({ cidr, gateway_ip }) => [cidr, gateway_ip])(await take({ gateway_ip: '10.9.0.126', prefixlen: '26' })), ['10.9.0.64/26', '10.9.0.126'], 'the gateway says where');
  assert.equal((await call('demo', 'DELETE', `/v2.0/subnets/${first.id}`)).status, 204);
  assert.equal((await take()).cidr, '10.0.0.0/24');
  await close();
});

eachStore('what a pool does not give is refused and leaves nothing', async (store) => {
  const { pool, network, subnet, refused, close } = await subnetPoolLab(store);
  const { id } = await pool('demo', { prefixes: ['10.0.0.0/23'], min_prefixlen: 24, default_prefixlen: 24, max_prefixlen: 28 });
  const six = await pool('demo', { prefixes: ['fd00::/48'], min_prefixlen: 56, default_prefixlen: 56 });
  const hidden = await pool('alt', { prefixes: ['10.0.0.0/8'] });
  const network_id = await network('demo');
  await subnet('demo', { network_id, subnetpool_id: id, cidr: '10.0.0.0/24' });
  const head = await store.feed.head();
  const bad = (reason: string) => `400 BadRequest: Bad subnets request: ${reason}.`;
  const unavailable = `409 SubnetAllocationError: Failed to allocate a subnet from subnet pool ${id}: the requested subnet is not in the available set of prefixes.`;
  const cases: [Record<string, unknown>, string][] = [
    [{ prefixlen: 29 }, '400 MaxPrefixSubnetAllocationError: Unable to allocate subnet with prefix length 29, maximum allowed prefix is 28.'],
    [{ prefixlen: 300 }, '400 MaxPrefixSubnetAllocationError: Unable to allocate subnet with prefix length 300, maximum allowed prefix is 28.'],
    [{ prefixlen: 23 }, '400 MinPrefixSubnetAllocationError: Unable to allocate subnet with prefix length 23, minimum allowed prefix is 24.'],
    [{ cidr: '10.0.1.0/30' }, '400 MaxPrefixSubnetAllocationError: Unable to allocate subnet with prefix length 30, maximum allowed prefix is 28.'],
    [{ cidr: '10.0.0.0/26' }, unavailable],
    [{ cidr: '10.0.2.0/24' }, unavailable],
    [{ gateway_ip: '192.168.0.1' }, unavailable],
    [{ gateway_ip: 'fd00::1' }, "400 InvalidInput: Invalid input for operation: gateway_ip 'fd00::1' does not match the ip_version '4'."],
    [{ cidr: 'fd00::/56', ip_version: 6 }, bad('Cannot allocate IPv6 subnet from IPv4 subnet pool')],
    [{ ip_version: 6 }, bad('Cannot allocate IPv6 subnet from IPv4 subnet pool')],
    [{ allocation_pools: [{ start: '10.0.1.2', end: '10.0.1.9' }] }, bad('allocation_pools allowed only for specific subnet requests')],
    [{ cidr: '10.0.1.0/24', prefixlen: 24 }, bad('cidr and prefixlen must not be supplied together')],
    [{ use_default_subnetpool: true }, bad('subnetpool_id and use_default_subnetpool cannot both be specified')],
    [{ subnetpool_id: null, use_default_subnetpool: true }, bad('No default subnetpool found for IPv4')],
    [{ subnetpool_id: null, prefixlen: 24 }, bad('A cidr must be specified in the absence of a subnet pool')],
    [{ subnetpool_id: 'prefix_delegation', ip_version: 6 }, bad('there is no prefix delegation here, give a cidr or a subnet pool')],
    [{ subnetpool_id: 'mine' }, "400 HTTPBadRequest: Invalid input for subnetpool_id. Reason: 'mine' is not a valid UUID."],
    [{ subnetpool_id: hidden.id }, `404 SubnetPoolNotFound: Subnet pool ${hidden.id} could not be found.`],
    [{ subnetpool_id: six.id, ip_version: 6, ipv6_ra_mode: 'slaac', ipv6_address_mode: 'slaac' }, '400 InvalidInput: Invalid input for operation: Invalid CIDR fd00::/56 for IPv6 address mode. OpenStack uses the EUI-64 address format, which requires the prefix to be /64.'],
    [{ subnetpool_id: null, cidr: '10.7.0.0/24' }, `400 NetworkSubnetPoolAffinityError: All subnets of one address family on network ${network_id} must be allocated from the same subnet pool.`],
  ];
  for (const [attributes, expected] of cases) assert.equal(await refused('demo', 'POST', '/v2.0/subnets', { subnet: { network_id, ip_version: 4, subnetpool_id: id, ...attributes } }), expected, JSON.stringify(attributes));
  assert.equal(await refused('demo', 'POST', '/v2.0/subnets', { subnets: Array.from({ length: 2 }, () => ({ network_id, ip_version: 4, subnetpool_id: id })) }),
    `409 SubnetAllocationError: Failed to allocate a subnet from subnet pool ${id}: insufficient prefix space to allocate subnet size /24.`);
  assert.deepEqual(await store.feed.head(), head);
  await close();
});

eachStore('two requests at once never get the same prefix', async (store) => {
  const { pool, network, call, close } = await subnetPoolLab(store);
  const { id } = await pool('admin', { prefixes: ['10.0.0.0/21'], default_prefixlen: 24, shared: true });
  const networks = [await network('demo'), await network('demo'), await network('alt'), await network('alt')];
  const answers = await Promise.all(Array.from({ length: 12 }, (_, i) => call(i % 4 < 2 ? 'demo' : 'alt', 'POST', '/v2.0/subnets', { subnet: { network_id: networks[i % 4], ip_version: 4, subnetpool_id: id } })));
  assert.deepEqual(answers.map(({ status }) => status).sort(), [...Array(8).fill(201), ...Array(4).fill(409)]);
  assert.deepEqual(answers.flatMap(({ body }) => body.subnet?.cidr ?? []).sort(), Array.from({ length: 8 }, (_, i) => `10.0.${i}.0/24`));
  await close();
});

eachStore('all subnets of a network and version are of one pool, or of none', async (store) => {
  const { pool, network, subnet, refused, close } = await subnetPoolLab(store);
  const [a, b, six] = [await pool('demo', { prefixes: ['10.0.0.0/16'], default_prefixlen: 24 }), await pool('demo', { prefixes: ['10.1.0.0/16'], default_prefixlen: 24 }), await pool('demo', { prefixes: ['fd00::/48'] })];
  const [pooled, plain] = [await network('demo'), await network('demo')];
  const torn = (id: string) => `400 NetworkSubnetPoolAffinityError: All subnets of one address family on network ${id} must be allocated from the same subnet pool.`;
  await subnet('demo', { network_id: pooled, subnetpool_id: a.id });
  assert.equal(await refused('demo', 'POST', '/v2.0/subnets', { subnet: { network_id: pooled, ip_version: 4, subnetpool_id: b.id } }), torn(pooled));
  assert.equal((await subnet('demo', { network_id: pooled, subnetpool_id: six.id, ip_version: 6 })).cidr, 'fd00::/64');
  await subnet('demo', { network_id: plain, cidr: '10.0.0.0/24' });
  assert.equal(await refused('demo', 'POST', '/v2.0/subnets', { subnet: { network_id: plain, ip_version: 4, subnetpool_id: a.id } }), torn(plain));
  await close();
});

eachStore('the default pool of a version, if one sees it', async (store) => {
  const { pool, network, subnet, ok, refused, close } = await subnetPoolLab(store);
  const [four, six] = [await pool('admin', { prefixes: ['10.0.0.0/8'], default_prefixlen: 26, is_default: true }), await pool('admin', { prefixes: ['fd00::/48'], is_default: true, shared: true })];
  const network_id = await network('demo');
  assert.equal(await refused('demo', 'POST', '/v2.0/subnets', { subnet: { network_id, ip_version: 4, use_default_subnetpool: true } }), '400 BadRequest: Bad subnets request: No default subnetpool found for IPv4.');
  assert.deepEqual((({ cidr, subnetpool_id }) => [cidr, subnetpool_id])(await subnet('demo', { network_id, ip_version: 6, use_default_subnetpool: true })), ['fd00::/64', six.id]);
  await ok('admin', 'PUT', `/v2.0/subnetpools/${four.id}`, { subnetpool: { is_default: false } });
  const shared = await pool('admin', { prefixes: ['10.64.0.0/16'], default_prefixlen: 26, is_default: true, shared: true });
  assert.deepEqual((({ cidr, subnetpool_id }) => [cidr, subnetpool_id])(await subnet('demo', { network_id, use_default_subnetpool: 'true', prefixlen: 24 })), ['10.64.0.0/24', shared.id]);
  assert.equal((await subnet('demo', { network_id, use_default_subnetpool: true, cidr: '10.64.7.0/24' })).subnetpool_id, shared.id);
  await close();
});

eachStore('the quota of a pool bounds what each project takes of it', async (store) => {
  const { pool, network, subnet, refused, ok, close } = await subnetPoolLab(store);
  const { id } = await pool('admin', { prefixes: ['10.0.0.0/8'], default_prefixlen: 25, shared: true, default_quota: 300 });
  const [mine, theirs] = [await network('demo'), await network('alt')];
  await subnet('demo', { network_id: mine, subnetpool_id: id, prefixlen: 24 });
  const beyond = `409 SubnetPoolQuotaExceeded: Per-project subnet pool prefix quota exceeded: 256 of 300 units of subnet pool ${id} are used and 128 are asked for.`;
  assert.equal(await refused('demo', 'POST', '/v2.0/subnets', { subnet: { network_id: mine, ip_version: 4, subnetpool_id: id } }), beyond);
  await subnet('alt', { network_id: theirs, subnetpool_id: id, prefixlen: 24 });
  await subnet('demo', { network_id: mine, subnetpool_id: id, prefixlen: 27 });
  await ok('admin', 'PUT', `/v2.0/subnetpools/${id}`, { subnetpool: { default_quota: 0 } });
  await subnet('demo', { network_id: mine, subnetpool_id: id });
  const six = await pool('demo', { prefixes: ['fd00::/48'], default_quota: 2 });
  await subnet('demo', { network_id: mine, subnetpool_id: six.id, ip_version: 6, prefixlen: 65 });
  await subnet('demo', { network_id: mine, subnetpool_id: six.id, ip_version: 6 });
  assert.match(await refused('demo', 'POST', '/v2.0/subnets', { subnet: { network_id: mine, ip_version: 6, subnetpool_id: six.id } }), /SubnetPoolQuotaExceeded.*1\.5 of 2 units .* and 1 are asked for/);
  await close();
});
