import assert from 'node:assert/strict';
import { test } from 'node:test';
import { reasonsFor } from './reasons.ts';
import type { SwitchPort } from './switch-ports.ts';

const plugged = (port_id: string) => ({ port_id }) as SwitchPort;
const host = (given: object) => ({ hosts: [{ host: 'h1', alive: true, applied: 7, revision: 7, errors: [], idle_ports: 0, ...given }] });

test('what is said of the ports comes first, then of the host', () => {
  const switches = new Map([['h1', [plugged('a')]]]);
  assert.deepEqual(reasonsFor('h1', ['a'], host({}), switches), []);
  assert.deepEqual(reasonsFor('h1', ['a', 'b'], host({}), switches), ['port b has no device on h1: its instance is off, or has not come up']);
  const errors = [{ object: 'router r', reason: 'radvd ended' }, { object: 'port a', reason: 'no meter left' }];
  assert.deepEqual(reasonsFor('h1', ['a'], host({ errors }), switches), ['`patchbay status` says of port a: no meter left']);
  assert.deepEqual(reasonsFor('h1', [], host({ errors, alive: false, applied: 5 }), switches), ['`patchbay status` says of router r: radvd ended', 'the agent of h1 is dead', 'h1 has applied revision 5 of 7']);
  assert.deepEqual(reasonsFor('outside', [], host({ errors }), switches), []);
});
