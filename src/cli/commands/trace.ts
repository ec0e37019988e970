/** `patchbay trace`: why a packet arrives, or does not: hop by hop, rule by rule. */
import { randomInt } from 'node:crypto';
import { type Command, expectPositionals, integerOption, requireRoot, textOption, UsageError } from '../command.ts';
import type { OperatorTrace } from '#control/trace/operator-trace.ts';
import { askTrace } from '../control-socket.ts';
import { readPlan } from '../datacentre/state-folder.ts';

/** Option → attribute of a trace, as the API names it. */
const NUMBERS = { sport: 'source_port', dport: 'destination_port', 'icmp-type': 'icmp_type', 'icmp-code': 'icmp_code', size: 'packet_size' } as const;
const TEXTS = { proto: 'protocol', 'source-ip': 'source_ip_address', 'source-mac': 'source_mac_address' } as const;

/** Above those that Linux gives out by itself: a probe disturbs no connection of its sender. */
const OWN_PORTS = [61_000, 65_536] as const;
const DIFFERS = 3;

export const command: Command = {
  usage: '--from SERVER|PORT|outside --to SERVER|PORT|ADDRESS [--proto tcp --dport 80] [--live] [--json]',
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
    live: { type: 'boolean', help: 'ask the flows of each host too, send the packet, and watch where it comes out; exit code 3 if that differs from what is intended' },
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
    const intendedCode = ({ trace }: OperatorTrace): number => (trace.verdict === 'deliver' ? 0 : 1);
    if (!invocation.options['live']) {
      const answer = await askTrace(invocation.state, question);
      console.log(invocation.options['json'] ? JSON.stringify(answer.trace, undefined, 2) : answer.text);
      return intendedCode(answer);
    }
    question['source_port'] ??= String(randomInt(...OWN_PORTS));
    const answer = await askTrace(invocation.state, question);
    const plan = readPlan(invocation.state);
    if (!plan) throw new Error(`${invocation.state} holds no simulated data centre: --live asks its hosts`);
    const { confirmLive, printLive } = await import('../live/live.ts');
    const live = await confirmLive(plan, answer);
    console.log(invocation.options['json'] ? JSON.stringify({ ...answer.trace, live }, undefined, 2) : `${answer.text}\n\n${printLive(live)}`);
    const [first, ...more] = live.differences;
    if (first === undefined) return intendedCode(answer);
    console.error(`patchbay trace: ${first}${more.length > 0 ? ` (and ${more.length} more)` : ''}`);
    return DIFFERS;
  },
};
