import assert from 'node:assert/strict';
import { type Cloud, scenario, until } from '#testkit/cloud.ts';
import { arp, BROADCAST, DHCP, dhcpMessage, ethernet, neighbourAdvertisement, routerAdvertisement, tagged, udp } from '#testkit/frames.ts';
import { linkLocalOf } from '#net/ip.ts';
import { type Guest, sentinel, tenant } from './security-lab.ts';

scenario('two projects with the same addresses, and guests that attack', {}, async (cloud, t) => {
  const admin = await cloud.api();
  await admin.post('/compute/v2.1/flavors', { flavor: { name: 'm1.nano', ram: 128, vcpus: 1, disk: 1 } });
  const red = await tenant(cloud, 'red', ['compute1', 'compute2', 'compute1']);
  const blue = await tenant(cloud, 'blue', ['compute1', 'compute2']);
  const [red1, red2, red3] = red.guests as [Guest, Guest, Guest];
  const [blue1, blue2] = blue.guests as [Guest, Guest];

  await t.test('N-SG-4 N-SG-5 N-ML2-1: members of a project\'s default group reach each other, on one host and across, IPv4 and IPv6', async () => {
    await cloud.ping('red1', red2.ip);
    await cloud.ping('red1', red3.ip);
    await cloud.ping('red1', red2.ip6);
    await cloud.ping('blue1', blue2.ip);
    const groups = (await admin.get('/network/v2.0/security-groups?name=default')).security_groups;
    assert.equal(new Set(groups.map((group: { project_id: string }) => group.project_id)).size, groups.length);
  });

  await t.test('N-ML2-2, OSSA-2019-004: no frame of one project is seen by the other, on one host and across', async () => {
    const seen = [await cloud.capture('compute1', blue1.device), await cloud.capture('compute2', blue2.device)];
    await cloud.sendFrames('red1', [
      arp(BROADCAST, red1.mac, { op: 'request', sha: red1.mac, spa: red1.ip, tpa: '10.1.0.77' }),
      udp(blue1.mac, red1.mac, { from: red1.ip, to: blue1.ip, sport: 7, dport: 7, data: 'to a foreign MAC' }),
      udp(blue2.mac, red1.mac, { from: red1.ip, to: blue2.ip, sport: 7, dport: 7, data: 'to a foreign MAC' }),
    ]);
    await cloud.answers('red1', red2.ip);
    await sentinel(cloud, blue1, blue2, seen[1]!);
    await sentinel(cloud, blue2, blue1, seen[0]!);
    for (const capture of seen) {
      const text = await capture.stop();
      for (const guest of red.guests) assert.ok(!text.includes(guest.mac), `a frame of ${guest.name}:\n${text}`);
    }
  });

  await t.test('N-SG-1, OSSA-2015-021: without a rule nothing enters; a rule by CIDR admits its protocol and ports only, and removing it ends that', async () => {
    const closed = await red.api.post('/network/v2.0/security-groups', { security_group: { name: 'closed' } }, 'security_group');
    await red.api.request('PUT', `/network/v2.0/ports/${red2.port_id}`, { port: { security_groups: [closed.id] } });
    await cloud.settle();
    assert.equal(await cloud.answers('red1', red2.ip), false);
    assert.equal(await cloud.answers('red2', red1.ip), false, 'red2 is no member of default any more');
    const icmp = await red.api.rule({ security_group_id: closed.id, direction: 'ingress', protocol: 'icmp', remote_ip_prefix: `${red1.ip}/32` });
    await cloud.settle();
    await cloud.ping('red1', red2.ip);
    assert.equal(await cloud.answers('red3', red2.ip), false, 'the rule names red1 only');
    assert.equal(await connects(cloud, 'red1', red2, 8080), false, 'the rule names ICMP only');
    await red.api.rule({ security_group_id: closed.id, direction: 'ingress', protocol: 'tcp', port_range_min: 8079, port_range_max: 8085 });
    await cloud.settle();
    assert.equal(await connects(cloud, 'red1', red2, 8080), true);
    assert.equal(await connects(cloud, 'red1', red2, 8086), false);
    await red.api.delete(`/network/v2.0/security-group-rules/${icmp.id}`);
    await cloud.settle();
    assert.equal(await cloud.answers('red1', red2.ip), false);
  });

  await t.test('N-SG-4: a rule by remote group admits exactly its members, and follows them', async () => {
    const [closed] = (await red.api.get('/network/v2.0/security-groups?name=closed')).security_groups;
    const friends = await red.api.post('/network/v2.0/security-groups', { security_group: { name: 'friends' } }, 'security_group');
    await red.api.rule({ security_group_id: closed.id, direction: 'ingress', protocol: 'icmp', remote_group_id: friends.id });
    await red.api.rule({ security_group_id: closed.id, direction: 'ingress', ethertype: 'IPv6', protocol: 'ipv6-icmp', remote_group_id: friends.id });
    await cloud.settle();
    assert.equal(await cloud.answers('red3', red2.ip), false);
    const { security_groups } = (await red.api.get(`/network/v2.0/ports/${red3.port_id}`)).port;
    await red.api.request('PUT', `/network/v2.0/ports/${red3.port_id}`, { port: { security_groups: [...security_groups, friends.id] } });
    await cloud.settle();
    await cloud.ping('red3', red2.ip);
    await cloud.ping('red3', red2.ip6);
    assert.equal(await cloud.answers('red1', red2.ip), false, 'red1 is no friend');
    await red.api.request('PUT', `/network/v2.0/ports/${red3.port_id}`, { port: { security_groups } });
    await cloud.settle();
    assert.equal(await cloud.answers('red3', red2.ip), false);
    await red.api.request('PUT', `/network/v2.0/ports/${red2.port_id}`, { port: { security_groups } });
    await cloud.settle();
    await cloud.ping('red1', red2.ip);
  });

  const attacks: [string, (from: Guest, victim: Guest) => Buffer, string][] = [
    ['N-SG-3: a forged source MAC is dropped', (from, victim) => udp(victim.mac, 'fa:16:3e:66:66:66', { from: from.ip, to: victim.ip, sport: 6661, dport: 6661, data: 'x' }), 'fa:16:3e:66:66:66'],
    ['N-SG-3: a forged IPv4 source is dropped', (from, victim) => udp(victim.mac, from.mac, { from: '10.1.0.66', to: victim.ip, sport: 6662, dport: 6662, data: 'x' }), '10.1.0.66'],
    ['N-SG-3 OSSA-2021-001: a forged IPv6 source is dropped', (from, victim) => udp(victim.mac, from.mac, { from: 'fd00:1::66', to: victim.ip6, sport: 6663, dport: 6663, data: 'x' }), 'fd00:1::66'],
    ['N-SG-3 OSSA-2021-004: a forged ARP reply is dropped', (from, victim) => arp(victim.mac, from.mac, { op: 'reply', sha: from.mac, spa: '10.1.0.67', tha: victim.mac, tpa: victim.ip }), '10.1.0.67'],
    ['N-SG-3: an ARP reply with a foreign hardware address inside is dropped', (from, victim) => arp(victim.mac, from.mac, { op: 'reply', sha: 'fa:16:3e:67:67:67', spa: from.ip, tha: victim.mac, tpa: victim.ip }), 'fa:16:3e:67:67:67'],
    ['N-SG-3 OSSA-2016-009: a forged DHCP offer is dropped', (from, victim) => udp(victim.mac, from.mac, { from: from.ip, to: victim.ip, sport: 67, dport: 68, data: dhcpMessage({ op: 'reply', type: DHCP.OFFER, mac: victim.mac, yiaddr: '10.1.0.68', server: from.ip }) }), 'BOOTP/DHCP, Reply'],
    ['N-SG-3 OSSA-2016-009: a forged neighbour advertisement is dropped', (from, victim) => neighbourAdvertisement(victim.mac, from.mac, from.ip6, victim.ip6, 'fd00:1::69'), 'fd00:1::69'],
    ['OSSA-2016-009: a router advertisement of a guest is dropped', (from, victim) => routerAdvertisement(victim.mac, from.mac, linkLocalOf(from.mac)), 'router advertisement'],
    ['N-OVS-12: a tagged frame of a guest is dropped', (from, victim) => tagged(1, udp(victim.mac, from.mac, { from: from.ip, to: victim.ip, sport: 6670, dport: 6670, data: 'x' })), '6670'],
    ['OSSA-2016-009: a frame that is neither IP nor ARP is dropped', (from, victim) => ethernet(victim.mac, from.mac, 0x88b5, Buffer.from('experiment')), '0x88b5'],
  ];
  // All frames at once, towards a victim on the other host and one on the same; a good frame behind them ends the wait.
  const seen = new Map<string, string>();
  for (const victim of [red2, red3]) {
    const capture = await cloud.capture(victim.host, victim.device);
    await cloud.sendFrames('red1', attacks.map(([, frame]) => frame(red1, victim)));
    await sentinel(cloud, red1, victim, capture);
    seen.set(victim.name, await capture.stop());
  }
  for (const [title, , mark] of attacks) {
    await t.test(title, () => {
      for (const [name, text] of seen) assert.ok(!text.includes(mark), `${name} saw it:\n${text}`);
    });
  }

  await t.test('N-SG-2: with port security off the same forged frames pass; disabling it is refused while groups are attached', async () => {
    await assert.rejects(admin.request('PUT', `/network/v2.0/ports/${red1.port_id}`, { port: { port_security_enabled: false } }), /409.*PortSecurityPortHasSecurityGroup/);
    for (const guest of [red1, red2]) await admin.request('PUT', `/network/v2.0/ports/${guest.port_id}`, { port: { security_groups: [], port_security_enabled: false } });
    await cloud.settle();
    const capture = await cloud.capture(red2.host, red2.device);
    // The proof that the marks above would have been seen; only the tagged frame stays out whatever the port's security.
    const marks = attacks.map(([, , mark]) => mark).filter((mark) => mark !== '6670');
    await until(15, 'the forged frames arrive', async () => {
      await cloud.sendFrames('red1', attacks.map(([, frame]) => frame(red1, red2)));
      await new Promise((resume) => setTimeout(resume, 200));
      return marks.every((mark) => capture.text().includes(mark));
    });
    assert.ok(!capture.text().includes('6670'));
    await capture.stop();
  });

  await t.test('N-OVS-15: without port security the path is 0, 60, 73, 94; tables 24 and 25 say nothing of the port', async () => {
    const flows = await cloud.host(red1.host, 'ovs-ofctl', 'dump-flows', 'br-int');
    const ofport = (await cloud.host(red1.host, 'ovs-vsctl', 'get', 'Interface', red1.device, 'ofport')).trim();
    const tables = [...flows.matchAll(/table=(\d+).*in_port=(\d+)/g)].filter((match) => match[2] === ofport).map((match) => Number(match[1]));
    assert.deepEqual([...new Set(tables)].sort((a, b) => a - b), [0, 60]);
    const trace = await cloud.host(red1.host, 'ovs-appctl', 'ofproto/trace', 'br-int', `in_port=${ofport},dl_src=${red1.mac},dl_dst=${red2.mac},ip,nw_src=${red1.ip},nw_dst=${red2.ip}`);
    const [onBrInt = ''] = trace.split('bridge("br-tun")');
    assert.deepEqual([...onBrInt.matchAll(/^\s*(\d+)\. /gm)].map((match) => Number(match[1])), [0, 60, 73, 94]);
  });
});

async function connects(cloud: Cloud, from: string, to: Guest, port: number): Promise<boolean> {
  const server = cloud.exec(to.name, 'timeout', '3', 'nc', '-l', '-p', String(port), '-e', 'echo', 'hello');
  await until(5, `${to.name} listens on ${port}`, async () => (await cloud.exec(to.name, 'netstat', '-ltn')).stdout.includes(`:${port} `));
  const { stdout } = await cloud.exec(from, 'sh', '-c', `echo | timeout 2 nc -w 1 ${to.ip} ${port}`);
  await server;
  return stdout.includes('hello');
}
