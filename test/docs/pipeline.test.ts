/** docs/design/ovs-pipeline.md has a section per table, and its sample lines are flows that the code could have written. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { INT, LEARNED_COOKIE, COOKIE, TUN } from '#agent/pipeline/tables.ts';
import { parseFlow } from '#openflow/flow.ts';

const page = readFileSync(new URL('../../docs/design/ovs-pipeline.md', import.meta.url), 'utf8');
const sections = page.split(/^## /m).slice(1);

test('N-OVS-13: every table of br-int and br-tun has its section, with its number and name, in order', () => {
  const wanted = [
    ...Object.entries(INT).map(([name, number]) => `br-int table ${number}: ${name}`),
    ...Object.entries(TUN).map(([name, number]) => `br-tun table ${number}: ${name}`),
    'br-phys table 0',
  ];
  assert.deepEqual(sections.map((section) => section.split('\n')[0]!).filter((title) => / table /.test(title)), wanted);
});

test('every section of a table says what is dropped and shows flows of that table', () => {
  for (const section of sections) {
    const [title = ''] = section.split('\n');
    const [, number] = / table (\d+)/.exec(title) ?? [];
    if (number === undefined) continue;
    const lines = [...section.matchAll(/^```\n([\s\S]*?)^```$/gm)].flatMap(([, block]) => block!.trim().split('\n'));
    assert.ok(lines.length > 0, `${title}: no sample`);
    for (const line of lines) assert.equal(parseFlow(line).table, Number(number), `${title}: ${line}`);
    assert.match(section, /^(Dropped|Drops)/m, `${title}: what is dropped?`);
  }
});

test('the cookies of the page are ours', () => {
  for (const cookie of [COOKIE, LEARNED_COOKIE]) assert.ok(page.includes(`0x${cookie.toString(16)}`));
});
