/**
 * Brings the simulated data centre up and down: fabric, hosts with Open vSwitch, the outside. Knows no controller and no agent
 * (`services.ts` starts these), so a test of anything below them needs only this file.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { removeCgroups } from './cgroup.ts';
import { MODEM_NAMESPACE, gatewayScript, hubAddressScript, uplinkCommands } from './external-bridge.ts';
import { FABRIC_SYSCTLS, hostLinkScript, hostWireLines, outsideLinkScript, outsidePlace, outsideWireLines, segmentLines, segmentOf, wireScript } from './fabric.ts';
import { hostEnvironment, runInNetwork, runOnHost, startHost } from './host.ts';
import { restoreLimits } from './limits.ts';
import { type DataCentrePlan, type HostPlan, listenPort, stateId } from './plan.ts';
import { endProcesses, isAlive, processesWithEnvironment } from './process.ts';
import { clearRun, readProcesses, readRaisedLimits, removeState, runningProcess, statePath, writePlan } from './state-folder.ts';

/** Told of each step when it is done, for people who wait. */
export type Progress = (step: string) => void;

const SERVICES = fileURLToPath(new URL('host-services.sh', import.meta.url));

/**
 * Makes the data centre of `plan` true: starts what does not run, leaves the rest alone, and first removes what a crashed run left.
 * `cleaned` is called when that is done, before anything starts. Returns the names of what it started: none when all ran already.
 */
export async function upDataCentre(plan: DataCentrePlan, progress: Progress = () => {}, cleaned: () => Promise<void> = async () => {}): Promise<string[]> {
  const { state } = plan;
  if (!runningProcess(state, 'fabric') || !runningProcess(state, 'outside')) {
    // Without its wires a host is lost anyway.
    if (await endEverything(state)) progress('removed what an earlier run had left');
  }
  writePlan(plan);
  await cleaned();
  const started: string[] = [];
  if (!runningProcess(state, 'fabric')) {
    await startFabric(plan);
    started.push('fabric', 'outside');
    progress(`fabric: ${segmentOf(plan).name}, underlay, mgmt; outside: ${outsidePlace(plan)}`);
  }
  const missing = plan.hosts.filter((host) => !runningProcess(state, host.name));
  if (missing.length > 0) {
    await startHosts(plan, missing);
    started.push(...missing.map((host) => host.name));
    progress(`${hostList(missing)}: Open vSwitch runs`);
  }
  return started;
}

function hostList(hosts: readonly HostPlan[]): string {
  return hosts.length > 3 ? `${hosts[0]!.name} to ${hosts.at(-1)!.name}` : hosts.map((host) => host.name).join(', ');
}

async function startFabric(plan: DataCentrePlan): Promise<void> {
  const { state, id } = plan;
  const [, outside] = await Promise.all([startHost(state, id, 'fabric'), startHost(state, id, 'outside')]);
  await runInNetwork(state, 'fabric', ['sh', '-ec', FABRIC_SYSCTLS]);
  await batch(state, [...segmentLines(plan), ...outsideWireLines(plan, outside.pid)]);
  const web = join(statePath.hostFolder(state, 'outside'), 'www');
  mkdirSync(web, { recursive: true });
  writeFileSync(join(web, 'index.html'), 'This is the world outside of the cloud.\n');
  await Promise.all([
    runInNetwork(state, 'fabric', ['sh', '-ec', wireScript(plan, [])]),
    runOnHost(state, 'outside', ['sh', '-ec', outsideLinkScript(plan)]),
  ]);
  const argv = ['sh', SERVICES, 'outside', web, writeProxyConfig(plan, 'outside'), ...(plan.external_bridge ? [MODEM_NAMESPACE] : [])];
  await runOnHost(state, 'outside', argv, { env: hostEnvironment(state) });
}

async function startHosts(plan: DataCentrePlan, hosts: readonly HostPlan[]): Promise<void> {
  const { state } = plan;
  const inits = await Promise.all(hosts.map((host) => startHost(state, plan.id, host.name)));
  await batch(state, hosts.flatMap((host, index) => hostWireLines(plan, host, inits[index]!.pid)));
  await runInNetwork(state, 'fabric', ['sh', '-ec', wireScript(plan, hosts)]);
  // A few at a time: more only fight for the processors, and a switch that starts slowly times out.
  const queue = [...hosts];
  const worker = async () => {
    for (let host = queue.shift(); host; host = queue.shift()) await startHostServices(plan, host);
  };
  await Promise.all([worker(), worker(), worker()]);
  const hub = plan.hosts.find(({ name }) => name === plan.external_bridge?.hub);
  // One that ran before has to learn of new spokes.
  if (hub && !hosts.includes(hub)) await runOnHost(state, hub.name, ['ovs-vsctl', '--timeout=20', ...uplinkCommands(plan, hub)]);
}

async function startHostServices(plan: DataCentrePlan, host: HostPlan): Promise<void> {
  const { state, external_bridge: bridge } = plan;
  const script = (text: string) => runOnHost(state, host.name, ['sh', '-ec', text]);
  await script(hostLinkScript(plan, host));
  if (bridge?.hub === host.name) await script(gatewayScript(bridge));
  const argv = ['sh', SERVICES, 'host', host.name, host.local_ip, writeProxyConfig(plan, host.name), ...uplinkCommands(plan, host)];
  await runOnHost(state, host.name, argv, { env: hostEnvironment(state), timeout: 60_000 });
  if (bridge?.hub === host.name) await script(hubAddressScript(bridge));
}

async function batch(state: string, lines: readonly string[]): Promise<void> {
  await runInNetwork(state, 'fabric', ['ip', '-batch', '-'], { input: `${lines.join('\n')}\n` });
}

/** A host's own 127.0.0.1:PORT leads to the controller, so that the same openrc works there as on the machine. */
function writeProxyConfig(plan: DataCentrePlan, host: string): string {
  const file = join(statePath.hostFolder(plan.state, host), 'api-proxy.cfg');
  writeFileSync(file, `global
    maxconn 256
defaults
    mode tcp
    timeout connect 5s
    timeout client 1h
    timeout server 1h
listen api
    bind 127.0.0.1:${listenPort(plan.listen)}
    server controller unix@${statePath.apiSocket(plan.state)}
`);
  return file;
}

/**
 * Ends every process of the state, removes everything from the kernel and restores what was raised; with `purge` the folder goes too.
 * Returns whether there was anything to end.
 */
export async function downDataCentre(state: string, options: { purge?: boolean } = {}, progress: Progress = () => {}): Promise<boolean> {
  const ended = await endEverything(state, progress);
  if (options.purge) {
    removeState(state);
    progress(`removed ${state}`);
  }
  return ended;
}

/** Returns whether anything still ran. Hosts first: their death takes agents, switches and instances with it, as a power cut would. */
async function endEverything(state: string, progress: Progress = () => {}): Promise<boolean> {
  const recorded = readProcesses(state);
  const controller = recorded.get('controller');
  const hosts = [...recorded].filter(([name]) => name !== 'controller').map(([, id]) => id).filter(isAlive);
  await endProcesses(hosts);
  if (hosts.length > 0) progress('hosts, fabric and outside ended');
  const controllerRan = isAlive(controller);
  if (controllerRan) {
    await endProcesses([controller!], 'SIGTERM');
    progress('controller ended');
  }
  const strays = processesWithEnvironment(`PATCHBAY_PROCESS_OF=${state}`);
  await endProcesses(strays);
  restoreLimits(readRaisedLimits(state));
  await removeCgroups(stateId(state));
  clearRun(state);
  return hosts.length > 0 || controllerRan || strays.length > 0;
}
