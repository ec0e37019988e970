/** The Identity service for tests: a cloud to call, on both engines. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { FastifyInstance } from 'fastify';
import { createFrame } from '#control/http/frame.ts';
import { jsonLog } from '#control/http/log.ts';
import type { Credentials } from '#control/identity/credentials-file.ts';
import { type Identity, identityService } from '#control/identity/identity-service.ts';
import { type Config, loadConfig } from '#model/config.ts';
import type { Store } from '#store/store.ts';
import { eachStore } from './stores.ts';

export const PUBLIC = 'http://cloud.example:8770';

/** One controller with the Identity service alone, and short ways to call it. */
export class Cloud {
  readonly app: FastifyInstance;
  readonly identity: Identity;
  readonly stateDir: string;
  readonly log: string[];

  constructor(store: Store, config: Config, stateDir = mkdtempSync(join(tmpdir(), 'patchbay-identity-')), log: string[] = []) {
    this.log = log;
    this.stateDir = stateDir;
    const lines = jsonLog('test', (line) => void log.push(line));
    this.identity = identityService({ store, config, stateDir, publicEndpoint: PUBLIC, log: lines });
    this.app = createFrame({ services: [this.identity.service], log: lines });
  }

  get credentials(): Credentials {
    return JSON.parse(readFileSync(join(this.stateDir, 'credentials.json'), 'utf8')) as Credentials;
  }

  async call(method: string, path: string, { token, body, headers }: { token?: string; body?: unknown; headers?: Record<string, string> } = {}) {
    const answer = await this.app.inject({
      method: method as 'GET', url: `/identity${path}`,
      headers: { ...(token === undefined ? {} : { 'x-auth-token': token }), ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...headers },
      ...(body === undefined ? {} : { payload: JSON.stringify(body) }),
    });
    return { status: answer.statusCode, headers: answer.headers, body: answer.body === '' ? undefined : answer.json() };
  }

  /** A scoped token by password. */
  async login(who: 'admin' | 'demo' | { name: string; password: string; project?: string }, scope?: unknown) {
    const credential = typeof who === 'string' ? this.credentials[who]! : { username: who.name, password: who.password, project_name: who.project };
    const project = credential.project_name === undefined ? undefined : { project: { name: credential.project_name, domain: { name: 'Default' } } };
    return this.auth({ methods: ['password'], password: { user: { name: credential.username, domain: { name: 'Default' }, password: credential.password } } }, scope ?? project);
  }

  async auth(identity: unknown, scope?: unknown) {
    const answer = await this.call('POST', '/v3/auth/tokens', { body: { auth: { identity, ...(scope === undefined ? {} : { scope }) } } });
    return { ...answer, token: String(answer.headers['x-subject-token'] ?? '') };
  }
}

/** The test `title` on a bootstrapped cloud with tokens of admin and demo, on both engines. */
export function eachCloud(title: string, run: (cloud: Cloud, store: Store, tokens: { admin: string; demo: string }, connection: string) => Promise<void>): void {
  eachStore(title, async (store, connection) => {
    const cloud = new Cloud(store, loadConfig(''));
    try {
      await cloud.identity.bootstrap();
      const [admin, demo] = [await cloud.login('admin'), await cloud.login('demo')];
      assert.deepEqual([admin.status, demo.status], [201, 201]);
      await run(cloud, store, { admin: admin.token, demo: demo.token }, connection);
    } finally {
      cloud.identity.close();
      rmSync(cloud.stateDir, { recursive: true, force: true });
    }
  });
}

const TITLE: Record<number, string> = { 400: 'Bad Request', 401: 'Unauthorized', 403: 'Forbidden', 404: 'Not Found', 409: 'Conflict' };

/** An error in Keystone's form. */
export function assertError(answer: { status: number; body: any }, status: number): void {
  assert.equal(answer.status, status, JSON.stringify(answer.body));
  assert.deepEqual(Object.keys(answer.body), ['error']);
  assert.deepEqual([answer.body.error.code, answer.body.error.title, typeof answer.body.error.message], [status, TITLE[status], 'string']);
}
