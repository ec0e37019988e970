import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { arp, BROADCAST, ethernet, icmpv6, tagged, udp } from '#testkit/frames.ts';
import { parseFrame } from './frame-headers.ts';

const [A, B] = ['fa:16:3e:00:00:01', 'fa:16:3e:00:00:02'];
const eth = { eth_src: A, eth_dst: B };

test('addresses, ports, and types are read from real frames', () => {
  const four = udp(B, A, { from: '10.0.0.1', to: '10.0.0.2', sport: 1000, dport: 53, data: 'x' });
  const udp4 = { ...eth, ethertype: '0x0800', ip_src: '10.0.0.1', ip_dst: '10.0.0.2', protocol: 17, port_src: 1000, port_dst: 53 };
  assert.deepEqual(parseFrame(four), udp4);
  assert.deepEqual(parseFrame(tagged(7, four)), { ...udp4, vlan_id: 7 });
  assert.deepEqual(parseFrame(udp(B, A, { from: 'fd00::1', to: 'fd00::2', sport: 1, dport: 2, data: '' })), { ...eth, ethertype: '0x86dd', ip_src: 'fd00::1', ip_dst: 'fd00::2', protocol: 17, port_src: 1, port_dst: 2 });
  assert.deepEqual(parseFrame(icmpv6(B, A, 'fd00::1', 'fd00::2', 128, Buffer.alloc(4))), { ...eth, ethertype: '0x86dd', ip_src: 'fd00::1', ip_dst: 'fd00::2', protocol: 58, icmp_type: 128, icmp_code: 0 });
  assert.deepEqual(parseFrame(arp(BROADCAST, A, { op: 'request', sha: A, spa: '10.0.0.1', tpa: '10.0.0.9' })), { eth_src: A, eth_dst: BROADCAST, ethertype: '0x0806', arp_op: 1, ip_src: '10.0.0.1', ip_dst: '10.0.0.9' });
  assert.deepEqual(parseFrame(ethernet(B, A, 0x88cc, Buffer.alloc(4))), { ...eth, ethertype: '0x88cc' });
});

test('a later fragment has no ports, the first one has; extension headers are passed over', () => {
  const four = udp(B, A, { from: '10.0.0.1', to: '10.0.0.2', sport: 1000, dport: 53, data: 'x' });
  const first = Buffer.from(four);
  first.writeUInt16BE(0x2000, 20);
  assert.equal(parseFrame(first).port_dst, 53);
  const later = Buffer.from(four);
  later.writeUInt16BE(0x2001, 20);
  assert.deepEqual([parseFrame(later).fragment, parseFrame(later).port_dst], [true, undefined]);

  const six = udp(B, A, { from: 'fd00::1', to: 'fd00::2', sport: 1, dport: 2, data: 'x' });
  const behind = (type: number, header: string): Buffer => {
    const head = Buffer.from(six.subarray(0, 54));
    head[20] = type;
    return Buffer.concat([head, Buffer.from(header, 'hex'), six.subarray(54)]);
  };
  assert.deepEqual(parseFrame(behind(0, '1100000000000000')), { ...parseFrame(six) }, 'hop-by-hop');
  assert.deepEqual(parseFrame(behind(51, '1101000000000000' + '00000000')), { ...parseFrame(six) }, 'authentication');
  assert.deepEqual(parseFrame(behind(44, '1100000100000001')), { ...parseFrame(six) }, 'the first fragment');
  assert.deepEqual([parseFrame(behind(44, '1100000800000001')).fragment, parseFrame(behind(44, '1100000800000001')).port_dst], [true, undefined]);
});

test('whatever a guest sends, cut off anywhere, reading it neither throws nor hangs', () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), fc.constantFrom(0x0800, 0x86dd, 0x0806, 0x8100), (bytes, type) => {
    const frame = Buffer.from(bytes);
    if (frame.length >= 14) frame.writeUInt16BE(type, 12);
    parseFrame(frame);
  }));
});
