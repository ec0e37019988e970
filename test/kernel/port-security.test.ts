/**
 * What a guest may send, attacked frame by frame: each really leaves the instance, and both ends are looked at, on the
 * attacker's host and across. The same table proves with port security off that every frame would have arrived.
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { type Cloud, scenario, until } from '#testkit/cloud.ts';
import {
  arp, BROADCAST, DHCP, dhcpMessage, ethernet, fragments, icmp, icmpv6, ipv4, neighbourAdvertisement, neighbourSolicitation, redirect6, routerAdvertisement, tagged, udp, withExtensionHeader, withIpOptions,
} from '#testkit/frames.ts';
import { linkLocalOf } from '#net/ip.ts';
import { type Guest, sentinel, tenant } from './security-lab.ts';

const STRANGER = 'fa:16:3e:66:66:66';
const ALL_NODES = '33:33:00:00:00:01';

interface Frames {
  readonly title: string;
  readonly make: (from: Guest, to: Guest) => Buffer | readonly Buffer[];
  /** Stays out even without port security. */
  readonly never?: true;
}

const datagram = (from: Guest, to: Guest, given: { source?: string; dst?: string; mac?: string; sport?: number; dport?: number; data?: string } = {}): Buffer =>
  udp(given.dst ?? to.mac, given.mac ?? from.mac, { from: given.source ?? from.ip, to: to.ip, sport: given.sport ?? 7000, dport: given.dport ?? 7000, data: given.data ?? 'x' });
const datagram6 = (from: Guest, to: Guest, source: string, mac = from.mac, sport = 7000, dport = 7000): Buffer => udp(to.mac, mac, { from: source, to: to.ip6, sport, dport, data: 'x' });
const offer = (from: Guest, to: Guest, source: string): Buffer =>
  udp(to.mac, from.mac, { from: source, to: to.ip, sport: 67, dport: 68, data: dhcpMessage({ op: 'reply', type: DHCP.OFFER, mac: to.mac, yiaddr: '10.1.0.68', server: from.ip }) });
const request = (from: Guest, source: string, mac = from.mac): Buffer =>
  udp(BROADCAST, mac, { from: source, to: '255.255.255.255', sport: 68, dport: 67, data: dhcpMessage({ op: 'request', type: DHCP.DISCOVER, mac }) });
const advertisement = (from: Guest): Buffer => routerAdvertisement(ALL_NODES, from.mac, linkLocalOf(from.mac));
const quoted = (from: Guest, to: Guest): Buffer => Buffer.concat([Buffer.from([10, 1, 0, 66]), datagram(to, from).subarray(14, 42)]);

