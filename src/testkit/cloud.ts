/**
 * A whole cloud for a scenario: the simulated data centre with controller and agents, in a state folder of its own,
 * driven as a user drives it. The hidden oracles run at the end of each scenario, without being asked (oracles.ts).
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { existsSync, globSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, test, type TestContext } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { freePort } from '#cli/bench/bare-controller.ts';
import { askInstance, askWait } from '#cli/control-socket.ts';
import { downDataCentre } from '#cli/datacentre/datacentre.ts';
import { onHost } from '#cli/datacentre/host.ts';
import type { DataCentrePlan } from '#cli/datacentre/plan.ts';
import { runningProcess, statePath } from '#cli/datacentre/state-folder.ts';
import { EXEC_ON_HOST, agentName, nodeArgv } from '#cli/services.ts';
import { readSettings } from '#cli/settings.ts';
import { up } from '#cli/up.ts';
import { Api } from './api.ts';
import { inventory, runOracles } from './oracles.ts';
import { stopCluster } from './postgres.ts';

const PATCHBAY = fileURLToPath(new URL('../../patchbay', import.meta.url));

// The oracles compare with a PostgreSQL of this process.
after(stopCluster);

export interface Result {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface CloudOptions {
  /** compute1, compute2, …; without it what the config says, or 2. */
  readonly hosts?: number;
  /** YAML on top of the defaults; `bootstrap: none` unless it says otherwise. */
  readonly config?: string;
  /** Milliseconds that the scenario may take; 300,000 without it. */
  readonly timeout?: number;
  /** Why it does not run now; false where it does. */
  readonly skip?: string | false;
}

/** Declares a scenario: a test with a cloud of its own, the oracles at its end, and nothing left afterwards. */
export function scenario(title: string, options: CloudOptions, run: (cloud: Cloud, t: TestContext) => Promise<void>): void {
  test(title, { timeout: options.timeout ?? 300_000, skip: options.skip ?? false }, async (t) => {
    const cloud = await Cloud.up(options);
    try {
      await run(cloud, t);
      await runOracles(cloud, t);
    } catch (error) {
      cloud.explain(t);
      throw error;
    } finally {
      await cloud.down();
    }
  });
}

export class Cloud {
  readonly state: string;
  readonly plan: DataCentrePlan;
  readonly #folder: string;
  readonly #children = new Set<ChildProcess>();
  /** What each host held before the first object was made: what must be left at the end. */
  baseline = new Map<string, string>();

  private constructor(folder: string, state: string, plan: DataCentrePlan) {
    this.#folder = folder;
    this.state = state;
    this.plan = plan;
  }

  static async up({ hosts, config = '' }: CloudOptions = {}): Promise<Cloud> {
    mkdirSync('/var/tmp/patchbay-test', { recursive: true });
    const folder = mkdtempSync('/var/tmp/patchbay-test/');
    const configFile = join(folder, 'cloud.yaml');
    writeFileSync(configFile, `${config.includes('bootstrap:') ? '' : 'bootstrap: none\n'}${config}`);
    const settings = readSettings({ state: join(folder, 's'), configFile, hosts, listen: `127.0.0.1:${await freePort()}` });
    const cloud = new Cloud(folder, settings.plan.state, settings.plan);
    try {
      await up(settings);
      for (const host of cloud.hosts) cloud.baseline.set(host, await inventory(cloud, host));
      return cloud;
    } catch (error) {
      const logs = ['controller', ...cloud.hosts].flatMap((source) => cloud.log(source).filter(({ level }) => level === 'error').slice(-3).map((line) => `${source}: ${JSON.stringify(line)}`));
      await cloud.down();
      throw new Error([(error as Error).message, ...logs].join('\n'), { cause: error });
    }
  }

  get hosts(): string[] {
    return this.plan.hosts.map((host) => host.name);
  }

  get endpoint(): string {
    return `http://${this.plan.listen}`;
  }

  /** An API client with a token of `user`: `admin`, or one made by `makeProject`. */
  async api(user = 'admin'): Promise<Api> {
    const credentials = JSON.parse(readFileSync(statePath.credentials(this.state), 'utf8')) as Record<string, { username: string; password: string; project_name: string }>;
    const known = credentials[user] ?? { username: user, password: `${user}-secret`, project_name: user };
    return Api.login(this.endpoint, known.username, known.password, known.project_name);
  }

