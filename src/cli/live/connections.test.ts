import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Packet } from '#trace/packet.ts';
import { ownConnections, readConnections, tupleOf } from './connections.ts';

const DUMP = `tcp,orig=(src=10.0.0.3,dst=10.0.0.4,sport=61234,dport=80),reply=(src=10.0.0.4,dst=10.0.0.3,sport=80,dport=61234),zone=1,protoinfo=(state=SYN_SENT)
tcp,orig=(src=10.0.0.3,dst=10.0.0.4,sport=40000,dport=80),reply=(src=10.0.0.4,dst=10.0.0.3,sport=80,dport=40000),zone=1,protoinfo=(state=ESTABLISHED)
udp,orig=(src=fd00::3,dst=fd00::4,sport=61234,dport=53),reply=(src=fd00::4,dst=fd00::3,sport=53,dport=61234),zone=2
icmp,orig=(src=10.0.0.3,dst=10.0.0.4,id=777,type=8,code=0),reply=(src=10.0.0.4,dst=10.0.0.3,id=777,type=0,code=0),zone=3
icmpv6,orig=(src=fd00::1,dst=fd00::2,id=777,type=128,code=0),reply=(src=fd00::2,dst=fd00::1,id=777,type=129,code=0),zone=1
sctp,orig=(src=10.0.0.1,dst=10.0.0.2,sport=0,dport=0),reply=(src=10.0.0.2,dst=10.0.0.1,sport=0,dport=0),zone=1
`;
const packet = (protocol: number, source_port: number | null): Packet => ({ source_mac: '', destination_mac: null, source_ip: '10.0.0.3', destination_ip: '10.0.0.4', protocol, source_port, destination_port: null, icmp_type: null, icmp_code: null, size: 64 });
const tuples = (probe: Packet, icmp_id = 1) => ownConnections(readConnections(DUMP), probe, { token: 1, icmp_id }).map((one) => `zone=${one.zone} ${tupleOf(one)}`);

test('only the probe\'s own connections are forgotten: those of its source port and protocol, or its echo id', () => {
  assert.deepEqual(tuples(packet(6, 61234)), ['zone=1 ct_nw_src=10.0.0.3,ct_nw_dst=10.0.0.4,ct_nw_proto=6,ct_tp_src=61234,ct_tp_dst=80']);
  assert.deepEqual(tuples(packet(17, 61234)), ['zone=2 ct_ipv6_src=fd00::3,ct_ipv6_dst=fd00::4,ct_nw_proto=17,ct_tp_src=61234,ct_tp_dst=53']);
  assert.deepEqual(tuples(packet(1, null), 777), ['zone=3 ct_nw_src=10.0.0.3,ct_nw_dst=10.0.0.4,ct_nw_proto=1,icmp_id=777,icmp_type=8,icmp_code=0']);
  assert.deepEqual(tuples(packet(1, null), 778), []);
  assert.deepEqual(tuples(packet(58, null), 777), [], 'its tuple ends ovs-vswitchd 3.1');
  assert.deepEqual([...tuples(packet(132, 0)), ...tuples(packet(112, null))], []);
});
