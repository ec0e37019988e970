import assert from 'node:assert/strict';
import { test } from 'node:test';
import { agentsRule } from '#control/network/agents.ts';
import { newObject } from '#control/network/new-object.ts';
import { networksRule } from '#control/network/networks.ts';
import { portHooks } from '#control/network/port-hooks.ts';
import { Compiler, type RowChange } from '#compile/compiler.ts';
import { ACCESS_AS_SHARED, rbacPolicy } from '#model/rbac-policies.ts';
import { Table } from '#store/table.ts';
import { networkApi } from '#testkit/network-api.ts';
import { config } from '#testkit/network-rows.ts';
import { eachStore } from '#testkit/stores.ts';
import { operatorTrace } from './operator-trace.ts';
import { type Asker, tracedCloud } from './traced-cloud.ts';

const id = (n: number) => `00000000-0000-4000-8000-00000000000${n}`;
const [HOME, SHARED, VM1, VM2, THEIRS, MINE, GROUP, THEIR_GROUP] = [1, 2, 3, 4, 5, 6, 7, 8].map(id) as [string, string, string, string, string, string, string, string];
const row = (table: string, key: string, given: Record<string, unknown>) => ({ table, id: key, row: { id: key, ...given } }) as RowChange;
const network = (key: string, project_id: string, name: string, segment: number) => row('networks', key, { project_id, name, admin_state_up: true, mtu: 1450, dns_domain: '', 'provider:network_type': 'vxlan', 'provider:physical_network': null, 'provider:segmentation_id': segment });
const subnet = (network_id: string, cidr: string) => row('subnets', `s-${network_id}`, { network_id, ip_version: 4, cidr, gateway_ip: null, enable_dhcp: false, dns_nameservers: [], host_routes: [], subnetpool_id: null, ipv6_address_mode: null, ipv6_ra_mode: null });
const port = (key: string, project_id: string, network_id: string, host: string, n: number, ip_address: string, groups: string[]) => row('ports', key, {
  project_id, network_id, name: '', admin_state_up: true, status: 'ACTIVE', mac_address: `fa:16:3e:00:00:0${n}`, fixed_ips: [{ subnet_id: `s-${network_id}`, ip_address }], device_id: '', device_owner: 'compute:nova',
  security_groups: groups, port_security_enabled: true, allowed_address_pairs: [], extra_dhcp_opts: [], dns_name: '', dns_domain: '', 'binding:host_id': host, 'binding:vif_type': 'ovs',
});
const rule = (n: number, security_group_id: string, given: Record<string, unknown>) => row('security_group_rules', id(n), {
  security_group_id, direction: 'ingress', ethertype: 'IPv4', protocol: null, port_range_min: null, port_range_max: null, remote_ip_prefix: null, normalized_cidr: null, remote_group_id: null, remote_address_group_id: null, conj_id: n, ...given,
});
const host = (name: string, n: number) => row('hosts', name, { tunneling_ip: `192.168.2.${n}`, bridge_mappings: { physnet: 'br-phys' } });
const pairs = [['h1', HOME], ['h2', HOME], ['h1', SHARED], ['h2', SHARED]].map(([at, net], i) => row('local_vlans', `${at}/${net}`, { number: i + 1 }));

/** demo has vm1 and vm2 on a network of its own, on two hosts, and a port beside one of alt on a shared network. */
function cloud(): Compiler {
  const compiler = new Compiler(config);
  compiler.apply([
    host('h1', 1), host('h2', 2), ...pairs, network(HOME, 'demo-project', 'home', 1), network(SHARED, 'admin-project', 'shared', 2), subnet(HOME, '10.0.0.0/24'), subnet(SHARED, '10.1.0.0/24'),
    row('security_groups', GROUP, { name: 'web', project_id: 'demo-project', stateful: true }), row('security_groups', THEIR_GROUP, { name: 'secret', project_id: 'alt-project', stateful: true }),
    rule(1, GROUP, { direction: 'egress' }), rule(2, GROUP, { protocol: 'tcp', port_range_min: 22, port_range_max: 22 }),
    port(VM1, 'demo-project', HOME, 'h1', 1, '10.0.0.3', [GROUP]), port(VM2, 'demo-project', HOME, 'h2', 2, '10.0.0.4', [GROUP]),
    port(MINE, 'demo-project', SHARED, 'h1', 3, '10.1.0.3', [GROUP]), port(THEIRS, 'alt-project', SHARED, 'h2', 4, '10.1.0.4', [THEIR_GROUP]),
    row('servers', 'server1', { name: 'vm1', project_id: 'demo-project', host: null, ports: [{ port_id: VM1 }, { port_id: MINE }] }),
  ]);
  return compiler;
}

