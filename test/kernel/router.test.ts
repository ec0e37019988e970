import assert from 'node:assert/strict';
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { after, test } from 'node:test';
import { Advertisers } from '#agent/advertisers.ts';
import { MetadataProxies } from '#agent/metadata-proxies.ts';
import { RouterManager } from '#agent/router-manager.ts';
import type { Item } from '#hoststate/host-state.ts';
import { keyOf } from '#hoststate/host-state.ts';
import { BridgePlugger, makeBridge, sh } from './dhcp-lab.ts';
import { ask, connection, floating, forwarding, leg, pings, router, ROUTER, serve, station, succeeds } from './router-lab.ts';
import { insideSimulatedHost } from './simulated-host.ts';

if (await insideSimulatedHost(import.meta.filename)) registerTests();

const NAMESPACE = `qrouter-${ROUTER}`;
const GATEWAY = leg('gateway', 1, ['172.16.0.5/24', '2001:db8:16::5/64'], { gateway_ips: ['172.16.0.1', '2001:db8:16::1'] });
const INNER = leg('interface', 2, ['10.0.0.1/24', '2001:db8:1::1/64']);
const OTHER = leg('interface', 3, ['10.9.0.1/24', '2001:db8:9::1/64']);
const BRIDGES: Record<string, string> = { [GATEWAY.port_id]: 'outer', [INNER.port_id]: 'inner', [OTHER.port_id]: 'other' };
const SCOPE_A = 'aaaaaaaa-0000-4000-8000-000000000000';
const SCOPE_B = 'bbbbbbbb-0000-4000-8000-000000000000';

