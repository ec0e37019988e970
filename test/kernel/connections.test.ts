/** Live connections through Open vSwitch's own connection tracker, while the rules that admitted them go and come; and stateless ports. */
import assert from 'node:assert/strict';
import { ipFrame } from '#net/frame.ts';
import { type Cloud, scenario, until } from '#testkit/cloud.ts';
import { type Guest, tenant } from './security-lab.ts';

/** TCP on each port given: what comes goes back. UDP: whoever sends once gets a datagram each 50 ms from then on. */
const SERVER = `
import socket,sys,threading,time
def echo(c):
  try:
    while True:
      d=c.recv(100)
      if not d: return
      c.sendall(d)
  except OSError: pass
def tcp(p):
  s=socket.socket(socket.AF_INET6); s.setsockopt(socket.SOL_SOCKET,socket.SO_REUSEADDR,1); s.bind(('::',p)); s.listen(9)
  while True: threading.Thread(target=echo,args=(s.accept()[0],)).start()
def udp(p):
  s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM); s.bind(('0.0.0.0',p)); d,a=s.recvfrom(100)
  while True:
    try: s.sendto(b'x',a)
    except OSError: pass
    time.sleep(0.05)
for p in sys.argv[1:]: threading.Thread(target=udp if p[0]=='u' else tcp,args=(int(p.strip('u')),)).start()
print('ready')
`;
/** Prints a dot for each answer. TCP asks each 50 ms; UDP has asked once. */
const CLIENT = `
import socket,sys,time
kind,to,port=sys.argv[1],sys.argv[2],int(sys.argv[3])
if kind=='udp':
  s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM); s.sendto(b'x',(to,port))
  while True: s.recv(100); print('.',end='')
s=socket.create_connection((to,port),timeout=10); s.settimeout(None)
while True:
  s.sendall(b'x')
  if not s.recv(1): break
  print('.',end=''); time.sleep(0.05)
`;

interface Connection {
  readonly name: string;
  readonly count: () => number;
}

async function talk(cloud: Cloud, name: string, from: Guest, kind: 'tcp' | 'udp', to: string, port: number): Promise<Connection> {
  const client = await cloud.startIn(from.name, 'python3', '-u', '-c', CLIENT, kind, to, String(port));
  const connection = { name, count: () => /^\.*/.exec(client.text())![0].length };
  await until(15, `${name} talks: ${client.text()}`, () => connection.count() > 5);
  return connection;
}

/** `living` go on, which takes a while; `dead` say nothing more all that time. */
async function outcome(what: string, living: readonly Connection[], dead: readonly Connection[]): Promise<void> {
  // An answer that was on its way when the flows changed is none of the connection's life.
  await new Promise((resume) => setTimeout(resume, 150));
  const before = new Map([...living, ...dead].map((each) => [each, each.count()]));
  await until(20, `${what}: ${living.map(({ name }) => name).join()} go on`, () => living.every((each) => each.count() > before.get(each)! + 15));
  assert.deepEqual(dead.filter((each) => each.count() !== before.get(each)).map(({ name }) => name), [], what);
}

async function serve(cloud: Cloud, on: Guest, ...ports: string[]): Promise<void> {
  const server = await cloud.startIn(on.name, 'python3', '-u', '-c', SERVER, ...ports);
  await until(10, `${on.name} serves`, () => server.text().includes('ready'));
}