/** None of these leaves a filtered port. */
const FORGED: readonly Frames[] = [
  { title: 'N-SG-3: IPv4 with a foreign source MAC', make: (from, to) => datagram(from, to, { mac: STRANGER }) },
  { title: 'N-SG-3: IPv4 with a neighbour\'s MAC and address', make: (from, to) => datagram(from, to, { mac: 'fa:16:3e:66:66:67', source: '10.1.0.67' }) },
  { title: 'N-SG-3: IPv4 with a foreign source address', make: (from, to) => datagram(from, to, { source: '10.1.0.66' }) },
  { title: 'N-SG-3: IPv4 from 0.0.0.0 that is no DHCP', make: (from, to) => datagram(from, to, { source: '0.0.0.0' }) },
  { title: 'OSSA-2021-001: IPv6 with a foreign source address', make: (from, to) => datagram6(from, to, 'fd00:1::66') },
  { title: 'OSSA-2021-001: IPv6 from another link-local address', make: (from, to) => datagram6(from, to, 'fe80::66') },
  { title: 'OSSA-2021-001: IPv6 from the unspecified address', make: (from, to) => datagram6(from, to, '::') },
  { title: 'OSSA-2021-004 OSSN-0027: an ARP reply for a foreign address', make: (from, to) => arp(to.mac, from.mac, { op: 'reply', sha: from.mac, spa: '10.1.0.67', tha: to.mac, tpa: to.ip }) },
  { title: 'OSSN-0027: an ARP request in the name of a foreign address', make: (from, to) => arp(BROADCAST, from.mac, { op: 'request', sha: from.mac, spa: '10.1.0.67', tpa: '10.1.0.198' }) },
  { title: 'OSSN-0027: a gratuitous ARP for a foreign address', make: (from) => arp(BROADCAST, from.mac, { op: 'request', sha: from.mac, spa: '10.1.0.67', tpa: '10.1.0.67' }) },
  { title: 'OSSA-2021-004: an ARP reply with a foreign hardware address inside', make: (from, to) => arp(to.mac, from.mac, { op: 'reply', sha: STRANGER, spa: from.ip, tha: to.mac, tpa: to.ip }) },
  { title: 'OSSA-2021-004: ARP from a foreign MAC with the port\'s own inside', make: (from, to) => arp(to.mac, STRANGER, { op: 'reply', sha: from.mac, spa: from.ip, tha: to.mac, tpa: to.ip }) },
  { title: 'OSSN-0027: an ARP reply from 0.0.0.0', make: (from, to) => arp(to.mac, from.mac, { op: 'reply', sha: from.mac, spa: '0.0.0.0', tha: to.mac, tpa: to.ip }) },
  { title: 'OSSA-2016-009: a neighbour advertisement for a foreign address', make: (from, to) => neighbourAdvertisement(to.mac, from.mac, from.ip6, to.ip6, 'fd00:1::69') },
  { title: 'OSSA-2016-009: a neighbour advertisement for its own address with a foreign MAC in it', make: (from, to) => neighbourAdvertisement(to.mac, from.mac, from.ip6, to.ip6, from.ip6, STRANGER) },
  { title: 'OSSA-2016-009: a neighbour advertisement from a foreign address', make: (from, to) => neighbourAdvertisement(to.mac, from.mac, 'fd00:1::69', to.ip6, from.ip6) },
  { title: 'OSSA-2016-009: a neighbour solicitation from a foreign address', make: (from, to) => neighbourSolicitation(to.mac, from.mac, 'fd00:1::69', to.ip6, to.ip6) },
  { title: 'OSSA-2016-009: a neighbour solicitation with a foreign MAC in it', make: (from, to) => neighbourSolicitation(to.mac, from.mac, from.ip6, to.ip6, to.ip6, STRANGER) },
  { title: 'OSSA-2016-009: a probe from the unspecified address that names a MAC', make: (from, to) => neighbourSolicitation(to.mac, from.mac, '::', to.ip6, to.ip6) },
  { title: 'OSSA-2016-009: a redirect of IPv6', make: (from, to) => redirect6(to.mac, from.mac, linkLocalOf(from.mac), to.ip6, linkLocalOf(from.mac), '2001:db8::1') },
  { title: 'a redirect of IPv4', make: (from, to) => icmp(to.mac, from.mac, from.ip, to.ip, 5, 1, quoted(from, to)) },
  { title: 'a router advertisement of IPv4 (RFC 1256)', make: (from, to) => icmp(to.mac, from.mac, from.ip, to.ip, 9, 0, Buffer.from([1, 2, 7, 8, 10, 1, 0, 66, 0, 0, 0, 0])) },
  { title: 'CVE-2020-13597 OSSA-2016-009: a router advertisement', make: (from) => advertisement(from) },
  { title: 'CVE-2020-13597: a router advertisement behind destination options', make: (from) => withExtensionHeader(advertisement(from), 60) },
  { title: 'CVE-2020-13597: a router advertisement behind hop-by-hop options', make: (from) => withExtensionHeader(advertisement(from), 0) },
  { title: 'CVE-2020-13597: a router advertisement in fragments (RFC 7113)', make: (from) => fragments(withExtensionHeader(advertisement(from), 60), 77, [{ at: 0, length: 8 }, { at: 8, length: 1000 }]) },
  { title: 'a listener query of IPv6 (MLD)', make: (from) => icmpv6(ALL_NODES, from.mac, linkLocalOf(from.mac), 'ff02::1', 130, Buffer.alloc(20)) },
  { title: 'OSSA-2016-009: a DHCP offer', make: (from, to) => offer(from, to, from.ip) },
  { title: 'OSSA-2016-009: a DHCP offer from another source', make: (from, to) => offer(from, to, '10.1.0.2') },
  { title: 'OSSA-2016-009: a DHCPv6 advertisement', make: (from, to) => datagram6(from, to, linkLocalOf(from.mac), from.mac, 547, 546) },
  { title: 'OSSA-2016-009: a DHCP request with a foreign source address', make: (from) => request(from, '10.1.0.70') },
  { title: 'OSSA-2016-009: a DHCP request from a foreign MAC', make: (from) => request(from, '0.0.0.0', STRANGER) },
  { title: 'OSSA-2016-009: a DHCPv6 request with a foreign source address', make: (from, to) => datagram6(from, to, 'fe80::71', from.mac, 546, 547) },
  { title: 'OSSA-2016-009: LLDP', make: (from) => ethernet('01:80:c2:00:00:0e', from.mac, 0x88cc, Buffer.from('chassis')) },
  { title: 'OSSA-2016-009: spanning tree', make: (from) => ethernet('01:80:c2:00:00:00', from.mac, 38, Buffer.from('4242030000000000', 'hex')) },
  { title: 'OSSA-2016-009: IPX', make: (from, to) => ethernet(to.mac, from.mac, 0x8137, Buffer.from('ipx')) },
  { title: 'OSSA-2016-009: MPLS', make: (from, to) => ethernet(to.mac, from.mac, 0x8847, Buffer.from('00012140', 'hex')) },
  { title: 'OSSA-2016-009: PPPoE', make: (from, to) => ethernet(to.mac, from.mac, 0x8863, Buffer.from('pppoe')) },
  { title: 'OSSA-2016-009: reverse ARP', make: (from) => ethernet(BROADCAST, from.mac, 0x8035, arp(BROADCAST, from.mac, { op: 'request', sha: from.mac, spa: from.ip, tpa: from.ip }).subarray(14)) },
  { title: 'N-OVS-12 ATT-hopping: a tagged frame', never: true, make: (from, to) => tagged(1, datagram(from, to)) },
  { title: 'ATT-hopping: a priority tag', never: true, make: (from, to) => tagged(0, datagram(from, to)) },
  { title: 'ATT-hopping: two tags', never: true, make: (from, to) => tagged(1, tagged(2, datagram(from, to))) },
  { title: 'ATT-hopping: 802.1ad', never: true, make: (from, to) => tagged(1, tagged(2, datagram(from, to)), 0x88a8) },
];

