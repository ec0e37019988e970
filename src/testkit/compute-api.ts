/** The Compute and Image APIs over a store with real Networking rules, spoken to without a socket. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { FastifyInstance } from 'fastify';
import type { ComputeHost } from '#control/compute/hosts.ts';
import { neutronCommands } from '#control/compute/neutron.ts';
import { computeService } from '#control/compute/service.ts';
import type { Context } from '#control/http/context.ts';
import { createFrame } from '#control/http/frame.ts';
import { jsonLog } from '#control/http/log.ts';
import { imageService } from '#control/image/service.ts';
import { loadConfig } from '#model/config.ts';
import type { Store } from '#store/store.ts';
import { insertAgent } from './network-rows.ts';

/** Tokens by name: two members, a reader of the first one's project, an admin, and one without a project. */
const PEOPLE: Record<string, Partial<Context>> = {
  admin: { project_id: 'admin', roles: ['admin'], is_admin: true },
  demo: { project_id: 'demo', roles: ['member'] },
  alt: { project_id: 'alt', roles: ['member'] },
  reader: { project_id: 'demo', roles: ['reader'], is_reader: true },
  unscoped: { project_id: null, roles: [] },
};

export interface ComputeAnswer {
  readonly status: number;
  readonly body: any;
  readonly headers: Record<string, unknown>;
}

export interface ComputeApi {
  readonly app: FastifyInstance;
  readonly store: Store;
  /** What the directory says; tests change it. */
  readonly hosts: ComputeHost[];
  readonly stateDir: string;
  /** `call('demo', 'GET', '/compute/v2.1/servers')`; a body that is text or bytes is sent as it is. */
  call(who: string, method: string, path: string, body?: unknown, headers?: Record<string, string>): Promise<ComputeAnswer>;
  /** As `call`, but throws when the status is not 2xx; answers the body. */
  ok(who: string, method: string, path: string, body?: unknown, headers?: Record<string, string>): Promise<any>;
  close(): Promise<void>;
}

/** With an Open vSwitch agent on each of `hostNames`, whose consoles say who they are; `yaml` is the settings file. */
export async function computeApi(store: Store, hostNames: readonly string[] = ['compute1', 'compute2'], yaml = ''): Promise<ComputeApi> {
  const config = loadConfig(yaml);
  const stateDir = mkdtempSync(join(tmpdir(), 'patchbay-compute-'));
  const hosts = hostNames.map((host): ComputeHost => ({ host, zone: 'nova', alive: true, updated_at: '2026-11-23T15:53:12Z', vcpus: 4, memory_mb: 8192, local_gb: 100, host_ip: '10.0.0.1' }));
  await store.write(async (tx) => {
    for (const host of hostNames) await insertAgent(tx, host);
  });
  const log = jsonLog('test', () => {});
  const authenticator = { authenticate: async (token: string) => (Object.hasOwn(PEOPLE, token) ? person(token) : undefined) };
  const publicEndpoint = 'http://cloud.test:8770';
  const images = imageService({ store, config, authenticator, publicEndpoint, log, stateDir });
  await images.bootstrap();
  const app = createFrame({
    log,
    services: [images, computeService({
      store, config, authenticator, publicEndpoint, log, network: neutronCommands(config), hosts: { hosts: async () => hosts },
      hostCalls: { consoleOutput: async (host, id, lines) => `${host} ${id} ${lines ?? 'all'}\n` },
    })],
  });
  const call: ComputeApi['call'] = async (who, method, path, body, headers = {}) => {
    const raw = typeof body === 'string' || Buffer.isBuffer(body);
    const response = await app.inject({
      method: method as 'GET', url: path, headers: { ...(who === '' ? {} : { 'x-auth-token': who }), 'content-type': 'application/json', ...headers },
      ...(body === undefined ? {} : { payload: raw ? body as string : JSON.stringify(body) }),
    });
    const json = String(response.headers['content-type']).startsWith('application/json');
    return { status: response.statusCode, body: response.payload === '' ? undefined : json ? JSON.parse(response.payload) : response.rawPayload, headers: response.headers };
  };
  return {
    app, store, hosts, stateDir, call,
    async ok(who, method, path, body, headers) {
      const answer = await call(who, method, path, body, headers);
      if (answer.status >= 400) throw new Error(`${method} ${path}: ${answer.status} ${JSON.stringify(answer.body)}`);
      return answer.body;
    },
    async close() {
      await app.close();
      rmSync(stateDir, { recursive: true, force: true });
    },
  };
}

function person(token: string): Omit<Context, 'request_id'> {
  return {
    user_id: `${token}-user`, user_name: token, project_name: token, project_domain_id: 'default', user_domain_id: 'default',
    project_id: null, roles: [], is_admin: false, is_reader: false, ...PEOPLE[token],
  };
}
