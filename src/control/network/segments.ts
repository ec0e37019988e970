/**
 * Type drivers: which segment (VLAN id, VNI, physical network) a network gets. A row in `segment_allocations` is what
 * keeps a segment from being given twice; number pools find a free tenant segment fast.
 */
import { type Config, tunnelRanges, vlanRanges } from '#model/config.ts';
import { ApiError } from '#model/errors.ts';
import { NETWORK_TYPES, type NetworkType } from '#model/networks.ts';
import { type Range, RangeSet } from '#net/range-set.ts';
import { freeRanges, giveBack, setPool, takeExact, takeLowest } from '#store/number-pool.ts';
import type { Tx } from '#store/store.ts';

export interface Segment {
  readonly network_type: NetworkType;
  readonly physical_network: string | null;
  readonly segmentation_id: number | null;
}

/** What an admin asks for; undefined or null is left to the system. */
export interface WantedSegment {
  readonly network_type?: string | null;
  readonly physical_network?: string | null;
  readonly segmentation_id?: number | null;
}

type TunnelType = 'vxlan' | 'gre' | 'geneve';

const MAX_ID = { vlan: 4094, vxlan: 2 ** 24 - 1, gre: 2 ** 32 - 1, geneve: 2 ** 24 - 1 } as const;

/** The segment of a provider network (N-ML2-7). Throws ApiError: InvalidInput, or InUse errors by type. */
export async function reserveProviderSegment(tx: Tx, config: Config, wanted: WantedSegment, networkId: string): Promise<Segment> {
  const type = loadedType(config, wanted.network_type);
  switch (type) {
    case 'local': return local(wanted);
    case 'flat': return reserveFlat(tx, config, wanted, networkId);
    case 'vlan': return reserveVlan(tx, config, wanted, networkId);
    default: return reserveTunnel(tx, type, wanted, networkId);
  }
}

/** The first free segment of the tenant types, in their order (N-ML2-8, N-ML2-9). Throws ApiError NoNetworkAvailable. */
export async function allocateTenantSegment(tx: Tx, config: Config, networkId: string): Promise<Segment> {
  for (const type of config.tenant_network_types as readonly NetworkType[]) {
    const segment = await allocateOfType(tx, config, type, networkId);
    if (segment) return segment;
  }
  throw new ApiError('NoNetworkAvailable');
}

/** Gives the network's segment back to the pool that holds its number, if one does (N-ML2-13). */
export async function releaseSegment(tx: Tx, config: Config, networkId: string): Promise<void> {
  const rows = await tx.db.deleteFrom('segment_allocations').where('network_id', '=', networkId).returning(['network_type', 'physical_network', 'segmentation_id']).execute();
  for (const { network_type, physical_network, segmentation_id } of rows) {
    const pool = pools(config).find(({ name }) => name === poolName(network_type, physical_network));
    if (pool?.ranges.has(BigInt(segmentation_id))) await giveBack(tx, pool.name, BigInt(segmentation_id));
  }
}

/** Makes the pools what the settings say, less what is allocated: called at each start of the server (N-ML2-24). */
export async function syncSegmentPools(tx: Tx, config: Config): Promise<void> {
  const wanted = new Map(pools(config).map(({ name, ranges }) => [name, ranges]));
  const present = await tx.db.selectFrom('free_ranges').select('pool').distinct().where('pool', 'like', 'segment:%').execute();
  for (const { pool } of present) if (!wanted.has(pool)) await setPool(tx, pool, new RangeSet());
  for (const [pool, ranges] of wanted) {
    await tx.lock(pool);
    const [, type, physicalNetwork = ''] = /^segment:([a-z]+):?(.*)$/.exec(pool) ?? [];
    const taken = await tx.db.selectFrom('segment_allocations').select('segmentation_id').where('network_type', '=', type as NetworkType).where('physical_network', '=', physicalNetwork).orderBy('segmentation_id').execute();
    const free = without(ranges.ranges, taken.map((row) => BigInt(row.segmentation_id)));
    if (!sameRanges(free, await freeRanges(tx, pool))) await setPool(tx, pool, new RangeSet(free));
  }
}

