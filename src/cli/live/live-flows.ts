/** The flows of each host that the packet comes to, by `ofproto/trace`: what they do with it, against what is intended. */
import { type Crossing, type Gate, gateKey } from '#trace/crossing.ts';
import { runOnHost } from '../datacentre/host.ts';
import type { DataCentrePlan } from '../datacentre/plan.ts';
import { questionOf, readEnds, type Surroundings } from './flow-trace.ts';
import { gateText, type Names } from './names.ts';
import type { Switches } from './switches.ts';

/** One host's flows and the packet as it comes to them. */
export interface LiveFlows {
  readonly host: string;
  /** Where it comes in by. */
  readonly entry: string;
  /** Where copies of it leave; none is a drop. */
  readonly intended: readonly string[];
  readonly actual: readonly string[];
  readonly agrees: boolean;
  readonly text: string;
  /** Ports concerned, for who looks for reasons. */
  readonly objects: readonly string[];
}

/** The bridge that tunnelled frames leave a simulated host by. */
const UNDERLAY = 'br-underlay';

export async function confirmFlows(plan: DataCentrePlan, switches: Switches, crossings: readonly Crossing[], names: Names): Promise<LiveFlows[]> {
  const addresses = new Map(plan.hosts.map(({ name, local_ip }) => [name, local_ip]));
  const uplinks: Surroundings['uplinks'] = new Map(plan.external_bridge ? [] : [['physnet', { bridge: 'br-phys', port: 'phys' }]]);
  return Promise.all(crossings.filter(({ entry }) => !('physical_network' in entry) || uplinks.has(entry.physical_network))
    .map((crossing) => confirmCrossing(plan, crossing, { ports: switches.get(crossing.host)!, addresses, underlay: UNDERLAY, uplinks }, names)));
}

async function confirmCrossing(plan: DataCentrePlan, crossing: Crossing, around: Surroundings, names: Names): Promise<LiveFlows> {
  const { host, entry } = crossing;
  const intended = plan.external_bridge ? crossing.ends.filter((end) => !('physical_network' in end)) : crossing.ends;
  const question = questionOf(crossing, around);
  const traced = typeof question === 'string' ? '' : await runOnHost(plan.state, host, ['ovs-appctl', 'ofproto/trace', question.bridge, question.flow]);
  const actual = typeof question === 'string' ? [] : distinct(readEnds(traced, crossing, around)).filter((end) => !isExternalBridge(plan, end));
  const [want, have] = [intended.map(gateKey).sort(), actual.map(gateKey).sort()];
  const agrees = typeof question !== 'string' && want.join() === have.join();
  const doing = (gates: readonly Gate[]): string => (gates.length === 0 ? 'dropped' : `sent to ${gates.map((gate) => gateText(names, gate)).join(' and ')}`);
  const found = typeof question === 'string' ? question : `from ${gateText(names, entry)} it is ${doing(actual)}`;
  const coldTunnel = !agrees && /neighbor cache miss/.test(traced) ? ' (the MAC of the way to the tunnel\'s other end is not known yet: ask again)' : '';
  return {
    host, entry: gateKey(entry), intended: want, actual: have, agrees,
    text: agrees ? found : `${found}${coldTunnel}, intended is ${doing(intended)}`,
    objects: [entry, ...intended].flatMap((gate) => ('port_id' in gate ? [gate.port_id] : [])),
  };
}

/** Behind an external bridge the physical network is itself a tunnel, which the trace says nothing of. */
function isExternalBridge({ external_bridge }: DataCentrePlan, end: Gate): boolean {
  return external_bridge !== null && ('physical_network' in end || ('peer' in end && end.segmentation_id === external_bridge.vni));
}

function distinct(gates: readonly Gate[]): Gate[] {
  return [...new Map(gates.map((gate) => [gateKey(gate), gate])).values()];
}
