/** The Networking API over a store, spoken to without a socket: for tests of its rules. */
import type { Context } from '#control/http/context.ts';
import { createFrame } from '#control/http/frame.ts';
import { jsonLog } from '#control/http/log.ts';
import type { CompiledCloud } from '#control/trace/trace-routes.ts';
import type { Rule } from '#control/network/rule.ts';
import { networkService } from '#control/network/service.ts';
import type { Config } from '#model/config.ts';
import type { Store } from '#store/store.ts';

/** Tokens that the API takes, by name: two projects, a reader of the first, and an admin of a third. */
const PEOPLE: Record<string, Partial<Context>> = {
  admin: { project_id: 'admin-project', roles: ['admin'], is_admin: true },
  demo: { project_id: 'demo-project', roles: ['member'] },
  alt: { project_id: 'alt-project', roles: ['member'] },
  reader: { project_id: 'demo-project', roles: ['reader'], is_reader: true },
  unscoped: { project_id: null, roles: [] },
};

export interface Answer {
  readonly status: number;
  readonly body: any;
  readonly headers: Record<string, unknown>;
}

export interface NetworkApi {
  /** `call('demo', 'POST', '/v2.0/networks', {network: {…}})`. A string body is sent as it is. */
  call(who: string, method: string, path: string, body?: unknown, headers?: Record<string, string>): Promise<Answer>;
  /** As `call`, but throws when the status is not 2xx; answers the body. */
  ok(who: string, method: string, path: string, body?: unknown): Promise<any>;
  /** Log lines so far. */
  readonly log: string[];
  close(): Promise<void>;
}

export function networkApi(store: Store, config: Config, rules: readonly Rule[], cloud?: CompiledCloud): NetworkApi {
  const log: string[] = [];
  const app = createFrame({
    services: [networkService({
      store, config, rules, publicEndpoint: 'http://cloud.test:8770', ...(cloud && { cloud }),
      authenticator: { authenticate: async (token) => (Object.hasOwn(PEOPLE, token) ? person(token) : undefined) },
    })],
    log: jsonLog('test', (line) => void log.push(line)),
  });
  const call: NetworkApi['call'] = async (who, method, path, body, headers = {}) => {
    const response = await app.inject({
      method: method as 'GET', url: `/network${path}`,
      headers: { ...(who === '' ? {} : { 'x-auth-token': who }), 'content-type': 'application/json', ...headers },
      ...(body === undefined ? {} : { payload: typeof body === 'string' ? body : JSON.stringify(body) }),
    });
    return { status: response.statusCode, body: response.payload === '' ? undefined : JSON.parse(response.payload), headers: response.headers };
  };
  return {
    call,
    log,
    async ok(who, method, path, body) {
      const answer = await call(who, method, path, body);
      if (answer.status >= 300) throw new Error(`${method} ${path}: ${answer.status} ${JSON.stringify(answer.body)}`);
      return answer.body;
    },
    close: () => app.close(),
  };
}

function person(token: string): Omit<Context, 'request_id'> {
  return {
    user_id: `${token}-user`, user_name: token, project_name: token, project_domain_id: 'default', user_domain_id: 'default',
    project_id: null, roles: [], is_admin: false, is_reader: false, ...PEOPLE[token],
  };
}