/** A guest that minds the rules gets all of these through: the checks above are no wall. */
const HONEST: readonly Frames[] = [
  { title: 'N-SG-3: an ARP request, and a reply', make: (from, to) => [arp(BROADCAST, from.mac, { op: 'request', sha: from.mac, spa: from.ip, tpa: '10.1.0.199' }), arp(to.mac, from.mac, { op: 'reply', sha: from.mac, spa: from.ip, tha: to.mac, tpa: to.ip })] },
  { title: 'a gratuitous ARP for its own address, and a probe before it has one', make: (from) => [arp(BROADCAST, from.mac, { op: 'request', sha: from.mac, spa: from.ip, tpa: from.ip }), arp(BROADCAST, from.mac, { op: 'request', sha: from.mac, spa: '0.0.0.0', tpa: from.ip })] },
  { title: 'neighbour solicitations with and without its MAC, and a probe', make: (from, to) => [neighbourSolicitation(to.mac, from.mac, from.ip6, to.ip6, to.ip6), neighbourSolicitation(to.mac, from.mac, from.ip6, to.ip6, to.ip6, null), neighbourSolicitation(ALL_NODES, from.mac, '::', 'ff02::1', from.ip6, null)] },
  { title: 'neighbour advertisements with and without its MAC', make: (from, to) => [neighbourAdvertisement(to.mac, from.mac, from.ip6, to.ip6, from.ip6), neighbourAdvertisement(to.mac, from.mac, linkLocalOf(from.mac), to.ip6, linkLocalOf(from.mac), null)] },
  { title: 'router solicitations and listener reports', make: (from) => [icmpv6(ALL_NODES, from.mac, linkLocalOf(from.mac), 'ff02::1', 133, Buffer.alloc(4)), icmpv6(ALL_NODES, from.mac, '::', 'ff02::1', 143, Buffer.alloc(24)), icmpv6(ALL_NODES, from.mac, linkLocalOf(from.mac), 'ff02::1', 131, Buffer.alloc(20))] },
  { title: 'DHCP requests from 0.0.0.0 and from its address', make: (from) => [request(from, '0.0.0.0'), request(from, from.ip)] },
  { title: 'a DHCPv6 request', make: (from, to) => datagram6(from, to, linkLocalOf(from.mac), from.mac, 546, 547) },
  { title: 'IPv4 with options, by the rules of what it carries', make: (from, to) => withIpOptions(datagram(from, to, { sport: 7001 }), Buffer.from([7, 7, 4, 0, 0, 0, 0, 0])) },
  { title: 'IPv6 behind destination options', make: (from, to) => withExtensionHeader(datagram6(from, to, from.ip6, from.mac, 7002), 60) },
  { title: 'multicast: mDNS and IGMP', make: (from, to) => [udp('01:00:5e:00:00:fb', from.mac, { from: from.ip, to: '224.0.0.251', sport: 5353, dport: 5353, data: 'dns' }), ipv4('01:00:5e:00:00:01', from.mac, from.ip, to.ip, 2, Buffer.from('11001eef00000000', 'hex'))] },
  { title: 'IPv4 in fragments', make: (from, to) => fragments(datagram(from, to, { sport: 7003, data: 'y'.repeat(1800) }), 0x501, [{ at: 0, length: 1304 }, { at: 1304, length: 900 }]) },
  { title: 'IPv4 in fragments, the last one first', make: (from, to) => fragments(datagram(from, to, { sport: 7004, data: 'y'.repeat(1800) }), 0x502, [{ at: 1304, length: 900 }, { at: 0, length: 1304 }]) },
];