function local(wanted: WantedSegment): Segment {
  prohibit(wanted, 'local', ['physical_network', 'segmentation_id']);
  return { network_type: 'local', physical_network: null, segmentation_id: null };
}

async function reserveFlat(tx: Tx, config: Config, wanted: WantedSegment, networkId: string): Promise<Segment> {
  const physical_network = wanted.physical_network;
  if (!physical_network) throw invalid('physical_network required for flat provider network');
  if (config.flat_networks.length === 0) throw invalid('Flat provider networks are disabled');
  if (!config.flat_networks.includes('*') && !config.flat_networks.includes(physical_network)) throw invalid(`physical_network '${physical_network}' unknown for flat provider network`);
  prohibit(wanted, 'flat', ['segmentation_id']);
  if (!(await record(tx, { network_type: 'flat', physical_network, segmentation_id: 0, network_id: networkId }))) throw new ApiError('FlatNetworkInUse', { physical_network });
  return { network_type: 'flat', physical_network, segmentation_id: null };
}

async function reserveVlan(tx: Tx, config: Config, wanted: WantedSegment, networkId: string): Promise<Segment> {
  const { physical_network, segmentation_id } = wanted;
  const id = segmentation_id ?? null;
  if (!physical_network) {
    if (id !== null) throw invalid('segmentation_id requires physical_network for VLAN provider network');
    const segment = await allocateOfType(tx, config, 'vlan', networkId);
    if (!segment) throw new ApiError('NoNetworkAvailable');
    return segment;
  }
  if (!vlanRanges(config).some((each) => each.physical_network === physical_network)) throw invalid(`physical_network '${physical_network}' unknown for VLAN provider network`);
  if (id === null) {
    const segment = await allocateVlan(tx, physical_network, networkId);
    if (!segment) throw new ApiError('NoNetworkAvailable');
    return segment;
  }
  requireRange(id, MAX_ID.vlan);
  await takeExact(tx, poolName('vlan', physical_network), BigInt(id));
  if (!(await record(tx, { network_type: 'vlan', physical_network, segmentation_id: id, network_id: networkId }))) throw new ApiError('VlanIdInUse', { vlan_id: id, physical_network });
  return { network_type: 'vlan', physical_network, segmentation_id: id };
}

async function reserveTunnel(tx: Tx, type: TunnelType, wanted: WantedSegment, networkId: string): Promise<Segment> {
  if (wanted.physical_network) throw invalid(`provider:physical_network specified for ${type} network`);
  const id = wanted.segmentation_id ?? null;
  if (id === null) {
    const segment = await allocateTunnel(tx, type, networkId);
    if (!segment) throw new ApiError('NoNetworkAvailable');
    return segment;
  }
  requireRange(id, MAX_ID[type]);
  await takeExact(tx, poolName(type, ''), BigInt(id));
  if (!(await record(tx, { network_type: type, physical_network: '', segmentation_id: id, network_id: networkId }))) throw new ApiError('TunnelIdInUse', { tunnel_id: id });
  return { network_type: type, physical_network: null, segmentation_id: id };
}

async function allocateOfType(tx: Tx, config: Config, type: NetworkType, networkId: string): Promise<Segment | undefined> {
  switch (type) {
    case 'local': return local({});
    // A flat network is a provider's decision: tenants have no pool of physical networks.
    case 'flat': return undefined;
    case 'vlan': {
      for (const physicalNetwork of new Set(vlanRanges(config).map((each) => each.physical_network))) {
        const segment = await allocateVlan(tx, physicalNetwork, networkId);
        if (segment) return segment;
      }
      return undefined;
    }
    default: return allocateTunnel(tx, type, networkId);
  }
}

