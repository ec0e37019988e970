/** Domains: a domain has to be disabled before it goes, and all that is in it goes with it. */
import { ApiError } from '#model/errors.ts';
import type { domain } from '#model/identity.ts';
import { type IdentityRule, refuseDuplicate } from './collection-routes.ts';
import { type Domain, domains, newId, projects, removeAssignments, users } from './identity-tables.ts';
import { removeProject } from './project-rule.ts';
import { removeUser } from './user-rule.ts';

export const domainRule: IdentityRule<typeof domain> = {
  table: domains,
  notFound: 'DomainNotFound',
  mayRead: (caller, found) => found.id === caller.user.domain_id || found.id === caller.domain?.id,
  async create(tx, _caller, given) {
    const made = { ...given, id: newId() } as Domain;
    await refuseDuplicate(tx, domains, { name: made.name });
    await domains.insert(tx, [made]);
    return made;
  },
  async update(tx, current, changes) {
    if (changes.name !== undefined) await refuseDuplicate(tx, domains, { name: changes.name }, current.id);
    return domains.update(tx, current, changes);
  },
  async delete(tx, current) {
    if (current.enabled) throw new ApiError('ForbiddenNotSecurity', { reason: 'Cannot delete a domain that is enabled, please disable it first.' });
    for (const user of await users.list(tx, { filters: { domain_id: [current.id] } })) await removeUser(tx, user);
    for (const project of await projects.list(tx, { filters: { domain_id: [current.id] } })) await removeProject(tx, project);
    await removeAssignments(tx, { target_id: current.id });
    await domains.delete(tx, current.id);
  },
};
