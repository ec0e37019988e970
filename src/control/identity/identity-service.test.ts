import assert from 'node:assert/strict';
import { rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { loadConfig } from '#model/config.ts';
import type { Store } from '#store/store.ts';
import { assertError, Cloud, eachCloud, PUBLIC } from '#testkit/identity-cloud.ts';
import { eachStore } from '#testkit/stores.ts';

eachCloud('G1: version documents are open to all and ignore the Host header', async (cloud) => {
  const root = await cloud.call('GET', '', { headers: { host: 'evil.example' } });
  assert.equal(root.status, 300);
  assert.equal(root.body.versions.values[0].id, 'v3.14');
  assert.deepEqual(root.body.versions.values[0].links, [{ rel: 'self', href: `${PUBLIC}/identity/v3/` }]);
  for (const path of ['/v3', '/v3/']) assert.equal((await cloud.call('GET', path)).body.version.status, 'stable');
});

eachCloud('OSSA-2026-001: identity headers from outside give nothing', async (cloud, _store, { demo }) => {
  const forged = { 'x-user-id': 'admin', 'x-roles': 'admin', 'x-is-admin-project': 'True', 'x-identity-status': 'Confirmed', 'x-project-id': 'x' };
  assertError(await cloud.call('GET', '/v3/users', { headers: forged }), 401);
  assertError(await cloud.call('GET', '/v3/users', { token: demo, headers: forged }), 403);
});

eachCloud('OSSA-2025-002: there is no ec2tokens and no s3tokens', async (cloud, _store, { admin }) => {
  for (const path of ['/v3/ec2tokens', '/v3/s3tokens', '/v2.0/ec2tokens']) assertError(await cloud.call('POST', path, { token: admin, body: { credentials: {} } }), 404);
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
