import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { loadConfig } from '#model/config.ts';
import { readSettings } from './settings.ts';

const state = mkdtempSync(join(tmpdir(), 'patchbay-settings-'));
after(() => rmSync(state, { recursive: true, force: true }));

function configFile(text: string): string {
  const file = join(state, 'cloud.yaml');
  writeFileSync(file, text);
  return file;
}

test('options of up are written into the config, comments stay', () => {
  const { config, plan } = readSettings({ state, configFile: configFile('# mine\nregion_name: Here\n'), hosts: 3, listen: '127.0.0.1:9000' });
  assert.match(config, /^# mine\n/);
  const { hosts, listen, region_name } = loadConfig(config);
  assert.deepEqual({ hosts, listen, region_name }, { hosts: 3, listen: '127.0.0.1:9000', region_name: 'Here' });
  assert.deepEqual(plan.hosts.map(({ name }) => name), ['compute1', 'compute2', 'compute3']);
  assert.equal(readSettings({ state, configFile: configFile('') }).plan.hosts.length, 2);
});

test('N-NN-1: a config that names its hosts decides, and --hosts beside it is refused', () => {
  const file = configFile("hosts: [{name: network, roles: [network]}, {name: c1, roles: [compute]}]\nvni_ranges: ['2000:2100']\nexternal_bridge: {hub: network}\n");
  const { plan } = readSettings({ state, configFile: file });
  assert.deepEqual(plan.hosts.map(({ name, roles }) => `${name} ${roles}`), ['network network', 'c1 compute']);
  assert.equal(plan.external_bridge?.hub, 'network');
  assert.throws(() => readSettings({ state, configFile: file, hosts: 2 }), { message: '--hosts takes a number, but the config names each host; change `hosts` there' });
});