  /** A project with a user of the same name who is a member of it. */
  async makeProject(name: string): Promise<Api> {
    const admin = await this.api();
    const project = await admin.post('/identity/v3/projects', { project: { name, domain_id: 'default' } }, 'project');
    const user = await admin.post('/identity/v3/users', { user: { name, password: `${name}-secret`, domain_id: 'default' } }, 'user');
    const [role] = (await admin.get('/identity/v3/roles?name=member')).roles;
    await admin.request('PUT', `/identity/v3/projects/${project.id}/users/${user.id}/roles/${role.id}`);
    return this.api(name);
  }

  /** The unmodified `openstack` command as `user`; throws when it fails. */
  async openstack(user: string, ...argv: string[]): Promise<string> {
    const credentials = JSON.parse(readFileSync(statePath.credentials(this.state), 'utf8')) as Record<string, { username: string; password: string; project_name: string }>;
    const known = credentials[user] ?? { username: user, password: `${user}-secret`, project_name: user };
    return ok(await run(['openstack', ...argv], {
      ...process.env, OS_AUTH_URL: `${this.endpoint}/identity/v3`, OS_USERNAME: known.username, OS_PASSWORD: known.password, OS_PROJECT_NAME: known.project_name,
      OS_USER_DOMAIN_NAME: 'Default', OS_PROJECT_DOMAIN_NAME: 'Default', OS_IDENTITY_API_VERSION: '3', OS_REGION_NAME: 'RegionOne',
    }), argv);
  }

  /** `./patchbay ARGV --state …` */
  patchbay(...argv: string[]): Promise<Result> {
    const [command = '', ...rest] = argv;
    return run([PATCHBAY, command, '--state', this.state, ...rest]);
  }

  /** Runs a command on a host (or `outside`, `fabric`); throws when it fails. */
  async host(name: string, ...argv: string[]): Promise<string> {
    return ok(await run(onHost(this.state, name, argv)), argv);
  }

  /** Runs a command on a host and gives its exit code and output. */
  tryHost(name: string, ...argv: string[]): Promise<Result> {
    return run(onHost(this.state, name, argv));
  }

  /** Runs a command inside an instance as `patchbay exec` does, without a process for that; gives its exit code and output. */
  async exec(server: string, ...argv: string[]): Promise<Result> {
    const { host, server_id } = await askInstance(this.state, server);
    return run(onHost(this.state, host, nodeArgv(EXEC_ON_HOST, statePath.hostFolder(this.state, host), server_id, ...argv)));
  }

  /** Starts a command on a host that goes on until `stop`; its output so far is `text()`. */
  start(name: string, ...argv: string[]): { text(): string; stop(): Promise<string> } {
    const [program = '', ...rest] = onHost(this.state, name, argv);
    // A group of its own: nsenter waits for the command and does not hand signals on.
    const child = spawn(program, rest, { stdio: ['ignore', 'pipe', 'pipe'], detached: true });
    this.#children.add(child);
    let text = '';
    child.stdout.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
    child.stderr.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
    const ended = new Promise<void>((resolve) => child.once('close', () => resolve()));
    return {
      text: () => text,
      stop: async () => {
        // What has just happened is still on its way to us.
        await delay(100);
        signalGroup(child, 'SIGINT');
        const timer = setTimeout(() => signalGroup(child, 'SIGKILL'), 2_000);
        await ended;
        clearTimeout(timer);
        this.#children.delete(child);
        return text;
      },
    };
  }

  /** Sends raw frames out of a NIC of an instance, as its root could. */
  async sendFrames(server: string, frames: readonly Buffer[], nic = 'eth0'): Promise<void> {
    const script = 'import socket,sys\ns=socket.socket(socket.AF_PACKET,socket.SOCK_RAW)\ns.bind((sys.argv[1],0))\nfor f in sys.argv[2:]: s.send(bytes.fromhex(f))';
    const { host, argv } = await this.#inNetworkOf(server, ['python3', '-c', script, nic, ...frames.map((frame) => frame.toString('hex'))]);
    await this.host(host, ...argv);
  }

  /** Starts a program of the host (python3) in the network of an instance; as `start`. */
  async startIn(server: string, ...argv: string[]): Promise<ReturnType<Cloud['start']>> {
    const inside = await this.#inNetworkOf(server, argv);
    return this.start(inside.host, ...inside.argv);
  }