/** Leave no filtered port: Open vSwitch's connection tracker holds fragments back until it knows the packet, and refuses these. */
const FRAGMENTED: readonly Frames[] = [
  { title: 'ATT-fragments: tiny fragments', make: (from, to) => fragments(datagram(from, to, { sport: 7005, data: 'y'.repeat(100) }), 0x511, [{ at: 0, length: 8 }, { at: 8, length: 200 }]) },
  { title: 'ATT-fragments: fragments that overlap', make: (from, to) => fragments(datagram(from, to, { sport: 7006, data: 'y'.repeat(2800) }), 0x512, [{ at: 0, length: 1304 }, { at: 1200, length: 1304 }, { at: 2504, length: 900 }]) },
  { title: 'ATT-fragments: a later fragment alone', make: (from, to) => fragments(datagram(from, to, { sport: 7007, data: 'y'.repeat(1800) }), 0x513, [{ at: 1304, length: 900 }]) },
  { title: 'OSSA-2016-009: a DHCP offer in fragments', make: (from, to) => fragments(udp(to.mac, from.mac, { from: from.ip, to: to.ip, sport: 67, dport: 68, data: 'y'.repeat(1800) }), 0x514, [{ at: 0, length: 1304 }, { at: 1304, length: 900 }]) },
];