eachStore('POST /v2.0/traces: the whole way for an admin, the own part of it for a project, nothing of others', async (store) => {
  const compiler = cloud();
  const { call, ok, close } = networkApi(store, config, [networksRule({ config, hooks: portHooks(config) }), agentsRule({ config })], async () => compiler);
  const ask = async (who: string, trace: Record<string, unknown>) => (await ok(who, 'POST', '/v2.0/traces', { trace })).trace;
  const ssh = { source_port_id: VM1, destination_port_id: VM2, protocol: 'TCP', destination_port: 22 };

  const whole = await ask('admin', ssh);
  assert.deepEqual([whole.verdict, whole.path.map(({ type, host: at }: any) => `${at} ${type}`)], ['deliver', ['h1 port', 'h1 filter', 'h1 tunnel', 'h2 switch', 'h2 filter', 'h2 deliver']]);
  assert.deepEqual(whole.path[4].object, { kind: 'security_group', id: GROUP, name: 'web' });
  assert.deepEqual([whole.path[4].rule_id, whole.reply.verdict], [id(2), 'deliver']);

  const own = await ask('demo', ssh);
  assert.deepEqual([own.verdict, own.path.map(({ type, host: at }: any) => `${at} ${type}`)], ['deliver', ['null port', 'null filter', 'null filter', 'null deliver']]);
  assert.doesNotMatch(JSON.stringify(own), /h1|h2|vxlan|192\.168/, 'hosts and tunnels are the operator\'s');
  const web = await ask('demo', { ...ssh, destination_port: 80 });
  assert.match(web.text, /no ingress rule of security group web .* admits tcp\/80 from 10\.0\.0\.3; the nearest is ingress tcp\/22/);
  assert.ok(web.text.endsWith(`verdict: drop\nto change that: openstack security group rule create --ingress --protocol tcp --dst-port 80 --remote-ip 10.0.0.3/32 ${GROUP}`), web.text);

  compiler.apply([
    row('address_groups', id(9), { name: 'offices', project_id: 'demo-project' }), row('address_associations', `${id(9)}/10.0.0.3/32`, { address_group_id: id(9), address: '10.0.0.3/32' }),
    rule(3, GROUP, { protocol: 'tcp', port_range_min: 80, port_range_max: 80, remote_address_group_id: id(9) }),
  ]);
  assert.match((await ask('demo', { ...ssh, destination_port: 80 })).text, /ingress rule .* admits it: ingress tcp\/80 from address group offices \(00000000\)/);

  // Whether somebody is there, and what it admits, is the same to who may not know.
  const beside = (destination_ip_address: string) => ask('demo', { source_port_id: MINE, destination_ip_address, protocol: 'tcp', destination_port: 22 });
  const [theirs, nobody] = [await beside('10.1.0.4'), await beside('10.1.0.5')];
  assert.deepEqual(theirs, { verdict: 'outside', path: [{ type: 'outside', host: null, object: null, text: 'outside your project' }], reply: null, text: theirs.text });
  assert.deepEqual(nobody, theirs);
  // What one's own port security drops it drops for somebody and for nobody alike.
  const forged = async (destination_ip_address: string) => JSON.stringify(await ask('demo', { source_port_id: MINE, source_ip_address: '10.1.0.99', destination_ip_address, protocol: 'tcp', destination_port: 22 })).replaceAll(destination_ip_address, 'X');
  assert.match(await forged('10.1.0.4'), /"reason":"port-security"/);
  assert.equal(await forged('10.1.0.5'), await forged('10.1.0.4'));

  const answer = async (who: string, trace: unknown) => {
    const { status, body } = await call(who, 'POST', '/v2.0/traces', { trace });
    return `${status} ${body.NeutronError?.type ?? body.error?.code ?? ''} ${body.NeutronError?.message ?? ''}`.trim();
  };
  assert.equal(await answer('demo', { ...ssh, destination_port_id: THEIRS }), `404 PortNotFound Port ${THEIRS} could not be found.`);
  assert.equal(await answer('demo', { ...ssh, destination_port_id: id(9) }), `404 PortNotFound Port ${id(9)} could not be found.`, 'the same for one that is not there');
  assert.equal(await answer('alt', ssh), `404 PortNotFound Port ${VM1} could not be found.`);
  assert.match(await answer('demo', { ...ssh, source_port_id: null, source_network_id: SHARED }), /^403 /);
  assert.match(await answer('admin', { ...ssh, source_network_id: SHARED }), /^400 HTTPBadRequest .*Exactly one of source_port_id and source_network_id/);
  assert.match(await answer('admin', { source_network_id: SHARED, destination_ip_address: '10.1.0.4' }), /^400 HTTPBadRequest .*no physical network/);
  assert.match(await answer('admin', { source_port_id: VM1 }), /^400 HTTPBadRequest .*Exactly one of destination_port_id and destination_ip_address/);
  assert.match(await answer('admin', { ...ssh, destination_port: 70000 }), /^400 HTTPBadRequest Invalid input for destination_port/);
  assert.match(await answer('admin', { ...ssh, nonsense: 1 }), /^400 HTTPBadRequest .*nonsense/);
  await close();
});

