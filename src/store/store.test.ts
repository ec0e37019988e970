import assert from 'node:assert/strict';
import { sql } from 'kysely';
import { network } from '#model/networks.ts';
import { RangeSet } from '#net/range-set.ts';
import { eachStore } from '#testkit/stores.ts';
import { freeRanges, giveBack, setPool, takeExact, takeLowest } from './number-pool.ts';
import { openStore } from './open.ts';
import { Table } from './table.ts';
import type { Tx } from './store.ts';

const networks = new Table(network);
const sample = (tx: Tx, name: string) => ({
  id: crypto.randomUUID(), name, project_id: 'p', admin_state_up: true, status: 'ACTIVE', shared: false, 'router:external': false, is_default: false,
  mtu: 1450, port_security_enabled: true, 'provider:network_type': 'vxlan', 'provider:physical_network': null, 'provider:segmentation_id': 7,
  dns_domain: '', availability_zone_hints: ['a'], subnets: [], availability_zones: [], ipv4_address_scope: null, ipv6_address_scope: null,
  description: '', created_at: tx.now, updated_at: tx.now, revision_number: 0, tags: [],
});

eachStore('a command writes rows, revision and change log in one transaction', async (store) => {
  const start = await store.feed.head();
  const made = await store.write(async (tx) => {
    const row = sample(tx, 'one');
    await networks.insert(tx, [row]);
    return networks.update(tx, row, { name: 'two' });
  }, 'req-1');
  assert.equal(made.revision_number, 1);
  assert.equal((await networks.get(store.reader, made.id))?.name, 'two');
  assert.deepEqual((await networks.get(store.reader, made.id))?.availability_zone_hints, ['a']);
  const after = await store.feed.after(start);
  assert.deepEqual(after?.changes.map(({ kind, op, request_id }) => ({ kind, op, request_id })), [{ kind: 'networks', op: 'create', request_id: 'req-1' }]);
});

eachStore('a command that throws leaves nothing, and its neighbours in the group commit', async (store) => {
  const results = await Promise.allSettled([
    store.write(async (tx) => networks.insert(tx, [sample(tx, 'a')])),
    store.write(async (tx) => {
      await networks.insert(tx, [sample(tx, 'b')]);
      throw new Error('no');
    }),
    store.write(async (tx) => networks.insert(tx, [sample(tx, 'c')])),
  ]);
  assert.deepEqual(results.map((result) => result.status), ['fulfilled', 'rejected', 'fulfilled']);
  assert.deepEqual((await networks.list(store.reader, { sort: [{ key: 'name', dir: 'asc' }] })).map((row) => row.name), ['a', 'c']);
  assert.equal((await store.feed.head()).seq, 2);
});

eachStore('a number pool gives the lowest, takes exact ones, joins what comes back', async (store) => {
  const state = await store.write(async (tx) => {
    await setPool(tx, 'p', new RangeSet([{ first: 2n, last: 5n }, { first: 10n, last: 11n }]));
    const lowest = await takeLowest(tx, 'p', 2);
    const exact = [await takeExact(tx, 'p', 11n), await takeExact(tx, 'p', 11n), await takeExact(tx, 'p', 7n)];
    await giveBack(tx, 'p', 2n);
    await giveBack(tx, 'p', 3n);
    await giveBack(tx, 'p', 3n);
    return { lowest, exact, tooMany: await takeLowest(tx, 'p', 6), ranges: await freeRanges(tx, 'p') };
  });
  assert.deepEqual(state, { lowest: [2n, 3n], exact: [true, false, false], tooMany: undefined, ranges: [{ first: 2n, last: 5n }, { first: 10n, last: 10n }] });
});

eachStore('a watermark of another, a restored or a purged store is noticed', async (store) => {
  const zero = await store.feed.head();
  for (let i = 0; i < 5; i++) await store.write(async (tx) => networks.insert(tx, [sample(tx, `n${i}`)]));
  const head = await store.feed.head();
  assert.equal((await store.feed.after(zero))?.changes.length, 5);
  assert.deepEqual((await store.feed.after(head))?.changes, []);
  assert.equal(await store.feed.after({ ...head, store_id: 'other' }), undefined);
  assert.equal(await store.feed.after({ ...head, seq: head.seq + 1 }), undefined);
  assert.equal(await store.feed.after({ ...head, token: 'restored' }), undefined);
  await store.feed.purge(2);
  assert.equal(await store.feed.after(zero), undefined);
  assert.deepEqual((await store.feed.after(head))?.changes, []);
});

