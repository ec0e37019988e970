/** The setting `keystone` against Debian's keystone 22 (--all: it installs python3-keystone, about a minute the first time). */
import assert from 'node:assert/strict';
import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { freePort } from '#cli/bench/bare-controller.ts';
import { ensurePackages } from '#cli/packages.ts';
import { jsonLog } from '#control/http/log.ts';
import { KeystoneAuthenticator } from '#control/identity/keystone-authenticator.ts';

const run = promisify(execFile);
const skip = process.env['PATCHBAY_TEST_ALL'] === '1' ? false : 'only with --all';

test('tokens of a real Keystone 22 carry user, project and roles; revoked and made-up ones do not', { skip }, async () => {
  // The library and its commands alone: the package keystone would bring a daemon and a system user.
  await ensurePackages([{ name: 'python3-keystone', why: 'a real Keystone, for tests' }], () => {});
  const folder = mkdtempSync(join(tmpdir(), 'patchbay-keystone-'));
  const port = await freePort();
  const auth_url = `http://127.0.0.1:${port}/v3`;
  let server: ChildProcess | undefined;
  try {
    await makeKeystone(folder, auth_url);
    server = spawn('keystone-wsgi-public', ['--host', '127.0.0.1', '--port', String(port), '--', '--config-file', join(folder, 'keystone.conf')], {
      stdio: 'ignore', env: { PATH: process.env['PATH'], OS_KEYSTONE_CONFIG_FILES: join(folder, 'keystone.conf'), OS_KEYSTONE_CONFIG_DIR: folder },
    });
    await answering(auth_url);
    const authenticator = new KeystoneAuthenticator({ auth_url, username: 'admin', password: 's3cret', project_name: 'admin', user_domain_name: 'Default', project_domain_name: 'Default' }, jsonLog('test', () => {}));

    const openstack = async (...argv: string[]): Promise<any> => {
      const env = { PATH: process.env['PATH']!, HOME: folder, OS_AUTH_URL: auth_url, OS_IDENTITY_API_VERSION: '3', OS_USERNAME: 'admin', OS_PASSWORD: 's3cret', OS_PROJECT_NAME: 'admin', OS_USER_DOMAIN_NAME: 'Default', OS_PROJECT_DOMAIN_NAME: 'Default' };
      const { stdout } = await run('openstack', argv, { env });
      return stdout === '' ? undefined : JSON.parse(stdout);
    };
    const project = await openstack('project', 'create', 'demo', '-f', 'json');
    const user = await openstack('user', 'create', '--password', 'd3mo', 'demo', '-f', 'json');
    await openstack('role', 'add', '--project', 'demo', '--user', 'demo', 'member');
    const { id: token } = await openstack('token', 'issue', '-f', 'json', '--os-username', 'demo', '--os-password', 'd3mo', '--os-project-name', 'demo');
    const context = await authenticator.authenticate(token);
    assert.deepEqual({ ...context, roles: [...(context?.roles ?? [])].sort() }, {
      user_id: user.id, user_name: 'demo', user_domain_id: 'default', project_id: project.id, project_name: 'demo', project_domain_id: 'default',
      roles: ['member', 'reader'], is_admin: false, is_reader: false,
    });
    const { id: admin } = await openstack('token', 'issue', '-f', 'json');
    assert.equal((await authenticator.authenticate(admin))?.is_admin, true);
    const { id: revoked } = await openstack('token', 'issue', '-f', 'json');
    await openstack('token', 'revoke', revoked);
    assert.equal(await authenticator.authenticate(revoked), undefined);
    assert.equal(await authenticator.authenticate(`${token}x`), undefined);
    assert.equal(await authenticator.authenticate('made-up'), undefined);
  } finally {
    await ended(server);
    rmSync(folder, { recursive: true, force: true });
  }
});

/** A Keystone with its own keys and an SQLite database, all below `folder`. */
async function makeKeystone(folder: string, url: string): Promise<void> {
  for (const keys of ['fernet', 'credential']) mkdirSync(join(folder, keys), { mode: 0o700 });
  const config = join(folder, 'keystone.conf');
  writeFileSync(config, `[DEFAULT]
log_file = ${join(folder, 'keystone.log')}
[database]
connection = sqlite:///${join(folder, 'keystone.db')}
[fernet_tokens]
key_repository = ${join(folder, 'fernet')}
[credential]
key_repository = ${join(folder, 'credential')}
`);
  const manage = (...argv: string[]) => run('keystone-manage', ['--config-file', config, ...argv]);
  await manage('db_sync');
  await manage('fernet_setup', '--keystone-user', 'root', '--keystone-group', 'root');
  await manage('credential_setup', '--keystone-user', 'root', '--keystone-group', 'root');
  await manage('bootstrap', '--bootstrap-password', 's3cret', '--bootstrap-admin-url', url, '--bootstrap-internal-url', url, '--bootstrap-public-url', url, '--bootstrap-region-id', 'RegionOne');
}

async function answering(url: string): Promise<void> {
  for (let tries = 0; ; tries++) {
    try {
      if ((await fetch(url)).ok) return;
    } catch (error) {
      if (tries > 300) throw error;
    }
    await new Promise((resume) => setTimeout(resume, 100));
  }
}

async function ended(server: ChildProcess | undefined): Promise<void> {
  if (!server || server.exitCode !== null || server.signalCode !== null) return;
  const exit = new Promise((resolve) => server.once('exit', resolve));
  server.kill('SIGKILL');
  await exit;
}