scenario('rules go and come under live connections', {}, async (cloud, t) => {
  const admin = await cloud.api();
  await admin.post('/compute/v2.1/flavors', { flavor: { name: 'm1.nano', ram: 128, vcpus: 1, disk: 1 } });
  const red = await tenant(cloud, 'red', ['compute1', 'compute2', 'compute1']);
  const [client, server, near] = red.guests as [Guest, Guest, Guest];
  const group = (name: string, given: object = {}) => red.api.post('/network/v2.0/security-groups', { security_group: { name, ...given } }, 'security_group');
  const ingress = (to: { id: string }, given: object) => red.api.rule({ security_group_id: to.id, direction: 'ingress', ...given });
  const groupsOf = async (guest: Guest, ...groups: { id: string }[]) => {
    await red.api.request('PUT', `/network/v2.0/ports/${guest.port_id}`, { port: { security_groups: groups.map(({ id }) => id) } });
    await cloud.settle();
  };
  const remove = async (rule: { id: string }) => {
    await red.api.delete(`/network/v2.0/security-group-rules/${rule.id}`);
    await cloud.settle();
  };
  const [ordinary] = (await red.api.get('/network/v2.0/security-groups?name=default')).security_groups;

  const [served, also] = [await group('served'), await group('also')];
  const tcp = (first: number, last = first, more: object = {}) => ingress(served, { protocol: 'tcp', port_range_min: first, port_range_max: last, ...more });
  const one = await tcp(7001, 7001);
  const six = await tcp(7001, 7001, { ethertype: 'IPv6' });
  await tcp(7002);
  const exact = await tcp(7003);
  const members = await ingress(also, { protocol: 'tcp', remote_group_id: ordinary.id, port_range_min: 7003, port_range_max: 7004 });
  const stream = await ingress(served, { protocol: 'udp', port_range_min: 7005, port_range_max: 7005 });
  await groupsOf(server, served, also);
  await serve(cloud, server, '7001', '7002', '7003', '7004', 'u7005');
  const [a, b, both, member, a6, answers] = [
    await talk(cloud, 'tcp/7001', client, 'tcp', server.ip, 7001), await talk(cloud, 'tcp/7002', client, 'tcp', server.ip, 7002), await talk(cloud, 'tcp/7003', near, 'tcp', server.ip, 7003),
    await talk(cloud, 'tcp/7004', near, 'tcp', server.ip, 7004), await talk(cloud, 'tcp/7001 over IPv6', client, 'tcp', server.ip6, 7001), await talk(cloud, 'a stream of answers', client, 'udp', server.ip, 7005),
  ];

  await t.test('X-6: a rule goes, and exactly its connection ends', async () => {
    await remove(one);
    await outcome('the rule of tcp/7001 is gone', [b, both, member, a6, answers], [a]);
  });

  await t.test('X-6: a connection that two rules admit outlives one of them', async () => {
    await remove(exact);
    await outcome('one of two rules is gone', [b, both, member], [a]);
  });

  await t.test('X-6: IPv6, and a stream that flows in the direction of answers only', async () => {
    await remove(six);
    await remove(stream);
    await outcome('the rules of IPv6 and of UDP are gone', [b, both, member], [a, a6, answers]);
  });

  await t.test('X-6: a rule that comes back admits its connection again, and new ones', async () => {
    await tcp(7001);
    await cloud.settle();
    await outcome('tcp/7001 is back', [a, b], [a6, answers]);
    await talk(cloud, 'another tcp/7001', client, 'tcp', server.ip, 7001);
  });

  await t.test('X-6: a member that leaves a remote group, and a group that is taken from the port', async () => {
    const own = await group('own');
    await groupsOf(near, own);
    await outcome('near is no member any more', [a, b], [both, member]);
    await groupsOf(near, ordinary);
    await outcome('near is a member again', [a, b, both, member], []);
    await groupsOf(server, also);
    await outcome('the group of 7001 and 7002 is gone', [both, member], [a, b]);
    await remove(members);
    await groupsOf(server, served);
    await outcome('the other one is back', [a, b], [both, member]);
  });

  await t.test('N-SG-1: a stateless port asks and is not answered, until a rule admits the answers; its stateful neighbours keep their connections', async () => {
    const bare = await group('bare', { stateful: false });
    await groupsOf(near, bare);
    await outcome('near is stateless now', [a, b], []);
    const asked = await Promise.all([cloud.answers(near.name, server.ip), cloud.answers(near.name, client.ip), cloud.answers(client.name, near.ip), cloud.answers(server.name, near.ip)]);
    assert.deepEqual(asked, [false, false, false, false]);
    await ingress(bare, { protocol: 'icmp' });
    await ingress(served, { protocol: 'icmp' });
    await groupsOf(client, ordinary, served);
    // On one host and across, whoever asks: each stateful end by its connections, the stateless one by its rule.
    for (const [from, to] of [[near, server], [near, client], [client, near], [server, near]] as const) await cloud.ping(from.name, to.ip);
    await ingress(bare, { protocol: 'tcp', port_range_min: 7001, port_range_max: 7001 });
    await cloud.settle();
    await serve(cloud, near, '7001');
    await talk(cloud, 'a stateful client on the same host', client, 'tcp', near.ip, 7001);
    await talk(cloud, 'a stateful client on another host', server, 'tcp', near.ip, 7001);
    await outcome('beside them', [a, b], []);
    const entries = (await cloud.host('compute1', 'ovs-appctl', 'dpctl/dump-conntrack')).split('\n').filter((line) => line.includes(`src=${near.ip},dst=${server.ip}`) && line.startsWith('icmp'));
    assert.deepEqual(entries, [], 'what a stateless port sends to another host opens no connection');
  });
});

