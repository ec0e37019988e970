import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { runningProcess, statePath } from '#cli/datacentre/state-folder.ts';
import { agentName } from '#cli/services.ts';
import { type Cloud, scenario, until } from '#testkit/cloud.ts';
import { tagged, udp } from '#testkit/frames.ts';

type FlowRecord = Record<string, any>;

const HOST = 'compute1';

scenario('flow logs: what groups let pass and drop is written on the host, with the rule', { hosts: 1 }, async (cloud, t) => {
  const admin = await cloud.api();
  await admin.post('/compute/v2.1/flavors', { flavor: { name: 'm1.nano', ram: 128, vcpus: 1, disk: 1 } });
  const red = await cloud.makeProject('red');
  const network = await red.network({ name: 'red' });
  await red.subnet({ network_id: network.id, cidr: '10.1.0.0/24' });
  const group = async (name: string) => red.post('/network/v2.0/security-groups', { security_group: { name } }, 'security_group');
  const [web, friends] = [await group('web'), await group('friends')];
  const tcp = await red.rule({ security_group_id: web.id, direction: 'ingress', protocol: 'tcp', port_range_min: 8080, port_range_max: 8080 });
  const icmp = await red.rule({ security_group_id: web.id, direction: 'ingress', protocol: 'icmp', remote_group_id: friends.id });
  const guest = async (name: string, groups: string[]) => {
    const port = await red.port({ network_id: network.id, security_groups: groups });
    await red.server({ name, networks: [{ port: port.id }] });
    return { name, port, ip: port.fixed_ips[0].ip_address as string, mac: port.mac_address as string };
  };
  const [one, two] = [await guest('one', [web.id]), await guest('two', [friends.id])];
  await cloud.ping('two', one.ip);
  const log = async (attributes: Record<string, unknown>) => admin.post('/network/v2.0/log/logs', { log: { resource_type: 'security_group', ...attributes } }, 'log');
  const connect = (from: string, ip: string, port: number) => cloud.exec(from, 'nc', '-w', '1', ip, String(port));

  await t.test('without a log nothing is written, and no flow copies anything', async () => {
    await connect('two', one.ip, 81);
    assert.deepEqual(records(cloud), []);
    assert.doesNotMatch(await cloud.host(HOST, 'ovs-ofctl', '-O', 'OpenFlow14', 'dump-flows', 'br-int'), /controller/i);
  });

  const made = await log({ target_id: one.port.id, name: 'one' });
  await cloud.settle();

  await t.test('an accepted connection is one record, with the rule that admitted it, also by a remote group', async () => {
    await connect('two', one.ip, 8080);
    const accepted = await record(cloud, (each) => each.port_dst === 8080);
    assert.deepEqual({ ...accepted, time: '', port_src: 0 }, {
      time: '', action: 'ACCEPT', log_resource_ids: [made.id], project_id: red.project_id, port_id: one.port.id, network_id: network.id, direction: 'ingress', rule_id: tcp.id, security_group_id: web.id, reason: null,
      eth_dst: one.mac, eth_src: two.mac, ethertype: '0x0800', ip_src: two.ip, ip_dst: one.ip, protocol: 6, port_src: 0, port_dst: 8080,
    });
    assert.ok(Math.abs(Date.parse(accepted.time) - Date.now()) < 30_000);
    await cloud.exec('two', 'ping', '-c', '3', '-i', '0.2', one.ip);
    const pinged = await record(cloud, ({ protocol, direction }) => protocol === 1 && direction === 'ingress');
    assert.deepEqual([pinged.rule_id, pinged.icmp_type, pinged.icmp_code], [icmp.id, 8, 0]);
    assert.equal(records(cloud).filter(({ action, protocol, direction }) => action === 'ACCEPT' && protocol === 1 && direction === 'ingress').length, 1, 'three pings are one connection');
  });

  await t.test('what it opens itself is a record of the egress rule', async () => {
    await connect('one', '10.1.0.99', 443);
    await cloud.exec('one', 'ping', '-c', '1', '-W', '1', two.ip);
    const [rule] = (await red.get(`/network/v2.0/security-group-rules?security_group_id=${web.id}&direction=egress&ethertype=IPv4`)).security_group_rules;
    const sent = await record(cloud, ({ ip_dst, protocol }) => ip_dst === two.ip && protocol === 1);
    assert.deepEqual([sent.action, sent.direction, sent.rule_id], ['ACCEPT', 'egress', rule.id]);
  });

  await t.test('dropped packets say why: no rule, a foreign address, a VLAN', async () => {
    await connect('two', one.ip, 81);
    const refused = await record(cloud, (each) => each.port_dst === 81);
    assert.deepEqual([refused.action, refused.direction, refused.rule_id, refused.reason, refused.ip_src], ['DROP', 'ingress', null, 'no rule', two.ip]);
    const forged = udp(two.mac, one.mac, { from: '10.1.0.77', to: two.ip, sport: 7, dport: 4000, data: 'forged' });
    await cloud.sendFrames('one', [forged, tagged(5, udp(two.mac, one.mac, { from: one.ip, to: two.ip, sport: 7, dport: 4001, data: 'tagged' }))]);
    for (const port of [4000, 4001]) {
      const { action, direction, reason } = await record(cloud, (each) => each.port_dst === port);
      assert.deepEqual([action, direction, reason], ['DROP', 'egress', 'port security']);
    }
  });

  await t.test('ports without a log are not written', () => {
    assert.ok(records(cloud).length > 0);
    assert.deepEqual(records(cloud).filter(({ port_id }) => port_id !== one.port.id), []);
  });

  await t.test('a flood is limited in the switch, and the log says how much was left out', async () => {
    const [before, droppedBefore] = [records(cloud).length, await droppedFor(cloud)];
    const frames = Array.from({ length: 400 }, (_, i) => udp(one.mac, two.mac, { from: two.ip, to: one.ip, sport: 1000 + i, dport: 4002, data: 'flood' }));
    for (let i = 0; i < 5; i++) await cloud.sendFrames('two', frames);
    await until(15, 'the flood is counted', () => records(cloud).some(({ records_left_out }) => records_left_out > 0));
    const since = () => records(cloud).slice(before);
    const written = () => since().filter(({ action, direction }) => action === 'DROP' && direction === 'ingress').length;
    const leftOut = () => since().reduce((sum, each) => sum + (each.records_left_out ?? 0), 0);
    let dropped = 0;
    await until(15, 'each packet that the switch dropped is written or counted', async () => (dropped = (await droppedFor(cloud)) - droppedBefore) === written() + leftOut()).catch((error: Error) => {
      throw new Error(`${error.message}: ${dropped} dropped, ${written()} written, ${leftOut()} left out`);
    });
    assert.ok(dropped > 500, `${dropped} of 2000 came as far as the filter`);
    assert.ok(written() >= 25 && written() < dropped / 2, `${written()} of ${dropped} were written`);
    const left = since().find(({ records_left_out }) => records_left_out);
    assert.ok(Date.parse(left!.since) <= Date.parse(left!.time));
  });

  await t.test('`patchbay logs --flows` prints them', async () => {
    const { stdout, code } = await cloud.patchbay('logs', '--flows', HOST);
    assert.equal(code, 0);
    const [first] = stdout.split('\n').map((line) => (line ? JSON.parse(line) : {}));
    assert.deepEqual([first.source, first.log_resource_ids], [HOST, [made.id]]);
  });

  await t.test('an agent that was killed writes on, and so does one whose switch was', async () => {
    process.kill(runningProcess(cloud.state, agentName(HOST))!.pid, 'SIGKILL');
    const { stderr } = await cloud.patchbay('up');
    await cloud.settle();
    await connect('two', one.ip, 82);
    assert.equal((await record(cloud, (each) => each.port_dst === 82)).action, 'DROP', stderr);
    await cloud.host(HOST, 'sh', '-c', 'kill -9 $(cat /run/openvswitch/ovs-vswitchd.pid)');
    await until(30, 'the switch is back with its meter', async () => (await cloud.tryHost(HOST, 'ovs-ofctl', '-O', 'OpenFlow14', 'dump-meters', 'br-int')).stdout.includes('rate=100'));
    await cloud.settle();
    await until(20, 'a drop is written again', async () => {
      await connect('two', one.ip, 83);
      return records(cloud).some(({ port_dst }) => port_dst === 83);
    });
  });

  await t.test('a log that is disabled writes no more, and its flows are gone', async () => {
    await admin.request('PUT', `/network/v2.0/log/logs/${made.id}`, { log: { enabled: false } });
    await cloud.settle();
    const before = records(cloud).length;
    await connect('two', one.ip, 84);
    assert.deepEqual(records(cloud).slice(before).filter(({ port_dst }) => port_dst === 84), []);
    assert.doesNotMatch(await cloud.host(HOST, 'ovs-ofctl', '-O', 'OpenFlow14', 'dump-flows', 'br-int'), /controller/i);
  });

  await t.test('a log of a project is all its ports\', one of a group the group\'s', async () => {
    await log({ project_id: red.project_id, event: 'DROP', name: 'project' });
    const ofGroup = await log({ resource_id: friends.id, event: 'ACCEPT', name: 'friends' });
    await cloud.settle();
    await connect('one', two.ip, 85);
    const dropped = await record(cloud, ({ port_dst, action }) => port_dst === 85 && action === 'DROP');
    assert.equal(dropped.port_id, two.port.id);
    await connect('two', one.ip, 8080);
    const accepted = await record(cloud, ({ log_resource_ids }) => log_resource_ids?.includes(ofGroup.id));
    assert.deepEqual([accepted.action, accepted.port_id, accepted.direction], ['ACCEPT', two.port.id, 'egress']);
  });
});

/** How many packets the filter of the logged port has refused to let in, as the switch counts them. */
async function droppedFor(cloud: Cloud): Promise<number> {
  return Number(/n_packets=(\d+),.*priority=100,reg5=/.exec(await cloud.host(HOST, 'ovs-ofctl', 'dump-flows', 'br-int', 'table=93'))?.[1]);
}

function records(cloud: Cloud): FlowRecord[] {
  const file = statePath.flowLog(cloud.state, HOST);
  return (existsSync(file) ? readFileSync(file, 'utf8') : '').split('\n').filter((line) => line !== '').map((line) => JSON.parse(line) as FlowRecord);
}

/** The first record that is wanted, once it is there. */
async function record(cloud: Cloud, wanted: (each: FlowRecord) => boolean): Promise<FlowRecord> {
  await until(10, `a record of ${wanted}`, () => records(cloud).some(wanted)).catch((error: Error) => {
    throw new Error(`${error.message}\n${records(cloud).slice(-5).map((each) => JSON.stringify(each)).join('\n')}`);
  });
  return records(cloud).find(wanted)!;
}
