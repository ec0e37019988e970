import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Status, formatStatus, isWell } from './status.ts';

const well: Status = {
  controller: { store: 's', revision: 42, public_endpoint: 'http://127.0.0.1:8770', pid: 7, errors: [] },
  hosts: [
    { host: 'compute1', alive: true, applied: 42, revision: 42, errors: [], idle_ports: 3 },
    { host: 'compute2', alive: true, applied: 40, revision: 41, errors: [], idle_ports: 12 },
  ],
};

test('status as a table; a host that lags behind is well', () => {
  assert.equal(formatStatus(well), `controller at http://127.0.0.1:8770, revision 42
HOST      AGENT  APPLIED   IDLE PORTS  ERRORS
compute1  alive  42        3           0
compute2  alive  40 of 41  12          0`);
  assert.equal(isWell(well), true);
});

test('errors stand below the table with host, object and reason', () => {
  const [first, last] = well.hosts;
  const ill: Status = {
    controller: { ...well.controller, errors: ['the store is read-only'] },
    hosts: [{ ...first!, alive: false }, { ...last!, errors: [{ object: 'port 3f1c', reason: 'no local VLAN is free' }] }],
  };
  assert.equal(formatStatus(ill), `controller at http://127.0.0.1:8770, revision 42
HOST      AGENT  APPLIED   IDLE PORTS  ERRORS
compute1  dead   42        3           0
compute2  alive  40 of 41  12          1
controller: the store is read-only
compute2: port 3f1c: no local VLAN is free`);
});

test('each single trouble makes it unwell, and no hosts at all does', () => {
  const host = well.hosts[0]!;
  assert.equal(isWell({ ...well, hosts: [{ ...host, alive: false }] }), false);
  assert.equal(isWell({ ...well, hosts: [{ ...host, errors: [{ object: 'x', reason: 'y' }] }] }), false);
  assert.equal(isWell({ ...well, controller: { ...well.controller, errors: ['x'] } }), false);
  assert.equal(isWell({ ...well, hosts: [] }), false);
});
