import assert from 'node:assert/strict';
import fc from 'fast-check';
import { ApiError, type ErrorType } from '#model/errors.ts';
import type { FixedIp, Network, Subnet } from '#model/networks.ts';
import { formatIp, parseIp } from '#net/ip.ts';
import { freeRanges } from '#store/number-pool.ts';
import { openStore } from '#store/open.ts';
import type { Store, Tx } from '#store/store.ts';
import { insertNetwork, insertSubnet } from '#testkit/network-rows.ts';
import { eachStore } from '#testkit/stores.ts';
import { dump } from '#testkit/table-dump.ts';
import { type AddressWish, allocateAddresses, changeAddresses, lockNetwork, releaseAddresses, resetSubnetPool, subnetPool } from './ipam.ts';

const MAC = 'fa:16:3e:01:02:03';
let serial = 0;

interface Place {
  readonly network: Network;
  readonly subnets: Subnet[];
}

const place = (store: Store, cidrs: readonly (string | [string, Partial<Subnet>])[]): Promise<Place> => store.write(async (tx) => {
  const network = await insertNetwork(tx);
  const subnets: Subnet[] = [];
  for (const one of cidrs) subnets.push(typeof one === 'string' ? await insertSubnet(tx, network, one) : await insertSubnet(tx, network, ...one));
  return { network, subnets };
});

async function allocate(tx: Tx, { network, subnets }: Place, wish: Partial<AddressWish> = {}): Promise<FixedIp[]> {
  const port_id = wish.port_id ?? `port-${++serial}`;
  await lockNetwork(tx, network.id);
  return (await allocateAddresses(tx, network.id, subnets, [{ mac_address: MAC, device_owner: '', ...wish, port_id }])).get(port_id)!;
}

const ips = (found: readonly FixedIp[]): string[] => found.map((ip) => ip.ip_address);
const refusal = (type: ErrorType) => (error: unknown) => error instanceof ApiError && error.type === type;
const allRows = (store: Store) => dump(store.reader, ['ip_allocations', 'free_ranges', 'changes']);

eachStore('N-DH-3, N-ML2-17: the lowest free address of the pool comes first, and a freed one again', async (store) => {
  const home = await place(store, ['10.0.0.0/29']);
  const found = await store.write(async (tx) => {
    const first = await allocate(tx, home);
    const second = await allocate(tx, home);
    await releaseAddresses(tx, home.subnets, first);
    return [...ips(first), ...ips(second), ...ips(await allocate(tx, home)), ...ips(await allocate(tx, home))];
  });
  assert.deepEqual(found, ['10.0.0.2', '10.0.0.3', '10.0.0.2', '10.0.0.4']);
});

eachStore('N-ML2-16: an address may be picked by subnet, by address or both, also outside the pool', async (store) => {
  const home = await place(store, ['10.0.0.0/24', ['10.1.0.0/24', { allocation_pools: [{ start: '10.1.0.100', end: '10.1.0.110' }] }]]);
  const [, second] = home.subnets;
  const found = await store.write(async (tx) => ips([
    ...await allocate(tx, home, { fixed_ips: [{ subnet_id: second!.id }, { ip_address: '10.1.0.101' }] }),
    ...await allocate(tx, home, { fixed_ips: [{ subnet_id: second!.id, ip_address: '10.1.0.5' }] }),
    ...await allocate(tx, home, { fixed_ips: [{ subnet_id: second!.id }] }),
    ...await allocate(tx, home, { fixed_ips: [] }),
  ]));
  assert.deepEqual(found, ['10.1.0.100', '10.1.0.101', '10.1.0.5', '10.1.0.102']);
});

eachStore('addresses that cannot be had are refused with the error of Neutron, and the store is unchanged', async (store) => {
  const home = await place(store, ['10.0.0.0/24', ['2001:db8::/64', { ipv6_address_mode: 'slaac', ipv6_ra_mode: 'slaac' }]]);
  const other = await place(store, ['10.9.0.0/24']);
  const [v4, slaac] = home.subnets;
  await store.write((tx) => allocate(tx, home, { fixed_ips: [{ ip_address: '10.0.0.7' }] }));
  const before = await allRows(store);
  const cases: [ErrorType, Partial<FixedIp>[]][] = [
    ['InvalidIpForNetwork', [{ ip_address: '10.0.1.7' }]],
    ['InvalidIpForNetwork', [{ ip_address: '10.0.0.0' }]],
    ['InvalidIpForNetwork', [{ ip_address: '10.0.0.255' }]],
    ['InvalidIpForSubnet', [{ subnet_id: v4!.id, ip_address: '10.9.0.7' }]],
    ['IpAddressAlreadyAllocated', [{ ip_address: '10.0.0.7' }]],
    ['InvalidInput', [{ subnet_id: other.subnets[0]!.id }]],
    ['SubnetNotFound', [{ subnet_id: crypto.randomUUID() }]],
    ['InvalidInput', [{}]],
    ['AllocationOnAutoAddressSubnet', [{ subnet_id: slaac!.id, ip_address: '2001:db8::7' }]],
  ];
  for (const [type, fixed_ips] of cases) await assert.rejects(store.write((tx) => allocate(tx, home, { fixed_ips })), refusal(type), type);
  await assert.rejects(store.write((tx) => allocate(tx, { ...home, subnets: [] }, { fixed_ips: [{ ip_address: '10.0.0.9' }] })), refusal('InvalidInput'));
  assert.deepEqual(await allRows(store), before);
});

