/**
 * Numbers that mean something on one host only (local VLANs): allocated rows, an input of the compiler, never computed
 * from an order (DESIGN §4). A number is freed only after the host acknowledged that it removed what used it. The change
 * log names one `host/kind/key`.
 */
import { RangeSet } from '#net/range-set.ts';
import { giveBack, setPool, takeLowest } from '#store/number-pool.ts';
import type { Tx } from '#store/store.ts';

/** 4095 is the dead VLAN of ports that are not wired yet (N-OVS-13). */
const RANGES = { local_vlan: { first: 1n, last: 4094n } } as const;
export type HostNumberKind = keyof typeof RANGES;

const poolOf = (host: string, kind: HostNumberKind): string => `host:${host}:${kind}`;

/** The number of `key` on `host`, allocated if it has none; `undefined` when the host has no number left. */
export async function hostNumber(tx: Tx, host: string, kind: HostNumberKind, key: string): Promise<number | undefined> {
  const pool = poolOf(host, kind);
  await tx.lock(pool);
  const held = await tx.db.selectFrom('host_numbers').select('number').where('host', '=', host).where('kind', '=', kind).where('key', '=', key).executeTakeFirst();
  if (held) return held.number;
  let taken = await takeLowest(tx, pool);
  if (!taken && !(await anyNumber(tx, host, kind))) {
    await setPool(tx, pool, new RangeSet([RANGES[kind]]));
    taken = await takeLowest(tx, pool);
  }
  if (!taken) return undefined;
  const number = Number(taken[0]);
  await tx.db.insertInto('host_numbers').values({ host, kind, key, number }).execute();
  tx.record('host_numbers', `${host}/${kind}/${key}`, 'create');
  return number;
}

/**
 * Returns the number of `key` to the host's pool. Called when `host` acknowledged the removal of the item that used it;
 * a network that has ports on the host again by then keeps its number. True when it was freed.
 */
export async function freeHostNumber(tx: Tx, host: string, kind: HostNumberKind, key: string): Promise<boolean> {
  await tx.lock(poolOf(host, kind));
  const back = await tx.db.selectFrom('ports').select('id').where('network_id', '=', key).where('binding_host_id', '=', host).where('binding_vif_type', '=', 'ovs').limit(1).executeTakeFirst();
  if (back) return false;
  const freed = await tx.db.deleteFrom('host_numbers').where('host', '=', host).where('kind', '=', kind).where('key', '=', key).returning('number').execute();
  if (freed.length === 0) return false;
  for (const { number } of freed) await giveBack(tx, poolOf(host, kind), BigInt(number));
  tx.record('host_numbers', `${host}/${kind}/${key}`, 'delete');
  return true;
}

async function anyNumber(tx: Tx, host: string, kind: HostNumberKind): Promise<boolean> {
  return (await tx.db.selectFrom('host_numbers').select('key').where('host', '=', host).where('kind', '=', kind).limit(1).executeTakeFirst()) !== undefined;
}
