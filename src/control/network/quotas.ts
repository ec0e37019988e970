/** Limits of each project (extensions quotas, quota_details). */
import type { Config } from '#model/config.ts';
import { ApiError } from '#model/errors.ts';
import type { Reader, Tx } from '#store/store.ts';

/** Counted resources with their tables; the default limit is the setting `quota_<resource>`. */
const TABLES = {
  network: 'networks',
  subnet: 'subnets',
  subnetpool: 'subnetpools',
  port: 'ports',
  security_group: 'security_groups',
  security_group_rule: 'security_group_rules',
  router: 'routers',
  floatingip: 'floatingips',
  rbac_policy: 'rbac_policies',
} as const;

export type QuotaResource = keyof typeof TABLES;
export const QUOTA_RESOURCES = Object.keys(TABLES) as QuotaResource[];

/** -1: no limit. */
export type Limits = Record<QuotaResource, number>;

export function defaultLimits(config: Config): Limits {
  return Object.fromEntries(QUOTA_RESOURCES.map((resource) => [resource, config[`quota_${resource}`]])) as Limits;
}

/** The limits of one project: its own where set, else the defaults. */
export async function projectLimits(reader: Reader, config: Config, project: string): Promise<Limits> {
  const rows = await reader.db.selectFrom('quotas').select(['resource', 'hard_limit']).where('project_id', '=', project).execute();
  return withDefaults(config, rows);
}

/** The limits of every project that has its own. */
export async function allLimits(reader: Reader, config: Config): Promise<Map<string, Limits>> {
  const rows = await reader.db.selectFrom('quotas').selectAll().orderBy('project_id').execute();
  return new Map(Map.groupBy(rows, (row) => row.project_id).entries().map(([project, own]) => [project, withDefaults(config, own)]));
}

/** How many of `resource` the project has. */
export async function usage(reader: Reader, project: string, resource: QuotaResource): Promise<number> {
  const table = TABLES[resource];
  if (table === undefined) return 0;
  const row = await reader.db.selectFrom(table).select((e) => e.fn.countAll<number>().as('n')).where('project_id', '=', project).executeTakeFirstOrThrow();
  return Number(row['n']);
}

/**
 * Refuses `count` more of `resource` beyond the project's limit. Creates of one project wait for each other from here
 * to the end of the transaction, so that two at once cannot both take the last place. Throws ApiError OverQuota.
 */
export async function checkQuota(tx: Tx, config: Config, project: string, resource: QuotaResource, count: number): Promise<void> {
  const own = await tx.db.selectFrom('quotas').select('hard_limit').where('project_id', '=', project).where('resource', '=', resource).executeTakeFirst();
  const limit = own?.hard_limit ?? config[`quota_${resource}`];
  if (limit < 0) return;
  await tx.lock(`quota:${project}`);
  if ((await usage(tx, project, resource)) + count > limit) throw new ApiError('OverQuota', { overs: `['${resource}']` });
}

function withDefaults(config: Config, rows: readonly { resource: string; hard_limit: number }[]): Limits {
  const limits = defaultLimits(config);
  for (const { resource, hard_limit } of rows) if (resource in limits) limits[resource as QuotaResource] = hard_limit;
  return limits;
}
