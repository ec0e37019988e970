/** A simulated host: namespaces with an init that reaps. Killing the init is the host's crash and leaves nothing. */
import { spawn } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { makeHostCgroups } from './cgroup.ts';
import { type ProcessId, childrenOf, innerPid, processId } from './process.ts';
import { type RunOptions, run } from './run.ts';
import { recordProcess, runningProcess, statePath } from './state-folder.ts';

const INIT = fileURLToPath(new URL('host-init.sh', import.meta.url));

/** Starts the init of `host` and returns when the host has its own file system view; it has no link but `lo` yet. */
export async function startHost(state: string, stateId: string, host: string): Promise<ProcessId> {
  const folder = statePath.hostFolder(state, host);
  mkdirSync(folder, { recursive: true });
  const cgroups = makeHostCgroups(stateId, host);
  const id = await startInit(['sh', INIT, host, folder], cgroups, { ...hostEnvironment(state), PATCHBAY_HOST: host });
  recordProcess(state, host, id);
  return id;
}

/** Enters the cgroups named before `--` (0 is the writer itself), then becomes the rest in a cgroup namespace rooted there. */
const ENTER_CGROUPS = 'while [ "$1" != -- ]; do echo 0 >"$1/cgroup.procs"; shift; done; shift; exec unshare --cgroup "$@"';
const NAMESPACES = ['--net', '--mount', '--pid', '--uts', '--ipc'];

/** The outer process stays, in no cgroup of the host: it reaps the init at once, which pid 1 of some machines does late. */
function startInit(argv: string[], cgroups: string[], env: NodeJS.ProcessEnv): Promise<ProcessId> {
  return new Promise((resolve, reject) => {
    const child = spawn('unshare', [...NAMESPACES, '--fork', 'sh', '-ec', ENTER_CGROUPS, 'sh', ...cgroups, '--', ...argv], {
      detached: true, cwd: '/', env, stdio: ['ignore', 'pipe', 'pipe'],
    });
    let errors = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => (errors += text));
    child.stdout.setEncoding('utf8').once('data', (text: string) => {
      const [, pid, start_time] = /^ready (\d+) (\d+)$/m.exec(text) ?? [];
      child.stdout.destroy();
      child.stderr.destroy();
      child.unref();
      resolve({ pid: Number(pid), start_time: start_time! });
    });
    child.once('error', reject);
    child.once('exit', () => reject(new Error(`a simulated host cannot start: ${errors.trim().split('\n').at(-1) ?? 'unshare failed'}`)));
  });
}

/** What processes of a state have in their environment: how a later command finds those that nobody recorded. */
export function hostEnvironment(state: string): NodeJS.ProcessEnv {
  return { ...process.env, PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', PATCHBAY_PROCESS_OF: state };
}

/** The host's init; throws one line when the host does not run. */
export function hostInit(state: string, host: string): ProcessId {
  const id = runningProcess(state, host);
  if (!id) throw new Error(`host ${host} is not running in ${state}; \`patchbay status\` shows the hosts`);
  return id;
}

/** The command line that runs `argv` on a host, as a login there would: all its namespaces, the caller's environment. */
export function onHost(state: string, host: string, argv: readonly string[]): string[] {
  return ['nsenter', '-t', String(hostInit(state, host).pid), '-m', '-n', '-p', '-u', '-i', '-C', '--', ...argv];
}

/** Runs a command on a host to its end and returns its stdout. */
export function runOnHost(state: string, host: string, argv: readonly string[], options: RunOptions = {}): Promise<string> {
  return run(onHost(state, host, argv), options);
}

/** Runs a command in the host's network namespace only: it sees the machine's pids and files. */
export function runInNetwork(state: string, host: string, argv: readonly string[], options: RunOptions = {}): Promise<string> {
  return run(['nsenter', '-t', String(hostInit(state, host).pid), '-n', '--', ...argv], options);
}

/** Starts a long-running process on a host, its output appended to `logFile` (a path that the machine and the host share). */
export async function startOnHost(state: string, host: string, argv: readonly string[], logFile: string): Promise<ProcessId> {
  const script = 'log=$1; shift; setsid "$@" </dev/null >>"$log" 2>&1 & echo $!';
  const init = hostInit(state, host);
  const inner = Number(await runOnHost(state, host, ['sh', '-c', script, 'sh', logFile, ...argv], { env: hostEnvironment(state) }));
  // The shell has ended: its child is an orphan now, hence a child of the host's init.
  for (const pid of childrenOf(init.pid)) {
    const id = innerPid(pid) === inner ? processId(pid) : undefined;
    if (id) return id;
  }
  throw new Error(`${argv.slice(0, 2).join(' ')} ended at once on ${host}; see ${logFile}`);
}
