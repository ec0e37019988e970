/** `patchbay trace --live`: the intended trace held against the hosts: against their flows, and by a real packet. */
import type { OperatorTrace } from '#control/trace/operator-trace.ts';
import { crossingsOf } from '#trace/crossing.ts';
import type { Packet } from '#trace/packet.ts';
import { askStatus } from '../control-socket.ts';
import { segmentOf } from '../datacentre/fabric.ts';
import { runOnHost } from '../datacentre/host.ts';
import type { DataCentrePlan } from '../datacentre/plan.ts';
import { confirmFlows, type LiveFlows } from './live-flows.ts';
import { confirmProbe, type LiveProbe } from './live-probe.ts';
import { namesOf } from './names.ts';
import { reasonsFor } from './reasons.ts';
import { readSwitches } from './switches.ts';

export interface Live {
  /** False when anything differs from what is intended. */
  readonly agrees: boolean;
  /** What the flows of each host do with the packet, in the order of its way. */
  readonly flows: readonly LiveFlows[];
  readonly probe: LiveProbe;
  /** One line each: which host, what differs, and what may be the reason. */
  readonly differences: readonly string[];
}

/** Sends at most three copies of one packet and leaves nothing behind. Throws one line when a host cannot be asked. */
export async function confirmLive(plan: DataCentrePlan, { probe, trace: { path } }: OperatorTrace): Promise<Live> {
  const [outside, switches] = await Promise.all([outsideMac(plan), readSwitches(plan.state, plan.hosts.map(({ name }) => name))]);
  const crossings = crossingsOf(path, probe.from).map((crossing) => ({ ...crossing, packet: withOutside(crossing.packet, outside) }));
  const names = namesOf(path);
  const found = await confirmProbe({ plan, switches, path, crossings, names });
  // After the probe: the way through a tunnel is known by then.
  const flows = await confirmFlows(plan, switches, crossings, names);
  const status = await askStatus(plan.state);
  const differences = [...flows.map((one) => ({ ...one, what: 'flows' })), ...found.hosts.map((one) => ({ ...one, what: 'probe' }))].filter(({ agrees }) => !agrees)
    .map(({ host, what, text, objects }) => [`${host}: ${what}: ${text}`, ...reasonsFor(host, objects, status, switches)].join('; '));
  return { agrees: differences.length === 0, flows, probe: found, differences };
}

/** What is printed below the trace. */
export function printLive({ agrees, flows, probe, differences }: Live): string {
  const line = (host: string, what: string, text: string): string => `${host.padEnd(12)}${what.padEnd(10)}${text}`;
  return [
    'live:',
    ...flows.map(({ host, text }) => line(host, 'flows', text)),
    ...probe.hosts.map(({ host, text }) => line(host, 'probe', text)),
    ...(probe.sent && probe.hosts.length === 0 ? [line('-', 'probe', 'comes out nowhere, as intended')] : []),
    ...(probe.sent ? [] : [line('-', 'probe', `not sent: ${probe.reason}`)]),
    agrees ? 'intended and actual agree' : `intended and actual differ (${differences.length})`,
  ].join('\n');
}

/** The MAC of whoever is outside. */
async function outsideMac(plan: DataCentrePlan): Promise<string> {
  const [link] = JSON.parse(await runOnHost(plan.state, 'outside', ['ip', '-j', 'link', 'show', 'dev', segmentOf(plan).nic])) as { address: string }[];
  return link!.address;
}

/** The tracer leaves open who is outside. */
function withOutside(packet: Packet, mac: string): Packet {
  return { ...packet, source_mac: packet.source_mac === '00:00:00:00:00:00' ? mac : packet.source_mac, destination_mac: packet.destination_mac ?? mac };
}
