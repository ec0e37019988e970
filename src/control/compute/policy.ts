/** Who may do what in Compute: admins all, members their own project's, readers look only. */
import { ApiError } from '#model/errors.ts';
import type { Context } from '../http/context.ts';

/** Throws 403 unless the token may write in its project; `policy` is Nova's name of the rule (`servers:create`). */
export function mayWrite(context: Context, policy: string): void {
  if (context.is_reader || (!context.is_admin && !context.roles.includes('member'))) throw new ApiError('PolicyForbids', { policy: `os_compute_api:${policy}` });
}

/** Throws 403 for everybody but admins. */
export function mustBeAdmin(context: Context, policy: string): void {
  if (!context.is_admin) throw new ApiError('PolicyForbids', { policy: `os_compute_api:${policy}` });
}

/** The project that something is made in; 403 for a token without one. */
export function projectOf(context: Context, policy: string): string {
  if (context.project_id === null) throw new ApiError('PolicyForbids', { policy: `os_compute_api:${policy}` });
  return context.project_id;
}

/** Whether the token may see what belongs to `project`. */
export function sees(context: Context, project: string): boolean {
  return context.is_admin || context.project_id === project;
}
