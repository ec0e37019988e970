import assert from 'node:assert/strict';
import { loadConfig } from '#model/config.ts';
import { openStore } from '#store/open.ts';
import { assertError, Cloud, eachCloud, PUBLIC } from '#testkit/identity-cloud.ts';

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
