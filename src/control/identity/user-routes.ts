/** What a user may do about itself: see its projects, change its password. */
import type { FastifyInstance } from 'fastify';
import { ApiError } from '#model/errors.ts';
import { project as projectResource } from '#model/identity.ts';
import { callerOf } from './caller.ts';
import type { IdentityDeps } from './identity-deps.ts';
import { nextGeneration } from './identity-tables.ts';
import { requireSelfOrAdmin } from './policy.ts';
import { envelope, invalid, show } from './resource-wire.ts';
import { projectsOf } from './token-routes.ts';
import { listLinks } from './wire.ts';

interface UserParams {
  user: string;
}

/** The password itself is the proof, so this route needs no token. */
export function passwordChangeRoute(app: FastifyInstance, { store, tokens, passwords }: IdentityDeps): void {
  app.post<{ Params: UserParams }>('/v3/users/:user/password', async (request, reply) => {
    const { password, original_password } = envelope('user', request.body);
    for (const [field, value] of Object.entries({ password, original_password })) {
      if (typeof value !== 'string' || value === '' || value.length > 4096) throw invalid(field, 'it has to be a text of 1 to 4096 characters');
    }
    const id = request.params.user;
    const secret = await store.reader.db.selectFrom('identity_secrets').innerJoin('users', 'users.id', 'identity_secrets.owner_id').select(['secret_hash', 'generation', 'enabled']).where('owner_id', '=', id).executeTakeFirst();
    if (!(await passwords.verify(original_password as string, secret?.secret_hash)) || !secret?.['enabled']) throw new ApiError('Unauthorized');
    const hash = await passwords.hash(password as string);
    await tokens.write(async (tx) => {
      const now = await tx.db.selectFrom('identity_secrets').select('generation').where('owner_id', '=', id).executeTakeFirst();
      // Changed by somebody else while we hashed: what was proved is proved no more.
      if (now?.generation !== secret.generation) throw new ApiError('Unauthorized');
      await nextGeneration(tx, id, hash);
    }, request.requestId);
    return reply.code(204).send();
  });
}

export function userRoutes(app: FastifyInstance, { store, base }: IdentityDeps): void {
  app.get<{ Params: UserParams }>('/v3/users/:user/projects', async (request) => {
    const { user } = request.params;
    requireSelfOrAdmin(callerOf(request), user, 'identity:list_user_projects');
    return { projects: (await projectsOf(store, user)).map((project) => show(projectResource, project, base)), links: listLinks(base, `/users/${user}/projects`) };
  });
}