eachStore('a project reads no name of what it does not see: a shared group whose rules name private ones', async (store) => {
  const compiler = cloud();
  const lent = id(9);
  const hideout = id(0);
  compiler.apply([
    row('security_groups', lent, { name: 'lent', project_id: 'alt-project', stateful: true }), row('address_groups', hideout, { name: 'hideout', project_id: 'alt-project' }),
    row('address_associations', `${hideout}/10.0.0.3/32`, { address_group_id: hideout, address: '10.0.0.3/32' }),
    rule(3, lent, { protocol: 'tcp', port_range_min: 80, port_range_max: 80, remote_group_id: THEIR_GROUP }),
    rule(4, lent, { protocol: 'udp', port_range_min: 53, port_range_max: 53, remote_address_group_id: hideout }),
    port(VM2, 'demo-project', HOME, 'h2', 2, '10.0.0.4', [lent]),
  ]);
  const { ok, close } = networkApi(store, config, [networksRule({ config, hooks: portHooks(config) }), agentsRule({ config })], async () => compiler);
  const ask = async (who: string, protocol: string, destination_port: number) => (await ok(who, 'POST', '/v2.0/traces', { trace: { source_port_id: VM1, destination_port_id: VM2, protocol, destination_port } })).trace;
  assert.match((await ask('admin', 'tcp', 80)).text, /no ingress rule of security group lent .* the nearest is ingress tcp\/80 from security group secret \(00000000\)/);

  const unshared = await ask('demo', 'tcp', 80);
  assert.ok(unshared.text.includes(`no ingress rule of security group ${lent} admits`), unshared.text);
  assert.doesNotMatch(JSON.stringify(unshared), /lent|secret/);

  const policies = new Table(rbacPolicy);
  await store.write((tx) => policies.insert(tx, [newObject(rbacPolicy, tx, { project_id: 'alt-project', object_type: 'security_group', object_id: lent, action: ACCESS_AS_SHARED, target_project: 'demo-project' })]));
  const nearest = await ask('demo', 'tcp', 80);
  assert.match(nearest.text, /no ingress rule of security group lent \(00000000\) admits/);
  assert.ok(nearest.text.includes(`the nearest is ingress tcp/80 from security group ${THEIR_GROUP} (rule ${id(3)})`), nearest.text);
  const admitted = await ask('demo', 'udp', 53);
  assert.equal(admitted.verdict, 'deliver');
  assert.ok(admitted.text.includes(`admits it: ingress udp/53 from address group ${hideout}`), admitted.text);
  assert.doesNotMatch(JSON.stringify([nearest, admitted]), /secret|hideout/);
  await close();
});

test('ports on one\'s own network are seen, and neither the servers nor the routers of others behind them', () => {
  const compiler = cloud();
  const [guest, leg, router] = ['guest', 'leg', 'their-router'];
  compiler.apply([
    port(guest, 'alt-project', HOME, 'h1', 5, '10.0.0.5', [THEIR_GROUP]), row('servers', 'server2', { name: 'hidden', project_id: 'alt-project', host: null, ports: [{ port_id: guest }] }),
    row('routers', router, { name: 'hidden', project_id: 'alt-project' }),
    row('ports', leg, { ...port(leg, 'alt-project', HOME, 'h1', 6, '10.0.0.1', []).row, device_owner: 'network:router_interface', device_id: router }),
  ]);
  const names = (asker?: Asker) => [guest, leg, VM1].map((key) => tracedCloud(compiler, asker).nameOf('port', key));
  assert.deepEqual(names(), ['hidden', 'of router hidden on home', 'vm1']);
  assert.deepEqual(names({ project_id: 'demo-project', reached: new Set() }), [undefined, 'of router their-router on home', 'vm1']);
});

eachStore('the operator names servers and ports, and gets one line when there is none', async () => {
  const compiler = cloud();
  const ask = (params: Record<string, string>) => operatorTrace(async () => compiler, new URLSearchParams(params)).then(({ trace, text }) => `${trace.verdict} ${text.split('\n')[0]!.slice(0, 200)}`, (error: Error) => error.message);
  assert.match(await ask({ from: 'vm1', to: VM2, protocol: 'tcp', destination_port: '22' }), /^deliver h1 +port +port vm1 \(00000000\) sends it to its neighbour: tcp 10\.0\.0\.3:40000 -> 10\.0\.0\.4:22$/);
  assert.match(await ask({ from: VM2, to: '10.0.0.3' }), /^drop /);
  assert.equal(await ask({ from: 'vm9', to: VM2 }), "there is no server, port or address 'vm9'");
  assert.equal(await ask({ from: 'outside', to: '10.0.0.3' }), 'no network on a physical network has 10.0.0.3: it cannot be reached from outside');
});
