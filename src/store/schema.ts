/**
 * One schema for both engines. A resource's table follows its definition; a column or an index that a newer definition
 * adds is added to an existing table at start, so upgrades need a migration only where data has to be rewritten (upgrades.ts).
 */
import { sql, type Kysely } from 'kysely';
import type { Resource } from '#model/resource.ts';
import { RESOURCES } from '#model/resources.ts';
import type { Database } from './database.ts';
import { upgradeStatements } from './upgrades.ts';

type ColumnType = 'text' | 'integer';

export interface TableSpec {
  readonly name: string;
  /** A column is nullable unless it belongs to the primary key. */
  readonly columns: Readonly<Record<string, ColumnType>>;
  readonly primary: readonly string[];
  readonly unique?: readonly (readonly string[])[];
  readonly indexes?: readonly (readonly string[])[];
  /** Small rows that are found by their primary key: kept in its order, where the engine can do that. */
  readonly clustered?: boolean;
}

/** Where the engines' SQL differs. */
export interface SchemaDialect {
  readonly text: string;
  /** Behind `create table` of a clustered table. */
  readonly clustered: string;
  /** An expression that is a new UUID in every row. */
  readonly uuid: string;
}

/** Attribute names hold a colon (`provider:network_type`), columns an underscore. */
export function columnOf(attribute: string): string {
  return attribute.replaceAll(':', '_');
}

/** The table of a declared resource: its stored attributes, keyed by `id`. */
export function resourceTable(resource: Resource, keys: Pick<TableSpec, 'unique' | 'indexes'> = {}): TableSpec {
  const columns: Record<string, ColumnType> = {};
  for (const [name, attribute] of Object.entries(resource.attributes)) {
    if (attribute.stored) columns[columnOf(name)] = attribute.kind.column === 'integer' || attribute.kind.column === 'boolean' ? 'integer' : 'text';
  }
  return { name: resource.collection, columns, primary: ['id'], ...keys };
}

const SUPPORT: readonly TableSpec[] = [
  { name: 'feed_state', columns: { store_id: 'text', last_seq: 'integer', purged_seq: 'integer' }, primary: ['store_id'] },
  { name: 'changes', columns: { seq: 'integer', token: 'text', kind: 'text', id: 'text', op: 'text', request_id: 'text', at: 'text' }, primary: ['seq'] },
  { name: 'free_ranges', columns: { pool: 'text', first: 'text', last: 'text' }, primary: ['pool', 'first'] },
  { name: 'ip_allocations', columns: { subnet_id: 'text', ip_address: 'text', network_id: 'text', port_id: 'text' }, primary: ['subnet_id', 'ip_address'], indexes: [['port_id'], ['ip_address']] },
  { name: 'segment_allocations', columns: { network_type: 'text', physical_network: 'text', segmentation_id: 'integer', network_id: 'text' }, primary: ['network_type', 'physical_network', 'segmentation_id'], indexes: [['network_id']] },
  { name: 'host_numbers', columns: { host: 'text', kind: 'text', key: 'text', number: 'integer' }, primary: ['host', 'kind', 'key'], unique: [['host', 'kind', 'number']] },
  { name: 'port_security_groups', columns: { port_id: 'text', security_group_id: 'text' }, primary: ['port_id', 'security_group_id'], indexes: [['security_group_id']] },
  { name: 'address_associations', columns: { address_group_id: 'text', address: 'text' }, primary: ['address_group_id', 'address'] },
  { name: 'made_once', columns: { name: 'text' }, primary: ['name'] },
  { name: 'quotas', columns: { project_id: 'text', resource: 'text', hard_limit: 'integer' }, primary: ['project_id', 'resource'] },
  { name: 'role_assignments', columns: { user_id: 'text', target_type: 'text', target_id: 'text', role_id: 'text' }, primary: ['user_id', 'target_type', 'target_id', 'role_id'], indexes: [['target_id'], ['role_id']] },
  { name: 'identity_secrets', columns: { owner_id: 'text', secret_hash: 'text', generation: 'integer' }, primary: ['owner_id'] },
  { name: 'token_keys', columns: { id: 'text', secret: 'text', created_at: 'text' }, primary: ['id'] },
  { name: 'revoked_tokens', columns: { audit_id: 'text', expires_at: 'integer' }, primary: ['audit_id'], indexes: [['expires_at']] },
  { name: 'secrets', columns: { name: 'text', secret: 'text' }, primary: ['name'] },
  { name: 'network_dhcp_bindings', columns: { network_id: 'text', host: 'text', port_id: 'text' }, primary: ['network_id', 'host'], indexes: [['host'], ['port_id']] },
  { name: 'router_bindings', columns: { router_id: 'text', host: 'text' }, primary: ['router_id', 'host'], indexes: [['host']] },
];

/** Every table, in the order of creation. */
export function tables(): TableSpec[] {
  return [...SUPPORT.map((table) => ({ ...table, clustered: true })), ...RESOURCES.map(({ resource, unique, indexes }) => resourceTable(resource, { unique, indexes }))];
}

/** What a database has already: the columns of each table, and the names of all indexes. */
export interface PresentSchema {
  readonly columns: ReadonlyMap<string, ReadonlySet<string>>;
  readonly indexes: ReadonlySet<string>;
}

/** The SQL that brings a database which holds `present` to the schema; empty when it is there already. */
export function schemaStatements(present: PresentSchema, dialect: SchemaDialect): string[] {
  const statements: string[] = [];
  const type = (column: ColumnType) => (column === 'text' ? dialect.text : 'bigint');
  for (const table of tables()) {
    const known = present.columns.get(table.name);
    if (!known) {
      const columns = Object.entries(table.columns).map(([name, column]) => `"${name}" ${type(column)}${table.primary.includes(name) ? ' not null' : ''}`);
      statements.push(`create table "${table.name}" (${columns.join(', ')}, primary key (${quoted(table.primary)}))${table.clustered ? dialect.clustered : ''}`);
      for (const unique of table.unique ?? []) statements.push(`create unique index "${table.name}_${unique.join('_')}_key" on "${table.name}" (${quoted(unique)})`);
    }
    for (const [name, column] of Object.entries(table.columns)) {
      if (known && !known.has(name)) statements.push(`alter table "${table.name}" add column "${name}" ${type(column)}`);
    }
    for (const index of table.indexes ?? []) {
      const name = `${table.name}_${index.join('_')}_idx`;
      if (!present.indexes.has(name)) statements.push(`create index "${name}" on "${table.name}" (${quoted(index)})`);
    }
  }
  return [...statements, ...upgradeStatements(present, dialect)];
}

/** Runs `statements`, and names the store if it is new. */
export async function applySchema(db: Kysely<Database>, statements: readonly string[]): Promise<void> {
  for (const statement of statements) await sql.raw(statement).execute(db);
  const state = await db.selectFrom('feed_state').select('store_id').executeTakeFirst();
  if (!state) await db.insertInto('feed_state').values({ store_id: crypto.randomUUID(), last_seq: 0, purged_seq: 0 }).execute();
}

const quoted = (columns: readonly string[]): string => columns.map((column) => `"${column}"`).join(', ');
