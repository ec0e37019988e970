/** Address scopes (extension address-scope): routing domains that subnet pools, and through them networks, belong to (N-L3-13). */
import { type AddressScope, addressScope, subnetPool } from '#model/address-scopes.ts';
import { ApiError } from '#model/errors.ts';
import type { Reader, Tx } from '#store/store.ts';
import { Table } from '#store/table.ts';
import type { Context } from '../http/context.ts';
import { newObject } from './new-object.ts';
import { dropPolicies, policyForAll, shareWithAll } from './object-policies.ts';
import { ownOrReachedRows, sharedFilter, sharedWith } from './rbac-visibility.ts';
import type { Given, Rule } from './rule.ts';

const scopes = new Table(addressScope);

export function addressScopesRule(): Rule<typeof addressScope> {
  return {
    resource: addressScope,
    create: (tx, _context, given) => createScopes(tx, given),
    update: (tx, _context, current, changes) => updateScope(tx, current, changes),
    delete: (tx, _context, current) => deleteScope(tx, current),
    present: presentScopes,
    visible: (query, context) => ownOrReachedRows(addressScope, query, context),
    filters: { shared: sharedFilter(addressScope) },
  };
}

/** The lock that holds a scope against its deletion, and against other changes of which prefixes and networks are in it: the one that `lockObject` takes. */
export const scopeLock = (id: string): string => `${addressScope.collection}:${id}`;

/** The scope if `context` may see it. Throws ApiError AddressScopeNotFound. */
export async function requireScope(reader: Reader, context: Context, id: string): Promise<AddressScope> {
  const [found] = await scopes.list(reader, { filters: { id: [id] }, where: (query) => (context.is_admin ? query : ownOrReachedRows(addressScope, query, context)) });
  if (!found) throw new ApiError('AddressScopeNotFound', { id });
  return found;
}

async function createScopes(tx: Tx, given: readonly Given<typeof addressScope>[]): Promise<AddressScope[]> {
  const made = given.map((each) => newObject(addressScope, tx, each));
  await scopes.insert(tx, made);
  await shareWithAll(tx, addressScope, made.filter((_, i) => given[i]!.shared));
  return made;
}

async function updateScope(tx: Tx, current: AddressScope, changes: Given<typeof addressScope>): Promise<AddressScope> {
  if (changes.shared !== undefined && changes.shared !== ((await policyForAll(tx, current)) !== undefined)) {
    if (!changes.shared) throw new ApiError('AddressScopeUpdateError', { id: current.id, reason: "a shared address scope can't be unshared" });
    await shareWithAll(tx, addressScope, [current]);
  }
  return scopes.update(tx, current, changes);
}

async function deleteScope(tx: Tx, { id }: AddressScope): Promise<void> {
  const used = await tx.db.selectFrom(subnetPool.collection).select('id').where('address_scope_id', '=', id).limit(1).executeTakeFirst();
  if (used) throw new ApiError('AddressScopeInUse', { id });
  await dropPolicies(tx, { id });
  await scopes.delete(tx, id);
}

async function presentScopes(reader: Reader, context: Context, objects: readonly AddressScope[]): Promise<Record<string, unknown>[]> {
  const shared = await sharedWith(reader, addressScope, objects.map(({ id }) => id), context.project_id);
  return objects.map(({ id }) => ({ shared: shared.has(id) }));
}
