/**
 * Mutants of what an agent has written: one flow, rule or set element taken away, or one match made weaker. Each has a key of its
 * own words, without ids and numbers that another run would give otherwise, by which docs/equivalent-mutants.md knows it.
 */
import { createHash } from 'node:crypto';
import { type Flow, flowKey } from '#openflow/flow.ts';
import type { FlowMod } from '#openflow/codec/flow-codec.ts';
import { MATCH_FIELDS, type Match, type MatchField, type WritableMatch } from '#openflow/match.ts';

export type Mutant = FlowMutant | TableMutant;

interface Common {
  readonly host: string;
  /** Stable over runs. */
  readonly key: string;
}

/** One bundle on one bridge, and the one that takes it back. */
export interface FlowMutant extends Common {
  readonly kind: 'flow';
  readonly bridge: string;
  readonly apply: readonly FlowMod[];
  readonly restore: readonly FlowMod[];
}

/** The nftables table of a namespace, whole. */
export interface TableMutant extends Common {
  readonly kind: 'table';
  readonly namespace: string;
  readonly apply: string;
  readonly restore: string;
}

/** Fields that others need to be there (OpenFlow's prerequisites) go only with them: a weaker match has to be one still. */
const NEEDED: Partial<Record<MatchField, readonly MatchField[]>> = {
  dl_type: MATCH_FIELDS.filter((field) => /^(nw_|ipv6_|arp_|icmp_|nd_|tp_|tcp_flags|ct_)/.test(field)),
  nw_proto: ['icmp_type', 'icmp_code', 'nd_target', 'nd_sll', 'nd_tll', 'tp_src', 'tp_dst', 'tcp_flags'],
  icmp_type: ['nd_target', 'nd_sll', 'nd_tll'],
};

/** Removal, and one of the weaker forms: a field lost, or a bit of an address or port; its key decides which. `nameOf` replaces what is this run's own. */
export function flowMutants(host: string, bridge: string, flows: readonly Flow[], nameOf: (text: string) => string): FlowMutant[] {
  const known = new Set(flows.map(flowKey));
  return flows.flatMap((flow) => {
    const base = { kind: 'flow', host, bridge, restore: [{ command: 'add', flow }] } as const;
    const title = nameOf(flowKey(flow));
    const weaker = weakerMatches(flow.match).map(({ what, match }) => ({ what, flow: { ...flow, match } })).filter((mutant) => !known.has(flowKey(mutant.flow)));
    return [
      { ...base, key: `${host} ${bridge} without ${title}`, apply: [{ command: 'delete_strict', flow }] },
      ...oneOf(title, weaker).map(({ what, flow: mutated }): FlowMutant => ({
        ...base, key: `${host} ${bridge} ${what} in ${title}`, apply: [{ command: 'delete_strict', flow }, { command: 'add', flow: mutated }],
        restore: [{ command: 'delete_strict', flow: mutated }, { command: 'add', flow }],
      })),
    ];
  });
}

/** The same one in every run. */
function oneOf<T>(title: string, list: readonly T[]): T[] {
  return list.length === 0 ? [] : [list[createHash('sha256').update(title).digest().readUInt32BE(0) % list.length]!];
}

export function weakerMatches(match: Match): { what: string; match: Match }[] {
  const fields = MATCH_FIELDS.filter((field) => match[field]);
  const dropped = fields.filter((field) => !NEEDED[field]?.some((other) => match[other])).map((field) => ({ what: `no ${field}`, match: without(match, field) }));
  const widened = fields.flatMap((field) => {
    const width = WIDENED[field];
    if (width === undefined) return [];
    const { value, mask = (1n << width) - 1n } = match[field]!;
    // The lowest bit that still counts.
    const bit = mask & -mask;
    const left = mask ^ bit;
    return left === 0n ? [] : [{ what: `wider ${field}`, match: { ...match, [field]: { value: value & left, mask: left } } }];
  });
  return [...dropped, ...widened];
}

/** Bits of the fields of which a mask may be taken. */
const WIDENED: Partial<Record<MatchField, bigint>> = { nw_src: 32n, nw_dst: 32n, ipv6_src: 128n, ipv6_dst: 128n, tp_dst: 16n, arp_spa: 32n };

function without(match: Match, field: MatchField): Match {
  const { [field]: _, ...rest } = match as WritableMatch;
  return rest;
}

/** Every rule and every set element taken away, and every condition of a rule left out. */
export function tableMutants(host: string, namespace: string, table: string, nameOf: (text: string) => string): TableMutant[] {
  const script = (text: string): string => `delete table inet patchbay\n${text}`;
  const mutants: TableMutant[] = [];
  const add = (what: string, text: string): void => void mutants.push({ kind: 'table', host, namespace, key: nameOf(`${host} router ${what}`), apply: script(text), restore: script(table) });
  const lines = table.split('\n');
  let chain = '';
  for (const [i, line] of lines.entries()) {
    chain = /^\s*chain (\w+)/.exec(line)?.[1] ?? (line.trim() === '}' ? '' : chain);
    const rest = (replacement: string[]): string => [...lines.slice(0, i), ...replacement, ...lines.slice(i + 1)].join('\n');
    if (!chain || /^\s*(chain|type) /.test(line)) continue;
    add(`${chain} without ${line.trim()}`, rest([]));
    for (const condition of CONDITIONS) {
      const found = condition.exec(line);
      if (found && line.trim() !== found[0].trim()) add(`${chain} no ${found[0].trim()} in ${line.trim()}`, rest([line.replace(found[0], weaker(found[0]))]));
    }
  }
  for (const { name, element, text } of elements(table)) add(`set ${name} without ${element}`, text);
  return mutants;
}

/** A redirection to a port needs its protocol. */
function weaker(condition: string): string {
  return condition.includes('tcp dport') ? ' meta l4proto tcp ' : ' ';
}

/** Conditions that a rule still makes sense without. */
const CONDITIONS = [/ ?iifname "[^"]+"(?! \.)/, / ?oifname (!= )?"[^"]+"/, / ?meta nfproto ipv[46]/, / ?ct state [\w,]+/, / ?ct status (& dnat != dnat|dnat)/, / ?tcp dport \d+/, / ?ip6? daddr [0-9a-f.:]+(?! map)/];

/** Every element of every set and map, with the table's text without it. */
function* elements(table: string): Iterable<{ name: string; element: string; text: string }> {
  for (const block of table.matchAll(/^\t(?:set|map) (\w+) \{[^}]*?elements = \{([^}]*)\}\n/gm)) {
    const list = block[2]!.split(',').map((each) => each.trim()).filter((each) => each !== '');
    for (const element of list) {
      const kept = list.filter((each) => each !== element);
      const inner = kept.length > 0 ? `elements = { ${kept.join(', ')} }` : '';
      yield { name: block[1]!, element, text: table.replace(block[0], block[0].replace(/elements = \{[^}]*\}/, () => inner)) };
    }
  }
}
