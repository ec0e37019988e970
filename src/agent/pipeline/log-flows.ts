/**
 * Copies of packets for the flow log (Neutron's tables 91 to 93 are the places): the first packet of each connection
 * that a logged port accepts, and each packet that its filter drops. Flows of logged ports only; a meter in the switch
 * holds a flood of copies back.
 */
import type { RuleItem } from '#hoststate/port.ts';
import type { LogItem } from '#hoststate/log.ts';
import { hex, loadNet } from './base-flows.ts';
import type { HostView, OfPorts } from './host-view.ts';
import { INT, LOG_METER, REG_LOG, REG_PORT, REG_RULE } from './tables.ts';

const COPY = `controller(meter_id=${LOG_METER})`;

/** Bits of the log register. */
export const LOG_BIT = {
  /** The sender's own filter has let the frame out: what is dropped from here on, its receivers drop. */
  LEFT: 0,
  /** This copy of it has been seen to by table 92. */
  SEEN: 1,
  /** It claimed an address or a VLAN that is not its port's. */
  SPOOFED: 2,
} as const;

export const logsAccepted = ({ event }: LogItem): boolean => event !== 'DROP';
export const logsDropped = ({ event }: LogItem): boolean => event !== 'ACCEPT';

/** Notes which rule admits a packet, where somebody asks for it; goes before the action that lets it through. */
export const noteRule = (rule: RuleItem, logged: boolean): string => (logged ? `load:${hex(rule.conj_id)}->${REG_RULE},` : '');

/** Every flow that stands for the logs of this one port on br-int. */
export function logFlows(view: HostView, ofports: OfPorts, portId: string): string[] {
  const port = view.get('port', portId);
  const segment = port && view.get('segment', port.network_id);
  const ofport = ofports.port(portId);
  const logs = view.logsOfPort(portId);
  if (!port?.port_security_enabled || !port.admin_state_up || !segment || ofport === undefined || logs.length === 0) return [];
  const reg = `reg5=${hex(ofport)}`;
  const own = `in_port=${ofport},${reg}`;
  const lines = [
    // A multicast frame comes back to its sender as a copy: neither that copy nor its drop is anybody's business.
    `table=${INT.ACCEPT_OR_INGRESS},priority=120,${own},${unset('LEFT')} actions=${set('LEFT')},resubmit(,${INT.ACCEPT_OR_INGRESS})`,
  ];
  // Packets of a stateless port are no connections, so none of them is the first.
  if (logs.some(logsAccepted) && port.stateful) {
    lines.push(
      `table=${INT.ACCEPT_OR_INGRESS},priority=121,ct_state=+new+trk,${own},${unset('LEFT')} actions=${COPY},${set('LEFT')},resubmit(,${INT.ACCEPT_OR_INGRESS})`,
      `table=${INT.ACCEPTED_INGRESS},priority=121,ct_state=+new+trk,${reg},${unset('SEEN')} actions=${COPY},${seen(INT.ACCEPTED_INGRESS)}`,
      `table=${INT.ACCEPTED_INGRESS},priority=122,${own},${unset('SEEN')} actions=${seen(INT.ACCEPTED_INGRESS)}`,
    );
  }
  if (logs.some(logsDropped)) {
    lines.push(
      `table=${INT.DROPPED},priority=110,${own},${unset('LEFT')} actions=${COPY}`,
      `table=${INT.DROPPED},priority=105,${own} actions=drop`,
      `table=${INT.DROPPED},priority=100,${reg} actions=${COPY}`,
    );
    // Where the port's identity is checked, what does not pass is dropped on the spot.
    const spoofed = `load:${hex(ofport)}->${REG_PORT},${loadNet(segment.local_vlan)},${set('SPOOFED')},resubmit(,${INT.DROPPED})`;
    for (const table of [INT.LOCAL_SWITCHING, INT.ARP_SPOOF, INT.MAC_SPOOF]) lines.push(`table=${table},priority=1,in_port=${ofport} actions=${spoofed}`);
  }
  return lines;
}

/** `reg9=0/0x2`: the bit is not set. */
const unset = (name: keyof typeof LOG_BIT): string => `reg9=0/${hex(1 << LOG_BIT[name])}`;

function set(name: keyof typeof LOG_BIT, value: 0 | 1 = 1): string {
  return `load:${value}->${REG_LOG.replace('[]', `[${LOG_BIT[name]}]`)}`;
}

/** On to the port by the flows below; the next copy of the same frame begins unseen. */
const seen = (table: number): string => `${set('SEEN')},resubmit(,${table}),${set('SEEN', 0)}`;
