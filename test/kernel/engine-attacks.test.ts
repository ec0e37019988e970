/** Advisories about other engines and agents, tried on ours: privileges, a move under fire, answers that go round the filter, packets that no parser expects. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { runningProcess } from '#cli/datacentre/state-folder.ts';
import { agentName } from '#cli/services.ts';
import { type Cloud, scenario, until } from '#testkit/cloud.ts';
import { arp, BROADCAST, ethernet, icmpv6, tagged, udp, withExtensionHeader } from '#testkit/frames.ts';
import { type Guest, sentinel, tenant } from './security-lab.ts';

/** linux/capability.h */
const CAPABILITIES = { sys_module: 16, sys_rawio: 17, sys_time: 25, mac_override: 32, mac_admin: 33, syslog: 34 } as const;
const SENDS = 'import socket,sys\ns=socket.socket(socket.AF_PACKET,socket.SOCK_RAW)\ns.bind((sys.argv[1],0))\nfor _ in range(200): s.send(bytes.fromhex(sys.argv[2]))';

scenario('what went wrong in other engines', {}, async (cloud, t) => {
  const admin = await cloud.api();
  await admin.post('/compute/v2.1/flavors', { flavor: { name: 'm1.nano', ram: 128, vcpus: 1, disk: 1 } });
  const red = await tenant(cloud, 'red', ['compute1', 'compute2', 'compute1']);
  const [attacker, far, near] = red.guests as [Guest, Guest, Guest];
  const update = (port_id: string, port: object) => admin.request('PUT', `/network/v2.0/ports/${port_id}`, { port });
  const [ordinary] = (await red.api.get('/network/v2.0/security-groups?name=default')).security_groups;
  const mute = await red.api.post('/network/v2.0/security-groups', { security_group: { name: 'mute' } }, 'security_group');
  for (const { id } of mute.security_group_rules) await red.api.delete(`/network/v2.0/security-group-rules/${id}`);

  await t.test('CVE-2013-6433: of what root may do, the agent and all that it starts never load modules, set the clock or touch raw devices', async () => {
    for (const host of cloud.hosts) {
      const agent = runningProcess(cloud.state, agentName(host))!.pid;
      const children = readFileSync(`/proc/${agent}/task/${agent}/children`, 'utf8').trim().split(' ').filter((pid) => pid !== '');
      for (const pid of [String(agent), ...children]) {
        const status = readFileSync(`/proc/${pid}/status`, 'utf8');
        for (const set of ['CapBnd', 'CapEff', 'CapPrm']) {
          const held = BigInt(`0x${new RegExp(`^${set}:\\s*([0-9a-f]+)$`, 'm').exec(status)![1]}`);
          for (const [name, bit] of Object.entries(CAPABILITIES)) assert.equal((held >> BigInt(bit)) & 1n, 0n, `${host}: ${set} of ${pid} has ${name}`);
        }
      }
    }
  });

  await t.test('CVE-2025-0650: who may send nothing asks no name server either; the filter comes before every service', async () => {
    const [server] = (await admin.get(`/network/v2.0/ports?network_id=${(await admin.get(`/network/v2.0/ports/${near.port_id}`)).port.network_id}&device_owner=network:dhcp`)).ports;
    const address = server.fixed_ips.map(({ ip_address }: { ip_address: string }) => ip_address).find((each: string) => !each.includes(':'));
    const capture = await cloud.capture(attacker.host, attacker.device, 'udp port 53');
    // A question for the host's own name.
    const question = Buffer.from('50420100000100000000000009', 'hex').toString('latin1') + `localhost\0\0\x01\0\x01`;
    const ask = (sport: number) => cloud.sendFrames(attacker.name, [udp(server.mac_address, attacker.mac, { from: attacker.ip, to: address, sport, dport: 53, data: question })]);
    await until(20, 'who may send is answered', async () => {
      await ask(5301);
      await new Promise((resume) => setTimeout(resume, 100));
      return capture.text().includes(`${address}.53 > ${attacker.ip}.5301`);
    });
    await update(attacker.port_id, { security_groups: [mute.id] });
    await cloud.settle();
    for (let i = 0; i < 5; i++) await ask(5302);
    const end = await cloud.capture(near.host, near.device);
    await sentinel(cloud, attacker, near, end);
    await end.stop();
    const text = await capture.stop();
    assert.ok(text.includes(`${attacker.ip}.5302 >`) && !text.includes(`> ${attacker.ip}.5302`), text);
    await update(attacker.port_id, { security_groups: [ordinary.id] });
    await cloud.settle();
  });

  await t.test('OSSA-2013-030: a port moves to another host and back under fire: its filter is there before its first packet', async () => {
    const network_id = (await admin.get(`/network/v2.0/ports/${near.port_id}`)).port.network_id;
    const port = await red.api.post('/network/v2.0/ports', { port: { network_id, security_groups: [mute.id] } }, 'port');
    const address = port.fixed_ips.map(({ ip_address }: { ip_address: string }) => ip_address).find((each: string) => !each.includes(':'));
    for (const host of ['compute1', 'compute2']) await cloud.host(host, 'sh', '-c', 'ip link add moved0 type veth peer name moved1 && ip link set moved0 up && ip link set moved1 up');
    const heard = await Promise.all(['compute1', 'compute2'].map((host) => cloud.capture(host, 'moved1', 'udp port 7999')));
    const left = await cloud.capture(far.host, far.device, 'udp port 7998');
    await update(far.port_id, { security_groups: [], port_security_enabled: false });
    const forbidden = udp(port.mac_address, near.mac, { from: near.ip, to: address, sport: 7999, dport: 7999, data: 'x' });
    const outwards = udp(far.mac, port.mac_address, { from: address, to: far.ip, sport: 7998, dport: 7998, data: 'x' });
    let over = false;
    const fire = Promise.all([
      (async () => { while (!over) await cloud.sendFrames(near.name, Array.from({ length: 200 }, () => forbidden)); })(),
      (async () => { while (!over) await Promise.all(['compute1', 'compute2'].map((host) => cloud.host(host, 'python3', '-c', SENDS, 'moved1', outwards.toString('hex')))); })(),
    ]);
    for (const host of ['compute1', 'compute2', 'compute1', 'compute2']) {
      await update(port.id, { 'binding:host_id': host });
      await cloud.host(host, 'ovs-vsctl', 'add-port', 'br-int', 'moved0', '--', 'set', 'Interface', 'moved0', `external_ids:iface-id=${port.id}`, `external_ids:attached-mac=${port.mac_address}`);
      await until(20, `the port is ACTIVE on ${host}`, async () => (await admin.get(`/network/v2.0/ports/${port.id}`)).port.status === 'ACTIVE');
      await cloud.settle();
      await cloud.host(host, 'ovs-vsctl', 'del-port', 'moved0');
    }
    over = true;
    await fire;
    // The same frames pass once rules admit them.
    await update(port.id, { security_groups: [ordinary.id], 'binding:host_id': 'compute2' });
    await red.api.rule({ security_group_id: ordinary.id, direction: 'ingress', protocol: 'udp', port_range_min: 7999, port_range_max: 7999 });
    for (const capture of heard) assert.ok(!/UDP/.test(capture.text()), capture.text().slice(0, 500));
    assert.ok(!/UDP/.test(left.text()), left.text().slice(0, 500));
    await cloud.host('compute2', 'ovs-vsctl', 'add-port', 'br-int', 'moved0', '--', 'set', 'Interface', 'moved0', `external_ids:iface-id=${port.id}`, `external_ids:attached-mac=${port.mac_address}`);
    await until(20, 'both directions pass', async () => {
      await cloud.sendFrames(near.name, [forbidden]);
      await cloud.host('compute2', 'python3', '-c', SENDS, 'moved1', outwards.toString('hex'));
      return /UDP/.test(heard[1]!.text()) && /UDP/.test(left.text());
    });
    for (const capture of [...heard, left]) await capture.stop();
    await cloud.host('compute2', 'ovs-vsctl', 'del-port', 'moved0');
    for (const host of ['compute1', 'compute2']) await cloud.host(host, 'ip', 'link', 'del', 'moved0');
    await admin.delete(`/network/v2.0/ports/${port.id}`);
    await update(far.port_id, { port_security_enabled: true, security_groups: [ordinary.id] });
    await cloud.settle();
  });

  await t.test('CVE-2016-10377: 6,000 broken packets of a guest without filter end no switch, and its neighbours are served', async () => {
    await update(attacker.port_id, { security_groups: [], port_security_enabled: false });
    await red.api.rule({ security_group_id: ordinary.id, direction: 'ingress', protocol: 'icmp' });
    await cloud.settle();
    const switches = () => Promise.all(cloud.hosts.map((host) => cloud.host(host, 'cat', '/run/openvswitch/ovs-vswitchd.pid')));
    const before = await switches();
    const pings = await cloud.startIn(near.name, 'ping', '-i', '0.05', far.ip);
    for (const frames of brokenFrames(attacker, far, 6_000)) await cloud.sendFrames(attacker.name, frames);
    const answered = (): number => pings.text().match(/icmp_seq=/g)?.length ?? 0;
    const during = answered();
    assert.ok(during > 10, pings.text());
    await until(10, 'the neighbours still answer', () => answered() > during + 20);
    await pings.stop();
    assert.deepEqual(await switches(), before);
    await alive(cloud);
  });
});