eachStore('a full subnet hands over to the next one; with all full nothing is taken', async (store) => {
  const home = await place(store, ['10.0.0.0/29', '10.0.1.0/29']);
  const wishes = (count: number) => Array.from({ length: count }, (_, i) => ({ port_id: `w${i}`, mac_address: MAC, device_owner: '' }));
  const found = await store.write(async (tx) => [...(await allocateAddresses(tx, home.network.id, home.subnets, wishes(7))).values()].flatMap(ips));
  const [one, two] = [found.slice(0, 5), found.slice(5)];
  const prefixOf = (ip: string) => ip.split('.').slice(0, 3).join('.');
  assert.equal(new Set(one.map(prefixOf)).size, 1);
  assert.equal(new Set(two.map(prefixOf)).size, 1);
  assert.deepEqual(found.map((ip) => Number(ip.split('.')[3])), [2, 3, 4, 5, 6, 2, 3]);
  const before = await allRows(store);
  await assert.rejects(store.write((tx) => allocateAddresses(tx, home.network.id, home.subnets, wishes(4))), refusal('IpAddressGenerationFailure'));
  assert.deepEqual(await allRows(store), before);
});

eachStore('a port has one IPv4, one stateful IPv6 and an EUI-64 address of each SLAAC subnet; a new MAC makes new ones', async (store) => {
  const home = await place(store, ['10.0.0.0/24', ['2001:db8:1::/64', { ipv6_address_mode: 'dhcpv6-stateful' }], ['2001:db8:2::/64', { ipv6_address_mode: 'slaac' }], ['2001:db8:3::/64', { ipv6_ra_mode: 'dhcpv6-stateless' }]]);
  const [made, changed, emptied] = await store.write(async (tx) => {
    const held = await allocate(tx, home, { port_id: 'p' });
    const moved = await changeAddresses(tx, home.network.id, home.subnets, held, { port_id: 'p', mac_address: 'fa:16:3e:ff:ff:ff', device_owner: '', fixed_ips: held });
    const none = await changeAddresses(tx, home.network.id, home.subnets, moved, { port_id: 'p', mac_address: 'fa:16:3e:ff:ff:ff', device_owner: '', fixed_ips: [] });
    return [ips(held), ips(moved), ips(none)] as const;
  });
  assert.deepEqual([...made].sort(), ['10.0.0.2', '2001:db8:1::2', '2001:db8:2:0:f816:3eff:fe01:203', '2001:db8:3:0:f816:3eff:fe01:203'].sort());
  assert.deepEqual([...changed].sort(), ['10.0.0.2', '2001:db8:1::2', '2001:db8:2:0:f816:3eff:feff:ffff', '2001:db8:3:0:f816:3eff:feff:ffff'].sort());
  assert.deepEqual(emptied, []);
  assert.deepEqual(await store.reader.db.selectFrom('ip_allocations').selectAll().execute(), []);
});

eachStore('changing addresses keeps those that stay and returns the others', async (store) => {
  const home = await place(store, ['10.0.0.0/24']);
  const subnet_id = home.subnets[0]!.id;
  const steps = await store.write(async (tx) => {
    const change = async (held: FixedIp[], fixed_ips: Partial<FixedIp>[]) => changeAddresses(tx, home.network.id, home.subnets, held, { port_id: 'p', mac_address: MAC, device_owner: '', fixed_ips });
    const first = await allocate(tx, home, { port_id: 'p' });
    const two = await change(first, [{ subnet_id }, { subnet_id }]);
    const named = await change(two, [{ ip_address: '10.0.0.3' }, { subnet_id, ip_address: '10.0.0.77' }]);
    return [first, two, named].map(ips).concat([ips(await allocate(tx, home))]);
  });
  assert.deepEqual(steps, [['10.0.0.2'], ['10.0.0.2', '10.0.0.3'], ['10.0.0.3', '10.0.0.77'], ['10.0.0.2']]);
});

