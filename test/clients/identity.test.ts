/** The `openstack` command as Debian ships it, against the Identity service on a loopback port. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import type { FastifyInstance } from 'fastify';
import { freePort } from '#cli/bench/bare-controller.ts';
import { createFrame } from '#control/http/frame.ts';
import { jsonLog } from '#control/http/log.ts';
import type { Credential, Credentials } from '#control/identity/credentials-file.ts';
import { type Identity, identityService } from '#control/identity/identity-service.ts';
import { loadConfig } from '#model/config.ts';
import { openStore } from '#store/open.ts';
import type { Store } from '#store/store.ts';

const run = promisify(execFile);
let folder: string;
let store: Store;
let identity: Identity;
let app: FastifyInstance;
let publicEndpoint: string;
let credentials: Credentials;

before(async () => {
  folder = mkdtempSync(join(tmpdir(), 'patchbay-identity-client-'));
  store = await openStore(`sqlite:///${folder}/patchbay.db`);
  const port = await freePort();
  publicEndpoint = `http://127.0.0.1:${port}`;
  const log = jsonLog('test', () => {});
  identity = identityService({ store, config: loadConfig(''), stateDir: folder, publicEndpoint, log });
  await identity.bootstrap();
  app = createFrame({ services: [identity.service], log });
  await app.listen({ host: '127.0.0.1', port });
  credentials = JSON.parse(readFileSync(join(folder, 'credentials.json'), 'utf8')) as Credentials;
});

after(async () => {
  await app.close();
  identity.close();
  await store.close();
  rmSync(folder, { recursive: true, force: true });
});

/** Runs one command and returns its JSON, or undefined when it prints nothing. */
async function openstack(who: Partial<Credential> | Record<string, string>, ...argv: string[]): Promise<any> {
  const env: Record<string, string> = 'username' in who
    ? { OS_USERNAME: who.username!, OS_PASSWORD: who.password!, OS_PROJECT_NAME: who.project_name!, OS_USER_DOMAIN_NAME: 'Default', OS_PROJECT_DOMAIN_NAME: 'Default' }
    : (who as Record<string, string>);
  const { stdout } = await run('openstack', argv, { env: { PATH: process.env['PATH']!, HOME: folder, OS_AUTH_URL: `${publicEndpoint}/identity/v3`, OS_IDENTITY_API_VERSION: '3', ...env } });
  return stdout === '' ? undefined : JSON.parse(stdout);
}

const json = ['-f', 'json'];

test('G1: openstack token issue, catalog, service and endpoint list', async () => {
  const token = await openstack(credentials.admin, 'token', 'issue', ...json);
  assert.equal((await identity.authenticator.authenticate(token.id))?.project_id, token.project_id);
  const catalog = await openstack(credentials.demo!, 'catalog', 'list', ...json);
  assert.deepEqual(catalog.map((service: any) => service.Type).sort(), ['compute', 'identity', 'image', 'network']);
  assert.equal((await openstack(credentials.admin, 'endpoint', 'list', ...json)).length, 12);
  assert.equal((await openstack(credentials.admin, 'service', 'list', ...json)).length, 4);
  assert.deepEqual(await openstack(credentials.admin, 'region', 'list', ...json), [{ Region: 'RegionOne', 'Parent Region': null, Description: '' }]);
  // The URL without /v3 works too.
  const unversioned = { OS_AUTH_URL: `${publicEndpoint}/identity`, OS_TOKEN: token.id, OS_AUTH_TYPE: 'v3token', OS_PROJECT_ID: token.project_id };
  assert.equal((await openstack(unversioned, 'token', 'issue', ...json)).project_id, token.project_id);
  await openstack(credentials.admin, 'token', 'revoke', token.id);
  assert.equal(await identity.authenticator.authenticate(token.id), undefined);
});

test('G3: openstack makes a domain, a project and a user, gives a role and takes it back', async () => {
  const { admin } = credentials;
  const domain = await openstack(admin, 'domain', 'create', 'acme', ...json);
  const project = await openstack(admin, 'project', 'create', '--domain', 'acme', '--description', 'the shop', '--property', 'owner=me', 'web', ...json);
  assert.deepEqual([project.domain_id, project.description, project.owner], [domain.id, 'the shop', 'me']);
  const user = await openstack(admin, 'user', 'create', '--domain', 'acme', '--project', 'web', '--password', 's3cret', '--email', 'bob@example.org', 'bob', ...json);
  assert.deepEqual([user.email, user.default_project_id], ['bob@example.org', project.id]);
  assert.equal((await openstack(admin, 'user', 'show', '--domain', 'acme', 'bob', ...json)).id, user.id);
  await openstack(admin, 'role', 'add', '--project', project.id, '--user', user.id, 'member');
  const assignments = await openstack(admin, 'role', 'assignment', 'list', '--names', '--project', project.id, ...json);
  assert.deepEqual(assignments, [{ Role: 'member', User: 'bob@acme', Group: '', Project: 'web@acme', Domain: '', System: '', Inherited: false }]);

  const bob = { OS_USERNAME: 'bob', OS_PASSWORD: 's3cret', OS_USER_DOMAIN_NAME: 'acme', OS_PROJECT_NAME: 'web', OS_PROJECT_DOMAIN_NAME: 'acme' };
  assert.equal((await openstack(bob, 'token', 'issue', ...json)).project_id, project.id);
  assert.deepEqual((await openstack(bob, 'project', 'list', '--my-projects', ...json)).map((one: any) => one.Name), ['web']);
  await assert.rejects(openstack(bob, 'user', 'create', 'eve'), /not authorized.*HTTP 403/s);
  await openstack(bob, 'user', 'password', 'set', '--original-password', 's3cret', '--password', 'n3w');
  await assert.rejects(openstack(bob, 'token', 'issue'), /HTTP 401/);

  await openstack(admin, 'user', 'set', '--password', 's3cret', user.id);
  await openstack(admin, 'role', 'remove', '--project', project.id, '--user', user.id, 'member');
  await assert.rejects(openstack(bob, 'token', 'issue'), /HTTP 401/);
  await openstack(admin, 'project', 'set', '--name', 'shop', project.id);
  assert.deepEqual((await openstack(admin, 'project', 'list', '--domain', 'acme', '--long', ...json)).map((one: any) => [one.Name, one.Enabled]), [['shop', true]]);
  await openstack(admin, 'user', 'delete', user.id);
  await openstack(admin, 'project', 'delete', project.id);
  await openstack(admin, 'domain', 'set', '--disable', 'acme');
  await openstack(admin, 'domain', 'delete', 'acme');
  assert.deepEqual((await openstack(admin, 'domain', 'list', ...json)).map((one: any) => one.Name), ['Default']);
});

test('G1: an application credential of openstack logs in', async () => {
  const made = await openstack(credentials.demo!, 'application', 'credential', 'create', 'ci', ...json);
  const ci = { OS_AUTH_TYPE: 'v3applicationcredential', OS_APPLICATION_CREDENTIAL_ID: made.id, OS_APPLICATION_CREDENTIAL_SECRET: made.secret };
  assert.equal((await openstack(ci, 'token', 'issue', ...json)).project_id, made.project_id);
  assert.deepEqual((await openstack(credentials.demo!, 'application', 'credential', 'list', ...json)).map((one: any) => one.Name), ['ci']);
  await openstack(credentials.demo!, 'application', 'credential', 'delete', 'ci');
  await assert.rejects(openstack(ci, 'token', 'issue'), /HTTP 401/);
});
