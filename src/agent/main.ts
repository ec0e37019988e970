/**
 * The host agent's composition root: `agent/main.ts --host NAME --state DIR --controller unix:PATH --config FILE [--roles ROLE,…]`.
 * The only file of this room that knows real drivers.
 */
import { readFileSync } from 'node:fs';
import { appendFile } from 'node:fs/promises';
import { flushCompileCache } from 'node:module';
import { availableParallelism, totalmem } from 'node:os';
import { dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { InstanceDrivers } from '#instances/instance-drivers.ts';
import { jsonLog } from '#protocol/log.ts';
import { HOST_ROLES } from '#protocol/messages.ts';
import { parseIp } from '#net/ip.ts';
import { loadConfig, physnetMap } from '#model/config.ts';
import type { OpenFlowClient } from '#openflow/openflow-client.ts';
import { Vswitch } from '#openflow/vswitch.ts';
import { Advertisers, RADVD_ROOT } from './advertisers.ts';
import { Agent } from './agent.ts';
import { DhcpManager } from './dhcp-manager.ts';
import { flushZones, limitZones } from './drivers/conntrack/apply.ts';
import { quieten } from './drivers/link/quiet.ts';
import { Decisions, forgetDecisions } from './drivers/ovs/decisions.ts';
import { ovsPlugger } from './drivers/ovs/plugger.ts';
import { FlowLog } from './flow-log.ts';
import { InstanceManager } from './instance-manager.ts';
import { RouterManager } from './router-manager.ts';
import { HAPROXY_USER } from './drivers/haproxy/desired.ts';
import { METADATA_PROXY_SOCKET, MetadataAgent, type MetadataApi } from './metadata-agent.ts';
import { MetadataProxies } from './metadata-proxies.ts';
import { SwitchManager } from './switch-manager.ts';
import { resolvePeer } from './underlay.ts';

const RUN_DIR = '/run/openvswitch';

const { values } = parseArgs({ options: { host: { type: 'string' }, state: { type: 'string' }, controller: { type: 'string' }, config: { type: 'string' }, roles: { type: 'string' } } });
for (const name of ['host', 'state', 'controller'] as const) if (!values[name]) refuse(`--${name} is missing`);
const roles = HOST_ROLES.filter((role) => values.roles?.split(',').includes(role) ?? true);
if (values.roles !== undefined && roles.join() !== values.roles.split(',').sort().join()) refuse(`--roles takes ${HOST_ROLES.join(' and ')}, not '${values.roles}'`);
const { host, state, controller } = values as { host: string; state: string; controller: string };
// Programs read files of ours as users of their own, and whoever started us may have a stricter umask.
process.umask(0o022);
const log = jsonLog(host);
const config = loadConfig(values.config ? readFileSync(values.config, 'utf8') : '');

const localIp = await configuredLocalIp();
const datapathType = (await hasKernelModule()) ? 'system' : 'netdev';
const note = (message: string, fields?: Readonly<Record<string, unknown>>) => log.info(message, fields);
const wake = (): void => agent.wake();
/** Every change of the host is said before it is made, in the operator's language. */
const plan = (what: string, lines: readonly string[]): void => log.info('plan', { what, lines: lines.slice(0, 40), more: Math.max(0, lines.length - 40) });

const flowLogFile = config.local_output_log_base ?? join(state, 'flow.log');
const flowLog = new FlowLog({
  rateLimit: config.rate_limit, burstLimit: config.burst_limit, view: () => switching.view, portAt: (ofport) => switching.portAt(ofport),
  // Opened for each write, so that whoever rotates the file may move it away. It tells who talks to whom.
  append: (text) => appendFile(flowLogFile, text, { mode: 0o600 }),
  onPlan: (lines) => plan('flow log', lines), log: note,
});
const opened = async (bridge: string, client: OpenFlowClient): Promise<void> => {
  if (bridge === 'br-int') await flowLog.attach(client);
};
// A datapath without limits serves all the same.
const limit = (zones: readonly number[]): Promise<void> => limitZones(RUN_DIR, zones, config.max_connections_per_network, (line) => plan('conntrack', [line])).catch((error: Error) => note('the connections of networks are not limited', { reason: error.message }));
const decisions = new Decisions(() => forgetDecisions(RUN_DIR), (error) => note('the switch may keep old decisions until its flows change again', { reason: error.message }));
const switching = new SwitchManager({
  runDir: RUN_DIR, datapathType, localIp, wake, resolvePeer, flushZones: (zones) => flushZones(RUN_DIR, zones), limitZones: limit, ifindexOf, quieten, opened, log: note, onPlan: plan,
  // Only the userspace datapath has the fault.
  ...(datapathType === 'netdev' && { flowsChanged: () => decisions.changed() }),
});
const plugger = ovsPlugger(() => switching.vswitch, ifindexOf);
const proxies = new MetadataProxies({ root: join(state, 'metadata'), socket: METADATA_PROXY_SOCKET, onPlan: (namespace, lines) => plan(`metadata ${namespace}`, lines) });
const dhcp = new DhcpManager({ stateDir: state, plugger, proxies, wake, onPlan: (networkId, lines) => plan(`dhcp ${networkId}`, lines) });
const advertisers = new Advertisers({ root: RADVD_ROOT, intervals: { min: config.min_rtr_adv_interval, max: config.max_rtr_adv_interval }, onPlan: (namespace, lines) => plan(`radvd ${namespace}`, lines) });
const routing = new RouterManager({ plugger, proxies, advertisers, wake, onPlan: (routerId, lines) => plan(`router ${routerId}`, lines) });
const instances = new InstanceDrivers({ hostDir: state, layersDir: join(state, '..', '..', 'layers'), imagePath: async (id) => join(state, '..', '..', 'images', id) });

const agent = new Agent({
  host,
  controller,
  configurations: {
    tunneling_ip: localIp,
    bridge_mappings: Object.fromEntries(physnetMap('bridge_mappings', config.bridge_mappings)),
    tunnel_types: localIp ? config.tunnel_types : [],
    datapath_type: datapathType,
    integration_bridge: 'br-int',
    l2_population: config.l2_population,
    roles,
  },
  resources: { vcpus: availableParallelism(), memory_mb: Math.floor(totalmem() / 1024 ** 2), local_gb: 100 },
  managers: [switching, dhcp, routing],
  instances: (report) => new InstanceManager({ driver: instances, plugger, report, log: note }),
  consoleOutput: (serverId, lines) => instances.consoleLog(serverId, lines),
  idlePorts: () => switching.idlePorts,
  reportInterval: config.report_interval,
  log: note,
});
agent.wake();
const metadata = new MetadataAgent({ socket: METADATA_PROXY_SOCKET, group: HAPROXY_USER, api: metadataApi(), ask: (question) => agent.metadataInstance(question), log: note });
// What else the host does does not hang on it.
metadata.start().catch((error: Error) => log.error('metadata cannot be served', { reason: error.message }));
// An agent ends with its host, and not in a way that would keep its compiled form for the next.
setTimeout(() => flushCompileCache(), 10_000).unref();
// Ahead of the first instance, and not in the way of the first hello.
if (roles.includes('compute')) setTimeout(() => void instances.warmUp().catch((error: Error) => log.error('the image cannot be built', { reason: error.message })), 100);

for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  process.once(signal, () => {
    // Nothing is taken down: packets that flow keep flowing without us (law 3).
    metadata.stop();
    void agent.stop().finally(() => process.exit(0));
  });
}
// An operator's way to say: compare the host with the state now.
process.on('SIGUSR1', () => void agent.check());
process.on('uncaughtException', (error) => {
  log.error('uncaught', { error: String(error.stack) });
  process.exit(1);
});

