import assert from 'node:assert/strict';
import { test } from 'node:test';
import { loadConfig } from './config.ts';

test('a real Nova behind the metadata proxies needs its secret, and has no session tokens', () => {
  assert.throws(() => loadConfig('nova_metadata_host: nova'), /^Error: config: metadata_proxy_shared_secret: it is empty, /);
  assert.throws(() => loadConfig('{nova_metadata_host: nova, metadata_proxy_shared_secret: s, metadata_tokens: required}'), /^Error: config: metadata_tokens: 'required' is not for nova_metadata_host/);
  assert.equal(loadConfig('{nova_metadata_host: nova, metadata_proxy_shared_secret: s}').nova_metadata_port, 8775);
});
