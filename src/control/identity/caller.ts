/** The token of the request's sender, on every route that needs one. */
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { ApiError } from '#model/errors.ts';
import { requireToken } from '../http/frame.ts';
import type { TokenService } from './token-service.ts';
import type { ValidToken } from './valid-token.ts';

const callers = new WeakMap<FastifyRequest, ValidToken>();

/** All routes of `app` answer 401 without a valid X-Auth-Token. */
export function requireCaller(app: FastifyInstance, tokens: TokenService, base: string): void {
  app.addHook('preHandler', requireToken(tokens, base));
  app.addHook('preHandler', async (request) => {
    const valid = await tokens.validate(request.headers['x-auth-token'] as string);
    if (!valid) throw new ApiError('Unauthorized');
    callers.set(request, valid);
  });
}

/** Whose request this is; only below `requireCaller`. */
export function callerOf(request: FastifyRequest): ValidToken {
  const caller = callers.get(request);
  if (!caller) throw new Error('the route is not below requireCaller');
  return caller;
}
