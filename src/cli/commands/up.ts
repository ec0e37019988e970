import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { loadConfig } from '#model/config.ts';
import { Document, parseDocument } from 'yaml';
import { type Command, type Invocation, UsageError, expectPositionals, integerOption, requireRoot, textOption } from '../command.ts';
import { downDataCentre, upDataCentre } from '../datacentre/datacentre.ts';
import { formatMissingLimits, missingLimits, raiseLimits } from '../datacentre/limits.ts';
import { type DataCentrePlan, MAX_HOSTS, planDataCentre } from '../datacentre/plan.ts';
import { checkStatePath, readPlan, readRaisedLimits, recordRaisedLimits, runningProcess, statePath, withLock } from '../datacentre/state-folder.ts';
import { PACKAGES, ensurePackages } from '../packages.ts';
import { agentName, startAgents, startController, waitForAgents, waitForController } from '../services.ts';

export const command: Command = {
  usage: '[--hosts N] [--config FILE] [--listen ADDR:PORT] [--raise-limits]',
  summary: 'start a controller and a simulated data centre of N hosts; again: start what is missing',
  options: {
    hosts: { type: 'string', value: 'N', help: `hosts compute1 to computeN, at most ${MAX_HOSTS} (default 2, or what the config says)` },
    config: { type: 'string', value: 'FILE', help: 'settings (YAML); without it those of the last up' },
    listen: { type: 'string', value: 'ADDR:PORT', help: 'where the API answers (default 127.0.0.1:8770)' },
    'raise-limits': { type: 'boolean', help: 'raise sysctls that all namespaces share, until down' },
  },
  async run(invocation) {
    expectPositionals(invocation);
    requireRoot('up');
    checkStatePath(invocation.state);
    const started = Date.now();
    const progress = (step: string) => console.log(`${((Date.now() - started) / 1_000).toFixed(1).padStart(6)} s  ${step}`);
    const { plan, config } = readSettings(invocation);
    return withLock(invocation.state, () => up(plan, config, { raise: invocation.options['raise-limits'] === true, progress }));
  },
};

interface UpOptions {
  readonly raise: boolean;
  readonly progress: (step: string) => void;
}

async function up(plan: DataCentrePlan, config: string, { raise, progress }: UpOptions): Promise<number> {
  const { state } = plan;
  if (isUp(plan)) {
    if (existsSync(statePath.config(state)) && readFileSync(statePath.config(state), 'utf8') !== config) {
      throw new Error('it runs with other settings; `patchbay down` first');
    }
    await waitForController(state);
    console.log(`already up: controller ${endpoint(plan)}, hosts ${hostNames(plan)}; nothing to do`);
    return 0;
  }
  await ensurePackages(PACKAGES, progress);
  const before = readPlan(state);
  const controllerRuns = runningProcess(state, 'controller') !== undefined;
  if (controllerRuns && before) refuseChange(before, plan);
  if (!controllerRuns) await checkListen(plan.listen);
  const limits = missingLimits(plan.hosts.length);
  if (limits.length > 0 && !raise) throw new Error(formatMissingLimits(plan.hosts.length, limits));
  try {
    await start(plan, config, progress, () => {
      if (limits.length > 0) recordRaisedLimits(state, [...readRaisedLimits(state), ...raiseLimits(limits)]);
    });
  } catch (error) {
    // A half-made data centre helps nobody; its logs stay.
    if (!controllerRuns) await downDataCentre(state).catch(() => {});
    throw error;
  }
  console.log(nextSteps(plan, config));
  return 0;
}

async function start(plan: DataCentrePlan, config: string, progress: (step: string) => void, raise: () => void): Promise<void> {
  const { state } = plan;
  await upDataCentre(plan, progress, async () => {
    raise();
    writeConfig(state, config);
    // It comes up while the hosts do.
    if (await startController(plan)) progress('controller started');
  });
  await waitForController(state);
  progress(`controller answers at ${endpoint(plan)}`);
  const agents = await startAgents(plan);
  if (agents.length > 0) progress(`agents started: ${agents.length}`);
  await waitForAgents(plan);
  progress('all hosts are ready');
}

