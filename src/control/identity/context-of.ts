/** The context of a token from its user, project and roles. */
import type { Context } from '../http/context.ts';

interface Named {
  readonly id: string;
  readonly name: string;
  readonly domain_id: string | null;
}

export function contextOf(user: Named, project: Named | null, roles: readonly { readonly name: string }[]): Omit<Context, 'request_id'> {
  const names = roles.map((role) => role.name);
  const is_admin = names.includes('admin');
  return {
    user_id: user.id, user_name: user.name, user_domain_id: user.domain_id ?? '',
    project_id: project?.id ?? null, project_name: project?.name ?? null, project_domain_id: project?.domain_id ?? null,
    roles: names, is_admin, is_reader: names.includes('reader') && !names.includes('member') && !is_admin,
  };
}
