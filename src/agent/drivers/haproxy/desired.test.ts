import assert from 'node:assert/strict';
import { test } from 'node:test';
import { desiredMetadataProxy } from './desired.ts';

const render = (asker: Parameters<typeof desiredMetadataProxy>[2]) => desiredMetadataProxy('/s/metadata/q', 'q', asker, '/run/patchbay/metadata_proxy');
const linesOf = (asker: Parameters<typeof desiredMetadataProxy>[2], start: string): string[] => render(asker).config.split('\n').map((line) => line.trim()).filter((line) => line.startsWith(start));

test('N-MD-5: in a router’s namespace the proxy listens on 9697, in a DHCP server’s where guests ask', () => {
  assert.deepEqual(render({ router_id: 'r' }).args, ['-D', '-f', '/s/metadata/q/config', '-p', '/s/metadata/q/pid']);
  assert.deepEqual(linesOf({ router_id: 'r' }, 'bind'), ['bind *:9697', 'bind :::9697 v6only']);
  assert.deepEqual(linesOf({ network_id: 'n' }, 'bind'), ['bind 169.254.169.254:80', 'bind :::80 v6only']);
  assert.deepEqual(linesOf({ network_id: 'n' }, 'server'), ['server agent unix@/run/patchbay/metadata_proxy maxconn 64']);
});

test('N-MD-6, LP 1865036: what a client says of itself goes before the proxy says it', () => {
  const rules = linesOf({ router_id: 'r' }, 'http-request');
  assert.deepEqual(rules.slice(-2), ['http-request set-header X-Forwarded-For %[src]', 'http-request set-header X-Neutron-Router-ID r']);
  assert.deepEqual(rules.slice(0, -2), ['X-Forwarded', 'X-Neutron', 'X-Instance', 'X-Tenant', 'X-Metadata'].map((name) => `http-request del-header ${name} -m beg`));
  assert.equal(linesOf({ network_id: 'n' }, 'http-request').at(-1), 'http-request set-header X-Neutron-Network-ID n');
});
