/** A controller in a process of its own, without hosts: what the API figures are measured against, as Neutron's were. */
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { statePath } from '../datacentre/state-folder.ts';
import { ENTRY, nodeArgv } from '../services.ts';
import { liftQuotas } from './api-objects.ts';
import { ApiClient, type Credentials } from './api-client.ts';

export class BareController {
  readonly state: string;
  readonly endpoint: string;
  readonly credentials: Credentials;
  /** Milliseconds from the start of the process to the first answer that needs a token. */
  readonly startTime: number;
  readonly #child: ChildProcess;

  private constructor(fields: Pick<BareController, 'state' | 'endpoint' | 'credentials' | 'startTime'>, child: ChildProcess) {
    this.state = fields.state;
    this.endpoint = fields.endpoint;
    this.credentials = fields.credentials;
    this.startTime = fields.startTime;
    this.#child = child;
  }

  /** Starts one on `state`, which is made when it is not there; resolves when it has answered. `compileCache` is another one than ours. */
  static async start(state: string, { compileCache }: { compileCache?: string } = {}): Promise<BareController> {
    mkdirSync(state, { recursive: true });
    const port = await freePort();
    const endpoint = `http://127.0.0.1:${port}`;
    const config = statePath.config(state);
    writeFileSync(config, `listen: 127.0.0.1:${port}\n`);
    const log = openSync(join(state, 'controller.log'), 'a');
    const started = performance.now();
    const [command = '', ...args] = nodeArgv(ENTRY.server, '--config', config, '--state', state);
    const env = { ...process.env, ...(compileCache === undefined ? {} : { NODE_COMPILE_CACHE: compileCache }) };
    const child = spawn(command, args, { stdio: ['ignore', log, log], env });
    closeSync(log);
    const kill = () => void child.kill('SIGKILL');
    process.once('exit', kill);
    child.once('exit', () => process.off('exit', kill));
    const credentials = await firstAnswer(state, endpoint, child);
    return new BareController({ state, endpoint, credentials, startTime: performance.now() - started }, child);
  }

  /** A client with an administrator's token, and no quota in its way. */
  async client(): Promise<ApiClient> {
    const client = new ApiClient(this.endpoint);
    const { project } = await client.authenticate(this.credentials);
    await liftQuotas(client, project.id);
    return client;
  }

  /** Resident memory in MB. */
  memory(): number {
    return residentMemory(this.#child.pid!);
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode !== null) return;
    const gone = once(this.#child, 'exit');
    this.#child.kill('SIGTERM');
    await gone;
  }

  remove(): void {
    rmSync(this.state, { recursive: true, force: true });
  }
}

/** Resident memory of a process in MB (10^6 bytes). */
export function residentMemory(pid: number): number {
  const kib = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
  return (Number(kib) * 1024) / 1e6;
}

/** Polls as an impatient operator would: a token by password, then a list. */
async function firstAnswer(state: string, endpoint: string, child: ChildProcess): Promise<Credentials> {
  for (const deadline = performance.now() + 60_000; performance.now() < deadline; await delay(4)) {
    if (child.exitCode !== null) throw new Error(`the controller ended: ${readFileSync(join(state, 'controller.log'), 'utf8').trim().split('\n').at(-1)}`);
    const credentials = readCredentials(state);
    if (!credentials) continue;
    const client = new ApiClient(endpoint);
    try {
      await client.authenticate(credentials);
      await client.call('GET', '/network/v2.0/networks');
      return credentials;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ECONNREFUSED') throw error;
    } finally {
      client.close();
    }
  }
  throw new Error('the controller did not answer within 60 s');
}

/** The administrator's; `undefined` until the first start has written them. */
export function readCredentials(state: string): Credentials | undefined {
  try {
    return JSON.parse(readFileSync(statePath.credentials(state), 'utf8')).admin;
  } catch {
    return undefined;
  }
}

export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}
