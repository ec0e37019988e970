/** Starts the controller on the machine and an agent on each simulated host, and waits until they are ready. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { setTimeout as delay } from 'node:timers/promises';
import { ControllerDown, apiAnswers, askStatus } from './control-socket.ts';
import { hostEnvironment, startOnHost } from './datacentre/host.ts';
import type { DataCentrePlan, HostPlan } from './datacentre/plan.ts';
import { startDetached } from './datacentre/process.ts';
import { recordProcess, runningProcess, statePath } from './datacentre/state-folder.ts';

/** The long-running programs. */
export const ENTRY = {
  server: fileURLToPath(new URL('../control/server.ts', import.meta.url)),
  agent: fileURLToPath(new URL('../agent/main.ts', import.meta.url)),
};

/** The second half of `patchbay exec`, which runs on the instance's host. */
export const EXEC_ON_HOST = fileURLToPath(new URL('./exec-on-host.ts', import.meta.url));

/**
 * V8's young generation in MB. In 2 a program stays smallest as long as it holds little at a time, and pays with more work for each
 * byte; a list of 2,000 ports does not fit, grows old at once, and the controller grows to 250 MB where with 8 it needs 165.
 */
const YOUNG_GENERATION: Readonly<Record<string, number>> = { [ENTRY.server]: 8 };

/**
 * glibc keeps what each thread has freed, and raises its own thresholds with every large block: 25 MB of a controller. Set by hand they
 * stay; lower than 8 MB, or with one arena, lists become slower. Only the environment a process starts with can say so.
 */
const ALLOCATOR = ['MALLOC_ARENA_MAX=2', 'MALLOC_MMAP_THRESHOLD_=8388608', 'MALLOC_TRIM_THRESHOLD_=8388608'];

/** The command line that runs an entry point as `./patchbay` itself is run. */
export function nodeArgv(entry: string, ...args: string[]): string[] {
  return ['env', ...ALLOCATOR, process.execPath, `--max-semi-space-size=${YOUNG_GENERATION[entry] ?? 2}`, '--disable-warning=ExperimentalWarning', entry, ...args];
}

/** Starts the controller unless it runs; returns whether it was started. It is not ready yet. */
export async function startController(plan: DataCentrePlan, entry: string = ENTRY.server): Promise<boolean> {
  const { state } = plan;
  if (runningProcess(state, 'controller')) return false;
  const argv = nodeArgv(entry, '--config', statePath.config(state), '--state', state);
  const id = await startDetached(argv, { logFile: statePath.log(state, 'controller'), env: hostEnvironment(state) });
  recordProcess(state, 'controller', id);
  return true;
}

/** Starts the agents that do not run; returns their hosts' names. */
export async function startAgents(plan: DataCentrePlan, entry: string = ENTRY.agent): Promise<string[]> {
  const missing = plan.hosts.filter((host) => !runningProcess(plan.state, agentName(host.name)));
  await Promise.all(missing.map((host) => startAgent(plan.state, host, entry)));
  return missing.map((host) => host.name);
}

/**
 * What no agent and nothing that it starts may ever do, though they are root: load modules, touch raw devices and the clock, change
 * others' access control, read the kernel's log (CVE-2013-6433, CVE-2014-3632).
 */
const NEVER = ['sys_module', 'sys_rawio', 'sys_time', 'sys_pacct', 'sys_tty_config', 'mac_override', 'mac_admin', 'syslog', 'wake_alarm', 'block_suspend', 'audit_control', 'audit_read'];

/** Starts the agent of a host whose agent does not run. */
export async function startAgent(state: string, host: HostPlan, entry: string = ENTRY.agent): Promise<void> {
  const program = nodeArgv(
    entry, '--host', host.name, '--state', statePath.hostFolder(state, host.name),
    '--controller', `unix:${statePath.agentsSocket(state)}`, '--config', statePath.config(state), '--roles', host.roles.join(','),
  );
  const argv = ['setpriv', `--bounding-set=${NEVER.map((capability) => `-${capability}`).join(',')}`, '--', ...program];
  const id = await startOnHost(state, host.name, argv, statePath.log(state, host.name));
  recordProcess(state, agentName(host.name), id);
}

/** The name under which a host's agent is recorded. */
export function agentName(host: string): string {
  return `${host}-agent`;
}

/** Returns when the API answers; throws one line when the controller ends instead, or after `seconds`. */
export async function waitForController(state: string, seconds = 60): Promise<void> {
  await waitUntil(seconds, `the controller does not answer; see ${statePath.log(state, 'controller')}`, async () => {
    failIfEnded(state, 'controller', 'controller');
    return apiAnswers(state);
  });
}

/** Returns when every host's agent is alive and has applied all that concerns it. */
export async function waitForAgents(plan: DataCentrePlan, seconds = 60): Promise<void> {
  const { state } = plan;
  await waitUntil(seconds, `the agents are not ready; see \`patchbay status\` and ${statePath.log(state, 'HOST')}`, async () => {
    failIfEnded(state, 'controller', 'controller');
    for (const { name } of plan.hosts) failIfEnded(state, agentName(name), name);
    const status = await askStatus(state).catch((error: unknown) => {
      if (error instanceof ControllerDown) return undefined;
      throw error;
    });
    const ready = new Set(status?.hosts.filter((host) => host.alive && host.applied >= host.revision).map(({ host }) => host));
    return plan.hosts.every(({ name }) => ready.has(name));
  });
}

function failIfEnded(state: string, name: string, source: string): void {
  if (runningProcess(state, name)) return;
  const log = statePath.log(state, source);
  throw new Error(`${name} ended${lastWords(log)}; see ${log}`);
}

/** The message of the last line of a JSON log, or its last line that says something. */
function lastWords(file: string): string {
  const lines = readLog(file).trim().split('\n').filter((line) => line.trim() !== '' && !/^\s+at |^Node\.js v|^\s*[{}^]\s*$/.test(line));
  const line = lines.findLast((each) => /^\w*Error\b/.test(each)) ?? lines.at(-1);
  if (!line) return '';
  try {
    return `: ${(JSON.parse(line) as { msg?: string }).msg ?? line}`;
  } catch {
    return `: ${line}`;
  }
}

function readLog(file: string): string {
  try {
    return readFileSync(file, 'utf8').slice(-8_192);
  } catch {
    return '';
  }
}

async function waitUntil(seconds: number, complaint: string, done: () => Promise<boolean>): Promise<void> {
  const end = Date.now() + seconds * 1_000;
  while (!(await done())) {
    if (Date.now() > end) throw new Error(`${complaint} (waited ${seconds} s)`);
    await delay(20);
  }
}
