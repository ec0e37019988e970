/** `patchbay openrc`: what a shell must know to use the `openstack` command. */
import { existsSync, readFileSync } from 'node:fs';
import { loadConfig } from '#model/config.ts';
import { type Command, UsageError, expectPositionals } from '../command.ts';
import { statePath } from '../datacentre/state-folder.ts';

/** One user in `<state>/credentials.json`, which the controller writes at its first start, mode 0600. */
interface Credentials {
  readonly username: string;
  readonly password: string;
  readonly project_name: string;
  readonly user_domain_name: string;
  readonly project_domain_name: string;
}

export const command: Command = {
  usage: 'admin|demo',
  summary: 'print the export OS_... lines of a user: source <(./patchbay openrc demo)',
  options: {},
  async run(invocation) {
    const [user = ''] = expectPositionals(invocation, 'admin or demo');
    const known = readCredentials(statePath.credentials(invocation.state));
    if (!Object.hasOwn(known, user)) throw new UsageError(`no user '${user}' here, only ${Object.keys(known).join(' and ')}`);
    console.log(formatOpenrc(known[user]!, readEndpoint(invocation.state)).join('\n'));
    return 0;
  },
};

function readCredentials(file: string): Record<string, Credentials> {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as Record<string, Credentials>;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EACCES') throw new Error(`only root may read ${file}`);
    throw new Error('there are no credentials yet; `patchbay up` makes them');
  }
}

function readEndpoint(state: string): { url: string; region: string } {
  const file = statePath.config(state);
  const config = loadConfig(existsSync(file) ? readFileSync(file, 'utf8') : '');
  return { url: config.public_endpoint ?? `http://${config.listen}`, region: config.region_name };
}

/** The lines for a shell; values are quoted, whatever they hold. */
export function formatOpenrc(user: Credentials, endpoint: { url: string; region: string }): string[] {
  const variables = {
    OS_AUTH_URL: `${endpoint.url}/identity/v3`,
    OS_IDENTITY_API_VERSION: '3',
    OS_USERNAME: user.username,
    OS_PASSWORD: user.password,
    OS_PROJECT_NAME: user.project_name,
    OS_USER_DOMAIN_NAME: user.user_domain_name,
    OS_PROJECT_DOMAIN_NAME: user.project_domain_name,
    OS_REGION_NAME: endpoint.region,
    OS_INTERFACE: 'public',
  };
  return Object.entries(variables).map(([name, value]) => `export ${name}='${value.replaceAll("'", `'\\''`)}'`);
}
