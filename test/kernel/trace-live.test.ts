import assert from 'node:assert/strict';
import type { Live } from '#cli/live/live.ts';
import { runningProcess } from '#cli/datacentre/state-folder.ts';
import { agentName } from '#cli/services.ts';
import { type Cloud, scenario } from '#testkit/cloud.ts';

/** Names of ports by id, for what the JSON says. */
type Names = ReadonlyMap<string, string>;

scenario('patchbay trace --live: intended and actual, by the flows and by a packet', { hosts: 2 }, async (cloud, t) => {
  const admin = await cloud.api();
  await admin.post('/compute/v2.1/flavors', { flavor: { name: 'm1.nano', ram: 128, vcpus: 1, disk: 1 } });
  const external = await admin.network({ name: 'ext', 'router:external': true, 'provider:network_type': 'flat', 'provider:physical_network': 'physnet' });
  await admin.subnet({ network_id: external.id, cidr: '172.16.0.0/24', allocation_pools: [{ start: '172.16.0.50', end: '172.16.0.99' }] });
  const network = await admin.network({ name: 'net' });
  const subnet = await admin.subnet({ network_id: network.id, cidr: '10.0.0.0/24' });
  const [group] = (await admin.get(`/network/v2.0/security-groups?name=default&project_id=${admin.project_id}`)).security_groups;
  await admin.rule({ security_group_id: group.id, direction: 'ingress', protocol: 'tcp', port_range_min: 22, port_range_max: 22 });
  const router = await admin.router({ name: 'r1' });
  await admin.change('routers', router.id, { external_gateway_info: { network_id: external.id } });
  await admin.addInterface(router.id, subnet.id);
  const [vm1, vm2, vm3] = await Promise.all([1, 2, 2].map((host, i) => admin.server({ name: `vm${i + 1}`, networks: [{ uuid: network.id }], availability_zone: `nova:compute${host}` })));
  const address = (server: any): string => server.addresses.net[0].addr;
  const ports: any[] = (await admin.get('/network/v2.0/ports')).ports;
  const portOf = (server: any): any => ports.find(({ device_id }) => device_id === server.id);
  const legs: any[] = ports.filter(({ device_id }) => device_id === router.id);
  const names: Names = new Map([...[vm1, vm2, vm3].map((vm, i) => [portOf(vm).id, `vm${i + 1}`] as const), ...legs.map((leg) => [leg.id, leg.device_owner === 'network:router_gateway' ? 'qg' : 'qr'] as const)]);
  const bound = (await admin.get(`/network/v2.0/routers/${router.id}/l3-agents`)).agents[0].host;
  const floating = await admin.post('/network/v2.0/floatingips', { floatingip: { floating_network_id: external.id, port_id: portOf(vm2).id } }, 'floatingip');
  await cloud.settle();
  for (const name of ['vm1', 'vm2', 'vm3']) await cloud.ping(name, '10.0.0.1', 45);

  await t.test('across hosts it is delivered: each host\'s flows and the packet agree', async () => {
    const { code, live, stderr } = await ask(cloud, '--from', 'vm1', '--to', 'vm2', '--proto', 'tcp', '--dport', '80');
    assert.deepEqual([code, live.agrees, stderr], [0, true, '']);
    assert.deepEqual(shown(live, names), ['compute1 flows: vm1 > tunnel', 'compute2 flows: tunnel > vm2', 'compute2 probe: vm2']);
  });

  await t.test('a drop by a group agrees: the packet comes out nowhere', async () => {
    const closed = await admin.post('/network/v2.0/security-groups', { security_group: { name: 'closed' } }, 'security_group');
    const change = async (groups: string[]): Promise<void> => {
      await admin.change('ports', portOf(vm3).id, { security_groups: groups });
      await cloud.settle();
    };
    await change([closed.id]);
    const { code, live } = await ask(cloud, '--from', 'vm1', '--to', 'vm3', '--proto', 'tcp', '--dport', '80');
    assert.deepEqual([code, live.agrees, live.differences, live.probe.sent], [1, true, [], true]);
    assert.deepEqual(shown(live, names), ['compute1 flows: vm1 > tunnel', 'compute2 flows: tunnel >']);
    await change([group.id]);
  });

  await t.test('through the router to the outside, and from outside to a floating IP', async () => {
    const out = await ask(cloud, '--from', 'vm1', '--to', '203.0.113.1');
    assert.deepEqual([out.code, out.live.agrees, out.live.differences], [0, true, []]);
    assert.ok(shown(out.live, names).includes('outside probe: outside'), JSON.stringify(out.live.probe));
    const back = await ask(cloud, '--from', 'outside', '--to', floating.floating_ip_address, '--proto', 'tcp', '--dport', '22');
    assert.deepEqual([back.code, back.live.agrees, back.live.differences], [0, true, []]);
    assert.deepEqual(shown(back.live, names).filter((line) => line.includes('probe')), bound === 'compute2' ? ['compute2 probe: qg,vm2'] : [`${bound} probe: qg`, 'compute2 probe: vm2']);
    const refused = await ask(cloud, '--from', 'outside', '--to', floating.floating_ip_address, '--proto', 'udp', '--dport', '53');
    assert.deepEqual([refused.code, refused.live.agrees], [1, true]);
  });

  await t.test('IPv4 in other forms, on one host: UDP, a large ping, a forged address', async () => {
    for (const [argv, code] of [[['--proto', 'udp', '--dport', '53'], 0], [['--size', '1400'], 0], [['--proto', 'sctp', '--dport', '5'], 0], [['--source-ip', '10.0.0.99'], 1]] as const) {
      const answer = await ask(cloud, '--from', 'vm2', '--to', 'vm3', ...argv);
      assert.deepEqual([argv, answer.code, answer.live.differences], [argv, code, []]);
    }
  });

  await t.test('it leaves nothing: no process, no connection', async () => {
    await ask(cloud, '--from', 'vm1', '--to', '203.0.113.1', '--proto', 'tcp', '--dport', '80', '--sport', '61777');
    await ask(cloud, '--from', 'vm1', '--to', 'vm2', '--proto', 'udp', '--dport', '80', '--sport', '61777');
    for (const host of cloud.hosts) {
      assert.equal((await cloud.host(host, 'ps', '-eo', 'args')).includes('tcpdump'), false);
      assert.doesNotMatch(await cloud.host(host, 'ovs-appctl', 'dpctl/dump-conntrack'), /61777/);
    }
    assert.doesNotMatch(await cloud.host(bound, 'ip', 'netns', 'exec', `qrouter-${router.id}`, 'conntrack', '-L'), /61777/);
  });

  await t.test('CVE-2017-7543: a flow that is gone behind the agent\'s back: the host, what differs, exit code 3', async () => {
    const agent = runningProcess(cloud.state, agentName('compute2'))!.pid;
    process.kill(agent, 'SIGSTOP');
    try {
      const filter = `table=73,dl_dst=${portOf(vm2).mac_address}`;
      assert.match(await cloud.host('compute2', 'ovs-ofctl', 'dump-flows', 'br-int', filter), /table=73/);
      await cloud.host('compute2', 'ovs-ofctl', 'del-flows', 'br-int', filter);
      const { code, live, stderr } = await ask(cloud, '--from', 'vm1', '--to', 'vm2', '--proto', 'tcp', '--dport', '80');
      assert.equal(code, 3);
      assert.match(stderr, /^patchbay trace: compute2: flows: from the vxlan tunnel \d+ with compute1 it is dropped, intended is sent to port vm2 \([0-9a-f]{8}\)[^\n]*\n$/);
      assert.deepEqual(shown(live, names), ['compute1 flows: vm1 > tunnel', 'compute2 flows: tunnel >', 'compute2 probe:']);
      assert.deepEqual(live.differences.map((line) => line.split(':', 2).join(':')), ['compute2: flows', 'compute2: probe']);
      const text = await cloud.patchbay('trace', '--from', 'vm1', '--to', 'vm2', '--live');
      assert.match(text.stdout, /verdict: deliver[^]*live:\n[^]*compute2 +flows .*intended is[^]*intended and actual differ \(2\)/);
    } finally {
      process.kill(agent, 'SIGCONT');
    }
    // A restarted switch is how an agent finds out.
    const vswitchd = (await cloud.host('compute2', 'cat', '/run/openvswitch/ovs-vswitchd.pid')).trim();
    await cloud.host('compute2', 'kill', '-9', vswitchd);
    await cloud.ping('vm1', address(vm2), 45);
  });

  await t.test('an instance that is off: the line says so; one that is off sends nothing', async () => {
    await admin.post(`/compute/v2.1/servers/${vm3.id}/action`, { 'os-stop': null });
    await admin.serverStatus(vm3.id, 'SHUTOFF');
    await cloud.settle();
    const to = await ask(cloud, '--from', 'vm1', '--to', 'vm3', '--proto', 'tcp', '--dport', '22');
    assert.equal(to.code, 3);
    assert.match(to.stderr, new RegExp(`^patchbay trace: compute2: flows: .*port ${portOf(vm3).id} has no device on compute2: its instance is off`));
    const from = await ask(cloud, '--from', 'vm3', '--to', 'vm1');
    assert.equal(from.code, 3);
    assert.match(JSON.stringify(from.live.probe), /"sent":false,"reason":"[^"]*its instance is off/);
  });
});

async function ask(cloud: Cloud, ...argv: readonly string[]): Promise<{ code: number; live: Live; stderr: string }> {
  const { code, stdout, stderr } = await cloud.patchbay('trace', ...argv, '--live', '--json');
  return { code, live: (JSON.parse(stdout) as { live: Live }).live, stderr };
}

/** A line per host and kind, ids by their names. */
function shown({ flows, probe }: Live, names: Names): string[] {
  const short = (gate: string): string => names.get(gate.replace(/^port /, '')) ?? gate.split(' ')[0]!;
  return [
    ...flows.map(({ host, entry, actual }) => `${host} flows: ${short(entry)} > ${actual.map(short).join()}`.trimEnd()),
    ...probe.hosts.map(({ host, actual }) => `${host} probe: ${actual.map(short).sort().join()}`.trimEnd()),
  ];
}
