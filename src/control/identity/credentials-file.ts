/** `credentials.json` in the state folder: how the first users log in. Readable by its owner only. */
import { randomBytes } from 'node:crypto';
import { closeSync, existsSync, fsyncSync, openSync, readFileSync, renameSync, writeSync } from 'node:fs';
import { join } from 'node:path';

export interface Credential {
  readonly username: string;
  readonly password: string;
  readonly project_name: string;
  readonly user_domain_name: string;
  readonly project_domain_name: string;
}

export interface Credentials {
  readonly admin: Credential;
  /** Absent with `bootstrap: none`. */
  readonly demo?: Credential;
}

/** A user and its project of the same name in the domain Default, with a random password. */
export function newCredential(name: string): Credential {
  return { username: name, password: randomBytes(18).toString('base64url'), project_name: name, user_domain_name: 'Default', project_domain_name: 'Default' };
}

/** `undefined` when there is no file; throws when it cannot be read. */
export function readCredentials(stateDir: string): Credentials | undefined {
  const path = join(stateDir, 'credentials.json');
  return existsSync(path) ? (JSON.parse(readFileSync(path, 'utf8')) as Credentials) : undefined;
}

/** Replaces the file in one step and on the disk: after a crash it is the old one or the new one. */
export function writeCredentials(stateDir: string, credentials: Credentials): void {
  const path = join(stateDir, 'credentials.json');
  const draft = `${path}.${process.pid}`;
  const file = openSync(draft, 'w', 0o600);
  writeSync(file, `${JSON.stringify(credentials, null, 2)}\n`);
  fsyncSync(file);
  closeSync(file);
  renameSync(draft, path);
}
