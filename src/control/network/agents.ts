/** Agents: heartbeats of the hosts, and what an admin does with them. */
import { isDeepStrictEqual } from 'node:util';
import { type Agent, AGENT_TYPES, type AgentType, agent } from '#model/agents.ts';
import type { Config } from '#model/config.ts';
import { ApiError } from '#model/errors.ts';
import { boolean } from '#model/kind.ts';
import type { Reader, Tx } from '#store/store.ts';
import { Table } from '#store/table.ts';
import { apiTime } from '#store/time.ts';
import { newObject } from './new-object.ts';
import type { NetworkDeps, Rule } from './rule.ts';

const agents = new Table(agent);

const ZONE = 'nova';

/** What one agent of a host says of itself. */
export interface AgentReport {
  readonly agent_type: AgentType;
  readonly configurations: Record<string, unknown>;
  /** True in the first report after the agent's start. */
  readonly started?: boolean;
}

export interface AvailabilityZone {
  readonly name: string;
  readonly resource: 'network' | 'router';
  readonly state: 'available' | 'unavailable';
}

/** Whose agents say in which zones a resource can be. */
const ZONED: Readonly<Record<string, AvailabilityZone['resource']>> = { 'DHCP agent': 'network', 'L3 agent': 'router' };

export interface AgentsDeps extends NetworkDeps {
  /** What happens to the routers of a host whose L3 agent was removed. */
  evacuate?(tx: Tx, host: string): Promise<void>;
}

/** The rule of `/v2.0/agents`: admins see, describe, disable and delete them; hosts make them by their heartbeats. */
export function agentsRule({ config, evacuate }: AgentsDeps): Rule<typeof agent> {
  return {
    resource: agent,
    async create() {
      throw new ApiError('HTTPMethodNotAllowed', { method: 'POST' });
    },
    update: (tx, _context, current, changes) => agents.update(tx, current, changes),
    async delete(tx, _context, current) {
      await agents.delete(tx, current.id);
      // The row that told which host it was is gone: the feed has to name it.
      if (current.agent_type === 'Open vSwitch agent') tx.record('hosts', current.host, 'delete');
      if (current.agent_type === 'L3 agent') await evacuate?.(tx, current.host);
    },
    async present(_reader, _context, objects) {
      const limit = aliveSince(config);
      return objects.map((object) => ({
        alive: object.heartbeat_timestamp >= limit,
        resources_synced: null,
        created_at: agentTime(object.created_at), started_at: agentTime(object.started_at), heartbeat_timestamp: agentTime(object.heartbeat_timestamp),
      }));
    },
    filters: {
      alive: (query, values) => query.where((e: any) => e.or(values.map((value) => e('agents.heartbeat_timestamp', boolean.convert(value) ? '>=' : '<', aliveSince(config))))),
    },
  };
}

/** Takes a host's heartbeat. Only news (a new agent, other configurations) is a change that the feed tells. */
export async function heartbeat(tx: Tx, host: string, reports: readonly AgentReport[]): Promise<void> {
  await tx.lock(`agents:${host}`);
  const known = new Map((await agents.list(tx, { filters: { host: [host] } })).map((each) => [each.agent_type, each]));
  for (const { agent_type, configurations, started } of reports) {
    const current = known.get(agent_type);
    if (!current) {
      await agents.insert(tx, [newObject(agent, tx, { admin_state_up: true, agent_type, ...AGENT_TYPES[agent_type], host, configurations, availability_zone: ZONE, started_at: tx.now, heartbeat_timestamp: tx.now })]);
      continue;
    }
    const times = { heartbeat_timestamp: tx.now, ...(started ? { started_at: tx.now } : {}) };
    if (isDeepStrictEqual(current.configurations, configurations)) await tx.db.updateTable('agents').set(times).where('id', '=', current.id).execute();
    else await agents.update(tx, current, { ...times, configurations });
  }
}

/** The hosts whose agent of this type is alive and enabled, by name. */
export async function aliveHosts(reader: Reader, config: Config, agentType: AgentType = 'Open vSwitch agent'): Promise<string[]> {
  const rows = await reader.db.selectFrom('agents').select('host').where('agent_type', '=', agentType).where('admin_state_up', '=', 1)
    .where('heartbeat_timestamp', '>=', aliveSince(config)).orderBy('host').execute();
  return rows.map((row) => row['host']);
}

/** The zones of all agents that carry networks or routers; one is available while an agent of it is enabled. */
export async function availabilityZones(reader: Reader): Promise<AvailabilityZone[]> {
  const rows = await reader.db.selectFrom('agents').select(['agent_type', 'availability_zone', (e) => e.fn.max('admin_state_up').as('enabled')])
    .where('agent_type', 'in', Object.keys(ZONED)).groupBy(['agent_type', 'availability_zone']).orderBy('agent_type').orderBy('availability_zone').execute();
  return rows.map((row) => ({ name: row['availability_zone'], resource: ZONED[row['agent_type']]!, state: row['enabled'] ? 'available' : 'unavailable' }));
}

/** Refuses hints that no agent's zone answers to. Throws ApiError AvailabilityZoneNotFound. */
export async function requireZones(reader: Reader, resource: AvailabilityZone['resource'], hints: readonly string[]): Promise<void> {
  if (hints.length === 0) return;
  const known = new Set((await availabilityZones(reader)).flatMap((zone) => (zone.resource === resource ? zone.name : [])));
  for (const zone of hints) if (!known.has(zone)) throw new ApiError('AvailabilityZoneNotFound', { availability_zone: zone });
}

/** The oldest heartbeat of an agent that is alive. */
export function aliveSince(config: Config): string {
  return apiTime(new Date(Date.now() - config.agent_down_time * 1000));
}

/** Neutron shows the times of agents, and only these, as `2026-11-23 15:53:12`. */
function agentTime(time: Agent['created_at']): string {
  return time.replace('T', ' ').replace('Z', '');
}
