/** `GET /trace` on the operator's socket: servers and ports by name, `outside` for the world around. */
import type { World } from '#compile/world.ts';
import { cidrContains, parseCidr } from '#net/cidr.ts';
import { normalizeIp, parseIp } from '#net/ip.ts';
import type { Port } from '#model/networks.ts';
import { traceQuestion } from '#model/traces.ts';
import { printTrace } from '#trace/print.ts';
import type { Probe } from '#trace/probe.ts';
import { trace, type Trace } from '#trace/trace.ts';
import { probeOf, type Question } from './probe-of.ts';
import type { CompiledCloud } from './trace-routes.ts';
import { tracedCloud } from './traced-cloud.ts';

export interface OperatorTrace {
  readonly probe: Probe;
  readonly trace: Trace;
  readonly text: string;
}

/** Parameters: `from` and `to`, and the other attributes of a trace as the API names them. Throws one line for the operator. */
export async function operatorTrace(cloud: CompiledCloud, params: URLSearchParams): Promise<OperatorTrace> {
  const compiler = await cloud();
  const { world } = compiler;
  const [from, to] = [params.get('from') ?? '', params.get('to') ?? ''];
  const sender = from === 'outside' ? undefined : findPort(world, from, undefined);
  const destination = normalizeIp(to) ?? addressOf(findPort(world, to, sender), sender);
  const probe = probeOf(world, { ...readQuestion(params), ...(sender ? { source_port_id: sender.id } : fromOutside(world, destination)), destination_ip_address: destination });
  const found = trace(tracedCloud(compiler), probe);
  return { probe, trace: found, text: printTrace(found) };
}

/** The other attributes, checked as the API checks them. */
function readQuestion(params: URLSearchParams): Question {
  return Object.fromEntries(Object.entries(traceQuestion.attributes).map(([name, { kind, initial }]) => {
    const value = params.get(name);
    if (value === null) return [name, (initial as { default: unknown }).default];
    return [name, kind.convert(kind.column === 'integer' ? Number(value) : value)];
  })) as Question;
}

/** A port by id or name, or the NIC of a server: the one on the sender's network if it has one there. */
function findPort(world: World, nameOrId: string, sender: Port | undefined): Port {
  const port = world.get('ports', nameOrId);
  if (port) return port;
  const servers = [...world.all('servers')].filter(({ id, name }) => id === nameOrId || name === nameOrId);
  const ports = [...world.all('ports')].filter(({ name }) => name === nameOrId);
  if (servers.length + ports.length > 1) throw new Error(`'${nameOrId}' names several servers or ports; use an id: ${[...servers, ...ports].map(({ id }) => id).join(', ')}`);
  const nics = servers.flatMap((server) => server.ports.flatMap(({ port_id }) => world.get('ports', port_id!) ?? []));
  const found = ports[0] ?? nics.find(({ network_id }) => network_id === sender?.network_id) ?? nics[0];
  if (!found) throw new Error(servers.length > 0 ? `server '${nameOrId}' has no NIC` : `there is no server, port or address '${nameOrId}'`);
  return found;
}

function addressOf(port: Port, sender: Port | undefined): string {
  const addresses = port.fixed_ips.map((fixed) => fixed.ip_address!);
  const versions = new Set(sender?.fixed_ips.map((fixed) => parseIp(fixed.ip_address!)!.version));
  const found = addresses.find((address) => versions.has(parseIp(address)!.version)) ?? addresses[0];
  if (found === undefined) throw new Error(`port ${port.id} has no address`);
  return found;
}

/** The physical network whose subnet holds the address, and its gateway as the one who asks. */
function fromOutside(world: World, destination: string): Pick<Question, 'source_network_id' | 'source_ip_address'> {
  for (const subnet of world.all('subnets')) {
    const cidr = parseCidr(subnet.cidr);
    if (!cidr || !cidrContains(cidr, parseIp(destination)!) || !world.get('networks', subnet.network_id)?.['provider:physical_network']) continue;
    if (subnet.gateway_ip === null) throw new Error(`subnet ${subnet.id} has no gateway: from where outside?`);
    return { source_network_id: subnet.network_id, source_ip_address: subnet.gateway_ip };
  }
  throw new Error(`no network on a physical network has ${destination}: it cannot be reached from outside`);
}
