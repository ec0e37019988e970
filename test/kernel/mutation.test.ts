/**
 * The mutation test of the reachability oracle: flows, nftables rules and set elements are removed or weakened one at a time behind the
 * agents' backs, and the probes must notice: 40 of them by seed, or PATCHBAY_MUTANTS, all with --all. docs/equivalent-mutants.md has
 * those that no packet can tell from the original, each with its reason.
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { appendFileSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { type Cloud, scenario, until } from '#testkit/cloud.ts';
import { MutationLab } from '#testkit/mutation-lab.ts';
import type { Mutant } from '#testkit/mutants.ts';
import { type Observation, ProbeLab } from '#testkit/probe-lab.ts';
import type { RulePart, TopologyPart } from '#testkit/topology.ts';

const DOCUMENT = fileURLToPath(new URL('../../docs/equivalent-mutants.md', import.meta.url));
const ALL = process.env['PATCHBAY_TEST_ALL'] === '1';
const SEED = '1';
const SAMPLE = Number(process.env['PATCHBAY_MUTANTS']) || 40;
/** Only those whose key matches: to work at one kind of them. */
const LIKE = process.env['PATCHBAY_MUTANTS_LIKE'];
/** Of all mutants, so many may go unnoticed. */
const MOST_EQUIVALENT = 0.3;
/** Mutants between two looks at whether the original is still seen as before. */
const BATCH = 20;
/** At the original, until all is seen as before. */
const LOOKS = 5;
/** So many changed probes may be frames that were lost. */
const FEW = 3;

const any = { kind: 'any' } as const;
const rule = (part: Partial<RulePart>): RulePart => ({ direction: 'ingress', family: 4, protocol: null, ports: null, icmp_type: null, remote: any, ...part });

const out = (part: Partial<RulePart>): RulePart => rule({ direction: 'egress', ...part });

const TOPOLOGY: TopologyPart = {
  networks: [{ type: 'vxlan', prefix: 0, ipv6: true }, { type: 'vlan', prefix: 1, ipv6: true, segmentation_id: 2 }],
  routers: [{ gateway: true, snat: true, networks: [0, 1] }],
  stateless: false,
  groups: [
    {
      egress: false, rules: [
        rule({ protocol: 'tcp', ports: [79, 81], remote: { kind: 'group', group: 1 } }), rule({ protocol: 'tcp', ports: [443, 443] }), rule({ protocol: 'icmp', icmp_type: 'echo' }), rule({ protocol: 'udp', ports: [53, 53], remote: { kind: 'prefix', endpoint: 1, length: 'half' } }),
        rule({ family: 6, protocol: 'tcp', remote: { kind: 'group', group: 1 } }), rule({ family: 6, protocol: 'udp', ports: [53, 53], remote: { kind: 'group', group: 1 } }),
        out({ protocol: 'tcp' }), out({ protocol: 'icmp' }), out({ protocol: 'udp', ports: [53, 53] }), out({ protocol: 'udp', remote: { kind: 'group', group: 1 } }),
        out({ family: 6, protocol: 'tcp' }), out({ family: 6, protocol: 'icmp' }), out({ family: 6, protocol: 'udp', ports: [53, 53] }), out({ family: 6, protocol: 'udp', remote: { kind: 'group', group: 1 } }),
      ],
    },
    {
      egress: false, rules: [
        rule({ remote: { kind: 'group', group: 0 } }), rule({ family: 6, remote: { kind: 'group', group: 0 } }), rule({ family: 6, protocol: 'icmp' }), rule({ family: 6, protocol: 'udp', ports: [53, 53] }),
        out({ protocol: 'tcp', ports: [79, 80] }), out({ protocol: 'udp', remote: { kind: 'group', group: 0 } }), out({ family: 6, protocol: 'tcp' }), out({ family: 6, protocol: 'icmp' }), out({ family: 6, protocol: 'udp', remote: { kind: 'group', group: 0 } }),
      ],
    },
    {
      egress: false, stateless: true, rules: [
        rule({ protocol: 'tcp', ports: [79, 81] }), rule({ protocol: 'icmp' }), rule({ family: 6, protocol: 'icmp' }), rule({ family: 6, protocol: 'udp', ports: [53, 53] }),
        out({ protocol: 'tcp' }), out({ protocol: 'icmp' }), out({ protocol: 'udp' }), out({ family: 6, protocol: 'icmp' }), out({ family: 6, protocol: 'udp' }),
      ],
    },
  ],
  address_groups: [],
  endpoints: [
    { network: 0, host: 0, groups: [0], pair: null, floating: true, up: true },
    { network: 0, host: 1, groups: [1], pair: 'address and mac', floating: false, up: true },
    { network: 0, host: 0, groups: [1], pair: 'prefix', floating: false, up: true },
    { network: 1, host: 2, groups: [0], pair: 'address', floating: true, up: true },
    { network: 1, host: 1, groups: null, pair: null, floating: false, up: true },
    { network: -1, host: 2, groups: [2], pair: null, floating: false, up: true },
    { network: 0, host: 2, groups: null, pair: null, floating: false, up: true },
  ],
};

