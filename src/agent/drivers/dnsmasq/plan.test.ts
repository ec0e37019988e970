import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { DesiredDnsmasq } from './desired.ts';
import { parseBindings, parseLeases, withoutLeases } from './parse.ts';
import { type FoundDnsmasq, planDnsmasq, printDnsmasqPlan } from './plan.ts';

const MAC1 = 'fa:16:3e:00:00:11';
const MAC2 = 'fa:16:3e:00:00:12';
const DUID1 = `00:03:00:01:${MAC1}`;
const LEASES = `1795536831 ${MAC1} 172.16.0.11 vm1 01:${MAC1}
1795536831 ${MAC2} 172.16.0.12 * *
duid 00:01:00:01:32:97:22:bf:fa:16:3e:00:00:02
1795457934 1040187409 fd00:6::11 vm1 ${DUID1}
`;
const files = { host: `${MAC1},172.16.0.11,vm1\n${MAC1},[fd00:6::11],vm1\n${MAC2},172.16.0.12\n`, addn_hosts: '', servers: '', opts: '' };
const desired: DesiredDnsmasq = {
  folder: '/s', args: ['--a', '--b'], files, reasons: [], hostReasons: new Map(), partly: new Set(),
  bindings: new Map([['172.16.0.11', MAC1], ['172.16.0.12', MAC2], ['fd00:6::11', MAC1]]),
};
const found: FoundDnsmasq = { process: { pid: 7, args: ['--a', '--b'], elsewhere: false }, files, unfinished: undefined, leases: parseLeases(LEASES) };
const planned = (more: Partial<DesiredDnsmasq>, there: Partial<FoundDnsmasq> = {}): string[] =>
  printDnsmasqPlan({ ...desired, ...more }, planDnsmasq({ ...desired, ...more }, { ...found, ...there }));

test('a lease file reads as leases of both families; a line cut short is none', () => {
  assert.deepEqual(parseLeases(`${LEASES}179545`), {
    leases: [
      { version: 4, ip: '172.16.0.11', mac: MAC1, client_id: `01:${MAC1}` },
      { version: 4, ip: '172.16.0.12', mac: MAC2, client_id: null },
      { version: 6, ip: 'fd00:6::11', iaid: '1040187409', duid: DUID1 },
    ],
    serverDuid: '00:01:00:01:32:97:22:bf:fa:16:3e:00:00:02',
  });
  assert.equal(withoutLeases(LEASES, found.leases.leases.slice(1)), `${LEASES.split('\n')[0]}\n${LEASES.split('\n')[2]}\n`);
  assert.deepEqual([...parseBindings(files.host)], [...desired.bindings].sort(([a], [b]) => Number(a.includes('.12')) - Number(b.includes('.12'))));
});

test('law 3: equal files, command line and leases: nothing to do', () => {
  assert.deepEqual(planned({}), []);
});

test('N-DH-8: changed files are written and reloaded, a changed command line is a restart, no process a start', () => {
  assert.deepEqual(planned({ files: { ...files, host: 'x' } }), ['write /s/host', 'kill -HUP dnsmasq']);
  assert.deepEqual(planned({ args: ['--a'] }), ['restart dnsmasq']);
  assert.deepEqual(planned({}, { process: null }), ['start dnsmasq']);
  assert.deepEqual(planned({}, { process: { ...found.process!, elsewhere: true } }), ['restart dnsmasq']);
});

test('trap 8: an address with another MAC, or with none any more, loses its lease', () => {
  const moved = new Map([['172.16.0.11', MAC2], ['fd00:6::11', MAC2]]);
  const host = `${MAC2},172.16.0.11\n${MAC2},[fd00:6::11]\n`;
  assert.deepEqual(planned({ bindings: moved, files: { ...files, host } }), [
    'write /s/host', 'kill -HUP dnsmasq', `dhcp_release 172.16.0.11 ${MAC1}`, `dhcp_release 172.16.0.12 ${MAC2}`, `dhcp_release fd00:6::11 ${DUID1}`,
  ]);
  const written = { ...files, host };
  assert.deepEqual(planned({ bindings: moved, files: written }, { process: null, files: written }).slice(1), [
    `forget lease 172.16.0.11 ${MAC1}`, `forget lease 172.16.0.12 ${MAC2}`,
  ], 'a lease of DHCPv6 whose address has not moved since the last finished change stays');
});

test('a change that was cut short is done again from its beginning', () => {
  const moved = new Map([['172.16.0.11', MAC1], ['172.16.0.12', MAC2], ['fd00:6::11', MAC2]]);
  const host = `${MAC2},[fd00:6::11]\n`;
  assert.deepEqual(planned({ bindings: moved, files: { ...files, host } }, { files: { ...files, host }, unfinished: files.host }), [
    'kill -HUP dnsmasq', `dhcp_release fd00:6::11 ${DUID1}`,
  ]);
});
