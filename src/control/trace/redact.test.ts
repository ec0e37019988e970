import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DROP_REASONS, type Named } from '#trace/step.ts';
import { drop } from '#trace/walk.ts';
import { redact } from './redact.ts';

const MINE: Named = { kind: 'network', id: 'n', name: 'home' };

test('why the cloud does not carry a packet is its operator’s: neither text nor repair names a host', () => {
  for (const reason of ['no-segment', 'no-tunnel', 'no-physical-network', 'unknown-mac'] as const) {
    const path = drop('host-7', MINE, reason, 'host-7 has no bridge for it', ['bridge_mappings: physnet:BRIDGE in the configuration of host-7']);
    const shown = redact({ verdict: 'drop', path, deliveries: [], drops: [...path], reply: null }, () => true);
    assert.deepEqual(shown, { verdict: 'drop', path: [{ type: 'drop', host: null, object: MINE, reason, text: 'the cloud does not carry it there: ask its operator', repair: [] }], reply: null });
  }
});

test('a drop at somebody else’s object is outside, whatever the reason', () => {
  for (const reason of DROP_REASONS) {
    const path = drop('host-7', { kind: 'port', id: 'theirs', name: 'secret' }, reason, 'secret is down');
    assert.deepEqual(redact({ verdict: 'drop', path, deliveries: [], drops: [...path], reply: null }, ({ id }) => id !== 'theirs').path, [{ type: 'outside', host: null, object: null, text: 'outside your project' }]);
  }
});
