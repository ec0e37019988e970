/** The first start of a store: domain, roles, admin, and for a tour demo; and the key that signs tokens. */
import { randomBytes } from 'node:crypto';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Tx } from '#store/store.ts';
import { type Credentials, newCredential, readCredentials, writeCredentials } from './credentials-file.ts';
import type { IdentityDeps } from './identity-deps.ts';
import { domains, newId, projects, roles } from './identity-tables.ts';
import { insertUser } from './user-rule.ts';

const DEFAULT_DOMAIN = 'default';

/**
 * Makes what a new store needs and writes its passwords to `credentials.json`; does nothing on a store that was begun
 * before. The file is on the disk before the commit: no store exists whose passwords nobody knows.
 */
export async function bootstrap({ store, tokens, passwords, config, log }: IdentityDeps, stateDir: string): Promise<void> {
  if (await domains.get(store.reader, DEFAULT_DOMAIN)) return;
  const kept = readCredentials(stateDir);
  const demo = config.bootstrap === 'tour' ? { demo: kept?.demo ?? newCredential('demo') } : {};
  const credentials: Credentials = { admin: kept?.admin ?? newCredential('admin'), ...demo };
  writeCredentials(stateDir, credentials);
  const entries = Object.values(credentials);
  const hashes = await Promise.all(entries.map(({ password }) => passwords.hash(password)));
  const made = await tokens.write(async (tx) => {
    await tx.lock('identity_bootstrap');
    if (await domains.get(tx, DEFAULT_DOMAIN)) return false;
    await makeFirst(tx, entries.map((entry, i) => ({ name: entry.username, passwordHash: hashes[i] ?? '' })));
    return true;
  });
  // Another controller of this store was first: the passwords that hold are in its state folder.
  if (!made && !kept) rmSync(join(stateDir, 'credentials.json'), { force: true });
  log.info(made ? 'identity: first users made' : 'identity: another controller made the first users', made ? { users: entries.map(({ username }) => username), credentials: join(stateDir, 'credentials.json') } : {});
}

async function makeFirst(tx: Tx, accounts: readonly { name: string; passwordHash: string }[]): Promise<void> {
  await tx.db.insertInto('token_keys').values({ id: randomBytes(4).toString('hex'), secret: randomBytes(32).toString('base64'), created_at: tx.now }).execute();
  await domains.insert(tx, [{ id: DEFAULT_DOMAIN, name: 'Default', description: 'The default domain', enabled: true, options: {}, extra: {} }]);
  const made = ['admin', 'member', 'reader'].map((name) => ({ id: newId(), name, description: null, options: { immutable: true }, extra: {} }));
  await roles.insert(tx, made);
  for (const { name, passwordHash } of accounts) {
    const projectId = newId();
    const userId = newId();
    await projects.insert(tx, [{ id: projectId, name, domain_id: DEFAULT_DOMAIN, parent_id: DEFAULT_DOMAIN, description: '', enabled: true, tags: [], options: {}, extra: {} }]);
    await insertUser(tx, { id: userId, name, domain_id: DEFAULT_DOMAIN, default_project_id: null, description: null, enabled: true, options: {}, extra: {} }, passwordHash);
    const role = made.find((one) => one.name === (name === 'admin' ? 'admin' : 'member'))!;
    await tx.db.insertInto('role_assignments').values({ user_id: userId, target_type: 'project', target_id: projectId, role_id: role.id }).execute();
  }
}
