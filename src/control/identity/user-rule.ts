/** Users: unique by name in their domain; a new password or being disabled ends all their tokens. */
import type { user } from '#model/identity.ts';
import type { Tx } from '#store/store.ts';
import { type IdentityRule, refuseDuplicate } from './collection-routes.ts';
import { applicationCredentials, deleteApplicationCredentials, newId, nextGeneration, removeAssignments, type User, users } from './identity-tables.ts';
import { homeDomain } from './project-rule.ts';

export const userRule: IdentityRule<typeof user> = {
  table: users,
  notFound: 'UserNotFound',
  takesPassword: true,
  mayRead: (caller, found) => found.id === caller.user.id,
  async create(tx, caller, given, passwordHash) {
    const made = { ...given, id: newId(), domain_id: await homeDomain(tx, caller, given.domain_id) } as User;
    await refuseDuplicate(tx, users, { domain_id: made.domain_id, name: made.name });
    await insertUser(tx, made, passwordHash);
    return made;
  },
  async update(tx, current, changes, passwordHash) {
    if (changes.name !== undefined) await refuseDuplicate(tx, users, { domain_id: current.domain_id, name: changes.name }, current.id);
    if (passwordHash !== undefined || (changes.enabled === false && current.enabled)) await nextGeneration(tx, current.id, passwordHash);
    return Object.keys(changes).length > 0 ? users.update(tx, current, changes) : current;
  },
  async delete(tx, current) {
    await removeUser(tx, current);
  },
};

/** Inserts a user and the row of its secret; without a hash it has no password. */
export async function insertUser(tx: Tx, user: User, passwordHash: string | undefined): Promise<void> {
  await users.insert(tx, [user]);
  await tx.db.insertInto('identity_secrets').values({ owner_id: user.id, secret_hash: passwordHash ?? null, generation: 1 }).execute();
}

/** Deletes the user with its roles, application credentials and password. */
export async function removeUser(tx: Tx, user: User): Promise<void> {
  await removeAssignments(tx, { user_id: user.id });
  await deleteApplicationCredentials(tx, await applicationCredentials.list(tx, { filters: { user_id: [user.id] } }));
  await tx.db.deleteFrom('identity_secrets').where('owner_id', '=', user.id).execute();
  await users.delete(tx, user.id);
}
