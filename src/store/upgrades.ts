/** What becomes of the data of an older schema. Each upgrade is recognised by what the database has, and happens once. */
import type { PresentSchema, SchemaDialect } from './schema.ts';

/** SQL that runs after tables and columns were added. */
export function upgradeStatements(present: PresentSchema, dialect: SchemaDialect): string[] {
  return present.columns.has('networks') && !present.columns.has('rbac_policies') ? attributesToPolicies(present, dialect) : [];
}

/** `shared` was a column; who may use an object stands in policies now, also what an external network is to whom. */
function attributesToPolicies(present: PresentSchema, { uuid }: SchemaDialect): string[] {
  const policies = (type: string, table: string, column: string, action: string) =>
    `insert into rbac_policies (id, project_id, object_type, object_id, action, target_project) select ${uuid}, project_id, '${type}', id, '${action}', '*' from ${table} where ${column} = 1`;
  const statements = [policies('network', 'networks', 'router_external', 'access_as_external')];
  for (const [type, table] of [['network', 'networks'], ['address_scope', 'address_scopes'], ['subnetpool', 'subnetpools']] as const) {
    if (present.columns.get(table)?.has('shared')) statements.push(policies(type, table, 'shared', 'access_as_shared'), `alter table ${table} drop column shared`);
  }
  return statements;
}
