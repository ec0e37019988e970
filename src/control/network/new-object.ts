/** What every new object of the Networking API begins with. */
import type { Held, Resource } from '#model/resource.ts';
import type { Tx } from '#store/store.ts';
import type { Given } from './rule.ts';

/**
 * The object that `given` asks for, with id, times, revision and no tags; attributes that neither the client nor the
 * rule has decided (`extra`) are null.
 */
export function newObject<R extends Resource>(resource: R, tx: Tx, given: Given<R>, extra: Partial<Held<R>> = {}): Held<R> {
  const object: Record<string, unknown> = {};
  for (const [name, { stored }] of Object.entries(resource.attributes)) if (stored) object[name] = null;
  const system = { id: crypto.randomUUID(), created_at: tx.now, updated_at: tx.now, revision_number: 0, tags: [] };
  for (const [name, value] of Object.entries({ ...system, ...given, ...extra })) {
    if (name in object) object[name] = value;
  }
  return object as Held<R>;
}