scenario('rules go under live connections, and the setting keeps them', { hosts: 1, config: 'connections_of_removed_rules: keep' }, async (cloud, t) => {
  const admin = await cloud.api();
  await admin.post('/compute/v2.1/flavors', { flavor: { name: 'm1.nano', ram: 128, vcpus: 1, disk: 1 } });
  const red = await tenant(cloud, 'red', ['compute1', 'compute1']);
  const [client, server] = red.guests as [Guest, Guest];
  const group = await red.api.post('/network/v2.0/security-groups', { security_group: { name: 'served' } }, 'security_group');
  const rule = await red.api.rule({ security_group_id: group.id, direction: 'ingress', protocol: 'tcp', port_range_min: 7001, port_range_max: 7001 });
  await red.api.request('PUT', `/network/v2.0/ports/${server.port_id}`, { port: { security_groups: [group.id] } });
  await cloud.settle();
  await serve(cloud, server, '7001');
  const a = await talk(cloud, 'tcp/7001', client, 'tcp', server.ip, 7001);
  await t.test('X-6: connections_of_removed_rules = keep: all live on, nothing new comes in', async () => {
    await red.api.delete(`/network/v2.0/security-group-rules/${rule.id}`);
    await cloud.settle();
    await outcome('the rule is gone', [a], []);
    await red.api.request('PUT', `/network/v2.0/ports/${server.port_id}`, { port: { security_groups: [] } });
    await cloud.settle();
    await outcome('the group is gone', [a], []);
    await assert.rejects(talk(cloud, 'another', client, 'tcp', server.ip, 7001), /did not come true/);
  });
  await t.test('X-6: with keep, a connection that began towards another MAC is no way past the rules of the server', async () => {
    const capture = await cloud.capture(server.host, server.device, 'tcp port 7009');
    const send = (sport: number, destination: string, flags: number) => cloud.sendFrames(client.name, [tcpFrame(destination, client, server.ip, sport, flags)]);
    // To nobody: admitted by the sender's rules, and remembered. A FIN makes it one that passes for answered.
    for (const flags of [SYN, FIN | ACK, SYN]) await send(6001, '02:50:42:00:00:99', flags);
    await send(6001, server.mac, SYN);
    await red.api.request('PUT', `/network/v2.0/ports/${server.port_id}`, { port: { security_groups: [group.id] } });
    await red.api.rule({ security_group_id: group.id, direction: 'ingress', protocol: 'tcp', port_range_min: 7009, port_range_max: 7009 });
    await cloud.settle();
    await send(6002, server.mac, SYN);
    await until(10, 'what a rule admits is seen', () => capture.text().includes('.6002 >'));
    assert.ok(!(await capture.stop()).includes('.6001 >'));
  });
});

const [FIN, SYN, ACK] = [1, 2, 16];

function tcpFrame(destination: string, from: Guest, to: string, sport: number, flags: number): Buffer {
  const payload = Buffer.from([sport >> 8, sport & 255, 7009 >> 8, 7009 & 255, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
  return ipFrame({ destination, source: from.mac, from: from.ip, to, protocol: 6, payload, checksumAt: 16 });
}

/** From so many ports at once. */
const FLOOD = `
import socket,sys
for port in range(10000,10000+int(sys.argv[2])):
  s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM); s.bind(('',port)); s.sendto(b'x',(sys.argv[1],9)); s.close()
`;

scenario('a tenant that opens connections without end', { hosts: 1, config: 'max_connections_per_network: 300' }, async (cloud, t) => {
  const admin = await cloud.api();
  await admin.post('/compute/v2.1/flavors', { flavor: { name: 'm1.nano', ram: 128, vcpus: 1, disk: 1 } });
  const [red, blue] = [await tenant(cloud, 'red', ['compute1', 'compute1']), await tenant(cloud, 'blue', ['compute1', 'compute1'])];
  const [attacker, target] = red.guests as [Guest, Guest];
  const [client, server] = blue.guests as [Guest, Guest];
  await serve(cloud, server, '7001');
  await serve(cloud, target, '7001');
  const old = await talk(cloud, 'a connection of before', attacker, 'tcp', target.ip, 7001);
  const limits = async (): Promise<string[]> => (await cloud.host('compute1', 'ovs-appctl', 'dpctl/ct-get-limits')).match(/limit=300\b/g) ?? [];

  await t.test('ATT-conntrack: 2,000 connections of one network: 300 are remembered, its old ones live on, and its neighbours open new ones', async () => {
    const flood = await cloud.startIn(attacker.name, 'python3', '-u', '-c', `${FLOOD}print('sent')`, target.ip, '2000');
    await until(20, 'the flood is sent', () => flood.text().includes('sent'));
    const zones = [...(await cloud.host('compute1', 'ovs-appctl', 'dpctl/dump-conntrack')).matchAll(/zone=(\d+)/g)].map(([, zone]) => Number(zone));
    const counts = [...Map.groupBy(zones, (zone) => zone).values()].map(({ length }) => length).sort((a, b) => b - a);
    assert.equal(counts[0], 300);
    await talk(cloud, 'a neighbour', client, 'tcp', server.ip, 7001);
    await outcome('under the flood', [old], []);
    await assert.rejects(talk(cloud, 'one more of the attacker', attacker, 'tcp', target.ip, 7001), /did not come true/);
  });

  await t.test('ATT-conntrack: a switch that was killed has its limit again', async () => {
    assert.equal((await limits()).length, 2);
    await cloud.host('compute1', 'sh', '-c', 'kill -9 $(cat /run/openvswitch/ovs-vswitchd.pid)');
    await until(20, 'the limit stands again', async () => (await limits().catch(() => [])).length === 2);
    await cloud.settle();
    await talk(cloud, 'a neighbour', client, 'tcp', server.ip, 7001);
  });
});