/** Real frames with bits turned, cut short, or with headers behind headers, in waves that a switch in user space takes; the same in every run. */
function* brokenFrames(from: Guest, to: Guest, count: number): Iterable<Buffer[]> {
  const seeds = [
    udp(to.mac, from.mac, { from: from.ip, to: to.ip, sport: 1, dport: 2, data: 'x'.repeat(60) }), udp(to.mac, from.mac, { from: from.ip6, to: to.ip6, sport: 1, dport: 2, data: 'x' }),
    arp(BROADCAST, from.mac, { op: 'request', sha: from.mac, spa: from.ip, tpa: to.ip }), icmpv6(to.mac, from.mac, from.ip6, to.ip6, 135, Buffer.alloc(28, 1)),
    tagged(5, tagged(6, arp(BROADCAST, from.mac, { op: 'reply', sha: from.mac, spa: from.ip, tpa: to.ip }))), ethernet(to.mac, from.mac, 0x8847, Buffer.alloc(80, 0x11)), ethernet(to.mac, from.mac, 0x894f, Buffer.alloc(60, 0x02)),
    [0, 43, 44, 51, 60, 0, 60].reduce((frame, type) => withExtensionHeader(frame, type), udp(to.mac, from.mac, { from: from.ip6, to: to.ip6, sport: 1, dport: 2, data: 'x' })),
  ];
  for (let n = 0; n < count; n += 100) {
    yield Array.from({ length: 100 }, (_, i) => {
      const random = createHash('sha512').update(`broken ${n + i}`).digest();
      const frame = Buffer.from(seeds[random[0]! % seeds.length]!);
      // Behind the MACs: they are what brings it to the others.
      for (let turn = 0; turn < random[1]! % 8; turn++) {
        const at = 12 + (random.readUInt16BE(2 + 2 * turn) % (frame.length - 12));
        frame[at] = frame[at]! ^ random[20 + turn]!;
      }
      return random[40]! % 4 === 0 ? frame.subarray(0, 14 + (random[41]! % (frame.length - 14))) : frame;
    });
  }
}

async function alive(cloud: Cloud): Promise<void> {
  for (const host of cloud.hosts) assert.match(await cloud.host(host, 'ovs-appctl', 'version'), /Open vSwitch/);
}
