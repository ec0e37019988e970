/** Roles: names that policies speak of, the same for all domains. */
import type { role } from '#model/identity.ts';
import { type IdentityRule, refuseDuplicate } from './collection-routes.ts';
import { newId, removeAssignments, type Role, roles } from './identity-tables.ts';
import { invalid } from './resource-wire.ts';

export const roleRule: IdentityRule<typeof role> = {
  table: roles,
  notFound: 'RoleNotFound',
  async create(tx, _caller, given) {
    const { domain_id, ...extra } = given.extra ?? {};
    if (domain_id != null) throw invalid('domain_id', 'roles of one domain are not supported');
    const made = { ...given, id: newId(), extra } as Role;
    await refuseDuplicate(tx, roles, { name: made.name });
    await roles.insert(tx, [made]);
    return made;
  },
  async update(tx, current, changes) {
    if (changes.name !== undefined) await refuseDuplicate(tx, roles, { name: changes.name }, current.id);
    return roles.update(tx, current, changes);
  },
  async delete(tx, current) {
    await removeAssignments(tx, { role_id: current.id });
    await roles.delete(tx, current.id);
  },
};