async function allocateVlan(tx: Tx, physical_network: string, networkId: string): Promise<Segment | undefined> {
  const id = await takeAndRecord(tx, 'vlan', physical_network, networkId);
  return id === undefined ? undefined : { network_type: 'vlan', physical_network, segmentation_id: id };
}

async function allocateTunnel(tx: Tx, type: TunnelType, networkId: string): Promise<Segment | undefined> {
  const id = await takeAndRecord(tx, type, '', networkId);
  return id === undefined ? undefined : { network_type: type, physical_network: null, segmentation_id: id };
}

/** A number that is allocated and still in the pool (the pool was not synchronised yet) is skipped: it leaves the pool here. */
async function takeAndRecord(tx: Tx, network_type: NetworkType, physical_network: string, network_id: string): Promise<number | undefined> {
  for (;;) {
    const [id] = (await takeLowest(tx, poolName(network_type, physical_network))) ?? [];
    if (id === undefined) return undefined;
    if (await record(tx, { network_type, physical_network, segmentation_id: Number(id), network_id })) return Number(id);
  }
}

/** False when the segment is another network's. */
async function record(tx: Tx, row: { network_type: NetworkType; physical_network: string; segmentation_id: number; network_id: string }): Promise<boolean> {
  const made = await tx.db.insertInto('segment_allocations').values(row).onConflict((conflict) => conflict.doNothing()).returning('network_id').executeTakeFirst();
  return made !== undefined;
}

function pools(config: Config): { name: string; ranges: RangeSet }[] {
  const byName = new Map<string, Range[]>();
  const add = (name: string, range: { first: number; last: number }) => {
    byName.set(name, [...(byName.get(name) ?? []), { first: BigInt(range.first), last: BigInt(range.last) }]);
  };
  for (const type of ['vxlan', 'gre', 'geneve'] as const) {
    if (config.type_drivers.includes(type)) for (const range of tunnelRanges(config, type)) add(poolName(type, ''), range);
  }
  if (config.type_drivers.includes('vlan')) {
    for (const { physical_network, range } of vlanRanges(config)) if (range) add(poolName('vlan', physical_network), range);
  }
  return [...byName].map(([name, ranges]) => ({ name, ranges: new RangeSet(ranges) }));
}

function poolName(type: string, physicalNetwork: string): string {
  return physicalNetwork === '' ? `segment:${type}` : `segment:${type}:${physicalNetwork}`;
}

function loadedType(config: Config, type: string | null | undefined): NetworkType {
  if (!type) throw invalid('network_type required');
  if (!NETWORK_TYPES.includes(type as NetworkType) || !config.type_drivers.includes(type as NetworkType)) throw invalid(`network_type value '${type}' not supported`);
  return type as NetworkType;
}

function prohibit(wanted: WantedSegment, type: string, keys: readonly ('physical_network' | 'segmentation_id')[]): void {
  for (const key of keys) if (wanted[key]) throw invalid(`${key} prohibited for ${type} provider network`);
}

function requireRange(id: number, max: number): void {
  if (id < 1 || id > max) throw invalid(`segmentation_id out of range (1 through ${max})`);
}

/** `ranges` less the sorted numbers of `taken`, in one pass. */
function without(ranges: readonly Range[], taken: readonly bigint[]): Range[] {
  const free: Range[] = [];
  let i = 0;
  for (const { first, last } of ranges) {
    let start = first;
    while (i < taken.length && taken[i]! < first) i++;
    for (; i < taken.length && taken[i]! <= last; i++) {
      if (taken[i]! > start) free.push({ first: start, last: taken[i]! - 1n });
      start = taken[i]! + 1n;
    }
    if (start <= last) free.push({ first: start, last });
  }
  return free;
}

function sameRanges(a: readonly Range[], b: readonly Range[]): boolean {
  return a.length === b.length && a.every((range, i) => range.first === b[i]!.first && range.last === b[i]!.last);
}

function invalid(reason: string): ApiError {
  return new ApiError('InvalidInput', { reason });
}
