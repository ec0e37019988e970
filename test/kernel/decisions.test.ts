/** What the switch has decided about packets and keeps (its megaflows): it ends when the flows change, and one guest cannot fill it for all. */
import assert from 'node:assert/strict';
import { type Cloud, scenario, until } from '#testkit/cloud.ts';
import { udp } from '#testkit/frames.ts';
import { type Guest, sentinel, tenant } from './security-lab.ts';

const HOST = 'compute1';
/** Megaflows that the switch shall keep at most. */
const LIMIT = 1_000;
/** Each to a MAC of its own, which is a decision of its own. */
const FLOOD = 'import socket,struct,sys,time\ns=socket.socket(socket.AF_PACKET,socket.SOCK_RAW)\ns.bind(("eth0",0))\nn=0\nwhile True:\n  n+=1\n  s.send(b"\\x02\\x66"+struct.pack("!I",n)+bytes.fromhex(sys.argv[1]))\n  n%20 or time.sleep(0.01)';

scenario('what the switch keeps of its decisions', { hosts: 1 }, async (cloud, t) => {
  const admin = await cloud.api();
  await admin.post('/compute/v2.1/flavors', { flavor: { name: 'm1.nano', ram: 128, vcpus: 1, disk: 1 } });
  const red = await tenant(cloud, 'red', [HOST, HOST, HOST]);
  const [sender, receiver, neighbour] = red.guests as [Guest, Guest, Guest];
  const update = (guest: Guest, port: object) => admin.request('PUT', `/network/v2.0/ports/${guest.port_id}`, { port });
  await update(sender, { security_groups: [], port_security_enabled: false });
  const group = await red.api.post('/network/v2.0/security-groups', { security_group: { name: 'prefixes' } }, 'security_group');
  await update(receiver, { security_groups: [group.id] });
  const frame = (source: string, sport: number) => udp(receiver.mac, sender.mac, { from: source, to: receiver.ip, sport, dport: 7000, data: 'x' });

  await t.test('law 3, X-6: rules that went do not admit by an old decision, while packets come without a pause', async () => {
    const admit = async (remote_ip_prefix: string) => (await red.api.rule({ security_group_id: group.id, direction: 'ingress', protocol: 'udp', remote_ip_prefix })).id as string;
    const remove = (rule: string) => red.api.delete(`/network/v2.0/security-group-rules/${rule}`);
    let sport = 7000;
    const send = (sources: readonly string[]) => cloud.sendFrames(sender.name, sources.flatMap((source) => [frame(source, sport), frame(source, sport)]));
    const networks = [20, 21, 22, 23];
    const [narrow, wide] = [networks.map((net) => `10.${net}.2.2`), networks.map((net) => `10.${net}.0.2`)];
    // The datapath looks at the masks of decisions in the order in which they came: that of wide ones is first.
    await admit('10.30.0.0/16');
    await cloud.settle();
    await send(['10.30.0.2']);
    // A narrow prefix is replaced by a wide one: decisions of both overlap, and Open vSwitch 3.1 changes the wide one in place of the narrow one.
    const first = await Promise.all(networks.map((net) => admit(`10.${net}.2.0/24`)));
    await cloud.settle();
    await send([...narrow, '10.30.0.2']);
    const second = await Promise.all(networks.map((net) => admit(`10.${net}.0.0/16`)));
    await Promise.all(first.map(remove));
    await cloud.settle();
    await send([...narrow, ...wide]);
    await Promise.all(second.map(remove));
    await cloud.settle();
    await new Promise((resume) => setTimeout(resume, 1_000));
    // Another prefix beside them takes the wide decision away, and the narrow one comes to light.
    await Promise.all(networks.map((net) => admit(`10.${net}.3.0/24`)));
    await cloud.settle();
    const capture = await cloud.capture(HOST, receiver.device);
    sport = 7999;
    await send([...narrow, ...wide, '10.30.0.2']);
    await sentinel(cloud, sender, receiver, capture);
    const text = await capture.stop();
    assert.deepEqual([...narrow, ...wide, '10.30.0.2'].filter((source) => text.includes(`${source}.7999`)), ['10.30.0.2']);
  });

  await t.test('ATT-flowflood: a guest that asks for a decision with each packet does not silence its neighbours, nor fill the switch', async () => {
    await cloud.host(HOST, 'ovs-vsctl', 'set', 'Open_vSwitch', '.', `other_config:flow-limit=${LIMIT}`);
    const flood = await cloud.startIn(sender.name, 'python3', '-u', '-c', FLOOD, frame('10.1.0.250', 7000).subarray(6).toString('hex'));
    try {
      const kept = () => cachedFlows(cloud);
      await until(20, 'the flood is at the limit', async () => (await kept()) > LIMIT / 2);
      const before = await kept();
      const { code, stdout } = await cloud.exec(neighbour.name, 'ping', '-c', '20', '-i', '0.1', '-W', '2', sender.ip);
      assert.equal(code, 0, stdout);
      assert.ok(Number(/(\d+) (?:packets )?received/.exec(stdout)?.[1]) >= 18, stdout);
      assert.ok(before < LIMIT * 2 && (await kept()) < LIMIT * 2, `${before} decisions are kept, then ${await kept()}`);
    } finally {
      await flood.stop();
      await cloud.host(HOST, 'ovs-vsctl', 'remove', 'Open_vSwitch', '.', 'other_config', 'flow-limit');
    }
  });
});

/** Megaflows of the datapath, as `ovs-appctl upcall/show` counts them. */
async function cachedFlows(cloud: Cloud): Promise<number> {
  return Number(/flows +: \(current (\d+)\)/.exec(await cloud.host(HOST, 'ovs-appctl', 'upcall/show'))?.[1]);
}
