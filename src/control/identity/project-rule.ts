/** Projects: unique by name in their domain, optionally below another project of it. */
import { ApiError } from '#model/errors.ts';
import type { project } from '#model/identity.ts';
import type { Tx } from '#store/store.ts';
import { type IdentityRule, refuseDuplicate } from './collection-routes.ts';
import { applicationCredentials, deleteApplicationCredentials, domains, newId, type Project, projects, removeAssignments } from './identity-tables.ts';
import { invalid } from './resource-wire.ts';
import type { ValidToken } from './valid-token.ts';

export const projectRule: IdentityRule<typeof project> = {
  table: projects,
  notFound: 'ProjectNotFound',
  mayRead: (caller, found) => found.id === caller.project?.id,
  async create(tx, caller, given) {
    const { is_domain, ...extra } = given.extra ?? {};
    if (is_domain) throw invalid('is_domain', 'projects that act as domains are not supported; create a domain');
    const domain_id = await homeDomain(tx, caller, given.domain_id);
    const parent_id = given.parent_id ?? domain_id;
    if (parent_id !== domain_id && (await projects.get(tx, parent_id))?.domain_id !== domain_id) throw new ApiError('ProjectNotFound', { id: parent_id });
    const made = { ...given, id: newId(), domain_id, parent_id, extra } as Project;
    await refuseDuplicate(tx, projects, { domain_id, name: made.name });
    await projects.insert(tx, [made]);
    return made;
  },
  async update(tx, current, changes) {
    if (changes.name !== undefined) await refuseDuplicate(tx, projects, { domain_id: current.domain_id, name: changes.name }, current.id);
    return projects.update(tx, current, changes);
  },
  async delete(tx, current) {
    const [child] = await projects.list(tx, { filters: { parent_id: [current.id] }, limit: 1 });
    if (child) throw new ApiError('ForbiddenNotSecurity', { reason: `Cannot delete project ${current.id} since it is not a leaf in the hierarchy.` });
    await removeProject(tx, current);
  },
};

/** Deletes the project with the roles and application credentials on it. */
export async function removeProject(tx: Tx, project: Project): Promise<void> {
  await removeAssignments(tx, { target_id: project.id });
  await deleteApplicationCredentials(tx, await applicationCredentials.list(tx, { filters: { project_id: [project.id] } }));
  await projects.delete(tx, project.id);
}

/** The domain that a new object belongs to: the one given, else that of the caller's scope. Throws DomainNotFound. */
export async function homeDomain(tx: Tx, caller: ValidToken, given: string | null | undefined): Promise<string> {
  const id = given ?? caller.domain?.id ?? caller.user.domain_id;
  if (id === null || !(await domains.get(tx, id))) throw new ApiError('DomainNotFound', { id });
  return id;
}
