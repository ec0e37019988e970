/** Law 4 from one end to the other: whatever the API accepts compiles, and becomes text that the engines of a host read. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Compiler } from '#compile/compiler.ts';
import { loadIntent } from '#control/hosts/intent.ts';
import type { HostState } from '#hoststate/host-state.ts';
import type { Store } from '#store/store.ts';
import { ANNOUNCED, askFor, nastyObjects } from '#testkit/nasty-objects.ts';
import { hostTexts } from '#testkit/host-texts.ts';
import { config } from '#testkit/network-rows.ts';
import { routerApi } from '#testkit/router-api.ts';
import { SimulatedAgent } from '#testkit/simulated-agent.ts';
import { onSqlite } from '#testkit/stores.ts';

const HOST = 'host1';
/** Control characters, line ends of Unicode among them: none may reach a line of a file or a script. */
const CONTROL = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u2028\u2029]/;

test('law 4, OSSA-2014-014, OSSA-2014-039, OSSA-2015-012, OSSA-2019-001, OSSA-2019-002, OSSA-2021-005: whatever the API accepts compiles, its flows are those that a switch takes, and no value of it begins a line, a rule or a command of its own', async () => {
  await fc.assert(fc.asyncProperty(nastyObjects, (objects) => onSqlite(async (store) => {
    const api = await routerApi(store);
    const { accepted, crashed } = await askFor(api, objects, HOST);
    assert.deepEqual(crashed, []);
    assert.ok(accepted > 3, 'some of it is accepted');
    const state = await stateOf(store);
    const agent = await SimulatedAgent.of([...state.values()]);
    // What no switch can match is said of the rule alone, and nothing stands for it.
    assert.deepEqual([...agent.failures].filter(([owner, reason]) => !(owner.startsWith('rule/') && /matches no (ports of protocol (33|136)|IPv6 extension header (0|43|51|60))\b/.test(reason))), []);
    assert.equal(agent.programs.pending(), 0);
    const texts = hostTexts(state);
    for (const { args, opts, host, addnHosts } of texts.dnsmasq) {
      for (const line of [...args, ...opts, ...host, ...addnHosts]) assert.ok(!CONTROL.test(line) && !line.includes('\n') && Buffer.byteLength(line) <= 1024, line);
      for (const line of opts) assert.match(line, /^tag:(subnet|port)-[0-9a-f-]{36},(option6?:)?[a-z0-9-]+(,.*)?$/i);
      for (const line of host) assert.match(line, /^[0-9a-f:]{17},(\[[0-9a-f:]+\]|[0-9.]+)(,[a-z0-9.-]+)?$/i);
    }
    for (const line of texts.links) assert.match(line, /^[A-Za-z0-9 ./:=_-]+$/);
    for (const script of [...texts.nft, ...texts.radvd]) assert.ok(!CONTROL.test(script.replace(/[\t\n]/g, '')), script);
    await api.close();
  })), { numRuns: 40, examples: [[ANNOUNCED]] });
});

/** Compiled by a compiler that has seen nothing; nothing of it may fail. */
async function stateOf(store: Store): Promise<HostState> {
  const compiler = new Compiler(config);
  compiler.apply(await loadIntent(store.reader));
  const state = compiler.fromScratch(HOST);
  assert.deepEqual([...compiler.errors], []);
  return state;
}
