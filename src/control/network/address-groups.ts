/** Address groups (extension address-group): named sets of prefixes, which security group rules refer to by id. */
import { type AddressGroup, addressGroup, addressList } from '#model/address-groups.ts';
import { ApiError } from '#model/errors.ts';
import { InvalidValue } from '#model/kind.ts';
import { normalizeCidr } from '#net/cidr.ts';
import type { Reader, Tx } from '#store/store.ts';
import { Table } from '#store/table.ts';
import type { Context } from '../http/context.ts';
import { invalidInput } from './body.ts';
import { newObject } from './new-object.ts';
import { dropPolicies } from './object-policies.ts';
import { ownOrReachedRows, sharedFilter, sharedWith } from './rbac-visibility.ts';
import type { ActionResult, Given, Rule } from './rule.ts';

const groups = new Table(addressGroup);
const ASSOCIATIONS = 'address_associations';
const CHUNK = 500;

export function addressGroupsRule(): Rule<typeof addressGroup> {
  return {
    resource: addressGroup,
    create: (tx, _context, given) => createGroups(tx, given),
    update: (tx, _context, current, changes) => groups.update(tx, current, changes),
    delete: (tx, _context, current) => deleteGroup(tx, current),
    present: presentGroups,
    visible: (query, context) => ownOrReachedRows(addressGroup, query, context),
    filters: { shared: sharedFilter(addressGroup) },
    actions: {
      add_addresses: (tx, _context, current, body) => addAddresses(tx, current, body),
      remove_addresses: (tx, _context, current, body) => removeAddresses(tx, current, body),
    },
  };
}

/**
 * Refuses a group that does not exist or is neither the project's nor shared with it (404, so that ids cannot be probed), and
 * holds the other against its deletion until the transaction ends: the lock is the one that `lockObject` takes.
 */
export async function requireAddressGroup(tx: Tx, context: Context, projectId: string, id: string): Promise<void> {
  await tx.lock(`${addressGroup.collection}:${id}`);
  const group = await groups.get(tx, id);
  const usable = group && (context.is_admin || group.project_id === projectId || (await sharedWith(tx, addressGroup, [id], projectId)).has(id));
  if (!usable) throw new ApiError('AddressGroupNotFound', { id });
}

async function createGroups(tx: Tx, given: readonly Given<typeof addressGroup>[]): Promise<AddressGroup[]> {
  const made = given.map((each) => newObject(addressGroup, tx, each));
  await groups.insert(tx, made);
  for (const [i, { id }] of made.entries()) await insertAddresses(tx, id, normalized(given[i]!.addresses ?? []));
  return made;
}

async function deleteGroup(tx: Tx, { id }: AddressGroup): Promise<void> {
  const used = await tx.db.selectFrom('security_group_rules').select('id').where('remote_address_group_id', '=', id).limit(1).executeTakeFirst();
  if (used) throw new ApiError('AddressGroupInUse', { id });
  const gone = await tx.db.deleteFrom(ASSOCIATIONS).where('address_group_id', '=', id).returning('address').execute();
  for (const { address } of gone) tx.record(ASSOCIATIONS, `${id}/${address}`, 'delete');
  await dropPolicies(tx, { id });
  await groups.delete(tx, id);
}

/** `PUT /address-groups/{id}/add_addresses`: all of them are new, or none is added. */
async function addAddresses(tx: Tx, current: AddressGroup, body: unknown): Promise<ActionResult<typeof addressGroup>> {
  const given = givenAddresses(body);
  const known = await heldAddresses(tx, current.id, given);
  if (known.size > 0) throw new ApiError('AddressesAlreadyExist', { addresses: shown(known), id: current.id });
  await insertAddresses(tx, current.id, given);
  return { changed: await groups.update(tx, current, {}) };
}

/** `PUT /address-groups/{id}/remove_addresses`: all of them are there, or none is removed. */
async function removeAddresses(tx: Tx, current: AddressGroup, body: unknown): Promise<ActionResult<typeof addressGroup>> {
  const given = givenAddresses(body);
  const known = await heldAddresses(tx, current.id, given);
  const missing = given.filter((address) => !known.has(address));
  if (missing.length > 0) throw new ApiError('AddressesNotFound', { addresses: shown(missing), id: current.id });
  for (let i = 0; i < given.length; i += CHUNK) {
    await tx.db.deleteFrom(ASSOCIATIONS).where('address_group_id', '=', current.id).where('address', 'in', given.slice(i, i + CHUNK)).execute();
  }
  for (const address of given) tx.record(ASSOCIATIONS, `${current.id}/${address}`, 'delete');
  return { changed: await groups.update(tx, current, {}) };
}

async function insertAddresses(tx: Tx, id: string, addresses: readonly string[]): Promise<void> {
  for (let i = 0; i < addresses.length; i += CHUNK) {
    await tx.db.insertInto(ASSOCIATIONS).values(addresses.slice(i, i + CHUNK).map((address) => ({ address_group_id: id, address }))).execute();
  }
  for (const address of addresses) tx.record(ASSOCIATIONS, `${id}/${address}`, 'create');
}

/** Which of `addresses` the group has: the cost follows the request, not the group. */
export async function heldAddresses(reader: Reader, id: string, addresses: readonly string[]): Promise<Set<string>> {
  const held = new Set<string>();
  for (let i = 0; i < addresses.length; i += CHUNK) {
    const rows = await reader.db.selectFrom(ASSOCIATIONS).select('address').where('address_group_id', '=', id).where('address', 'in', addresses.slice(i, i + CHUNK)).execute();
    for (const { address } of rows) held.add(address);
  }
  return held;
}

async function presentGroups(reader: Reader, context: Context, objects: readonly AddressGroup[]): Promise<Record<string, unknown>[]> {
  const shared = await sharedWith(reader, addressGroup, objects.map(({ id }) => id), context.project_id);
  const addresses = new Map<string, string[]>(objects.map(({ id }) => [id, []]));
  for (let i = 0; i < objects.length; i += CHUNK) {
    const rows = await reader.db.selectFrom(ASSOCIATIONS).selectAll().where('address_group_id', 'in', objects.slice(i, i + CHUNK).map(({ id }) => id)).orderBy('address').execute();
    for (const row of rows) addresses.get(row.address_group_id)!.push(row.address);
  }
  return objects.map(({ id }) => ({ addresses: addresses.get(id)!, shared: shared.has(id) }));
}

function givenAddresses(body: unknown): string[] {
  if (typeof body !== 'object' || body === null || !('addresses' in body)) throw new ApiError('HTTPBadRequest', { reason: 'The body of this request is {"addresses": […]}' });
  try {
    return normalized(addressList.convert(body.addresses));
  } catch (error) {
    if (error instanceof InvalidValue) throw invalidInput('addresses', error.message);
    throw error;
  }
}

/** Each prefix once, in canonical form: `10.0.0.5/24` is `10.0.0.0/24`, and `10.0.0.5` is `10.0.0.5/32`. */
function normalized(addresses: readonly string[]): string[] {
  return [...new Set(addresses.map((address) => {
    const prefix = normalizeCidr(address);
    if (prefix === undefined) throw new InvalidValue(`'${address}' is not a valid IP subnet`, 'addresses');
    return prefix;
  }))];
}

/** A list as Neutron's messages spell it; one of thousands is cut. */
const shown = (addresses: Iterable<string>): string => `[${[...addresses].slice(0, 20).map((address) => `'${address}'`).join(', ')}]`;