function isUp({ state, hosts }: DataCentrePlan): boolean {
  const names = ['fabric', 'outside', 'controller', ...hosts.flatMap(({ name }) => [name, agentName(name)])];
  return names.every((name) => runningProcess(state, name)) && readPlan(state)?.hosts.length === hosts.length;
}

function refuseChange(before: DataCentrePlan, plan: DataCentrePlan): void {
  if (before.hosts.length > plan.hosts.length) throw new Error(`it runs with ${before.hosts.length} hosts; \`patchbay down\` first to have fewer`);
  if (before.listen !== plan.listen) throw new Error(`it listens on ${before.listen}; \`patchbay down\` first to change that`);
}

/** Config file, options and what the last `up` was told, in one; throws one line when they make no sense. */
function readSettings(invocation: Invocation): { plan: DataCentrePlan; config: string } {
  const { state } = invocation;
  const file = textOption(invocation, 'config');
  const document = parseConfig(file ?? statePath.config(state), file !== undefined);
  const hosts = integerOption(invocation, 'hosts');
  const listen = textOption(invocation, 'listen');
  if (hosts !== undefined && (hosts < 1 || hosts > MAX_HOSTS)) throw new UsageError(`--hosts takes a number from 1 to ${MAX_HOSTS}, not ${hosts}`);
  if (hosts !== undefined) document.set('hosts', hosts);
  if (listen !== undefined) document.set('listen', checkAddress(listen));
  const text = document.contents === null ? '' : document.toString();
  const config = loadConfig(text);
  const plan = planDataCentre({ state, hosts: config.hosts, listen: checkAddress(config.listen), physnetMtu: config.global_physnet_mtu });
  return { plan, config: text };
}

function parseConfig(file: string, required: boolean): Document {
  if (!required && !existsSync(file)) return new Document();
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    throw new Error(`config ${file}: ${(error as NodeJS.ErrnoException).code === 'ENOENT' ? 'no such file' : (error as Error).message}`);
  }
  loadConfig(text); // the first complaint is about what the user wrote
  const document = parseDocument(text);
  return document.contents === null ? new Document() : (document as unknown as Document);
}

function checkAddress(listen: string): string {
  const [, host, port] = /^(\[[0-9a-fA-F:]+\]|[0-9.]+|localhost):([0-9]{1,5})$/.exec(listen) ?? [];
  if (!host || Number(port) < 1 || Number(port) > 65_535) throw new UsageError(`--listen takes ADDR:PORT, e.g. 127.0.0.1:8770, not '${listen}'`);
  return listen;
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

function writeConfig(state: string, config: string): void {
  mkdirSync(state, { recursive: true });
  writeFileSync(statePath.config(state), config, { mode: 0o600 });
}

function endpoint(plan: DataCentrePlan): string {
  return `http://${plan.listen}`;
}

function hostNames({ hosts }: DataCentrePlan): string {
  return hosts.length > 4 ? `${hosts[0]!.name} to ${hosts.at(-1)!.name}` : hosts.map(({ name }) => name).join(' ');
}

function nextSteps(plan: DataCentrePlan, config: string): string {
  const tour = loadConfig(config).bootstrap === 'tour';
  const user = tour ? 'demo' : 'admin';
  const lines = [
    `source <(./patchbay openrc ${user})`,
    'openstack network list',
    ...(tour
      ? ['openstack network create my-net && openstack subnet create --network my-net --subnet-range 10.0.0.0/24 my-subnet',
        'openstack server create --wait --flavor m1.nano --image busybox --network my-net vm1',
        './patchbay exec vm1 -- ip address']
      : []),
    './patchbay host compute1 -- ovs-vsctl show',
    './patchbay status',
  ];
  return `\nPatchbay is up at ${endpoint(plan)} with ${hostNames(plan)}. Try:\n\n${lines.map((line) => `  ${line}`).join('\n')}\n`;
}
