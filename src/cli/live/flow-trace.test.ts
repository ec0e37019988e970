/** recorded-switch.json is what Open vSwitch 3.1 printed on a host h1 with ports a and b on VXLAN 2000 and gw on VLAN 100; h2 is its peer. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { type Crossing, type Gate, gateKey } from '#trace/crossing.ts';
import type { Packet } from '#trace/packet.ts';
import { questionOf, readEnds, type Surroundings } from './flow-trace.ts';
import { readSwitchPorts } from './switch-ports.ts';

const recorded = JSON.parse(readFileSync(join(import.meta.dirname, 'recorded-switch.json'), 'utf8')) as { dpif: string; interfaces: string; traces: Record<string, string> };
const ports = readSwitchPorts(recorded.dpif, recorded.interfaces);
const around: Surroundings = { ports, addresses: new Map([['h1', '192.0.2.1'], ['h2', '192.0.2.2']]), underlay: 'br-under', uplinks: new Map([['physnet', { bridge: 'br-phys', port: 'wire' }]]) };

const mac = (n: string): string => `fa:16:3e:00:00:${n}`;
const packet = (source: string, destination: string, source_ip: string, destination_ip: string, given: Partial<Packet> = {}): Packet => ({
  source_mac: mac(source), destination_mac: mac(destination), source_ip, destination_ip, protocol: 6, source_port: 61000, destination_port: 80, icmp_type: null, icmp_code: null, size: 64, ...given,
});
const crossing = (entry: Gate, seen: Packet): Crossing => ({ host: 'h1', entry, packet: seen, ends: [] });
const CROSSINGS = {
  local: crossing({ port_id: 'a' }, packet('01', '02', '10.0.0.1', '10.0.0.2')),
  refused: crossing({ port_id: 'a' }, packet('01', '02', '10.0.0.1', '10.0.0.2', { protocol: 17 })),
  out: crossing({ port_id: 'a' }, packet('01', '21', '10.0.0.1', '10.0.0.33')),
  in: crossing({ peer: 'h2', network_type: 'vxlan', segmentation_id: 2000 }, packet('21', '02', '10.0.0.33', '10.0.0.2')),
  wire: crossing({ port_id: 'gw' }, packet('09', '99', '172.16.0.5', '172.16.0.1')),
  fromWire: crossing({ physical_network: 'physnet', segmentation_id: 100 }, packet('99', '09', '172.16.0.1', '172.16.0.5')),
  six: crossing({ port_id: 'gw' }, packet('09', '99', 'fd00::5', 'fd00::1', { protocol: 58, source_port: null, destination_port: null, icmp_type: 128, icmp_code: 0 })),
};

test('ports by bridge, with what the database says of them', () => {
  const shown = (name: string) => ports.filter((port) => port.name === name).map(({ bridge, type, port_id, mac_address, remote_ip }) => ({ bridge, type, port_id, mac_address, remote_ip }));
  assert.deepEqual(shown('t-a'), [{ bridge: 'br-int', type: 'internal', port_id: 'a', mac_address: mac('01'), remote_ip: undefined }]);
  assert.deepEqual(ports.filter(({ remote_ip }) => remote_ip).map(({ bridge, type, remote_ip }) => [bridge, type, remote_ip]), [['br-tun', 'vxlan', '192.0.2.2']]);
  assert.deepEqual(ports.find(({ name }) => name === 'patch-tun')?.dpPort, undefined);
});

test('the question: by the port, the tunnel or the wire that the frame comes in by', () => {
  const asked = (one: Crossing): string => {
    const question = questionOf(one, around);
    return typeof question === 'string' ? question : `${question.bridge} ${question.flow}`;
  };
  assert.match(asked(CROSSINGS.local), /^br-int in_port=\d+,dl_src=fa:16:3e:00:00:01,dl_dst=fa:16:3e:00:00:02,tcp,tcp_src=61000,tcp_dst=80,tcp_flags=0x2,nw_src=10.0.0.1,nw_dst=10.0.0.2,nw_ttl=64$/);
  assert.match(asked(CROSSINGS.in), /^br-tun tun_id=2000,tun_src=192.0.2.2,tun_dst=192.0.2.1,in_port=2,/);
  assert.match(asked(CROSSINGS.fromWire), /^br-phys dl_vlan=100,in_port=9,/);
  assert.match(asked(CROSSINGS.six), /icmp6,icmpv6_type=128,icmpv6_code=0,ipv6_src=fd00::5,ipv6_dst=fd00::1,nw_ttl=64$/);
  assert.equal(asked(crossing({ port_id: 'off' }, CROSSINGS.local.packet)), 'port off is not plugged on h1');
  assert.equal(asked(crossing({ peer: 'h3', network_type: 'vxlan', segmentation_id: 2000 }, CROSSINGS.local.packet)), 'h1 has no vxlan port to h3');
  assert.equal(asked(crossing({ physical_network: 'other', segmentation_id: null }, CROSSINGS.local.packet)), 'h1 has no port to other');
});

test('where it leaves, through conntrack and patch ports: a port, a tunnel, a wire with its tag, or nowhere', () => {
  const ends = Object.fromEntries(Object.entries(CROSSINGS).map(([name, one]) => [name, readEnds(recorded.traces[name]!, one, around).map(gateKey).join()]));
  assert.deepEqual(ends, {
    local: 'port b', refused: '', out: 'tunnel h2 vxlan 2000', in: 'port b', wire: 'wire physnet 100', fromWire: 'port gw', six: 'wire physnet 100',
  });
});