function refuse(why: string): never {
  process.stderr.write(`agent: ${why}\n`);
  process.exit(2);
}

/** What whoever set up the host wrote down: `ovs-vsctl set Open_vSwitch . other_config:local_ip=…` (N-VX-11). */
async function configuredLocalIp(): Promise<string | null> {
  const vswitch = await Vswitch.connect(`${RUN_DIR}/db.sock`);
  const ip = vswitch.openVswitch.other_config['local_ip'] ?? null;
  vswitch.close();
  if (ip === null || parseIp(ip)) return ip;
  log.error('other_config:local_ip is no address: this host makes no tunnels', { local_ip: ip });
  return null;
}

/** A real Nova where the settings name one, else the controller's own beside its socket for agents. */
function metadataApi(): MetadataApi {
  const { nova_metadata_protocol: protocol, nova_metadata_host: host, nova_metadata_port: port } = config;
  return host === null ? { socketPath: join(dirname(controller.replace(/^unix:/, '')), 'metadata.sock') } : { protocol, host, port };
}

/** Simulated hosts share one kernel, so they switch in userspace; so does a host without the module. */
async function hasKernelModule(): Promise<boolean> {
  if (process.env['PATCHBAY_HOST']) return false;
  try {
    return readFileSync('/proc/modules', 'utf8').includes('openvswitch ');
  } catch {
    return false;
  }
}

function ifindexOf(device: string): number | undefined {
  try {
    return Number(readFileSync(`/sys/class/net/${device}/ifindex`, 'utf8'));
  } catch {
    return undefined;
  }
}
