import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseFlow } from '#openflow/flow.ts';
import { formatMatch } from '#openflow/match.ts';
import { flowMutants, tableMutants, weakerMatches } from './mutants.ts';

const words = (text: string): string => text.replace('in_port=4', 'in_port=e0');

test('a match is weaker without each field that others do not need, and with a bit less of each address and port', () => {
  const { match } = parseFlow('table=82,priority=77,tcp,in_port=4,nw_src=10.0.0.8/29,tp_dst=0x50/0xfffe actions=drop');
  assert.deepEqual(weakerMatches(match).map(({ what, match: weaker }) => `${what}: ${formatMatch(weaker)}`), [
    'no in_port: tcp,nw_src=10.0.0.8/29,tp_dst=0x50/0xfffe', 'no nw_src: tcp,in_port=4,tp_dst=0x50/0xfffe', 'no tp_dst: tcp,in_port=4,nw_src=10.0.0.8/29',
    'wider nw_src: tcp,in_port=4,nw_src=10.0.0.0/28,tp_dst=0x50/0xfffe', 'wider tp_dst: tcp,in_port=4,nw_src=10.0.0.8/29,tp_dst=0x50/0xfffc',
  ]);
});

test('a flow is taken away, and made weaker in one way; a weaker one that is there already is no mutant: nobody could put it back', () => {
  const flows = ['table=25,priority=2,in_port=4,dl_src=fa:16:3e:00:00:01 actions=drop', 'table=25,priority=2,dl_src=fa:16:3e:00:00:01 actions=drop'].map(parseFlow);
  const mutants = flowMutants('h1', 'br-int', flows, words);
  assert.deepEqual(mutants.map(({ key }) => key), [
    'h1 br-int without table=25,priority=2,in_port=e0,dl_src=fa:16:3e:00:00:01', 'h1 br-int no dl_src in table=25,priority=2,in_port=e0,dl_src=fa:16:3e:00:00:01',
    'h1 br-int without table=25,priority=2,dl_src=fa:16:3e:00:00:01', 'h1 br-int no dl_src in table=25,priority=2,dl_src=fa:16:3e:00:00:01',
  ]);
  assert.deepEqual(mutants[1]!.restore.map(({ command }) => command), ['delete_strict', 'add']);
});

test('rules, conditions and elements of a table', () => {
  const table = `table inet patchbay {
\tmap floating {
\t\ttype ipv4_addr : ipv4_addr
\t\telements = { 172.16.0.9 : 10.0.0.3,
\t\t\t     172.16.0.10 : 10.0.0.4 }
\t}

\tchain forward {
\t\ttype filter hook forward priority filter; policy drop;
\t\tmeta nfproto ipv4 ct state invalid drop
\t\tct status dnat accept
\t}
}
`;
  const mutants = tableMutants('h1', 'qrouter-r', table, (text) => text);
  assert.deepEqual(mutants.map(({ key }) => key.replace('h1 router ', '')), [
    'forward without meta nfproto ipv4 ct state invalid drop', 'forward no meta nfproto ipv4 in meta nfproto ipv4 ct state invalid drop', 'forward no ct state invalid in meta nfproto ipv4 ct state invalid drop',
    'forward without ct status dnat accept', 'forward no ct status dnat in ct status dnat accept', 'set floating without 172.16.0.9 : 10.0.0.3', 'set floating without 172.16.0.10 : 10.0.0.4',
  ]);
  assert.ok(mutants.at(-1)!.apply.includes('elements = { 172.16.0.9 : 10.0.0.3 }'));
  assert.equal(mutants[0]!.restore, `delete table inet patchbay\n${table}`);
});