  async #inNetworkOf(server: string, argv: readonly string[]): Promise<{ host: string; argv: string[] }> {
    const { host, server_id } = await askInstance(this.state, server);
    const pid = (await this.host(host, 'sh', '-c', `cat ${statePath.instances(this.state, host)}/${server_id}/pid`)).trim().split(/\s/)[0]!;
    return { host, argv: ['nsenter', '-t', pid, '-n', ...argv] };
  }

  /** Captures what reaches a device of a host; resolves once tcpdump listens. */
  async capture(host: string, device: string, filter = '', ...flags: string[]): Promise<{ text(): string; stop(): Promise<string> }> {
    const dump = this.start(host, 'tcpdump', '-l', '--immediate-mode', '-e', '-n', ...flags, '-i', device, ...(filter ? [filter] : []));
    await until(10, `tcpdump listens on ${device}`, () => dump.text().includes('listening on'));
    return dump;
  }

  /** Returns when every host has applied what the store holds now. */
  async settle(): Promise<void> {
    const { waiting } = await askWait(this.state, 30);
    if (waiting.length > 0) throw new Error(`the hosts do not settle: ${JSON.stringify(waiting)}`);
  }

  /** The first answered ping from inside `server`, or a failure after `seconds`. */
  async ping(server: string, address: string, seconds = 15): Promise<void> {
    await until(seconds, `${server} pings ${address}`, async () => (await this.exec(server, 'ping', '-c', '1', '-W', '1', address)).code === 0);
  }

  /** Whether one of three pings from `server` is answered. */
  async answers(server: string, address: string): Promise<boolean> {
    return (await this.exec(server, 'ping', '-c', '3', '-i', '0.2', '-W', '1', address)).code === 0;
  }

  /** The agent's log lines of a host. */
  log(source: string): Record<string, unknown>[] {
    const file = statePath.log(this.state, source);
    return (existsSync(file) ? readFileSync(file, 'utf8') : '').split('\n').filter((line) => line.startsWith('{')).map((line) => JSON.parse(line) as Record<string, unknown>);
  }

  /** Tells the agent of a host to compare everything it has written with what it shall hold; it logs `checked` at the end. */
  check(host: string): void {
    process.kill(runningProcess(this.state, agentName(host))!.pid, 'SIGUSR1');
  }

  /** Tells what a failed scenario's controller and agents said last. */
  explain(t: TestContext): void {
    for (const source of ['controller', ...this.hosts]) {
      const lines = this.log(source).filter(({ msg, level }) => level !== 'info' || !['request', 'plan'].includes(String(msg)));
      for (const line of lines.slice(-12)) t.diagnostic(`${source}: ${JSON.stringify(line).slice(0, 600)}`);
    }
    for (const file of globSync(join(this.state, 'hosts/*/instances/*/console.log'))) {
      const lines = readFileSync(file, 'utf8').split('\n').filter((line) => line.startsWith('init: '));
      t.diagnostic(`${file.slice(this.state.length)}: ${lines.slice(-12).join(' | ')}`);
    }
  }

  async down(): Promise<void> {
    for (const child of this.#children) signalGroup(child, 'SIGKILL');
    await downDataCentre(this.state, { purge: true });
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

/** Asks `condition` again and again until it holds; throws `what` after `seconds`. */
export async function until(seconds: number, what: string, condition: () => Promise<boolean> | boolean): Promise<void> {
  const end = Date.now() + seconds * 1000;
  while (!(await condition())) {
    if (Date.now() > end) throw new Error(`did not come true within ${seconds} s: ${what}`);
    await delay(50);
  }
}

/** Nothing happens when it has ended. */
function signalGroup(child: ChildProcess, signal: NodeJS.Signals): void {
  try {
    process.kill(-child.pid!, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

function run(argv: readonly string[], env: NodeJS.ProcessEnv = process.env): Promise<Result> {
  return new Promise((resolve) => {
    const [program = '', ...rest] = argv;
    execFile(program, rest, { env, maxBuffer: 64 * 1024 * 1024, timeout: 120_000 }, (error, stdout, stderr) => {
      resolve({ code: error ? (typeof error.code === 'number' ? error.code : 255) : 0, stdout, stderr: stderr || (error && typeof error.code !== 'number' ? error.message : '') });
    });
  });
}

function ok({ code, stdout, stderr }: Result, argv: readonly string[]): string {
  if (code !== 0) throw new Error(`${argv.join(' ')}: exit code ${code}: ${stderr}${stdout}`);
  return stdout;
}
