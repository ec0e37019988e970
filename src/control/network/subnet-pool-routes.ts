/** Actions on a subnet pool: prefixes come and go (extension subnetpool-prefix-ops), a network's subnets come in (extension subnet_onboard). */
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { type SubnetPool, subnetPool } from '#model/address-scopes.ts';
import { ApiError } from '#model/errors.ts';
import { cidr, InvalidValue, type Kind, list, uuid } from '#model/kind.ts';
import { network, subnet } from '#model/networks.ts';
import { formatCidr, parseCidr } from '#net/cidr.ts';
import { addressesOf, prefixesOf } from '#net/prefix-pool.ts';
import type { RangeSet } from '#net/range-set.ts';
import type { Tx } from '#store/store.ts';
import { Table } from '#store/table.ts';
import type { Context } from '../http/context.ts';
import { invalidInput } from './body.ts';
import type { Collection } from './collection.ts';
import { lockNetwork } from './ipam.ts';
import { requireNetwork } from './network-visibility.ts';
import { cidrsOf, prefixAddresses, versionOf } from './subnet-pool-checks.ts';
import { updatePool } from './subnet-pools.ts';

const pools = new Table(subnetPool);
const subnets = new Table(subnet);
const networks = new Table(network);
const prefixList = list(cidr);

type Action = (tx: Tx, context: Context, current: SubnetPool, body: unknown) => Promise<unknown>;

const ACTIONS: Readonly<Record<string, Action>> = { add_prefixes: addPrefixes, remove_prefixes: removePrefixes, onboard_network_subnets: onboardSubnets };

/** Adds `PUT /v2.0/subnetpools/<id>/<action>`; nothing for another resource. */
export function subnetPoolRoutes(app: FastifyInstance, collection: Collection): void {
  if (collection.resource.collection !== subnetPool.collection) return;
  for (const [name, action] of Object.entries(ACTIONS)) {
    app.put(`${collection.path}/:id/${name}`, (request) =>
      collection.change(request as FastifyRequest<{ Params: { id: string } }>, 'update', (tx, current) => action(tx, request.context, current, request.body)));
  }
}

async function addPrefixes(tx: Tx, context: Context, current: SubnetPool, body: unknown): Promise<unknown> {
  const { prefixes } = await updatePool(tx, context, current, { prefixes: [...current.prefixes, ...given(body, 'prefixes', prefixList)] });
  return { prefixes };
}

/** What the pool does not have cannot be removed, and that is no error. */
async function removePrefixes(tx: Tx, _context: Context, current: SubnetPool, body: unknown): Promise<unknown> {
  const removed = addressesOf(cidrsOf(current, given(body, 'prefixes', prefixList)));
  const held = prefixAddresses(current);
  if (!held.overlaps(removed)) return { prefixes: current.prefixes };
  if ((await allocated(tx, current)).overlaps(removed)) throw new ApiError('IllegalSubnetPoolPrefixUpdate', { reason: 'one or more of the prefixes to be removed are in use by a subnet' });
  const prefixes = prefixesOf(versionOf(current), held.without(removed.ranges)).map(formatCidr);
  await pools.update(tx, current, { prefixes });
  return { prefixes };
}

/** All subnets of the network that are of the pool's version become the pool's, and it grows by their prefixes. */
async function onboardSubnets(tx: Tx, context: Context, current: SubnetPool, body: unknown): Promise<unknown> {
  const network_id = given(body, 'network_id', uuid);
  await lockNetwork(tx, network_id);
  const home = await requireNetwork(tx, context, network_id);
  if (!context.is_admin && home.project_id !== context.project_id) throw new ApiError('PolicyNotAuthorized', { rule: 'onboard_network_subnets' });
  const coming = await subnets.list(tx, { filters: { network_id: [network_id], ip_version: [current.ip_version] }, sort: [{ key: 'id', dir: 'asc' }] });
  const taken = await allocated(tx, current);
  for (const { id, cidr: text } of coming) {
    if (addressesOf([parseCidr(text)!]).overlaps(taken)) throw new ApiError('IllegalSubnetPoolUpdate', { id: current.id, reason: `subnet ${id} with ${text} conflicts with what is allocated in the pool` });
  }
  if (coming.length === 0) return [];
  await updatePool(tx, context, current, { prefixes: [...current.prefixes, ...coming.map((each) => each.cidr)] });
  for (const each of coming) await subnets.update(tx, each, { subnetpool_id: current.id });
  await networks.update(tx, home, {});
  return coming.map(({ id, cidr: text }) => ({ id, cidr: text }));
}

async function allocated(tx: Tx, { id }: SubnetPool): Promise<RangeSet> {
  const rows = await tx.db.selectFrom('subnets').select('cidr').where('subnetpool_id', '=', id).execute();
  return addressesOf(rows.map((row) => parseCidr(row['cidr'])!));
}

/** The one attribute that the body of an action has. */
function given<T>(body: unknown, name: string, kind: Kind<T>): T {
  const value: unknown = typeof body === 'object' && body !== null && Object.hasOwn(body, name) ? body[name as keyof typeof body] : undefined;
  if (value === undefined || (Array.isArray(value) && value.length === 0)) throw new ApiError('HTTPBadRequest', { reason: `Request body contains no ${name}` });
  try {
    return kind.convert(value);
  } catch (error) {
    if (error instanceof InvalidValue) throw invalidInput(name, error.message);
    throw error;
  }
}
