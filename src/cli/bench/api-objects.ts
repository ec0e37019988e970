/** What several API benchmarks make and remove again. */
import type { ApiClient } from './api-client.ts';

export const API = '/network/v2.0';

/** Takes the quotas of a project out of the way. */
export async function liftQuotas(client: ApiClient, projectId: string): Promise<void> {
  const quota = Object.fromEntries(['network', 'subnet', 'port', 'security_group', 'security_group_rule'].map((name) => [name, -1]));
  await client.call('PUT', `${API}/quotas/${projectId}`, { quota });
}

export interface BenchNetwork {
  readonly id: string;
  readonly subnetId: string;
}

/** A network with one subnet. */
export async function createNetwork(client: ApiClient, name: string, cidr = '10.250.0.0/20'): Promise<BenchNetwork> {
  const { id } = (await client.json('POST', `${API}/networks`, { network: { name } })).network;
  const subnet = (await client.json('POST', `${API}/subnets`, { subnet: { network_id: id, ip_version: 4, cidr } })).subnet;
  return { id, subnetId: subnet.id };
}

/** Deletes the network with all its ports. */
export async function deleteNetwork(client: ApiClient, { id }: BenchNetwork): Promise<void> {
  const { ports } = await client.json('GET', `${API}/ports?network_id=${id}&fields=id&fields=device_owner`);
  for (const port of ports) if (!port.device_owner.startsWith('network:')) await client.call('DELETE', `${API}/ports/${port.id}`);
  await client.call('DELETE', `${API}/networks/${id}`);
}

export async function createPort(client: ApiClient, attributes: Readonly<Record<string, unknown>>): Promise<string> {
  return (await client.json('POST', `${API}/ports`, { port: attributes })).port.id;
}

/** Creates so many ports, 100 in a request. */
export async function createPorts(client: ApiClient, network: BenchNetwork, count: number, attributes: Readonly<Record<string, unknown>> = {}): Promise<string[]> {
  const ids: string[] = [];
  while (ids.length < count) {
    const ports = Array.from({ length: Math.min(100, count - ids.length) }, (_, index) => ({ ...attributes, network_id: network.id, name: `bench-${ids.length + index}` }));
    const answer = await client.json('POST', `${API}/ports`, { ports });
    ids.push(...answer.ports.map((port: { id: string }) => port.id));
  }
  return ids;
}

/** Lets ICMP and TCP into the project's default group; the rules' ids. */
export async function admitPing(client: ApiClient, from = '10.250.0.0/16'): Promise<string[]> {
  const { project } = (await client.json('GET', '/identity/v3/auth/tokens', undefined, { 'x-subject-token': client.token! })).token;
  const { security_groups: [group] } = await client.json('GET', `${API}/security-groups?name=default&project_id=${project.id}`);
  const ids: string[] = [];
  for (const protocol of ['icmp', 'tcp']) {
    const security_group_rule = { security_group_id: group.id, direction: 'ingress', ethertype: 'IPv4', protocol, remote_ip_prefix: from };
    ids.push((await client.json('POST', `${API}/security-group-rules`, { security_group_rule })).security_group_rule.id);
  }
  return ids;
}
