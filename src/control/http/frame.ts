/**
 * The HTTP frame that all services share: request ids, bodies, tokens, error envelopes. Fastify's own manners differ
 * from OpenStack's in many small ways (reference/node.md); every difference is settled here and nowhere else.
 */
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify';
import { ApiError } from '#model/errors.ts';
import type { Authenticator, Context } from './context.ts';
import type { Log } from './log.ts';
import { RequestMetrics } from './metrics.ts';

declare module 'fastify' {
  interface FastifyRequest {
    /** Set by `requireToken`. */
    context: Context;
    /** `req-…`, also the answer's X-Openstack-Request-Id. */
    requestId: string;
  }
}

/** One of the APIs behind the listener. */
export interface Service {
  /** `/network`: the path below which it lives. */
  readonly prefix: string;
  /** The service's own form of an error: `{"NeutronError": {…}}`. */
  readonly envelope: (error: ApiError) => unknown;
  /** Adds the routes, relative to the prefix. */
  readonly routes: (app: FastifyInstance) => void;
  /** Bytes; 10 MB bodies are for images only. */
  readonly bodyLimit?: number;
}

export interface FrameOptions {
  readonly services: readonly Service[];
  readonly log: Log;
  /** Lines of `/metrics` beside those of the requests. */
  readonly metrics?: () => string[];
  /** How long a body may take that is read as a whole; the data of an image streams and takes its time. */
  readonly bodySeconds?: number;
}

const BODY_LIMIT = 1024 * 1024;
const BODY_SECONDS = 60;

/** The application with all services mounted, not yet listening. */
export function createFrame({ services, log, metrics = () => [], bodySeconds = BODY_SECONDS }: FrameOptions): FastifyInstance {
  const app = Fastify({
    logger: false,
    bodyLimit: BODY_LIMIT,
    routerOptions: { ignoreTrailingSlash: true, maxParamLength: 300 },
    // Long filters (id=a&id=b…) are normal for these clients.
    http: { maxHeaderSize: 64 * 1024 },
    // An image may take long, other bodies have their own limit; who sends no headers is cut off by Node after a minute.
    requestTimeout: 3_600_000,
    forceCloseConnections: true,
    // Bodies are checked by the kinds of their attributes and printed by JSON.stringify: what compiles schemas need not be loaded.
    schemaController: { compilersFactory: { buildValidator: noSchemas, buildSerializer: noSchemas } },
  });
  app.decorateRequest('requestId', '');
  app.addHook('onRequest', async (request, reply) => {
    request.requestId = `req-${crypto.randomUUID()}`;
    void reply.header('x-openstack-request-id', request.requestId);
  });
  const requests = new RequestMetrics();
  app.get('/metrics', async (_request, reply) => reply.type('text/plain; version=0.0.4').send(`${[...requests.lines(), ...metrics()].join('\n')}\n`));
  app.addHook('onResponse', async (request, reply) => {
    requests.observe(request.url, request.method, reply.statusCode, reply.elapsedTime / 1000);
    log.info('request', {
      request_id: request.requestId, method: request.method, path: request.url.split('?')[0], status: reply.statusCode,
      ms: Math.round(reply.elapsedTime * 10) / 10, ...(request.context ? { project_id: request.context.project_id } : {}),
    });
  });
  acceptJson(app);
  for (const service of services) {
    void app.register(async (scope) => {
      if (service.bodyLimit) scope.addHook('onRoute', (route) => void (route.bodyLimit ??= service.bodyLimit));
      limitBodies(scope, bodySeconds);
      answerErrors(scope, service.envelope, log);
      service.routes(scope);
    }, { prefix: service.prefix });
  }
  answerErrors(app, (error) => ({ error: { code: error.status, title: error.type, message: error.message } }), log);
  return app;
}

/** A preHandler that sets `request.context` or answers 401 as Keystone's middleware does. */
export function requireToken(authenticator: Authenticator, authUrl: string) {
  return async (request: FastifyRequest, reply: FastifyReply): Promise<void> => {
    const token = request.headers['x-auth-token'];
    const known = typeof token === 'string' ? await authenticator.authenticate(token) : undefined;
    if (!known) {
      void reply.header('www-authenticate', `Keystone uri="${authUrl}"`);
      throw new ApiError('Unauthorized');
    }
    request.context = { ...known, request_id: request.requestId };
  };
}

function noSchemas(): never {
  throw new Error('a route has a schema, and nothing here compiles it');
}

/** JSON whatever the content type says, and an empty body (DELETE with a JSON content type) is no error. */
function acceptJson(app: FastifyInstance): void {
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('*', { parseAs: 'string' }, (_request, body, done) => {
    if (body === '') return done(null, undefined);
    try {
      const value: unknown = JSON.parse(body as string);
      done(null, value);
    } catch {
      done(new ApiError('HTTPBadRequest', { reason: 'The request body is not valid JSON' }));
    }
  });
}

/** A body that drips in costs a connection for as long as it lasts: it has an end, whatever the client says. */
function limitBodies(app: FastifyInstance, seconds: number): void {
  const timers = new WeakMap<FastifyRequest, NodeJS.Timeout>();
  app.addHook('onRequest', async (request) => {
    if (request.headers['content-length'] === undefined && request.headers['transfer-encoding'] === undefined) return;
    const timer = setTimeout(() => request.raw.destroy(), seconds * 1000).unref();
    timers.set(request, timer);
    request.raw.once('close', () => clearTimeout(timer));
  });
  // The body has been read, or goes on to whoever takes it as a stream.
  app.addHook('preValidation', async (request) => clearTimeout(timers.get(request)));
}

function answerErrors(app: FastifyInstance, envelope: Service['envelope'], log: Log): void {
  app.setErrorHandler(async (error, request, reply) => {
    const known = error instanceof ApiError ? error : fromFramework(error as { statusCode?: number; message: string });
    if (!known) log.error('request failed', { request_id: request.requestId, method: request.method, path: request.url.split('?')[0], error: String((error as Error).stack ?? error) });
    const answer = known ?? new ApiError('HTTPInternalServerError', { request_id: request.requestId });
    return reply.code(answer.status).type('application/json').send(answer.type === 'Unauthorized'
      ? { error: { code: 401, title: 'Unauthorized', message: answer.message } }
      : envelope(answer));
  });
  app.setNotFoundHandler(async (_request, reply) => reply.code(404).send(envelope(new ApiError('HTTPNotFound'))));
}

/** What Fastify itself refuses, in our registry's terms. */
function fromFramework(error: { statusCode?: number; message: string }): ApiError | undefined {
  switch (error.statusCode) {
    case 413: return new ApiError('HTTPRequestEntityTooLarge', { limit: BODY_LIMIT });
    case 414: return new ApiError('HTTPRequestURITooLong');
    case 415: return new ApiError('HTTPUnsupportedMediaType', { type: 'of this body' });
    case 400: return new ApiError('HTTPBadRequest', { reason: error.message });
    default: return undefined;
  }
}