eachStore('two openings of one store see each other: feed in commit order, no number given twice', async (store, connection) => {
  const other = await openStore(connection);
  try {
    await store.write((tx) => setPool(tx, 'vxlan', new RangeSet([{ first: 1n, last: 1000n }])));
    const start = await store.feed.head();
    const seen: number[] = [];
    let mark = start;
    let reading = Promise.resolve();
    const read = () => void (reading = reading.then(async () => {
      const more = await other.feed.after(mark);
      seen.push(...more!.changes.map((change) => change.seq));
      mark = more!.mark;
    }));
    const stop = other.feed.subscribe(read);
    const take = (one: typeof store) => one.write(async (tx) => {
      const [vni] = (await takeLowest(tx, 'vxlan'))!;
      await networks.insert(tx, [{ ...sample(tx, `v${vni}`), 'provider:segmentation_id': Number(vni) }]);
      return Number(vni);
    });
    const taken = await Promise.all(Array.from({ length: 60 }, (_, i) => take(i % 2 ? store : other)));
    assert.equal(new Set(taken).size, 60);
    while (seen.length < 60) { await new Promise((resume) => setTimeout(resume, 20)); read(); await reading; }
    assert.deepEqual(seen, Array.from({ length: 60 }, (_, i) => start.seq + 1 + i));
    stop();
    await reading;
  } finally {
    await other.close();
  }
});

eachStore('columns and indexes that a newer definition has come to an older store when it is opened', async (store, connection) => {
  const change = (...statements: string[]) => store.write(async (tx) => {
    for (const statement of statements) await sql.raw(statement).execute(tx.db);
  });
  const dropIndex = 'drop index "subnets_subnetpool_id_idx"';
  await change(dropIndex, 'alter table "subnets" drop column "subnetpool_id"');
  await assert.rejects(change(dropIndex));
  await (await openStore(connection)).close();
  await change(dropIndex, 'select "subnetpool_id" from "subnets"');
});

eachStore('a store from before RBAC: what was shared and external has its policies when it is opened, once', async (store, connection) => {
  const run = (...statements: string[]) => store.write(async (tx) => {
    for (const statement of statements) await sql.raw(statement).execute(tx.db);
  });
  const tables = ['networks', 'address_scopes', 'subnetpools'];
  await run('drop table rbac_policies', ...tables.map((table) => `alter table ${table} add column shared ${store.engine === 'sqlite' ? 'integer' : 'bigint'}`),
    `insert into networks (id, project_id, shared, router_external) values ('both', 'p', 1, 1), ('none', 'p', 0, 0), ('plain', 'q', 1, 0)`,
    `insert into address_scopes (id, project_id, shared) values ('scope', 'p', 1), ('own', 'p', 0)`, `insert into subnetpools (id, project_id, shared) values ('pool', 'q', 1)`);
  for (let i = 0; i < 2; i++) await (await openStore(connection)).close();
  const policies = await store.reader.db.selectFrom('rbac_policies').selectAll().orderBy('object_id').orderBy('action').execute();
  assert.deepEqual(policies.map((one) => [one['object_type'], one['object_id'], one['action'], one['target_project'], one['project_id']]), [
    ['network', 'both', 'access_as_external', '*', 'p'], ['network', 'both', 'access_as_shared', '*', 'p'], ['network', 'plain', 'access_as_shared', '*', 'q'],
    ['subnetpool', 'pool', 'access_as_shared', '*', 'q'], ['address_scope', 'scope', 'access_as_shared', '*', 'p'],
  ]);
  for (const { id } of policies) assert.match(String(id), /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  for (const table of tables) await assert.rejects(run(`select shared from ${table}`));
});