/** What nobody may do to a guest whose group admits UDP 7000 from 10.1.0.0/24 only; sent by a guest without filter. */
const UNWANTED: readonly Frames[] = [
  { title: 'N-SG-1: UDP to another port', make: (from, to) => datagram(from, to, { dport: 7001 }) },
  { title: 'ATT-fragments: IP options: UDP to another port behind options', make: (from, to) => withIpOptions(datagram(from, to, { dport: 7002 }), Buffer.from([7, 7, 4, 0, 0, 0, 0, 0])) },
  { title: 'N-SG-1: IPv6, which no rule admits, also behind extension headers', make: (from, to) => [datagram6(from, to, from.ip6), withExtensionHeader(datagram6(from, to, from.ip6), 60)] },
  { title: 'N-SG-1: multicast and broadcast that no rule admits', make: (from, to) => [udp('01:00:5e:00:00:fb', from.mac, { from: from.ip, to: '224.0.0.251', sport: 5353, dport: 5353, data: 'dns' }), udp(BROADCAST, from.mac, { from: from.ip, to: '10.1.0.255', sport: 7000, dport: 7003, data: 'x' }), ipv4('01:00:5e:00:00:01', from.mac, from.ip, to.ip, 2, Buffer.from('11001eef00000000', 'hex'))] },
  { title: 'N-SG-1: TCP without a connection', make: (from, to) => ipv4(to.mac, from.mac, from.ip, to.ip, 6, Buffer.from('1b581b5800000001000000015012200000000000', 'hex')) },
  { title: 'ATT-fragments: to another port', make: (from, to) => fragments(datagram(from, to, { dport: 7004, data: 'y'.repeat(1800) }), 0x521, [{ at: 0, length: 1304 }, { at: 1304, length: 900 }]) },
  { title: 'ATT-fragments: a second first fragment that rewrites the port (RFC 1858)', make: (from, to) => fragments(datagram(from, to, { dport: 7005, data: 'y'.repeat(1800) }), 0x522, [{ at: 0, length: 1304 }]).concat(fragments(datagram(from, to, { dport: 7000, data: 'y'.repeat(1800) }), 0x522, [{ at: 0, length: 1304 }, { at: 1304, length: 900 }])) },
  { title: 'ATT-fragments: to the right port, which fragments do not show', make: (from, to) => fragments(datagram(from, to, { sport: 7100, data: 'y'.repeat(1800) }), 0x531, [{ at: 0, length: 1304 }, { at: 1304, length: 900 }]) },
  { title: 'ATT-fragments: a later fragment alone, to a port that is open', make: (from, to) => fragments(datagram(from, to, { data: 'y'.repeat(1800) }), 0x523, [{ at: 1304, length: 900 }]) },
  { title: 'OSSA-2019-004: a unicast frame to a MAC that nobody has', make: (from, to) => datagram(from, to, { dst: 'fa:16:3e:77:77:77' }) },
  { title: 'OSSA-2016-009: other ethertypes', make: (from, to) => ethernet(to.mac, from.mac, 0x8137, Buffer.from('ipx')) },
];

