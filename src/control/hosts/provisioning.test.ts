import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Item } from '#hoststate/host-state.ts';
import { Provisioning } from './provisioning.ts';

const port = { type: 'port', port_id: 'p' } as Item;
const forward = { type: 'forward', network_id: 'n', port_id: 'p' } as Item;
const dhcpHost = { type: 'dhcp-host', network_id: 'n', port_id: 'p' } as Item;
const wired = [{ key: 'port/p', ok: true }];

function begun() {
  let now = 0;
  const provisioning = new Provisioning(() => now);
  const send = (host: string, seq: number, ...upserts: Item[]) => provisioning.sent(host, seq, { upserts, removals: [] });
  const said = (statuses: ReturnType<Provisioning['acked']>) => statuses.map(({ status, reason }) => [status, reason]);
  return { provisioning, send, said, pass: (ms: number) => void (now += ms) };
}

test('a port is ACTIVE once its host, its DHCP server and its peers have it', () => {
  const { provisioning, send, said } = begun();
  send('peer', 7, forward);
  send('dhcp', 7, dhcpHost);
  send('own', 7, port);
  assert.deepEqual(said(provisioning.reported('own', wired)), []);
  assert.deepEqual(said(provisioning.acked('peer', 6)), []);
  assert.deepEqual(said(provisioning.acked('peer', 7)), []);
  assert.deepEqual(said(provisioning.acked('dhcp', 8)), [['ACTIVE', null]]);
});

test('N-DH-6: an address that the DHCP server does not take keeps the port DOWN with its reason, until it is taken', () => {
  const { provisioning, send, said, pass } = begun();
  send('own', 7, port, dhcpHost);
  assert.deepEqual(said(provisioning.reported('own', [...wired, { key: 'dhcp-host/n/p', ok: false, reason: 'it belongs to another port' }])), []);
  assert.deepEqual(said(provisioning.acked('own', 7)), []);
  pass(11_000);
  assert.deepEqual(said(provisioning.overdue()), [['DOWN', 'the DHCP server on host own does not serve it: it belongs to another port']]);
  assert.deepEqual(said(provisioning.reported('own', [{ key: 'dhcp-host/n/p', ok: true }])), [['ACTIVE', null]]);
});

test('law 4: a port whose lease lacks only a refused option is ACTIVE', () => {
  const { provisioning, send, said } = begun();
  send('own', 7, port, dhcpHost);
  assert.deepEqual(said(provisioning.reported('own', [...wired, { key: 'dhcp-host/n/p', ok: false, partly: true, reason: 'no such option' }])), []);
  assert.deepEqual(said(provisioning.acked('own', 7)), [['ACTIVE', null]]);
});

test('a peer that joins the network later, slow as it may be, takes no ACTIVE port down', () => {
  const { provisioning, send, said, pass } = begun();
  send('own', 7, port);
  assert.deepEqual(said(provisioning.reported('own', wired)), [['ACTIVE', null]]);
  pass(60_000);
  send('late', 9, forward, dhcpHost);
  assert.deepEqual(said(provisioning.reported('late', [{ key: 'dhcp-host/n/p', ok: false, reason: 'x' }])), [['ACTIVE', null]]);
  pass(60_000);
  assert.deepEqual(provisioning.overdue(), []);
});

test('the reason of a port that is not plugged stays on it, however often its host repeats it', () => {
  const { provisioning, send, said, pass } = begun();
  const report = () => said(provisioning.reported('own', [{ key: 'port/p', ok: false, reason: 'not plugged into br-int' }]));
  send('own', 7, port);
  assert.deepEqual(report(), [['DOWN', null]]);
  pass(11_000);
  assert.deepEqual(said(provisioning.overdue()), [['DOWN', 'not plugged into br-int']]);
  assert.deepEqual(report(), [['DOWN', 'not plugged into br-int']]);
  assert.deepEqual(provisioning.overdue(), []);
});

test('nobody waits for a host that has gone, and nothing is kept of ports that have', () => {
  const { provisioning, send, said } = begun();
  send('peer', 7, forward);
  send('own', 7, port);
  provisioning.reported('own', wired);
  assert.deepEqual(said(provisioning.lost('peer')), [['ACTIVE', null]]);
  provisioning.removed('own', { upserts: [], removals: ['port/p'] });
  send('peer', 8, { ...forward, port_id: 'q' } as Item);
  provisioning.acked('peer', 8);
  assert.equal(provisioning.size, 0);
});
