/** `patchbay up` without its command line: packages, limits, hosts, controller and agents, in an order that leaves nothing half done. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { isDeepStrictEqual } from 'node:util';
import { type Config, loadConfig } from '#model/config.ts';
import { downDataCentre, upDataCentre } from './datacentre/datacentre.ts';
import { type Limit, formatMissingLimits, missingLimits, raiseLimits } from './datacentre/limits.ts';
import type { DataCentrePlan } from './datacentre/plan.ts';
import { isAlive } from './datacentre/process.ts';
import { readPlan, readProcesses, readRaisedLimits, recordRaisedLimits, statePath } from './datacentre/state-folder.ts';
import { PACKAGES, ensurePackages } from './packages.ts';
import { ENTRY, agentName, startAgents, startController, waitForAgents, waitForController } from './services.ts';
import type { Settings } from './settings.ts';

export interface UpOptions {
  /** Raise limits that all namespaces share instead of refusing. */
  readonly raiseLimits?: boolean;
  readonly progress?: (step: string) => void;
  /** The programs to start as controller and agents. */
  readonly entry?: typeof ENTRY;
}

/**
 * Makes the data centre of `settings` run with controller and agents, and returns when all is ready: `already` when it did before.
 * Throws one line when that cannot be; what was not running before does not run then either, its logs stay.
 */
export async function up(settings: Settings, { raiseLimits: raise = false, progress = () => {}, entry = ENTRY }: UpOptions = {}): Promise<'already' | 'started'> {
  const { plan } = settings;
  const { state } = plan;
  const running = [...readProcesses(state)].filter(([, id]) => isAlive(id)).map(([name]) => name);
  if (running.includes('controller')) refuseChange(settings);
  if (neededProcesses(plan).every((name) => running.includes(name))) {
    await waitForController(state);
    return 'already';
  }
  await ensurePackages(PACKAGES, progress);
  if (!running.includes('controller')) await checkListen(plan.listen);
  const limits = missingLimits(plan.hosts.length);
  if (limits.length > 0 && !raise) throw new Error(formatMissingLimits(plan.hosts.length, limits));
  try {
    await start(settings, { progress, entry, limits });
  } catch (error) {
    // A half-made data centre helps nobody.
    if (running.length === 0) await downDataCentre(state).catch(() => {});
    throw error;
  }
  return 'started';
}

async function start({ plan, config }: Settings, { progress, entry, limits }: { progress: (step: string) => void; entry: typeof ENTRY; limits: Limit[] }): Promise<void> {
  const { state } = plan;
  await upDataCentre(plan, progress, async () => {
    if (limits.length > 0) recordRaisedLimits(state, [...readRaisedLimits(state), ...raiseLimits(limits)]);
    writeFileSync(statePath.config(state), config, { mode: 0o600 });
    // It comes up while the hosts do.
    if (await startController(plan, entry.server)) progress('controller started');
  });
  await waitForController(state);
  progress(`controller answers at http://${plan.listen}`);
  const agents = await startAgents(plan, entry.agent);
  if (agents.length > 0) progress(`agents started: ${agents.length}`);
  await waitForAgents(plan);
  progress('all hosts are ready');
}

function neededProcesses({ hosts }: DataCentrePlan): string[] {
  return ['fabric', 'outside', 'controller', ...hosts.flatMap(({ name }) => [name, agentName(name)])];
}

/** A running controller keeps its settings; only hosts may be added. */
function refuseChange({ plan, config }: Settings): void {
  const before = readPlan(plan.state)?.hosts ?? [];
  if (before.length > plan.hosts.length) throw new Error(`it runs with ${before.length} hosts; \`patchbay down\` first to have fewer`);
  const other = before.find((host) => !plan.hosts.some((each) => isDeepStrictEqual(each, host)));
  if (other) throw new Error(`it runs with ${other.name} in another role or at another place of the list; \`patchbay down\` first to change that`);
  const file = statePath.config(plan.state);
  const now = { ...loadConfig(existsSync(file) ? readFileSync(file, 'utf8') : '') };
  const wanted = { ...loadConfig(config) };
  const changed = Object.keys(wanted).filter((name) => name !== 'hosts' && JSON.stringify(wanted[name as keyof Config]) !== JSON.stringify(now[name as keyof Config]));
  if (changed.length > 0) throw new Error(`it runs with another ${changed.join(', ')}; \`patchbay down\` first to change that`);
}

/** Throws one line when the controller will not be able to listen there. */
async function checkListen(listen: string): Promise<void> {
  const colon = listen.lastIndexOf(':');
  const host = listen.slice(0, colon).replace(/^\[|\]$/g, '');
  const server = createServer();
  try {
    await new Promise<void>((resolve, reject) => server.once('error', reject).listen({ host, port: Number(listen.slice(colon + 1)) }, resolve));
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === 'EADDRINUSE') throw new Error(`${listen} is taken by another program; choose with --listen ADDR:PORT`);
    if (code === 'EADDRNOTAVAIL') throw new Error(`${host} is no address of this machine; choose with --listen ADDR:PORT`);
    throw new Error(`cannot listen on ${listen}: ${message}`);
  } finally {
    await new Promise((resolve) => server.close(resolve));
  }
}