scenario('what a guest may send and get', {}, async (cloud, t) => {
  const admin = await cloud.api();
  await admin.post('/compute/v2.1/flavors', { flavor: { name: 'm1.nano', ram: 128, vcpus: 1, disk: 1 } });
  const red = await tenant(cloud, 'red', ['compute1', 'compute2', 'compute1', 'compute2']);
  const [attacker, far, near, guarded] = red.guests as [Guest, Guest, Guest, Guest];
  const update = (guest: Guest, port: object) => admin.request('PUT', `/network/v2.0/ports/${guest.port_id}`, { port });
  const open = { security_groups: [], port_security_enabled: false };
  const [ordinary] = (await red.api.get('/network/v2.0/security-groups?name=default')).security_groups;

  // Whoever looks has no filter of his own: what he does not see has not left the attacker.
  for (const guest of [far, near]) await update(guest, open);
  await cloud.settle();

  const refused = [...FORGED, ...FRAGMENTED];
  const left = await arrivals(cloud, attacker, [far, near], [...refused, ...HONEST]);
  for (const frames of refused) await t.test(`dropped at its source: ${frames.title}`, () => assert.deepEqual(left(frames), []));
  for (const frames of HONEST) await t.test(`passes: ${frames.title}`, () => assert.deepEqual(left(frames, 'whole'), [far.name, near.name]));

  await t.test('N-SG-1: a filtered guest gets what its rules admit, and nothing else', async () => {
    const group = await red.api.post('/network/v2.0/security-groups', { security_group: { name: 'udp7000' } }, 'security_group');
    await red.api.rule({ security_group_id: group.id, direction: 'ingress', protocol: 'udp', port_range_min: 7000, port_range_max: 7000, remote_ip_prefix: '10.1.0.0/24' });
    await update(guarded, { security_groups: [group.id] });
    await cloud.settle();
    const wanted: readonly Frames[] = [
      { title: 'UDP', make: (from, to) => datagram(from, to) },
      { title: 'UDP with options', make: (from, to) => withIpOptions(datagram(from, to, { sport: 7101 }), Buffer.from([7, 7, 4, 0, 0, 0, 0, 0])) },
    ];
    for (const from of [near, far]) {
      const entered = await arrivals(cloud, from, [guarded], [...UNWANTED, ...wanted]);
      for (const frames of wanted) assert.deepEqual(entered(frames), [guarded.name], frames.title);
      for (const frames of UNWANTED) assert.deepEqual(entered(frames), [], `${frames.title}, from ${from.host}`);
    }
  });

  await t.test('ATT-vtep: tunnel frames from unknown VTEPs are dropped, those of a peer arrive', async () => {
    const vni = (await admin.get(`/network/v2.0/networks/${(await admin.get(`/network/v2.0/ports/${near.port_id}`)).port.network_id}`)).network['provider:segmentation_id'];
    const [one, two] = cloud.plan.hosts.map(({ local_ip }) => local_ip);
    const stranger = '192.168.2.250';
    await cloud.host('compute2', 'ip', 'address', 'add', `${stranger}/32`, 'dev', 'br-underlay');
    const capture = await cloud.capture(near.host, near.device);
    const header = Buffer.concat([Buffer.from('08000000', 'hex'), Buffer.from([vni >> 16, (vni >> 8) & 255, vni & 255, 0])]);
    const inject = (source: string, text: string) => cloud.host('compute2', 'python3', '-c', 'import socket,sys\ns=socket.socket(socket.AF_INET,socket.SOCK_DGRAM)\ns.bind((sys.argv[1],0))\ns.sendto(bytes.fromhex(sys.argv[3]),(sys.argv[2],4789))', source, one!, Buffer.concat([header, arp(BROADCAST, STRANGER, { op: 'request', sha: STRANGER, spa: '10.1.0.150', tpa: text })]).toString('hex'));
    await until(10, 'the frame of a peer arrives, sent behind the stranger\'s', async () => {
      await inject(stranger, '10.1.0.151');
      await inject(two!, '10.1.0.152');
      await new Promise((resume) => setTimeout(resume, 100));
      return capture.text().includes('10.1.0.152');
    });
    assert.ok(!(await capture.stop()).includes('10.1.0.151'));
    await cloud.host('compute2', 'ip', 'address', 'del', `${stranger}/32`, 'dev', 'br-underlay');
  });

  await t.test('CVE-2024-2182: BFD and VXLAN that a guest sends to a tunnel endpoint stay in its network', async () => {
    const [, endpoint] = cloud.plan.hosts.map(({ local_ip }) => local_ip);
    const wires = [await cloud.capture('compute1', 'br-underlay', 'udp'), await cloud.capture('compute2', 'br-underlay', 'udp')];
    const capture = await cloud.capture(far.host, far.device);
    const frame = (dport: number) => udp(far.mac, attacker.mac, { from: attacker.ip, to: endpoint!, sport: 49152, dport, data: 'outwards' });
    await cloud.sendFrames(attacker.name, [frame(3784), frame(4789)]);
    await sentinel(cloud, attacker, far, capture);
    assert.ok((await capture.stop()).includes(`${endpoint}.3784`), 'what a guest sends to a neighbour\'s MAC reaches that neighbour');
    for (const wire of wires) assert.ok(!(await wire.stop()).includes(`IP ${attacker.ip}`));
  });

  await t.test('CVE-2018-14636: what is plugged and not wired neither hears nor is heard', async () => {
    await cloud.host('compute1', 'sh', '-c', `ip link add dead0 type veth peer name dead1 && ip link set dead0 up && ip link set dead1 up && ovs-vsctl add-port br-int dead0 -- set Interface dead0 external_ids:iface-id=${crypto.randomUUID()}`);
    const [dead, live] = [await cloud.capture('compute1', 'dead1'), await cloud.capture(near.host, near.device)];
    await cloud.host('compute1', 'python3', '-c', 'import socket,sys\ns=socket.socket(socket.AF_PACKET,socket.SOCK_RAW)\ns.bind(("dead1",0))\ns.send(bytes.fromhex(sys.argv[1]))', arp(BROADCAST, STRANGER, { op: 'request', sha: STRANGER, spa: '10.1.0.160', tpa: '10.1.0.161' }).toString('hex'));
    await sentinel(cloud, attacker, near, live);
    assert.ok(!(await live.stop()).includes('10.1.0.161'));
    assert.ok(!(await dead.stop()).includes(attacker.mac));
    await cloud.host('compute1', 'sh', '-c', 'ovs-vsctl del-port dead0; ip link del dead0');
  });

  await t.test('N-SG-2: the same forged frames arrive once the attacker has no port security: only tags stay out', async () => {
    await update(attacker, open);
    await cloud.settle();
    // The switch may lose a frame of so many at once: what counts is that each can pass.
    const seen = new Map<Frames, Set<string>>(refused.map((frames) => [frames, new Set()]));
    await until(60, 'all of them arrive', async () => {
      const passed = await arrivals(cloud, attacker, [far, near], refused);
      for (const [frames, by] of seen) for (const name of passed(frames)) by.add(name);
      return refused.every((frames) => frames.never || seen.get(frames)!.size === 2);
    }).catch((error: Error) => assert.fail(`${error.message}: ${refused.filter((frames) => !frames.never && seen.get(frames)!.size < 2).map(({ title }) => title).join('; ')}`));
    for (const frames of refused) if (frames.never) assert.deepEqual([...seen.get(frames)!], [], frames.title);
  });

  await t.test('law 3: while groups of a port and its port security change, nothing that neither state admits passes', async () => {
    const shut = await red.api.post('/network/v2.0/security-groups', { security_group: { name: 'shut' } }, 'security_group');
    const other = await red.api.post('/network/v2.0/security-groups', { security_group: { name: 'other' } }, 'security_group');
    await red.api.rule({ security_group_id: other.id, direction: 'ingress', protocol: 'icmp' });
    await update(attacker, { port_security_enabled: true, security_groups: [ordinary.id] });
    await update(guarded, { security_groups: [shut.id] });
    await cloud.settle();
    const captures = [await cloud.capture(guarded.host, guarded.device, 'udp port 7999'), await cloud.capture(far.host, far.device, 'udp port 7998')];
    const [forbidden, forged] = [datagram(far, guarded, { dport: 7999 }), datagram(attacker, far, { source: '10.1.0.66', dport: 7998 })];
    let over = false;
    const flood = Promise.all([[far, forbidden], [attacker, forged]].map(async ([from, frame]) => {
      while (!over) await cloud.sendFrames((from as Guest).name, Array.from({ length: 200 }, () => frame as Buffer));
    }));
    for (let i = 0; i < 6; i++) {
      await update(guarded, { security_groups: i % 2 ? [shut.id] : [other.id, shut.id] });
      await update(attacker, { security_groups: i % 2 ? [ordinary.id] : [ordinary.id, other.id], allowed_address_pairs: i % 2 ? [] : [{ ip_address: '10.1.0.90' }] });
      await cloud.settle();
    }
    over = true;
    await flood;
    for (const capture of captures) assert.ok(!/UDP/.test(await capture.stop()));
  });

  await t.test('N-SG-3: a virtual router\'s address with its own MAC moves between guests on two hosts, and its frames follow within a second', async () => {
    const [vip, vmac] = ['10.1.0.77', '00:00:5e:00:01:33'];
    for (const guest of [attacker, far]) await update(guest, { port_security_enabled: true, security_groups: [ordinary.id], allowed_address_pairs: [{ mac_address: vmac, ip_address: vip }, { ip_address: vip }] });
    await update(guarded, { security_groups: [ordinary.id] });
    await cloud.settle();
    const master = (guest: Guest) => cloud.exec(guest.name, 'sh', '-c', `echo 1 >/proc/sys/net/ipv4/conf/eth0/arp_ignore; ip link add vrrp link eth0 address ${vmac} type macvlan mode bridge && ip address add ${vip}/32 dev vrrp && ip link set vrrp up`);
    const announce = (guest: Guest) => cloud.sendFrames(guest.name, [arp(BROADCAST, vmac, { op: 'request', sha: vmac, spa: vip, tpa: vip })]);
    assert.equal((await master(attacker)).code, 0);
    await announce(attacker);
    await cloud.ping(guarded.name, vip);
    const pings = await cloud.startIn(guarded.name, 'ping', '-D', '-i', '0.05', vip);
    const answers = () => [...pings.text().matchAll(/^\[([\d.]+)\].*icmp_seq=/gm)].map((match) => Number(match[1]));
    await until(10, 'the master answers', () => answers().length > 5);
    // First to the host of who asks, where the pair's ports get copies anyway; then away from it: br-tun there has to learn anew.
    for (const [old, next] of [[attacker, far], [far, attacker]] as const) {
      await cloud.exec(old.name, 'ip', 'link', 'del', 'vrrp');
      assert.equal((await master(next)).code, 0);
      await announce(next);
      const announced = Date.now() / 1000;
      await until(10, `${next.name} answers`, () => (answers().at(-1) ?? 0) > announced);
      const lost = Math.floor((answers().find((at) => at > announced)! - announced) / 0.05);
      t.diagnostic(`failover of a virtual router to ${next.host}, asked from ${guarded.host}: ${lost} pings of 50 ms lost behind the announcement of the new master`);
      assert.ok(lost < 20, pings.text());
    }
    await pings.stop();
  });
});