interface Equivalent {
  /** With `*` for anything. */
  readonly pattern: string;
  readonly regex: RegExp;
}

scenario('mutation: each flow, rule and element that is missing or too weak is noticed', { hosts: 3, timeout: 7_200_000 }, async (cloud, t) => {
  const probes = await ProbeLab.start(cloud);
  const lab = new MutationLab(cloud);
  try {
    const topology = await probes.build(TOPOLOGY);
    lab.freeze();
    const observe = async (): Promise<Map<string, string>> => fingerprint(await probes.observe(topology, { link: true }));
    // The first run teaches the switches what later ones find known.
    await observe();
    let baseline = await observe();
    /** What is seen of the original, and how it differs from the baseline: a frame may be lost, and a switch just changed may decide as before for some packets. */
    const original = async (): Promise<{ now: Map<string, string>; drift: string[] }> => {
      for (let look = 1; ; look++) {
        const now = await observe();
        const drift = changes(baseline, now);
        if (drift.length === 0 || look === LOOKS) return { now, drift };
      }
    };
    const unsteady = (await original()).drift;
    assert.deepEqual(unsteady, [], 'without a mutant every run is the same');
    const begin = performance.now();
    t.diagnostic(`${(await observe()).size - 1} probes take ${Math.round(performance.now() - begin)} ms`);
    const mutants = await lab.mutants(topology);
    assert.equal(new Set(mutants.map(({ key }) => key)).size, mutants.length, 'each mutant has a key of its own');
    const chosen = LIKE ? mutants.filter(({ key }) => new RegExp(LIKE).test(key)) : ALL ? mutants : bySeed(mutants);
    const unnoticed: string[] = [];
    const stillborn: string[] = [];
    for (let at = 0; at < chosen.length; at += BATCH) {
      for (let attempt = 1; ; attempt++) {
        const found = await tryEach(chosen.slice(at, at + BATCH), lab, async () => {
          const first = changes(baseline, await observe()).length;
          // A busy machine loses a frame now and then.
          return first > FEW || (first > 0 && changes(baseline, await observe()).length > 0);
        });
        // What switches know changes with time: a batch counts when all is as before at its end.
        const { drift, now } = await original();
        if (drift.length === 0) {
          unnoticed.push(...found.unnoticed);
          stillborn.push(...found.stillborn);
          for (const line of [...found.unnoticed, ...found.stillborn.map((each) => `refused: ${each}`)]) note(line);
          break;
        }
        note(`drift: ${drift.slice(0, 5).join(' | ')}\n  after ${chosen.slice(at, at + BATCH).map(({ key }) => key).join('\n  after ')}`);
        baseline = now;
        assert.ok(attempt < 4, `without a mutant runs do not stay the same: ${drift.join('\n')}`);
      }
    }
    const alive = chosen.length - stillborn.length;
    t.diagnostic(`${alive - unnoticed.length} of ${alive} mutants noticed; there are ${mutants.length}, and ${stillborn.length} more were refused`);

    await t.test('few mutants are refused by the switch or nft: they are forms that cannot be', () => assert.ok(stillborn.length <= chosen.length / 20, stillborn.join('\n')));

    await t.test('each unnoticed mutant is in docs/equivalent-mutants.md', () => {
      const equivalent = readEquivalent();
      assert.deepEqual(unnoticed.filter((key) => !equivalent.some(({ regex }) => regex.test(key))), []);
      assert.deepEqual(equivalent.filter(({ regex }) => !mutants.some(({ key }) => regex.test(key))).map(({ pattern }) => pattern), [], 'a row of the document that stands for no mutant');
    });
    await t.test('most mutants are noticed', { skip: ALL ? false : 'of all of them, with --all' }, () => {
      assert.ok(unnoticed.length <= mutants.length * MOST_EQUIVALENT, `${unnoticed.length} of ${mutants.length}`);
    });
    await t.test('put back by hand, all is as it was', async () => assert.deepEqual((await original()).drift, []));
    await t.test('what is left behind, the agents mend', async () => {
      const left = bySeed(mutants.filter(({ key }) => !unnoticed.includes(key))).slice(0, 5);
      for (const mutant of left) await lab.apply(mutant);
      assert.notDeepEqual(changes(baseline, await observe()), []);
      lab.thaw();
      await mended(cloud);
      assert.deepEqual((await original()).drift, []);
    });
  } finally {
    lab.thaw();
    lab.close();
    await probes.stop();
  }
});