eachStore('no sequence of allocations gives an address twice; free is always the pool without what is allocated', async (store) => {
  await fc.assert(fc.asyncProperty(fc.array(fc.oneof(
    fc.record({ op: fc.constant('any' as const) }),
    fc.record({ op: fc.constant('exact' as const), host: fc.integer({ min: 1, max: 14 }) }),
    fc.record({ op: fc.constant('free' as const), nth: fc.nat(20) }),
  ), { maxLength: 25 }), async (steps) => {
    const home = await place(store, ['10.0.0.0/28']);
    const model = new Set<number>();
    const free = () => Array.from({ length: 13 }, (_, i) => i + 2).filter((host) => !model.has(host));
    for (const step of steps) {
      const wish = step.op === 'exact' ? { fixed_ips: [{ ip_address: `10.0.0.${step.host}` }] } : {};
      if (step.op === 'free') {
        const host = [...model][step.nth % Math.max(model.size, 1)];
        if (host === undefined) continue;
        await store.write((tx) => releaseAddresses(tx, home.subnets, [{ subnet_id: home.subnets[0]!.id, ip_address: `10.0.0.${host}` }]));
        model.delete(host);
        continue;
      }
      const expected = step.op === 'exact' ? (model.has(step.host) ? undefined : step.host) : free()[0];
      const found = await store.write((tx) => allocate(tx, home, wish)).catch((error: unknown) => error instanceof ApiError ? undefined : Promise.reject(error));
      assert.deepEqual(found && ips(found), expected === undefined ? undefined : [`10.0.0.${expected}`]);
      if (expected !== undefined) model.add(expected);
      await assertFree(store, home.subnets[0]!, free());
    }
    // Setting the pool anew says the same.
    await store.write((tx) => resetSubnetPool(tx, home.subnets[0]!));
    await assertFree(store, home.subnets[0]!, free());
  }), { numRuns: 15 });
});

eachStore('two controllers allocate from one subnet at once: no address twice, none lost', async (store, connection) => {
  const home = await place(store, ['10.0.0.0/26']);
  const other = await openStore(connection);
  try {
    const found = await Promise.all(Array.from({ length: 61 }, (_, i) => (i % 2 ? store : other).write((tx) => allocate(tx, home)).then(ips, (error: ApiError) => [error.type])));
    assert.deepEqual(found.flat().sort(byIp), Array.from({ length: 61 }, (_, i) => `10.0.0.${i + 2}`));
    const named = await Promise.allSettled([store, other].map((one) => one.write(async (tx) => {
      await releaseAddresses(tx, home.subnets, []);
      return allocate(tx, home, { fixed_ips: [{ ip_address: '10.0.0.1' }] });
    })));
    assert.deepEqual(named.map((one) => one.status).sort(), ['fulfilled', 'rejected']);
    await assert.rejects(other.write((tx) => allocate(tx, home)), refusal('IpAddressGenerationFailure'));
  } finally {
    await other.close();
  }
});

eachStore('an address costs the same statements in a nearly full /16 as in an empty one', async (store) => {
  const home = await place(store, ['10.1.0.0/16']);
  const statements = (place: Place) => store.write(async (tx) => {
    const counted = countStatements(tx);
    await allocate(counted.tx, place);
    return counted.count();
  });
  const empty = await statements(home);
  await store.write(async (tx) => {
    const pool = subnetPool(home.subnets[0]!.id);
    // All but every thousandth address taken: what remains is scattered.
    await tx.db.deleteFrom('free_ranges').where('pool', '=', pool).execute();
    const key = (value: bigint) => value.toString(16).padStart(32, '0');
    const base = parseIp('10.1.0.0')!.value;
    await tx.db.insertInto('free_ranges').values(Array.from({ length: 65 }, (_, i) => ({ pool, first: key(base + BigInt(i * 1000 + 7)), last: key(base + BigInt(i * 1000 + 7)) }))).execute();
  });
  assert.equal(await statements(home), empty);
});

async function assertFree(store: Store, { id }: Subnet, hosts: readonly number[]): Promise<void> {
  const ranges = await store.write((tx) => freeRanges(tx, subnetPool(id)));
  const free = ranges.flatMap(({ first, last }) => Array.from({ length: Number(last - first) + 1 }, (_, i) => formatIp({ version: 4, value: first + BigInt(i) })));
  assert.deepEqual(free, hosts.map((host) => `10.0.0.${host}`));
}

/** Counts the statements that a transaction runs. */
function countStatements(tx: Tx): { tx: Tx; count: () => number } {
  let count = 0;
  const db = tx.db.withPlugin({
    transformQuery: ({ node }) => (count++, node),
    transformResult: async ({ result }) => result,
  });
  return { tx: { ...tx, db }, count: () => count };
}

const byIp = (a: string, b: string): number => Number(parseIp(a)?.value ?? 0n) - Number(parseIp(b)?.value ?? 0n);