/** Sends all `frames` from one guest to each of the others; who has seen which, by a mark behind the end of each frame. */
async function arrivals(cloud: Cloud, from: Guest, to: readonly Guest[], all: readonly Frames[]): Promise<(frames: Frames, whole?: 'whole') => string[]> {
  const seen = new Map<string, string>();
  for (const guest of to) {
    const capture = await cloud.capture(guest.host, guest.device, '', '-xx', '-s', '0');
    await cloud.sendFrames(from.name, all.flatMap((frames) => [frames.make(from, guest)].flat().map((frame, i) => Buffer.concat([frame, markOf(frames, i)]))));
    await sentinel(cloud, from, guest, capture);
    const text = await capture.stop();
    seen.set(guest.name, text.replace(/^\s+0x[0-9a-f]{4}:/gm, '').replace(/\s/g, ''));
  }
  return (frames, whole) => to.filter((guest) => {
    const count = [frames.make(from, guest)].flat().length;
    const marks = Array.from({ length: count }, (_, i) => seen.get(guest.name)!.includes(markOf(frames, i).toString('hex')));
    // One frame of several is enough to have come through, but not to have come whole.
    return whole ? marks.every(Boolean) : marks.some(Boolean);
  }).map(({ name }) => name);
}

function markOf({ title }: Frames, index: number): Buffer {
  return createHash('sha1').update(`${title} ${index}`).digest().subarray(0, 8);
}
