/**
 * The state folder: what a data centre remembers. `datacentre.json` marks it as ours and holds the plan; `run/` holds what runs now,
 * one file per process; everything else belongs to the controller (store, credentials, sockets), the hosts (`hosts/NAME`) and `log/`.
 */
import { existsSync, mkdirSync, readFileSync, readdirSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { RaisedLimit } from './limits.ts';
import type { DataCentrePlan } from './plan.ts';
import { type ProcessId, isAlive, processId } from './process.ts';

export const DEFAULT_STATE = '/var/lib/patchbay';

/** The longest socket we bind has to fit into the 107 bytes of a unix address. */
const MAX_STATE_PATH = 107 - '/control.sock'.length;

/** Paths of a state. */
export const statePath = {
  mark: (state: string) => join(state, 'datacentre.json'),
  /** The configuration in force; controller and agents read this copy. */
  config: (state: string) => join(state, 'config.yaml'),
  apiSocket: (state: string) => join(state, 'api.sock'),
  agentsSocket: (state: string) => join(state, 'agents.sock'),
  controlSocket: (state: string) => join(state, 'control.sock'),
  credentials: (state: string) => join(state, 'credentials.json'),
  hostFolder: (state: string, host: string) => join(state, 'hosts', host),
  /** Where a host's agent keeps its instances (`stateDir` of the instance driver). */
  instances: (state: string, host: string) => join(state, 'hosts', host, 'instances'),
  log: (state: string, source: string) => join(state, 'log', `${source}.jsonl`),
  /** What its agent writes of packets, unless the settings name another file. */
  flowLog: (state: string, host: string) => join(state, 'hosts', host, 'flow.log'),
  run: (state: string) => join(state, 'run'),
};

/** Throws one line when `state` cannot be a state folder. Mount, proxy and OVS command lines carry the path: it stays plain. */
export function checkStatePath(state: string): void {
  if (!/^\/[A-Za-z0-9_.+/-]+$/.test(state)) throw new Error(`--state ${state}: the path may hold only letters, digits and / _ . + -`);
  if (/^\/(run|proc|sys|dev)(\/|$)/.test(state)) throw new Error(`--state ${state}: hosts have their own ${state.split('/', 2).join('/')}; use another place`);
  if (state.length > MAX_STATE_PATH) throw new Error(`--state ${state}: the path is longer than ${MAX_STATE_PATH} characters, too long for a unix socket`);
  if (!existsSync(state)) return;
  if (!statSync(state).isDirectory()) throw new Error(`--state ${state} is not a directory`);
  if (!existsSync(statePath.mark(state)) && readdirSync(state).length > 0) {
    throw new Error(`--state ${state} is not empty and not a Patchbay state; choose a new folder`);
  }
}

/** The plan of the last `up`; `undefined` when this is no state yet. */
export function readPlan(state: string): DataCentrePlan | undefined {
  return readJson<DataCentrePlan>(statePath.mark(state));
}

/** Makes the folder where it is missing and remembers the plan. Not readable by others: it will hold passwords and tenants' data. */
export function writePlan(plan: DataCentrePlan): void {
  mkdirSync(plan.state, { recursive: true, mode: 0o711 });
  mkdirSync(statePath.run(plan.state), { recursive: true, mode: 0o700 });
  mkdirSync(join(plan.state, 'log'), { recursive: true, mode: 0o700 });
  writeJson(statePath.mark(plan.state), plan);
}

/** Every process that was recorded, by name: `fabric`, `outside`, `compute1`, `compute1-agent`, `controller`. */
export function readProcesses(state: string): Map<string, ProcessId> {
  const folder = statePath.run(state);
  const names = existsSync(folder) ? readdirSync(folder).filter((name) => name.endsWith('.process.json')) : [];
  const entries = names.flatMap((file) => {
    const id = readJson<ProcessId>(join(folder, file));
    return id ? [[file.slice(0, -'.process.json'.length), id] as const] : [];
  });
  return new Map(entries);
}

/** The process of that name if it still runs. */
export function runningProcess(state: string, name: string): ProcessId | undefined {
  const id = readJson<ProcessId>(join(statePath.run(state), `${name}.process.json`));
  return isAlive(id) ? id : undefined;
}

export function recordProcess(state: string, name: string, id: ProcessId): void {
  writeJson(join(statePath.run(state), `${name}.process.json`), id);
}

export function readRaisedLimits(state: string): RaisedLimit[] {
  return readJson<RaisedLimit[]>(join(statePath.run(state), 'limits.json')) ?? [];
}

export function recordRaisedLimits(state: string, limits: readonly RaisedLimit[]): void {
  writeJson(join(statePath.run(state), 'limits.json'), limits);
}

/** Forgets what ran, when nothing does any more. */
export function clearRun(state: string): void {
  rmSync(statePath.run(state), { recursive: true, force: true });
  for (const socket of [statePath.apiSocket(state), statePath.agentsSocket(state), statePath.controlSocket(state)]) rmSync(socket, { force: true });
}

/** Removes the folder with all it holds. Only a folder that bears our mark: the path comes from a command line. */
export function removeState(state: string): void {
  if (existsSync(statePath.mark(state))) rmSync(state, { recursive: true, force: true });
}

/** Runs `change` while no other command changes this state; throws one line when one does. */
export async function withLock<T>(state: string, change: () => Promise<T>): Promise<T> {
  mkdirSync(dirname(state), { recursive: true });
  const file = `${state}.lock`;
  const holder = readJson<ProcessId>(file);
  if (isAlive(holder)) throw new Error(`another patchbay command (pid ${holder!.pid}) is changing ${state}; try again when it is done`);
  rmSync(file, { force: true });
  writeFileSync(file, JSON.stringify(processId(process.pid)), { flag: 'wx' });
  try {
    return await change();
  } finally {
    rmSync(file, { force: true });
  }
}

function readJson<T>(file: string): T | undefined {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as T;
  } catch {
    return undefined; // absent, or cut short by a crash: as good as absent
  }
}

function writeJson(file: string, value: unknown): void {
  writeFileSync(`${file}.new`, `${JSON.stringify(value, undefined, 1)}\n`, { mode: 0o600 });
  renameSync(`${file}.new`, file);
}
