/** MAC addresses of ports: random ones under the operator's base, unique on their network. */
import { randomFillSync } from 'node:crypto';
import type { Config } from '#model/config.ts';
import { ApiError } from '#model/errors.ts';
import { macFromBytes, parseMac } from '#net/mac.ts';
import type { Tx } from '#store/store.ts';

const MAX_TRIES = 16;

/**
 * `count` new MACs for a network, none in use there and none of `reserved`. The caller holds `lockNetwork`. Throws
 * MacAddressGenerationFailure when the base is used up.
 */
export async function newMacs(tx: Tx, config: Config, networkId: string, count: number, reserved: ReadonlySet<string> = new Set()): Promise<string[]> {
  const macs = new Set<string>();
  for (let tries = 0; tries < MAX_TRIES; tries++) {
    const candidates = new Set<string>();
    // Bounded: a nearly full base makes the same MAC again and again.
    for (let i = 0; macs.size + candidates.size < count && i < count * 2 + 16; i++) {
      const mac = randomMac(config.base_mac);
      if (!macs.has(mac) && !reserved.has(mac)) candidates.add(mac);
    }
    const taken = await macsInUse(tx, networkId, [...candidates]);
    for (const mac of candidates) if (!taken.has(mac)) macs.add(mac);
    if (macs.size === count) return [...macs];
  }
  throw new ApiError('MacAddressGenerationFailure', { network_id: networkId });
}

/** Which of `macs` ports of the network have. */
export async function macsInUse(tx: Tx, networkId: string, macs: readonly string[]): Promise<Set<string>> {
  const found = new Set<string>();
  for (let i = 0; i < macs.length; i += 500) {
    const rows = await tx.db.selectFrom('ports').select('mac_address').where('network_id', '=', networkId).where('mac_address', 'in', macs.slice(i, i + 500)).execute();
    for (const row of rows) found.add(row['mac_address']);
  }
  return found;
}

/** The first three bytes are the base's; the fourth too, unless it is zero. */
function randomMac(base: string): string {
  const fixed = (parseMac(base) ?? 'fa:16:3e:00:00:00').split(':').map((pair) => Number.parseInt(pair, 16));
  const kept = fixed[3] === 0 ? 3 : 4;
  return macFromBytes(Uint8Array.from([...fixed.slice(0, kept), ...randomTail(6 - kept)]));
}

// A call for three bytes costs as much as one for a thousand: 50 µs.
const pool = new Uint8Array(1024);
let used = pool.length;

function randomTail(length: number): Uint8Array {
  if (used + length > pool.length) {
    randomFillSync(pool);
    used = 0;
  }
  return pool.subarray(used, (used += length));
}
