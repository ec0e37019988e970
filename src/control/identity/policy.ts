/** Who may do what: admins all, everybody what concerns the own user. */
import { ApiError } from '#model/errors.ts';
import type { ValidToken } from './valid-token.ts';

/** Throws ForbiddenAction unless the caller has the role admin; `action` as Keystone's policy names it: `identity:create_user`. */
export function requireAdmin(caller: ValidToken, action: string): void {
  if (!caller.context.is_admin) throw new ApiError('ForbiddenAction', { action });
}

/** Throws ForbiddenAction unless the caller is this user or an admin. */
export function requireSelfOrAdmin(caller: ValidToken, userId: string, action: string): void {
  if (caller.user.id !== userId) requireAdmin(caller, action);
}
