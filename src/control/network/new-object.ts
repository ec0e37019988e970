/** What every new object of the Networking API begins with. */
import type { Held, Resource } from '#model/resource.ts';
import type { Tx } from '#store/store.ts';
import type { Given } from './rule.ts';

/**
 * The object that `given` asks for, with id, times, revision and no tags; attributes that neither the client nor the
 * rule has decided (`extra`) are null.
 */
export function newObject<R extends Resource>(resource: R, tx: Tx, given: Given<R>, extra: Partial<Held<R>> = {}): Held<R> {
  const object = { ...emptyOf(resource) };
  const system = { id: crypto.randomUUID(), created_at: tx.now, updated_at: tx.now, revision_number: 0, tags: [] };
  for (const [name, value] of Object.entries({ ...system, ...given, ...extra })) {
    if (name in object) object[name] = value;
  }
  return object as Held<R>;
}

const empty = new WeakMap<Resource, Record<string, unknown>>();

/** Copied, as in Table: an object that grows by computed names is slow ever after. */
function emptyOf(resource: Resource): Record<string, unknown> {
  let object = empty.get(resource);
  if (!object) {
    const names = Object.entries(resource.attributes).flatMap(([name, { stored }]) => (stored ? [[name, null] as const] : []));
    empty.set(resource, (object = JSON.parse(JSON.stringify(Object.fromEntries(names))) as Record<string, unknown>));
  }
  return object;
}
