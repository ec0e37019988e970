/** docs/configuration.md lists every option with its default. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { OPTIONS, loadConfig } from '#model/config.ts';

const page = readFileSync(new URL('../../docs/configuration.md', import.meta.url), 'utf8');

test('N-VX-10: every option has a row with its default and a meaning, and no other has', () => {
  const rows = [...page.matchAll(/^\| `(\w+)` \| `(.*)` \| (.+) \|$/gm)].map(([, name, initial]) => `${name} ${initial}`);
  const options = Object.entries(OPTIONS).map(([name, { initial }]) => `${name} ${JSON.stringify(initial)}`);
  assert.deepEqual(rows.toSorted(), options.toSorted());
});

test('the example of the page is a configuration', () => {
  const [, yaml = ''] = /^```yaml\n([\s\S]*?)^```$/m.exec(page) ?? [];
  assert.deepEqual(loadConfig(yaml).tenant_network_types, ['vlan', 'vxlan']);
});
