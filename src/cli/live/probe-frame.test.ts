import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Packet } from '#trace/packet.ts';
import { probeFilter, probeFrame } from './probe-frame.ts';

const mark = { token: 0xfedcba98, icmp_id: 777 };
const packet = (given: Partial<Packet>): Packet => ({
  source_mac: 'fa:16:3e:00:00:01', destination_mac: 'fa:16:3e:00:00:02', source_ip: '10.0.0.1', destination_ip: '10.0.0.2', protocol: 6,
  source_port: 61000, destination_port: 80, icmp_type: null, icmp_code: null, size: 64, ...given,
});
const hex = (given: Partial<Packet>, vlan: number | null = null) => probeFrame(packet(given), mark, vlan).toString('hex');
const MACS = 'fa163e000002fa163e000001';
const icmp = { source_port: null, destination_port: null };

// Frames that tcpdump 4.99 -vv called "cksum correct", "udp sum ok" and "icmp6 sum ok".
test('a SYN, a datagram and echo requests as a guest sends them, of the size that was asked for', () => {
  assert.equal(hex({}), `${MACS}0800` + '45000040000040004006' + '26b6' + '0a0000010a000002' + 'ee480050fedcba980000000050' + '02ffff3a440000' + 'fedcba98' + '00'.repeat(20));
  assert.equal(probeFrame(packet({ protocol: 17, size: 500 }), mark).length, 514);
  assert.equal(hex({ protocol: 1, ...icmp, icmp_type: 8, icmp_code: 0, size: 28 }).slice(MACS.length + 44, MACS.length + 44 + 24), '0800' + '3b80' + '0309' + '0001' + 'fedcba98', 'never shorter than its token');
  assert.equal(hex({ source_ip: 'fd00::1', destination_ip: 'fd00::2', protocol: 17, size: 20 }).length / 2, 14 + 40 + 12);
  assert.ok(hex({}, 100).startsWith(`${MACS}81000064` + '0800'));
});

test('the filter knows the token wherever the transport puts it, and no answer that carries it back', () => {
  assert.equal(probeFilter(packet({}), mark), 'ip proto 6 and ip[22:2] != 61000 and ip[40:4] = 4275878552');
  assert.equal(probeFilter(packet({ protocol: 1, ...icmp, icmp_type: 8, icmp_code: 0 }), mark), 'ip proto 1 and ip[20] = 8 and ip[28:4] = 4275878552');
  assert.equal(probeFilter(packet({ source_ip: 'fd00::1', protocol: 17 }), mark), 'ip6 proto 17 and ip6[42:2] != 61000 and ip6[48:4] = 4275878552');
  assert.equal(probeFilter(packet({ protocol: 112, ...icmp }), mark), 'ip proto 112 and ip[20:4] = 4275878552');
});
