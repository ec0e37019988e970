/**
 * Pools of numbers, kept as free ranges: IP addresses of a subnet, VNIs, VLAN ids, local VLANs of a host. Taking the
 * lowest costs the same in an empty and in a nearly full pool, and is safe under concurrent writers (`tx.lock`).
 */
import { type Range, RangeSet } from '#net/range-set.ts';
import type { Tx } from './store.ts';

/** Numbers are stored as 32 hex digits: text order is number order, up to 128 bits. */
const key = (value: bigint): string => value.toString(16).padStart(32, '0');
const number = (text: string): bigint => BigInt(`0x${text}`);

/** Sets the free numbers of `pool`, whatever it held. */
export async function setPool(tx: Tx, pool: string, free: RangeSet): Promise<void> {
  await tx.lock(pool);
  await tx.db.deleteFrom('free_ranges').where('pool', '=', pool).execute();
  const rows = free.ranges.map((range) => ({ pool, first: key(range.first), last: key(range.last) }));
  for (let i = 0; i < rows.length; i += 1000) await tx.db.insertInto('free_ranges').values(rows.slice(i, i + 1000)).execute();
}

export async function dropPool(tx: Tx, pool: string): Promise<void> {
  await tx.db.deleteFrom('free_ranges').where('pool', '=', pool).execute();
}

/** The free ranges of `pool`, sorted. */
export async function freeRanges(tx: Tx, pool: string): Promise<Range[]> {
  const rows = await tx.db.selectFrom('free_ranges').select(['first', 'last']).where('pool', '=', pool).orderBy('first').execute();
  return rows.map((row) => ({ first: number(row.first), last: number(row.last) }));
}

/** Takes the `count` lowest free numbers; `undefined` (and nothing taken) when there are fewer. */
export async function takeLowest(tx: Tx, pool: string, count = 1): Promise<bigint[] | undefined> {
  await tx.lock(pool);
  const taken: bigint[] = [];
  const used: { row: { first: string; last: string }; upTo: bigint }[] = [];
  const rows = await tx.db.selectFrom('free_ranges').select(['first', 'last']).where('pool', '=', pool).orderBy('first').limit(count).execute();
  for (const row of rows) {
    if (taken.length === count) break;
    let value = number(row.first);
    for (const last = number(row.last); value <= last && taken.length < count; value++) taken.push(value);
    used.push({ row, upTo: value });
  }
  if (taken.length < count) return undefined;
  for (const { row, upTo } of used) await shrink(tx, pool, row, upTo);
  return taken;
}

/** Takes one number out of the pool; false when it is not free there. */
export async function takeExact(tx: Tx, pool: string, value: bigint): Promise<boolean> {
  await tx.lock(pool);
  const row = await tx.db.selectFrom('free_ranges').select(['first', 'last']).where('pool', '=', pool).where('first', '<=', key(value)).orderBy('first', 'desc').limit(1).executeTakeFirst();
  if (!row || number(row.last) < value) return false;
  const { first, last } = row;
  await tx.db.deleteFrom('free_ranges').where('pool', '=', pool).where('first', '=', first).execute();
  const rest = new RangeSet([{ first: number(first), last: number(last) }]).without([{ first: value, last: value }]);
  if (rest.ranges.length > 0) await tx.db.insertInto('free_ranges').values(rest.ranges.map((range) => ({ pool, first: key(range.first), last: key(range.last) }))).execute();
  return true;
}

/** Puts one number back and joins it with its neighbours; a number that is free already stays so. */
export async function giveBack(tx: Tx, pool: string, value: bigint): Promise<void> {
  await tx.lock(pool);
  const below = await tx.db.selectFrom('free_ranges').select(['first', 'last']).where('pool', '=', pool).where('first', '<=', key(value)).orderBy('first', 'desc').limit(1).executeTakeFirst();
  if (below && number(below.last) >= value) return;
  const above = await tx.db.selectFrom('free_ranges').select(['first', 'last']).where('pool', '=', pool).where('first', '=', key(value + 1n)).executeTakeFirst();
  const joinsBelow = below !== undefined && number(below.last) === value - 1n;
  const last = above ? above.last : key(value);
  if (above) await tx.db.deleteFrom('free_ranges').where('pool', '=', pool).where('first', '=', above.first).execute();
  if (joinsBelow) await tx.db.updateTable('free_ranges').set({ last }).where('pool', '=', pool).where('first', '=', below.first).execute();
  else await tx.db.insertInto('free_ranges').values({ pool, first: key(value), last }).execute();
}

async function shrink(tx: Tx, pool: string, row: { first: string; last: string }, upTo: bigint): Promise<void> {
  const target = tx.db.updateTable('free_ranges').set({ first: key(upTo) });
  if (upTo > number(row.last)) await tx.db.deleteFrom('free_ranges').where('pool', '=', pool).where('first', '=', row.first).execute();
  else await target.where('pool', '=', pool).where('first', '=', row.first).execute();
}
