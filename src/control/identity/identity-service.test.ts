import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { FastifyInstance } from 'fastify';
import { type Config, loadConfig } from '#model/config.ts';
import { openStore } from '#store/open.ts';
import type { Store } from '#store/store.ts';
import { eachStore } from '#testkit/stores.ts';
import { createFrame } from '../http/frame.ts';
import { jsonLog } from '../http/log.ts';
import type { Credentials } from './credentials-file.ts';
import { type Identity, identityService } from './identity-service.ts';

const PUBLIC = 'http://cloud.example:8770';

/** One controller with the Identity service alone, and short ways to call it. */
class Cloud {
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

function eachCloud(title: string, run: (cloud: Cloud, store: Store, tokens: { admin: string; demo: string }, connection: string) => Promise<void>): void {
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

function assertError(answer: { status: number; body: any }, status: number): void {
  assert.equal(answer.status, status, JSON.stringify(answer.body));
  assert.deepEqual(Object.keys(answer.body), ['error']);
  assert.deepEqual([answer.body.error.code, answer.body.error.title, typeof answer.body.error.message], [status, TITLE[status], 'string']);
}

eachCloud('G1: version documents are open to all and ignore the Host header', async (cloud) => {
  const root = await cloud.call('GET', '', { headers: { host: 'evil.example' } });
  assert.equal(root.status, 300);
  assert.equal(root.body.versions.values[0].id, 'v3.14');
  assert.deepEqual(root.body.versions.values[0].links, [{ rel: 'self', href: `${PUBLIC}/identity/v3/` }]);
  for (const path of ['/v3', '/v3/']) assert.equal((await cloud.call('GET', path)).body.version.status, 'stable');
});

eachCloud('G1: a password gives a project-scoped token with roles and the catalog', async (cloud) => {
  const { body } = await cloud.login('admin');
  assert.deepEqual(body.token.methods, ['password']);
  assert.deepEqual([body.token.user.name, body.token.user.domain], ['admin', { id: 'default', name: 'Default' }]);
  assert.deepEqual([body.token.project.name, body.token.project.domain.id], ['admin', 'default']);
  assert.deepEqual(body.token.roles.map((role: any) => role.name), ['admin', 'member', 'reader']);
  assert.match(body.token.expires_at, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.000000Z$/);
  assert.equal((Date.parse(body.token.expires_at) - Date.parse(body.token.issued_at)) / 1000, 86_400);
  const urls = Object.fromEntries(body.token.catalog.map((service: any) => [service.type, service.endpoints.map((endpoint: any) => endpoint.url)[0]]));
  assert.deepEqual(urls, { identity: `${PUBLIC}/identity`, network: `${PUBLIC}/network`, compute: `${PUBLIC}/compute/v2.1`, image: `${PUBLIC}/image` });
  for (const { endpoints } of body.token.catalog) assert.deepEqual(endpoints.map((endpoint: any) => [endpoint.interface, endpoint.region]), [['public', 'RegionOne'], ['internal', 'RegionOne'], ['admin', 'RegionOne']]);
});

eachCloud('G1: unscoped, rescoped, default project, domain scope', async (cloud, _store, { admin }) => {
  const { username, password } = cloud.credentials.demo!;
  const unscoped = await cloud.login({ name: username, password });
  assert.equal(unscoped.status, 201);
  assert.deepEqual([unscoped.body.token.project, unscoped.body.token.roles, unscoped.body.token.catalog], [undefined, undefined, undefined]);
  assert.deepEqual((await cloud.identity.authenticator.authenticate(unscoped.token))?.project_id, null);
  const mine = await cloud.call('GET', '/v3/auth/projects', { token: unscoped.token });
  assert.deepEqual(mine.body.projects.map((project: any) => project.name), ['demo']);

  const scoped = await cloud.auth({ methods: ['token'], token: { id: unscoped.token } }, { project: { id: mine.body.projects[0].id } });
  assert.equal(scoped.status, 201);
  assert.deepEqual(scoped.body.token.methods, ['token', 'password']);
  assert.equal(scoped.body.token.expires_at, unscoped.body.token.expires_at);
  assert.equal(scoped.body.token.audit_ids[1], unscoped.body.token.audit_ids[0]);

  const user = scoped.body.token.user.id;
  assert.equal((await cloud.call('PATCH', `/v3/users/${user}`, { token: admin, body: { user: { default_project_id: mine.body.projects[0].id } } })).status, 200);
  assert.equal((await cloud.login({ name: username, password })).body.token.project.name, 'demo');
  assert.equal((await cloud.login({ name: username, password }, 'unscoped')).body.token.project, undefined);

  const domain = { domain: { id: 'default' } };
  assertError(await cloud.login({ name: username, password }, domain), 401);
  const [member] = (await cloud.call('GET', '/v3/roles?name=member', { token: admin })).body.roles;
  assert.equal((await cloud.call('PUT', `/v3/domains/default/users/${user}/roles/${member.id}`, { token: admin })).status, 204);
  assert.deepEqual((await cloud.login({ name: username, password }, domain)).body.token.domain, { id: 'default', name: 'Default' });
  assertError(await cloud.login({ name: username, password }, { system: { all: true } }), 401);
});

eachCloud('a wrong password, unknown user, foreign project and malformed bodies are refused alike', async (cloud, store) => {
  const { password } = cloud.credentials.demo!;
  const before = (await store.feed.head()).seq;
  const refused = [
    await cloud.login({ name: 'demo', password: 'wrong', project: 'demo' }),
    await cloud.login({ name: 'nobody', password, project: 'demo' }),
    await cloud.login({ name: 'demo', password, project: 'admin' }),
    await cloud.login({ name: 'demo', password, project: 'nowhere' }),
    await cloud.auth({ methods: ['saml2'], saml2: {} }),
    await cloud.auth({ methods: ['token'], token: { id: 'gAAAAAB' } }),
  ];
  for (const answer of refused) assertError(answer, 401);
  assert.equal(new Set(refused.map((answer) => answer.body.error.message)).size, 1);
  for (const body of [undefined, {}, { auth: {} }, { auth: { identity: { methods: [] } } }, { auth: { identity: { methods: ['password'], password: { user: { name: 'demo' } } } } }, { auth: { identity: { methods: ['password'], password: { user: { id: 'a\0b', password: 'x' } } } } }]) {
    assertError(await cloud.call('POST', '/v3/auth/tokens', { body }), 400);
  }
  assert.equal((await store.feed.head()).seq, before);
});

eachCloud('a forged, altered, foreign or expired token is worth nothing', async (cloud, store, { demo }) => {
  const [key, claims, signature] = demo.split('.') as [string, string, string];
  const admin = Buffer.from(JSON.stringify({ ...JSON.parse(Buffer.from(claims, 'base64url').toString()), user_id: 'admin' })).toString('base64url');
  const altered = signature.slice(0, -1) + (signature.endsWith('A') ? 'B' : 'A');
  for (const token of ['', 'x', '..', `${key}.${admin}.${signature}`, `${key}.${claims}.${altered}`, `${key}.${claims}.`, `${key}.${claims}`, `${demo}=`, 'a'.repeat(10_000)]) {
    assert.equal(await cloud.identity.authenticator.authenticate(token), undefined, token.slice(0, 80));
    assertError(await cloud.call('GET', '/v3/auth/projects', { token }), 401);
    assertError(await cloud.call('GET', '/v3/auth/tokens', { token: demo, headers: { 'x-subject-token': token } }), 404);
  }
  assertError(await cloud.call('GET', '/v3/auth/projects'), 401);

  const short = new Cloud(store, { ...loadConfig(''), token_expiration: 1 }, cloud.stateDir);
  const { token, body } = await short.login('demo');
  assert.ok(await short.identity.authenticator.authenticate(token));
  while (Date.now() <= Date.parse(body.token.expires_at)) await new Promise((resume) => setTimeout(resume, 50));
  assert.equal(await short.identity.authenticator.authenticate(token), undefined);
  assert.equal(await cloud.identity.authenticator.authenticate(token), undefined);
  short.identity.close();
});

eachCloud('another controller of the same store knows the token, and its revocation', async (cloud, _store, { demo }, connection) => {
  const otherStore = await openStore(connection);
  const other = new Cloud(otherStore, loadConfig(''), cloud.stateDir);
  await other.identity.bootstrap();
  assert.equal((await other.identity.authenticator.authenticate(demo))?.project_name, 'demo');
  assert.equal((await cloud.call('DELETE', '/v3/auth/tokens', { token: demo, headers: { 'x-subject-token': demo } })).status, 204);
  assert.equal(await cloud.identity.authenticator.authenticate(demo), undefined);
  for (let tries = 0; (await other.identity.authenticator.authenticate(demo)) && tries < 100; tries++) await new Promise((resume) => setTimeout(resume, 50));
  assert.equal(await other.identity.authenticator.authenticate(demo), undefined);
  other.identity.close();
  await otherStore.close();
});

eachCloud('tokens end with their revocation, a new password, a disabled user or project, a lost role', async (cloud, _store, { admin }) => {
  const alive = async (token: string) => (await cloud.identity.authenticator.authenticate(token)) !== undefined;
  const { password } = cloud.credentials.demo!;
  const fresh = async () => (await cloud.login('demo')).token;
  const token = await fresh();
  const { id: user } = (await cloud.call('GET', '/v3/users?name=demo', { token: admin })).body.users[0];
  const { id: project } = (await cloud.call('GET', '/v3/projects?name=demo', { token: admin })).body.projects[0];
  const { id: member } = (await cloud.call('GET', '/v3/roles?name=member', { token: admin })).body.roles[0];

  await cloud.call('PATCH', `/v3/projects/${project}`, { token: admin, body: { project: { enabled: false } } });
  assert.equal(await alive(token), false);
  assertError(await cloud.login('demo'), 401);
  await cloud.call('PATCH', `/v3/projects/${project}`, { token: admin, body: { project: { enabled: true } } });

  const second = await fresh();
  await cloud.call('PATCH', `/v3/users/${user}`, { token: admin, body: { user: { enabled: false } } });
  assert.equal(await alive(second), false);
  assertError(await cloud.login('demo'), 401);
  await cloud.call('PATCH', `/v3/users/${user}`, { token: admin, body: { user: { enabled: true } } });
  assert.equal(await alive(second), false, 'being enabled again does not bring tokens back');

  const third = await fresh();
  const grant = `/v3/projects/${project}/users/${user}/roles/${member}`;
  assert.equal((await cloud.call('DELETE', grant, { token: admin })).status, 204);
  assert.equal(await alive(third), false);
  assertError(await cloud.call('DELETE', grant, { token: admin }), 404);
  assertError(await cloud.call('HEAD', grant, { token: admin }).then((answer) => ({ ...answer, body: { error: { code: 404, title: 'Not Found', message: '' } } })), 404);
  assert.equal((await cloud.call('PUT', grant, { token: admin })).status, 204);
  assert.equal((await cloud.call('HEAD', grant, { token: admin })).status, 204);

  const fourth = await fresh();
  const change = (original_password: string) => cloud.call('POST', `/v3/users/${user}/password`, { token: fourth, body: { user: { original_password, password: 'n3w' } } });
  assertError(await change('wrong'), 401);
  assert.equal(await alive(fourth), true);
  assert.equal((await change(password)).status, 204);
  assert.equal(await alive(fourth), false);
  assertError(await cloud.login('demo'), 401);
  const fifth = (await cloud.login({ name: 'demo', password: 'n3w', project: 'demo' })).token;
  assert.equal(await alive(fifth), true);

  assert.equal((await cloud.call('DELETE', `/v3/users/${user}`, { token: admin })).status, 204);
  assert.equal(await alive(fifth), false);
  assertError(await cloud.login({ name: 'demo', password: 'n3w', project: 'demo' }), 401);
});

eachCloud('OSSA-2026-001: identity headers from outside give nothing', async (cloud, _store, { demo }) => {
  const forged = { 'x-user-id': 'admin', 'x-roles': 'admin', 'x-is-admin-project': 'True', 'x-identity-status': 'Confirmed', 'x-project-id': 'x' };
  assertError(await cloud.call('GET', '/v3/users', { headers: forged }), 401);
  assertError(await cloud.call('GET', '/v3/users', { token: demo, headers: forged }), 403);
});

eachCloud('OSSA-2025-002: there is no ec2tokens and no s3tokens', async (cloud, _store, { admin }) => {
  for (const path of ['/v3/ec2tokens', '/v3/s3tokens', '/v2.0/ec2tokens']) assertError(await cloud.call('POST', path, { token: admin, body: { credentials: {} } }), 404);
});

eachCloud('OSSA-2026-005: a restricted application credential makes no credentials and reaches no other project', async (cloud, _store, { admin, demo }) => {
  const user = (await cloud.identity.authenticator.authenticate(demo))!.user_id;
  const path = `/v3/users/${user}/application_credentials`;
  const create = (token: string, fields: object) => cloud.call('POST', path, { token, body: { application_credential: fields } });
  const made = await create(demo, { name: 'ci', roles: [{ name: 'reader' }] });
  assert.equal(made.status, 201);
  const { id, secret } = made.body.application_credential;
  assert.deepEqual(made.body.application_credential.roles.map((role: any) => role.name), ['reader']);
  assert.equal((await cloud.call('GET', `${path}/${id}`, { token: demo })).body.application_credential.secret, undefined);
  assertError(await create(demo, { name: 'ci' }), 409);
  assertError(await create(demo, { name: 'more', roles: [{ name: 'admin' }] }), 400);
  assertError(await create(demo, { name: 'past', expires_at: '2020-01-01T00:00:00' }), 400);
  assertError(await create(demo, { name: 'rules', access_rules: [{ path: '/v2.0/networks', method: 'GET', service: 'network' }] }), 400);
  assertError(await create(admin, { name: 'for somebody else' }), 403);

  const login = (secretGiven: string, scope?: unknown) => cloud.auth({ methods: ['application_credential'], application_credential: { id, secret: secretGiven } }, scope);
  assertError(await login('wrong'), 401);
  const ours = await login(secret);
  assert.equal(ours.status, 201);
  assert.deepEqual([ours.body.token.project.name, ours.body.token.application_credential, ours.body.token.roles.map((role: any) => role.name)], ['demo', { id, name: 'ci', restricted: true }, ['reader']]);
  assert.equal((await cloud.identity.authenticator.authenticate(ours.token))?.is_reader, true);
  assert.equal((await cloud.auth({ methods: ['application_credential'], application_credential: { name: 'ci', user: { name: 'demo', domain: { id: 'default' } }, secret } })).status, 201);
  assertError(await login(secret, { project: { id: ours.body.token.project.id } }), 401);
  assertError(await login(secret, 'unscoped'), 401);

  assertError(await create(ours.token, { name: 'child' }), 403);
  assertError(await cloud.call('DELETE', `${path}/${id}`, { token: ours.token }), 403);
  // Through the token method it stays what it is.
  const again = await cloud.auth({ methods: ['token'], token: { id: ours.token } });
  assert.deepEqual([again.status, again.body.token.application_credential.id], [201, id]);
  assertError(await create(again.token, { name: 'child' }), 403);
  assertError(await cloud.auth({ methods: ['token'], token: { id: ours.token } }, 'unscoped'), 401);
  assertError(await cloud.auth({ methods: ['token'], token: { id: ours.token } }, { domain: { id: 'default' } }), 401);

  const free = await create(demo, { name: 'free', unrestricted: true });
  const freeToken = (await cloud.auth({ methods: ['application_credential'], application_credential: { id: free.body.application_credential.id, secret: free.body.application_credential.secret } })).token;
  assert.equal((await create(freeToken, { name: 'child' })).status, 201);

  assert.equal((await cloud.call('DELETE', `${path}/${id}`, { token: demo })).status, 204);
  assert.equal(await cloud.identity.authenticator.authenticate(ours.token), undefined);
  assertError(await login(secret), 401);
});

eachCloud('policy: a user sees itself and its project; all else is 403 in the form of Keystone', async (cloud, _store, { admin, demo }) => {
  const self = (await cloud.identity.authenticator.authenticate(demo))!;
  const other = (await cloud.identity.authenticator.authenticate(admin))!;
  for (const path of [`/v3/users/${self.user_id}`, `/v3/projects/${self.project_id}`, '/v3/domains/default', `/v3/users/${self.user_id}/projects`, '/v3/auth/catalog', '/v3/auth/projects', '/v3/auth/domains', '/v3/regions']) {
    assert.equal((await cloud.call('GET', path, { token: demo })).status, 200, path);
  }
  for (const path of ['/v3/users', '/v3/projects', '/v3/domains', '/v3/roles', '/v3/role_assignments', '/v3/services', '/v3/endpoints', `/v3/users/${other.user_id}`, `/v3/projects/${other.project_id}`, '/v3/projects/nowhere', `/v3/users/${other.user_id}/projects`, `/v3/users/${other.user_id}/application_credentials`]) {
    assertError(await cloud.call('GET', path, { token: demo }), 403);
  }
  assertError(await cloud.call('POST', '/v3/users', { token: demo, body: { user: { name: 'x' } } }), 403);
  assertError(await cloud.call('PATCH', `/v3/users/${self.user_id}`, { token: demo, body: { user: { name: 'x' } } }), 403);
  assertError(await cloud.call('PUT', `/v3/projects/${self.project_id}/users/${self.user_id}/roles/x`, { token: demo }), 403);
  assertError(await cloud.call('GET', '/v3/auth/tokens', { token: demo, headers: { 'x-subject-token': admin } }), 403);
  assertError(await cloud.call('DELETE', '/v3/auth/tokens', { token: demo, headers: { 'x-subject-token': admin } }), 403);
  const shown = await cloud.call('GET', '/v3/auth/tokens?nocatalog', { token: admin, headers: { 'x-subject-token': demo } });
  assert.deepEqual([shown.status, shown.body.token.user.name, shown.body.token.catalog], [200, 'demo', undefined]);
  assert.equal((await cloud.call('HEAD', '/v3/auth/tokens', { token: demo, headers: { 'x-subject-token': demo } })).status, 200);
});

eachCloud('G2: domains, projects, users, roles are made, found by name, changed and deleted', async (cloud, _store, { admin }) => {
  const call = (method: string, path: string, body?: unknown) => cloud.call(method, path, { token: admin, ...(body === undefined ? {} : { body }) });
  const { domain } = (await call('POST', '/v3/domains', { domain: { name: 'acme' } })).body;
  assert.deepEqual(domain.links, { self: `${PUBLIC}/identity/v3/domains/${domain.id}` });
  const made = await call('POST', '/v3/projects', { project: { name: 'web', domain_id: domain.id, tags: ['blue'], costcentre: 7, __proto__: null } });
  const { project } = made.body;
  assert.deepEqual([made.status, project.parent_id, project.enabled, project.costcentre, project.tags], [201, domain.id, true, 7, ['blue']]);
  assertError(await call('POST', '/v3/projects', { project: { name: 'web', domain_id: domain.id } }), 409);
  assert.equal((await call('POST', '/v3/projects', { project: { name: 'web' } })).status, 201, 'the same name in another domain');
  assertError(await call('POST', '/v3/projects', { project: { name: 'x', domain_id: 'nowhere' } }), 404);
  for (const bad of [{}, { name: '' }, { name: '  ' }, { name: 7 }, { name: 'x'.repeat(65) }, { name: 'a\0' }, { name: 'x', enabled: 'perhaps' }, { name: 'x', id: 'mine' }, { name: 'x', is_domain: true }]) assertError(await call('POST', '/v3/projects', { project: bad }), 400);

  assertError(await call('GET', '/v3/projects/web'), 404);
  assert.deepEqual((await call('GET', `/v3/projects?name=web&domain_id=${domain.id}`)).body.projects.map((one: any) => one.id), [project.id]);
  assert.deepEqual((await call('GET', '/v3/projects?name=nowhere')).body.projects, []);
  assert.deepEqual((await call('GET', `/v3/projects?enabled=true&domain_id=${domain.id}`)).body.projects.length, 1);
  assertError(await call('GET', '/v3/projects?name=%00'), 400);
  assertError(await call('GET', '/v3/projects/%00'), 400);
  const changed = (await call('PATCH', `/v3/projects/${project.id}`, { project: { name: 'shop', description: 'd', owner: 'me' } })).body.project;
  assert.deepEqual([changed.name, changed.description, changed.costcentre, changed.owner, changed.domain_id], ['shop', 'd', 7, 'me', domain.id]);
  assertError(await call('PATCH', `/v3/projects/${project.id}`, { project: { domain_id: 'default' } }), 400);

  const { user } = (await call('POST', '/v3/users', { user: { name: 'bob', domain_id: domain.id, password: 'pässwörd', email: 'bob@example.org' } })).body;
  assert.deepEqual([user.email, user.password, user.secret_hash], ['bob@example.org', undefined, undefined]);
  const { role } = (await call('POST', '/v3/roles', { role: { name: 'auditor' } })).body;
  assert.equal((await call('PUT', `/v3/projects/${project.id}/users/${user.id}/roles/${role.id}`)).status, 204);
  assert.equal((await call('PUT', `/v3/projects/${project.id}/users/${user.id}/roles/${role.id}`)).status, 204);
  for (const path of [`/v3/projects/x/users/${user.id}/roles/${role.id}`, `/v3/projects/${project.id}/users/x/roles/${role.id}`, `/v3/projects/${project.id}/users/${user.id}/roles/x`]) assertError(await call('PUT', path), 404);
  assert.deepEqual((await call('GET', `/v3/projects/${project.id}/users/${user.id}/roles`)).body.roles.map((one: any) => one.name), ['auditor']);
  const assigned = (await call('GET', `/v3/role_assignments?include_names=true&user.id=${user.id}`)).body.role_assignments;
  assert.deepEqual(assigned.map(({ links: _links, ...one }: any) => one), [{
    role: { id: role.id, name: 'auditor' }, user: { id: user.id, name: 'bob', domain: { id: domain.id, name: 'acme' } },
    scope: { project: { id: project.id, name: 'shop', domain: { id: domain.id, name: 'acme' } } },
  }]);
  const own = (await cloud.identity.authenticator.authenticate(admin))!;
  assert.equal((await call('GET', `/v3/role_assignments?user.id=${own.user_id}&effective`)).body.role_assignments.length, 3);
  const token = await cloud.auth({ methods: ['password'], password: { user: { id: user.id, password: 'pässwörd' } } }, { project: { id: project.id } });
  assert.deepEqual([token.status, token.body.token.roles.map((one: any) => one.name)], [201, ['auditor']]);
  const context = (await cloud.identity.authenticator.authenticate(token.token))!;
  assert.deepEqual([context.is_admin, context.is_reader, context.roles], [false, false, ['auditor']]);

  const [builtIn] = (await call('GET', '/v3/roles?name=admin')).body.roles;
  assertError(await call('DELETE', `/v3/roles/${builtIn.id}`), 403);
  assertError(await call('DELETE', `/v3/domains/${domain.id}`), 403);
  await call('PATCH', `/v3/domains/${domain.id}`, { domain: { enabled: false } });
  assert.equal(await cloud.identity.authenticator.authenticate(token.token), undefined);
  assert.equal((await call('DELETE', `/v3/domains/${domain.id}`)).status, 204);
  for (const path of [`/v3/users/${user.id}`, `/v3/projects/${project.id}`, `/v3/domains/${domain.id}`]) assertError(await call('GET', path), 404);
  assert.deepEqual((await call('GET', `/v3/role_assignments?role.id=${role.id}`)).body.role_assignments, []);
});

eachCloud('bootstrap happens once, its file is for its owner only, and nothing secret is logged or in the change log', async (cloud, store, { demo }) => {
  const { admin } = cloud.credentials;
  assert.equal(statSync(join(cloud.stateDir, 'credentials.json')).mode & 0o777, 0o600);
  assert.deepEqual({ ...admin, password: '' }, { username: 'admin', password: '', project_name: 'admin', user_domain_name: 'Default', project_domain_name: 'Default' });
  const head = await store.feed.head();
  await cloud.identity.bootstrap();
  assert.deepEqual(await store.feed.head(), head);
  assert.equal(cloud.credentials.admin.password, admin.password);
  await cloud.login({ name: 'demo', password: 'h4nd-typed-wrong' });
  await cloud.call('GET', '/v3/auth/tokens', { token: demo, headers: { 'x-subject-token': demo } });
  const changes = await store.reader.db.selectFrom('changes').selectAll().execute();
  for (const secret of [admin.password, cloud.credentials.demo!.password, 'h4nd-typed-wrong', demo, demo.slice(-20)]) {
    assert.equal(cloud.log.join('').includes(secret), false);
    assert.equal(JSON.stringify(changes).includes(secret), false);
  }
  assert.match(cloud.log.join(''), /authentication failed/);
});

eachStore('bootstrap: none makes admin only; a start after a crash keeps the passwords that were written', async (store) => {
  const cloud = new Cloud(store, loadConfig('bootstrap: none'));
  try {
    const crashing: Store = { engine: store.engine, reader: store.reader, feed: store.feed, write: async () => { throw new Error('crash'); }, close: async () => {} };
    const first = new Cloud(crashing, loadConfig('bootstrap: none'), cloud.stateDir);
    await assert.rejects(first.identity.bootstrap(), /crash/);
    first.identity.close();
    const written = cloud.credentials;
    assert.deepEqual(Object.keys(written), ['admin']);
    await cloud.identity.bootstrap();
    assert.deepEqual(cloud.credentials, written);
    const { token } = await cloud.login('admin');
    assert.deepEqual((await cloud.call('GET', '/v3/users', { token })).body.users.map((user: any) => user.name), ['admin']);
  } finally {
    cloud.identity.close();
    rmSync(cloud.stateDir, { recursive: true, force: true });
  }
});
