/** `patchbay trace`: why a packet arrives, or does not: hop by hop, rule by rule. */
import { type Command, expectPositionals, integerOption, requireRoot, textOption, UsageError } from '../command.ts';
import { askTrace } from '../control-socket.ts';

/** Option → attribute of a trace, as the API names it. */
const NUMBERS = { sport: 'source_port', dport: 'destination_port', 'icmp-type': 'icmp_type', 'icmp-code': 'icmp_code', size: 'packet_size' } as const;
const TEXTS = { proto: 'protocol', 'source-ip': 'source_ip_address', 'source-mac': 'source_mac_address' } as const;

export const command: Command = {
  usage: '--from SERVER|PORT|outside --to SERVER|PORT|ADDRESS [--proto tcp --dport 80] [--json]',
  summary: 'why a packet arrives or not: its way hop by hop, the rule that decided, and what would change it; exit code 0 if it arrives',
  options: {
    from: { type: 'string', value: 'SERVER|PORT|outside', help: 'who sends: a server or port by name or id, or the world outside' },
    to: { type: 'string', value: 'SERVER|PORT|ADDRESS', help: 'where to' },
    proto: { type: 'string', value: 'NAME', help: 'tcp, udp, icmp, … or a number (default icmp: a ping)' },
    dport: { type: 'string', value: 'N', help: 'port that it is sent to' },
    sport: { type: 'string', value: 'N', help: 'port that it is sent from (default 40000)' },
    'icmp-type': { type: 'string', value: 'N', help: 'default: echo request' },
    'icmp-code': { type: 'string', value: 'N', help: 'default 0' },
    size: { type: 'string', value: 'BYTES', help: 'of the IP packet (default 64): what does not fit an MTU is dropped' },
    'source-ip': { type: 'string', value: 'ADDRESS', help: 'what the sender claims to be' },
    'source-mac': { type: 'string', value: 'MAC', help: 'what the sender claims to be' },
    json: { type: 'boolean', help: 'the whole trace as JSON' },
  },
  async run(invocation) {
    expectPositionals(invocation);
    const question: Record<string, string> = {};
    for (const name of ['from', 'to']) {
      const value = textOption(invocation, name);
      if (value === undefined) throw new UsageError(`--${name} is missing`);
      question[name] = value;
    }
    for (const [option, attribute] of Object.entries(TEXTS)) {
      const value = textOption(invocation, option);
      if (value !== undefined) question[attribute] = value;
    }
    for (const [option, attribute] of Object.entries(NUMBERS)) {
      const value = integerOption(invocation, option);
      if (value !== undefined) question[attribute] = String(value);
    }
    requireRoot('trace');
    const { trace, text } = await askTrace(invocation.state, question);
    console.log(invocation.options['json'] ? JSON.stringify(trace, undefined, 2) : text);
    return trace.verdict === 'deliver' ? 0 : 1;
  },
};
