/** One record of the flow log: what a copied packet was, and what became of it. */
import type { FrameHeaders } from '#net/frame-headers.ts';
import type { LogItem } from '#hoststate/log.ts';
import type { PortItem, RuleItem } from '#hoststate/port.ts';
import type { PacketIn } from '#openflow/codec/packet-in.ts';
import type { HostView } from './pipeline/host-view.ts';
import { LOG_BIT, logsAccepted, logsDropped } from './pipeline/log-flows.ts';
import { INT } from './pipeline/tables.ts';

export interface FlowRecord extends FrameHeaders {
  readonly action: 'ACCEPT' | 'DROP';
  /** The logs that asked for it. */
  readonly log_resource_ids: readonly string[];
  /** The port's. */
  readonly project_id: string;
  readonly port_id: string;
  readonly network_id: string;
  readonly direction: 'ingress' | 'egress';
  /** Of the rule that admitted; null for what was dropped. */
  readonly rule_id: string | null;
  readonly security_group_id: string | null;
  /** Why it was dropped; null for what was accepted. */
  readonly reason: DropReason | null;
}

/** `port security`: an address, VLAN or kind of packet that is not the port's to send; `invalid`: it belongs to no connection. */
export type DropReason = 'port security' | 'invalid' | 'no rule';

/** Bits of ct_state (lib/packets.h). */
const CT_INV = 0x10n;
const CT_TRK = 0x20n;

/** The record of a copy from one of the log flows of `port`; undefined when no log asks for it, or does no more. */
export function recordOf(view: HostView, port: PortItem, packet: PacketIn, headers: FrameHeaders): FlowRecord | undefined {
  const { table, fields } = packet;
  const dropped = table === INT.DROPPED;
  const logs = view.logsOfPort(port.port_id);
  const bits = fields.reg9?.value ?? 0n;
  // The flows of the log let no copy that came back to its sender through to here.
  const egress = dropped ? fields.in_port?.value === fields.reg5?.value : table === INT.ACCEPT_OR_INGRESS;
  const rule = dropped ? undefined : ruleOf(view, port, Number(fields.reg8?.value ?? 0n));
  const asking = logs.filter((log) => (dropped ? logsDropped(log) : logsAccepted(log) && isOfGroup(log, rule)));
  if (asking.length === 0) return undefined;
  return {
    action: dropped ? 'DROP' : 'ACCEPT',
    log_resource_ids: asking.map(({ log_id }) => log_id),
    project_id: port.project_id,
    port_id: port.port_id,
    network_id: port.network_id,
    direction: egress ? 'egress' : 'ingress',
    rule_id: rule?.rule_id ?? null,
    security_group_id: rule?.security_group_id ?? null,
    reason: dropped ? reasonOf(port, egress, bits, fields.ct_state?.value ?? 0n) : null,
    ...headers,
  };
}

function ruleOf(view: HostView, port: PortItem, number: number): RuleItem | undefined {
  for (const group of port.security_groups) for (const rule of view.rulesOfGroup(group)) if (rule.conj_id === number) return rule;
  return undefined;
}

function isOfGroup({ security_group_id: group }: LogItem, rule: RuleItem | undefined): boolean {
  return group === null || group === rule?.security_group_id;
}

function reasonOf(port: PortItem, egress: boolean, bits: bigint, ctState: bigint): DropReason {
  if (bits & (1n << BigInt(LOG_BIT.SPOOFED))) return 'port security';
  if (ctState & CT_INV) return 'invalid';
  // What a stateful port may send at all goes to conntrack before the rules.
  return egress && port.stateful && !(ctState & CT_TRK) ? 'port security' : 'no rule';
}
