/** The Identity API's tables, and the reads that several of its parts need. */
import { applicationCredential, domain, project, role, user } from '#model/identity.ts';
import type { Held } from '#model/resource.ts';
import type { Reader, Tx } from '#store/store.ts';
import { Table } from '#store/table.ts';

export type Domain = Held<typeof domain>;
export type Project = Held<typeof project>;
export type User = Held<typeof user>;
export type Role = Held<typeof role>;
export type ApplicationCredential = Held<typeof applicationCredential>;

export const domains = new Table(domain);
export const projects = new Table(project);
export const users = new Table(user);
export const roles = new Table(role);
export const applicationCredentials = new Table(applicationCredential);

/** Roles that another one holds, by name; chains are followed. As `keystone-manage bootstrap` makes them. */
export const IMPLIED_ROLES: Readonly<Record<string, string>> = { admin: 'member', member: 'reader' };

/** Kinds of change after which a validated token may mean something else. */
export const TOKEN_KINDS: ReadonlySet<string> = new Set(['domains', 'projects', 'users', 'roles', 'application_credentials', 'role_assignments', 'identity_secrets', 'revoked_tokens', 'token_keys']);

/** An id as Keystone makes them: a UUID without dashes. */
export function newId(): string {
  return crypto.randomUUID().replaceAll('-', '');
}

/** What a role may be given on. */
export interface Target {
  readonly type: 'project' | 'domain';
  readonly id: string;
}

/** The roles of a user on a project or domain with those they imply, sorted by name; empty when there are none. */
export async function effectiveRoles(reader: Reader, userId: string, target: Target): Promise<Role[]> {
  const rows = await reader.db.selectFrom('role_assignments').select('role_id').where('user_id', '=', userId).where('target_type', '=', target.type).where('target_id', '=', target.id).execute();
  if (rows.length === 0) return [];
  return withImplied(await roles.list(reader), rows.map((row) => row.role_id));
}

/** The roles of these ids and those they imply. */
export function withImplied(all: readonly Role[], ids: readonly string[]): Role[] {
  const names = new Set<string>();
  for (const id of ids) {
    for (let name = all.find((role) => role.id === id)?.name; name !== undefined; name = IMPLIED_ROLES[name]) names.add(name);
  }
  return all.filter((role) => names.has(role.name)).sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** Makes all tokens of a user worthless; `secretHash` is also a new password. */
export async function nextGeneration(tx: Tx, userId: string, secretHash?: string): Promise<void> {
  await tx.db.updateTable('identity_secrets').set((e) => ({ generation: e('generation', '+', 1), ...(secretHash === undefined ? {} : { secret_hash: secretHash }) })).where('owner_id', '=', userId).execute();
  tx.record('identity_secrets', userId, 'update');
}

/** Deletes application credentials with their secrets. */
export async function deleteApplicationCredentials(tx: Tx, found: readonly ApplicationCredential[]): Promise<void> {
  for (const { id } of found) {
    await applicationCredentials.delete(tx, id);
    await tx.db.deleteFrom('identity_secrets').where('owner_id', '=', id).execute();
  }
}

/** Takes a role back; application credentials of the user there end with it, as in Keystone. False when it was not given. */
export async function removeAssignments(tx: Tx, match: { user_id?: string; target_id?: string; role_id?: string }): Promise<boolean> {
  const columns = Object.entries(match) as ['user_id' | 'target_id' | 'role_id', string][];
  let query = tx.db.deleteFrom('role_assignments');
  for (const [column, value] of columns) query = query.where(column, '=', value);
  const removed = await query.returning(['user_id', 'target_id']).execute();
  for (const { user_id, target_id } of removed) {
    tx.record('role_assignments', user_id, 'delete');
    await deleteApplicationCredentials(tx, await applicationCredentials.list(tx, { filters: { user_id: [user_id], project_id: [target_id] } }));
  }
  return removed.length > 0;
}
