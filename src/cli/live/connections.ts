/** What the probe leaves in the connection tables on its way, and its removal. */
import { ICMP, isIcmp, type Packet } from '#trace/packet.ts';
import { runOnHost } from '../datacentre/host.ts';
import { CommandError } from '../datacentre/run.ts';
import type { ProbeMark } from './probe-frame.ts';

/** A connection as `ovs-appctl dpctl/dump-conntrack` prints it. */
export interface Connection {
  readonly zone: string | undefined;
  /** `src`, `dst`, `sport`, `dport`, or `id`, `type`, `code`. */
  readonly orig: Readonly<Record<string, string>>;
  /** As printed: tcp, udp, icmp, icmpv6, … */
  readonly protocol: string;
}

export function readConnections(text: string): Connection[] {
  return text.split('\n').flatMap((line) => {
    const [, protocol = '', orig] = /^(\w+),orig=\(([^)]*)\)/.exec(line) ?? [];
    if (orig === undefined) return [];
    return [{ protocol, zone: /,zone=(\d+)/.exec(line)?.[1], orig: Object.fromEntries(orig.split(',').map((field) => field.split('=') as [string, string])) }];
  });
}

/** Those that `probe` began: nobody else has its source port, or its echo id. */
export function ownConnections(all: readonly Connection[], probe: Packet, { icmp_id }: ProbeMark): Connection[] {
  const [key, value] = isIcmp(probe.protocol) ? ['id', icmp_id] : ['sport', probe.source_port];
  return all.filter(({ orig, protocol }) => PROTOCOLS[protocol] === probe.protocol && value !== null && orig[key] === String(value));
}

/** The tuple by which `dpctl/flush-conntrack` finds a connection. */
export function tupleOf({ orig, protocol }: Connection): string {
  const six = orig['src']!.includes(':');
  const ends = six ? `ct_ipv6_src=${orig['src']},ct_ipv6_dst=${orig['dst']}` : `ct_nw_src=${orig['src']},ct_nw_dst=${orig['dst']}`;
  const rest = orig['id'] === undefined ? `ct_tp_src=${orig['sport']},ct_tp_dst=${orig['dport']}` : `icmp_id=${orig['id']},icmp_type=${orig['type']},icmp_code=${orig['code']}`;
  return `${ends},ct_nw_proto=${PROTOCOLS[protocol]},${rest}`;
}

/**
 * Those whose connections are known by ports or echo ids, as they are printed. Not ICMPv6: `dpctl/flush-conntrack` with its
 * tuple ends ovs-vswitchd 3.1. It and all others end by themselves within half a minute.
 */
const PROTOCOLS: Readonly<Record<string, number>> = { tcp: 6, udp: 17, icmp: ICMP };

/** Forgets in Open vSwitch of a host, and in the router namespaces given, what the probe began. */
export async function forgetProbe(state: string, host: string, probe: Packet, mark: ProbeMark, namespaces: readonly string[]): Promise<void> {
  const own = ownConnections(readConnections(await runOnHost(state, host, ['ovs-appctl', 'dpctl/dump-conntrack'])), probe, mark);
  for (const connection of own) {
    await runOnHost(state, host, ['ovs-appctl', 'dpctl/flush-conntrack', ...(connection.zone === undefined ? [] : [`zone=${connection.zone}`]), tupleOf(connection)]);
  }
  const number = isIcmp(probe.protocol) ? [probe.protocol === ICMP ? '--icmp-id' : '--icmpv6-id', String(mark.icmp_id)] : probe.source_port === null ? undefined : ['--sport', String(probe.source_port)];
  for (const namespace of number ? namespaces : []) {
    const argv = ['ip', 'netns', 'exec', namespace, 'conntrack', '-D', '-f', probe.source_ip.includes(':') ? 'ipv6' : 'ipv4', '-p', String(probe.protocol), ...number!];
    await runOnHost(state, host, argv).catch((error: unknown) => {
      // Exit code 1: there was none.
      if (!(error instanceof CommandError && error.code === 1)) throw error;
    });
  }
}