function registerTests(): void {
  const plans: string[] = [];
  const folder = mkdtempSync('/tmp/patchbay-router-');
  chmodSync(folder, 0o755); // radvd is not root when it reads again
  after(() => rmSync(folder, { recursive: true, force: true }));
  const plugger = new BridgePlugger((portId) => BRIDGES[portId]!);
  const onPlan = (_id: string, lines: readonly string[]): void => void plans.push(...lines);
  // A socket that nobody listens on: the proxy runs all the same.
  const manager = (more: { wake?: () => void; retryMs?: number } = {}): RouterManager => new RouterManager({
    ...more, plugger, onPlan,
    proxies: new MetadataProxies({ root: `${folder}/metadata`, socket: '/run/patchbay-test.sock', onPlan }), advertisers: new Advertisers({ root: `${folder}/radvd`, intervals: { min: 3, max: 4 }, onPlan }),
  });
  let routing = manager();

  /** Applies changes and gives the reasons of what failed. */
  async function apply(upserts: Item[], removals: Item[] = []): Promise<Record<string, string>> {
    routing.update(upserts, removals.map(keyOf));
    const reports = await routing.apply();
    return Object.fromEntries(reports.filter(({ ok }) => !ok).map(({ key, reason }) => [key, reason ?? '']));
  }
  const addresses = (device: string) => sh(`ip -n ${NAMESPACE} -o address show dev ${device} | awk '{print $4}' | grep -v ^fe80 | sort`);
  const connections = (filter: string) => sh(`ip netns exec ${NAMESPACE} conntrack -L ${filter} 2>/dev/null`);

  test('stations on three bridges', async () => {
    for (const bridge of ['outer', 'inner', 'other']) await makeBridge(bridge);
    await station('outside', 'outer', ['172.16.0.1/24', '203.0.113.1/32', '2001:db8:16::1/64']);
    await station('vm1', 'inner', ['10.0.0.11/24', '2001:db8:1::11/64'], '10.0.0.1');
    await station('vm2', 'inner', ['10.0.0.12/24'], '10.0.0.1');
    await station('vm3', 'other', ['10.9.0.13/24', '2001:db8:9::13/64'], '10.9.0.1');
    for (const [name, gateway] of [['vm1', '2001:db8:1::1'], ['vm3', '2001:db8:9::1']]) await sh(`ip -n ${name} -6 route add default via ${gateway}`);
    for (const prefix of ['2001:db8:1::/64', '2001:db8:9::/64']) await sh(`ip -n outside -6 route add ${prefix} via 2001:db8:16::5`);
  });

  test('N-L3-7 N-L3-9: a namespace with qg- and qr- devices, a route for each subnet and a default one', async () => {
    assert.deepEqual(await apply([router(), GATEWAY, INNER, OTHER]), {});
    assert.match(await sh(`ip -n ${NAMESPACE} -o link show`), /qg-00000001-00@.*\n.*qr-00000002-00@/);
    const routes = await sh(`ip -n ${NAMESPACE} route show | sort`);
    assert.match(routes, /^10\.0\.0\.0\/24 dev qr-00000002-00 .*\n10\.9\.0\.0\/24 dev qr-00000003-00 .*\n172\.16\.0\.0\/24 dev qg-00000001-00 .*\ndefault via 172\.16\.0\.1 dev qg-00000001-00 \n$/);
    assert.ok(await pings('vm1', '10.0.0.1'), 'vm1 pings its gateway');
    assert.ok(await pings('vm1', '10.9.0.13'), 'vm1 pings a station of another leg');
  });

  test('N-L3-6 N-L3-10: from inside to outside by the address of the router; nothing new comes in, not even for who knows the way', async (t) => {
    await serve(t, 'outside', 80);
    await serve(t, 'vm1', 22);
    assert.equal(await ask('vm1', '203.0.113.1', 80), 'outside saw 172.16.0.5');
    await sh('ip -n outside route add 10.0.0.0/24 via 172.16.0.5');
    assert.equal(await pings('outside', '10.0.0.11'), false);
    assert.equal(await ask('outside', '10.0.0.11', 22), undefined);
    // Behind it as sentinel: the same server is reached from another leg.
    assert.equal(await ask('vm3', '10.0.0.11', 22), 'vm1 saw 10.9.0.13');
  });

  test('N-L3-16 N-L3-17 N-L3-19: a floating IP leads in and out; others keep the address of the router', async (t) => {
    await Promise.all([serve(t, 'outside', 80), serve(t, 'vm1', 22)]);
    assert.deepEqual(await apply([floating(1, '172.16.0.101', '10.0.0.11')]), {});
    assert.match(await addresses('qg-00000001-00'), /172\.16\.0\.101\/32/);
    assert.equal(await ask('outside', '172.16.0.101', 22), 'vm1 saw 172.16.0.1');
    assert.equal(await ask('vm1', '203.0.113.1', 80), 'outside saw 172.16.0.101');
    assert.equal(await ask('vm2', '203.0.113.1', 80), 'outside saw 172.16.0.5');
    assert.ok(await pings('outside', '172.16.0.101'));
    // From inside, by way of the router, with and without a floating IP of one's own.
    assert.equal(await ask('vm2', '172.16.0.101', 22), 'vm1 saw 172.16.0.5');
    assert.equal(await ask('vm3', '172.16.0.101', 22), 'vm1 saw 172.16.0.5');
    assert.equal(await ask('vm1', '172.16.0.101', 22), 'vm1 saw 172.16.0.101');
  });

  test('OSSN-0020: a connection through a floating IP ends with it; the router itself never answers for the address', async (t) => {
    await Promise.all([serve(t, 'vm1', 22), serve(t, 'outside', 80)]);
    const [into, out, kept] = [connection(t, 'outside', '172.16.0.101', 22), connection(t, 'vm1', '203.0.113.1', 80), connection(t, 'vm2', '203.0.113.1', 80)];
    for (const each of [into, out, kept]) assert.ok(await each.alive());
    plans.length = 0;
    assert.deepEqual(await apply([], [floating(1, '172.16.0.101', '10.0.0.11')]), {});
    // Address first, then its translation, then the connections.
    assert.deepEqual(plans, [
      `ip -n ${NAMESPACE} address del 172.16.0.101/32 dev qg-00000001-00`,
      `ip netns exec ${NAMESPACE} nft 'delete element inet patchbay floating { 172.16.0.101 }'`,
      `ip netns exec ${NAMESPACE} nft 'delete element inet patchbay fixed { 10.0.0.11 }'`,
      `ip netns exec ${NAMESPACE} conntrack -D -d 172.16.0.101`,
      `ip netns exec ${NAMESPACE} conntrack -D -q 172.16.0.101`,
    ]);
    assert.equal(await connections('-d 172.16.0.101'), '');
    assert.equal(await into.alive(), false);
    assert.equal(await out.alive(), false);
    assert.equal(await kept.alive(), true, 'who had nothing to do with it goes on');
    assert.equal(await pings('outside', '172.16.0.101'), false);
  });

  test('a floating IP that moves to another station: the old connection is cut, the new one leads there at once', async (t) => {
    await Promise.all([serve(t, 'vm1', 22), serve(t, 'vm2', 22)]);
    await apply([floating(1, '172.16.0.101', '10.0.0.11')]);
    const before = connection(t, 'outside', '172.16.0.101', 22);
    assert.ok(await before.alive());
    await apply([floating(1, '172.16.0.101', '10.0.0.12')]);
    assert.equal(await before.alive(), false);
    assert.equal(await ask('outside', '172.16.0.101', 22), 'vm2 saw 172.16.0.1');
    await apply([], [floating(1, '172.16.0.101', '10.0.0.12')]);
  });

  test('port forwardings: a port, a range moved to other numbers, a range as it is, a range to one port, each protocol its own; gone with its connections', async (t) => {
    await Promise.all([serve(t, 'vm1', 22), serve(t, 'vm2', 3001), serve(t, 'vm2', 5005, 'udp')]);
    const items = [floating(2, '172.16.0.102', null), forwarding(1, '172.16.0.102', [2222, 2222], '10.0.0.11', 22), forwarding(2, '172.16.0.102', [2000, 2010], '10.0.0.12', 3000), forwarding(3, '172.16.0.102', [5000, 5010], '10.0.0.12', 5000, 'udp'), forwarding(4, '172.16.0.102', [3001, 3003], '10.0.0.12', 3001, 'tcp', 3001)];
    assert.deepEqual(await apply(items), {});
    assert.equal(await ask('outside', '172.16.0.102', 2222), 'vm1 saw 172.16.0.1');
    assert.equal(await ask('outside', '172.16.0.102', 2001), 'vm2 saw 172.16.0.1');
    assert.equal(await ask('outside', '172.16.0.102', 5005, 'udp'), 'vm2 saw 172.16.0.1');
    assert.equal(await ask('outside', '172.16.0.102', 3003), 'vm2 saw 172.16.0.1');
    assert.equal(await ask('outside', '172.16.0.102', 5005), undefined, 'the protocol counts');
    const open = connection(t, 'outside', '172.16.0.102', 2222);
    assert.ok(await open.alive());
    await apply([], [items[1]!]);
    assert.equal(await open.alive(), false);
    assert.equal(await ask('outside', '172.16.0.102', 2222), undefined);
    assert.equal(await ask('outside', '172.16.0.102', 2001), 'vm2 saw 172.16.0.1');
    await apply([], [items[0]!, ...items.slice(2)]);
  });

  test('N-L3-21 N-MD-5 N-MD-15: 169.254.169.254:80 leads to port 9697 of the router, and nothing else does', async () => {
    const status = async (address: string, from = 'vm1'): Promise<string> => sh(`ip netns exec ${from} curl -s -g -m 3 -o /dev/null -w '%{http_code}' 'http://${address}/' || true`);
    assert.equal(await status('169.254.169.254'), '503', 'the proxy answers that nobody is behind it');
    assert.equal(await status('[fe80::a9fe:a9fe%25eth0]'), '503');
    assert.equal(await status('10.0.0.1:9697'), '000');
    assert.equal(await status('172.16.0.5:9697', 'outside'), '000');
    // N-MD-15: without the proxy the router is silent.
    await apply([router({ metadata: false })]);
    assert.equal(await status('169.254.169.254'), '000');
    assert.equal((await sh(`ip netns pids ${NAMESPACE}`)).trim(), '');
    await apply([router()]);
    assert.equal(await status('169.254.169.254'), '503');
  });

  test('IPv6 prefixes are announced while a leg has one with a mode; what changes is said at once', async () => {
    const announcing = { ...INNER, advertisements: [{ cidr: '2001:db8:1::/64', mode: 'slaac', dns_nameservers: ['2001:db8::53'] }] } as typeof INNER;
    await sh('ip netns exec vm2 sysctl -qw net.ipv6.conf.eth0.accept_ra=1 net.ipv6.conf.eth0.autoconf=1');
    await apply([announcing]);
    for (let i = 0; i < 100 && !(await succeeds("ip -n vm2 -6 address show dev eth0 | grep -q 'inet6 2001:db8:1:'")); i++) await sh('sleep 0.1');
    assert.match(await sh('ip -n vm2 -6 route show'), /^default via fe80::\S+ dev eth0 proto ra/m);
    plans.length = 0;
    await apply([{ ...announcing, advertisements: [{ cidr: '2001:db8:1::/64', mode: 'dhcpv6-stateful', dns_nameservers: [] }] }]);
    assert.deepEqual(plans, [`write ${folder}/radvd/${NAMESPACE}/config`, 'kill -HUP radvd']);
    await apply([INNER]);
    const radvds = (): Promise<string> => sh(`ps -o args= -p "$(ip netns pids ${NAMESPACE} | paste -sd,)" || true`);
    for (let i = 0; i < 5; i++) {
      const advertisers = new Advertisers({ root: `${folder}/radvd`, intervals: { min: 3, max: 4 } });
      await advertisers.ensure(NAMESPACE, [announcing]);
      await advertisers.ensure(NAMESPACE, [{ ...announcing, mtu: 1400 }]);
      await sh('sleep 0.1');
      assert.match(await radvds(), /radvd/, 'a change right after the start ends it');
      await advertisers.remove(NAMESPACE);
    }
    assert.doesNotMatch(await radvds(), /radvd/);
  });

  test('law 4: a proxy that does not start costs metadata only, and is tried again by itself', async () => {
    await apply([router({ metadata: false })]);
    await sh(`mkdir -p ${folder}/metadata/${NAMESPACE}/config`);
    const woken = Promise.withResolvers<void>();
    routing = manager({ wake: woken.resolve, retryMs: 5 });
    const reasons = await apply([router(), GATEWAY, INNER, OTHER]);
    assert.deepEqual(Object.keys(reasons), [`router/${ROUTER}`]);
    assert.match(reasons[`router/${ROUTER}`]!, /^metadata is not served: /);
    assert.ok(await pings('vm1', '10.9.0.13'));
    await sh(`rmdir ${folder}/metadata/${NAMESPACE}/config`);
    await woken.promise;
    assert.deepEqual((await routing.apply()).filter(({ key }) => key.startsWith('router/')), [{ key: `router/${ROUTER}`, ok: true }]);
  });

  test('programs whose pid files are lost are found by the next check: none is started a second time', async () => {
    await apply([{ ...INNER, advertisements: [{ cidr: '2001:db8:1::/64', mode: 'slaac', dns_nameservers: [] }] } as typeof INNER]);
    const programs = async () => (await sh(`for pid in $(ip netns pids ${NAMESPACE}); do echo $(ps -o comm=,lstart= -p $pid) $pid; done`)).trim().split('\n').sort();
    const before = await programs();
    assert.deepEqual([...new Set(before.map((line) => line.split(' ')[0]))], ['haproxy', 'radvd']);
    await sh(`rm ${folder}/radvd/${NAMESPACE}/pid ${folder}/metadata/${NAMESPACE}/pid`);
    await routing.check();
    assert.deepEqual(await apply([]), {});
    assert.deepEqual(await programs(), before);
    await apply([INNER]);
  });

  test('N-L3-13: one address scope goes through without translation, two meet only outside', async (t) => {
    await Promise.all([serve(t, 'outside', 80), serve(t, 'vm1', 22), serve(t, 'vm3', 22)]);
    const scoped = (item: typeof INNER, ipv4: string | null) => ({ ...item, address_scopes: { ipv4, ipv6: ipv4 } });
    await apply([scoped(GATEWAY, SCOPE_A), scoped(INNER, SCOPE_A), scoped(OTHER, SCOPE_B)]);
    assert.equal(await ask('vm1', '203.0.113.1', 80), 'outside saw 10.0.0.11', 'same scope: no NAT');
    assert.equal(await ask('outside', '10.0.0.11', 22), 'vm1 saw 172.16.0.1', 'and in');
    assert.equal(await ask('vm3', '203.0.113.1', 80), 'outside saw 172.16.0.5', 'other scope: NAT');
    assert.equal(await ask('vm1', '10.9.0.13', 22), undefined, 'no direct path between scopes');
    assert.equal(await ask('vm3', '10.0.0.11', 22), undefined);
    // IPv6 has no translation: another scope is another world.
    assert.ok(await pings('vm1', '2001:db8:16::1'));
    assert.equal(await pings('vm3', '2001:db8:16::1'), false);
    // A floating IP leads from one scope into another: that is what it is for.
    await apply([floating(1, '172.16.0.101', '10.9.0.13')]);
    assert.equal(await ask('outside', '172.16.0.101', 22), 'vm3 saw 172.16.0.1');
    await apply([GATEWAY, INNER, OTHER], [floating(1, '172.16.0.101', '10.9.0.13')]);
  });

  test('enable_snat false: nothing is translated, and who knows the way comes in', async (t) => {
    await Promise.all([serve(t, 'outside', 80), serve(t, 'vm1', 22)]);
    await apply([router({ enable_snat: false })]);
    assert.equal(await ask('vm1', '203.0.113.1', 80), 'outside saw 10.0.0.11');
    assert.equal(await ask('outside', '10.0.0.11', 22), 'vm1 saw 172.16.0.1');
    await apply([router()]);
  });

  test('IPv6 is routed both ways without translation', async (t) => {
    await Promise.all([serve(t, 'outside', 80, 'tcp', 6), serve(t, 'vm1', 22, 'tcp', 6)]);
    assert.equal(await ask('vm1', '2001:db8:16::1', 80), 'outside saw 2001:db8:1::11');
    assert.equal(await ask('outside', '2001:db8:1::11', 22), 'vm1 saw 2001:db8:16::1');
    assert.ok(await pings('vm1', '2001:db8:9::13'));
  });

  test('extra routes lead to who is named, and go again', async () => {
    await sh('ip -n vm2 address add 198.51.100.7/32 dev lo');
    await apply([router({ routes: [{ destination: '198.51.100.0/24', nexthop: '10.0.0.12' }] })]);
    assert.ok(await pings('vm3', '198.51.100.7'));
    await apply([router()]);
    assert.equal(await succeeds(`ip -n ${NAMESPACE} route show 198.51.100.0/24 | grep -q .`), false);
  });

  test('law 4: what cannot be realised is left out, alone, with its reason', async () => {
    const bad = floating(3, '172.16.0.103', '10.0.0.11" ; drop');
    const twice = [floating(4, '172.16.0.104', '10.0.0.12'), floating(5, '172.16.0.105', '10.0.0.12')];
    assert.deepEqual(await apply([bad, ...twice]), {
      [keyOf(bad)]: '"10.0.0.11\\" ; drop" is no IPv4 address', [keyOf(twice[1]!)]: '10.0.0.12 has another floating IP on this router',
    });
    assert.ok(await pings('outside', '172.16.0.104'));
    await apply([], [bad, ...twice]);
  });

  test('law 2, ATT-nat: an agent with empty memory plans nothing; what somebody changed by hand is mended', async (t) => {
    const items = [router({ routes: [{ destination: '198.51.100.0/24', nexthop: '10.0.0.12' }] }), GATEWAY, INNER, OTHER, floating(1, '172.16.0.101', '10.0.0.11'), forwarding(1, '172.16.0.102', [2222, 2222], '10.0.0.12', 22), forwarding(3, '172.16.0.102', [5000, 5010], '10.0.0.12', 5000, 'udp'), floating(2, '172.16.0.102', null)];
    await apply(items);
    await serve(t, 'vm1', 22);
    routing = manager();
    plans.length = plugger.calls.length = 0;
    await apply(items);
    routing.inSync();
    await routing.apply();
    assert.deepEqual(plans, []);
    await sh(`ip netns exec ${NAMESPACE} nft flush chain inet patchbay forward; ip -n ${NAMESPACE} address del 172.16.0.101/32 dev qg-00000001-00; ip -n ${NAMESPACE} route del default; ip netns exec ${NAMESPACE} sysctl -qw net.ipv4.ip_forward=0`);
    await routing.check();
    await routing.apply();
    assert.equal(await ask('outside', '172.16.0.101', 22), 'vm1 saw 172.16.0.1');
    plans.length = 0;
    await routing.check();
    await routing.apply();
    assert.deepEqual(plans, []);
  });

  test('N-L3-8: two routers with one address plan live side by side; leftovers of nobody are swept', async () => {
    const second = '22222222-0000-4000-8000-000000000002';
    await makeBridge('twin');
    await station('vm4', 'twin', ['10.0.0.11/24'], '10.0.0.1');
    const twin = { ...leg('interface', 4, ['10.0.0.1/24']), router_id: second };
    BRIDGES[twin.port_id] = 'twin';
    await apply([{ ...router(), router_id: second }, twin]);
    assert.ok(await pings('vm4', '10.0.0.1'));
    assert.ok(await pings('vm1', '10.0.0.1'));
    assert.equal(await pings('vm4', '10.0.0.12'), false);
    routing = manager();
    routing.update([router(), GATEWAY, INNER, OTHER], []);
    routing.inSync();
    await routing.apply();
    assert.equal((await sh('ip netns list')).includes(second), false, 'nobody names the second router any more');
  });

  test('an agent that starts on a host with 100 routers touches none of them', async (t) => {
    await makeBridge('many');
    const many: Item[] = Array.from({ length: 100 }, (_, i) => {
      const router_id = `33333333-0000-4000-8000-${String(i).padStart(12, '0')}`;
      const inner = { ...leg('interface', 10, ['10.7.0.1/24']), router_id, port_id: `${String(10_000_000 + i)}-0000-4000-8000-000000000000`, device: `qr-${10_000_000 + i}-00` };
      BRIDGES[inner.port_id] = 'many';
      // Most have no gateway, and five a proxy.
      return [{ ...router({ metadata: i % 20 === 0 }), router_id }, inner];
    }).flat();
    const all = [router(), GATEWAY, INNER, OTHER, ...many];
    const started = performance.now();
    assert.deepEqual(await apply(all), {});
    t.diagnostic(`made in ${Math.round(performance.now() - started)} ms`);
    routing = manager();
    plans.length = plugger.calls.length = 0;
    const again = performance.now();
    await apply(all);
    routing.inSync();
    await routing.apply();
    t.diagnostic(`looked at in ${Math.round(performance.now() - again)} ms`);
    assert.deepEqual(plans, []);
    assert.deepEqual(plugger.calls.filter((call) => call.startsWith('unplug')), []);
    assert.ok(await pings('vm1', '10.0.0.1'));
    await apply([], many);
    assert.equal((await sh('ip netns list')).split('\n').filter((line) => line.includes('qrouter-')).length, 1);
  });

  test('a leg that goes takes its device along; a router that goes leaves nothing', async () => {
    await apply([], [OTHER]);
    assert.equal((await sh('ip -o link show')).includes('qr-00000003'), false);
    await apply([], [router(), GATEWAY, INNER]);
    assert.equal((await sh('ip netns list')).includes('qrouter-'), false);
    assert.equal(/q[rg]-/.test(await sh('ip -o link show')), false);
  });
}
