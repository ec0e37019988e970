/** The switch ports of hosts, read once for a whole confirmation. */
import { runOnHost } from '../datacentre/host.ts';
import { readSwitchPorts, type SwitchPort } from './switch-ports.ts';

export type Switches = ReadonlyMap<string, readonly SwitchPort[]>;

export async function readSwitches(state: string, hosts: readonly string[]): Promise<Switches> {
  return new Map(await Promise.all(hosts.map(async (host) => [host, readSwitchPorts(...await Promise.all([
    runOnHost(state, host, ['ovs-appctl', 'dpif/show']),
    runOnHost(state, host, ['ovs-vsctl', '--format=json', '--columns=name,type,external_ids,options', 'list', 'Interface']),
  ]))] as const)));
}
