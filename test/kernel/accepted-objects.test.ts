/** Law 4: the programs of a host take every line that follows from what the API accepts. Each is asked in its check mode; nothing is served. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import fc from 'fast-check';
import { optionRefusals } from '#agent/drivers/dnsmasq/apply.ts';
import { Compiler } from '#compile/compiler.ts';
import { loadIntent } from '#control/hosts/intent.ts';
import { hostTexts } from '#testkit/host-texts.ts';
import { ANNOUNCED, askFor, nastyObjects } from '#testkit/nasty-objects.ts';
import { config } from '#testkit/network-rows.ts';
import { routerApi } from '#testkit/router-api.ts';
import { onSqlite } from '#testkit/stores.ts';

const folder = mkdtempSync('/tmp/patchbay-accepted-');
after(() => rmSync(folder, { recursive: true, force: true }));

/** Runs a program in a network namespace of its own; throws with what it said. */
function check(program: string, args: readonly string[], input = ''): void {
  execFileSync('unshare', ['--net', program, ...args], { input, stdio: ['pipe', 'ignore', 'pipe'] });
}

test('law 4, OSSA-2014-039, OSSA-2021-005: dnsmasq, nft and radvd take what follows from whatever the API accepts', { timeout: 280_000 }, async () => {
  const seen = { opts: 0, nft: 0, radvd: 0 };
  await fc.assert(fc.asyncProperty(nastyObjects, (objects) => onSqlite(async (store) => {
    const api = await routerApi(store);
    await askFor(api, objects, 'host1');
    const compiler = new Compiler(config);
    compiler.apply(await loadIntent(store.reader));
    const state = compiler.fromScratch('host1');
    const wished = hostTexts(state).dnsmasq.flatMap(({ opts }) => opts).filter((line) => line.startsWith('tag:port-'));
    // An option that dnsmasq refuses by itself is left out by the driver.
    const refusals = await optionRefusals(wished, Infinity);
    const texts = hostTexts(state, (line) => refusals.get(line));
    for (const { args, opts } of texts.dnsmasq) {
      check('dnsmasq', ['--test', ...args.filter((arg) => !arg.startsWith('--conf-file')), '--conf-file=-'], opts.map((line) => `dhcp-option=${line}\n`).join(''));
      seen.opts += opts.length;
    }
    for (const script of texts.nft) check('nft', ['-c', '-f', '-'], `${script}\n`);
    for (const [i, text] of texts.radvd.entries()) {
      writeFileSync(join(folder, `radvd-${i}`), text);
      check('radvd', ['--configtest', '-C', join(folder, `radvd-${i}`)]);
    }
    seen.nft += texts.nft.length;
    seen.radvd += texts.radvd.length;
    await api.close();
  })), { numRuns: 20, examples: [[ANNOUNCED]] });
  assert.ok(seen.opts > 20 && seen.nft > 10 && seen.radvd > 0, JSON.stringify(seen));
});
