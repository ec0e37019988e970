import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Crossing, crossingsOf, gateKey } from './crossing.ts';
import type { Packet } from './packet.ts';
import type { Named, Path, Step } from './step.ts';

const named = (id: string, kind: Named['kind'] = 'port'): Named => ({ kind, id, name: id });
const packet = (source_ip: string, destination_ip: string): Packet => ({ source_mac: 'fa:16:3e:00:00:01', destination_mac: null, source_ip, destination_ip, protocol: 6, source_port: 1, destination_port: 80, icmp_type: null, icmp_code: null, size: 64 });
const text = '';
const port = (host: string | null, id: string, sent: Packet): Step => ({ type: 'port', host, object: named(id), text, packet: sent });
const filter = (host: string, port_id: string, direction: 'ingress' | 'egress', seen: Packet): Step => ({ type: 'filter', host, object: named('group', 'security_group'), text, direction, port_id, by: 'rule', rule_id: 'r', remembered: true, packet: seen });
const to = (host: string): Step => ({ type: 'switch', host, object: named('net', 'network'), text });
const tunnel = (host: string, to_host: string): Step => ({ type: 'tunnel', host, object: named('net', 'network'), text, to_host, network_type: 'vxlan', segmentation_id: 7 });
const wire = (host: string): Step => ({ type: 'wire', host, object: named('ext', 'network'), text, physical_network: 'physnet', segmentation_id: 100 });
const deliver = (host: string | null, port_id: string | null, got: Packet): Step => ({ type: 'deliver', host, object: null, text, port_id, to: host === null ? 'outside' : 'instance', addressed: true, packet: got });
const drop = (host: string): Step => ({ type: 'drop', host, object: null, text, reason: 'security-group', repair: [] });
const route = (host: string, before: Packet, after: Packet): Step => ({ type: 'route', host, object: named('r', 'router'), text, router_id: 'r', destination: '0.0.0.0/0', nexthop: null, before, after });

const show = (crossings: readonly Crossing[]): string[] => crossings.map(({ host, entry, packet: { source_ip, destination_ip }, ends }) => `${host}: ${gateKey(entry)}: ${source_ip} > ${destination_ip}: ${ends.map(gateKey).join(' + ') || 'drop'}`);
const inside = packet('10.0.0.3', '10.0.0.4');

test('across hosts: one crossing on each, and what a filter there drops leaves by nothing', () => {
  const start = [port('h1', 'a', inside), filter('h1', 'a', 'egress', inside), tunnel('h1', 'h2'), to('h2')];
  assert.deepEqual(show(crossingsOf([...start, filter('h2', 'b', 'ingress', inside), deliver('h2', 'b', inside)], { port_id: 'a' })), [
    'h1: port a: 10.0.0.3 > 10.0.0.4: tunnel h2 vxlan 7', 'h2: tunnel h1 vxlan 7: 10.0.0.3 > 10.0.0.4: port b',
  ]);
  assert.deepEqual(show(crossingsOf([...start, drop('h2')], { port_id: 'a' })).at(-1), 'h2: tunnel h1 vxlan 7: 10.0.0.3 > 10.0.0.4: drop');
});

test('a router sends from a port of its own, with what NAT has made of the packet; a wire leads to other hosts and outside', () => {
  const [before, after] = [packet('10.0.0.3', '1.1.1.1'), packet('172.16.0.5', '1.1.1.1')];
  const out = [port('h1', 'a', before), filter('h1', 'a', 'egress', before), to('h1'), filter('h1', 'qr', 'ingress', before), route('h1', before, after), filter('h1', 'qg', 'egress', after), wire('h1')];
  assert.deepEqual(show(crossingsOf([...out, deliver(null, null, after)], { port_id: 'a' })), [
    'h1: port a: 10.0.0.3 > 1.1.1.1: port qr', 'h1: port qg: 172.16.0.5 > 1.1.1.1: wire physnet 100',
  ]);
  assert.deepEqual(show(crossingsOf([...out, to('h2'), to('h2'), filter('h2', 'f', 'ingress', after), deliver('h2', 'f', after)], { port_id: 'a' })).at(-1), 'h2: wire physnet 100: 172.16.0.5 > 1.1.1.1: port f');
});

test('copies leave one crossing by several gates; from outside the first crossing is the host that takes it', () => {
  const branch = (...steps: Step[]): Path => [to('h1'), ...steps];
  const fork: Step = { type: 'fork', host: 'h1', object: null, text, branches: [branch(filter('h1', 'b', 'ingress', inside), deliver('h1', 'b', inside)), branch(drop('h1')), [tunnel('h1', 'h2'), drop('h2')]] };
  assert.deepEqual(show(crossingsOf([port('h1', 'a', inside), filter('h1', 'a', 'egress', inside), fork], { port_id: 'a' })), [
    'h1: port a: 10.0.0.3 > 10.0.0.4: port b + tunnel h2 vxlan 7', 'h2: tunnel h1 vxlan 7: 10.0.0.3 > 10.0.0.4: drop',
  ]);
  assert.deepEqual(show(crossingsOf([port(null, 'net', inside), to('h1'), to('h1'), filter('h1', 'b', 'ingress', inside), deliver('h1', 'b', inside)], { physical_network: 'physnet', segmentation_id: null, source_ip: '10.0.0.1' })), [
    'h1: wire physnet untagged: 10.0.0.3 > 10.0.0.4: port b',
  ]);
});