/** The mutants that `noticed` does not tell from the original, and those that the switch or nft refuses. Each is put back. */
async function tryEach(mutants: readonly Mutant[], lab: MutationLab, noticed: () => Promise<boolean>): Promise<{ unnoticed: string[]; stillborn: string[] }> {
  const found = { unnoticed: [] as string[], stillborn: [] as string[] };
  for (const mutant of mutants) {
    const refusal = await lab.apply(mutant);
    if (refusal !== undefined) {
      found.stillborn.push(`${mutant.key}: ${refusal}`);
      continue;
    }
    try {
      if (!(await noticed())) found.unnoticed.push(mutant.key);
    } finally {
      await lab.restore(mutant);
    }
  }
  return found;
}

/** Hours of work may end in an error: what was found is written as it is found. */
function note(line: string): void {
  if (process.env['PATCHBAY_UNNOTICED']) appendFileSync(process.env['PATCHBAY_UNNOTICED'], `${line}\n`);
}

/** What was seen of each probe, in words that are the same in every run. */
function fingerprint({ outcomes, broadcasts }: Observation): Map<string, string> {
  const lines = outcomes.map(({ probe, seen }): [string, string] => [probe.title, JSON.stringify(seen.map((line) => line.replaceAll(`:${probe.frame.source_port}`, ':source')).sort())]);
  return new Map([...lines, ['broadcasts', JSON.stringify(broadcasts)]]);
}

function changes(before: ReadonlyMap<string, string>, after: ReadonlyMap<string, string>): string[] {
  return [...before].filter(([title, seen]) => after.get(title) !== seen).map(([title, seen]) => `${title}: ${seen}, then ${after.get(title)}`);
}

function bySeed(mutants: readonly Mutant[]): Mutant[] {
  const rank = new Map(mutants.map((mutant) => [mutant, createHash('sha256').update(`${SEED} ${mutant.key}`).digest('hex')]));
  return [...mutants].sort((a, b) => (rank.get(a)! < rank.get(b)! ? -1 : 1)).slice(0, SAMPLE);
}

function readEquivalent(): Equivalent[] {
  return [...readFileSync(DOCUMENT, 'utf8').matchAll(/^\| `([^`]+)` \|/gm)].map(([, pattern = '']) => ({
    pattern, regex: new RegExp(`^${pattern.split('*').map((part) => part.replace(/[\\^$.+?()[\]{}|]/g, '\\$&')).join('.*')}$`),
  }));
}

/** Each agent looks at everything it has written, and finds nothing to do the second time. */
async function mended(cloud: Cloud): Promise<void> {
  for (const round of ['mends', 'finds nothing']) {
    for (const host of cloud.hosts) {
      const before = cloud.log(host).length;
      const lines = (): Record<string, unknown>[] => cloud.log(host).slice(before);
      cloud.check(host);
      await until(30, `${host} has checked itself`, () => lines().some(({ msg }) => msg === 'checked'));
      if (round === 'finds nothing') assert.deepEqual(lines().filter(({ msg }) => msg === 'plan').map(({ what, lines: plan }) => ({ what, plan })), [], `plans of ${host}`);
    }
  }
}
