import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MAX_HOSTS } from '#model/data-centre.ts';
import type { HostRole } from '#protocol/messages.ts';
import { uplinkCommands } from './external-bridge.ts';
import { hostWireLines, segmentLines, wireNames, wireScript } from './fabric.ts';
import { type SysctlPort, formatMissingLimits, missingLimits, raiseLimits, restoreLimits } from './limits.ts';
import { type HostPlan, listenPort, planDataCentre } from './plan.ts';
import { checkStatePath } from './state-folder.ts';

test('hosts get the addresses of the labs, each its own', () => {
  const plan = planDataCentre({ state: '/s', hosts: MAX_HOSTS });
  const { hosts, listen, physnet_mtu } = plan;
  assert.deepEqual(hosts[0], { name: 'compute1', roles: ['compute', 'network'], mgmt_ip: '192.168.1.21', local_ip: '192.168.2.21' });
  assert.equal(new Set(hosts.map(({ local_ip }) => local_ip)).size, MAX_HOSTS);
  assert.ok(hosts.every(({ local_ip }) => Number(local_ip.split('.')[3]) < 255));
  assert.ok(hosts.flatMap((host) => Object.values(wireNames(plan, host))).every((name) => name!.length <= 15), 'names of links have at most 15 characters');
  assert.equal(listenPort(listen), 8770);
  assert.equal(physnet_mtu, 1500);
  assert.throws(() => planDataCentre({ state: '/s', hosts: 0 }), { message: '--hosts takes a number from 1 to 200, not 0' });
});

test('the wires of a host: two segments, and an underlay link with a route of its own and 100 bytes more', () => {
  const plan = planDataCentre({ state: '/s', hosts: 1 });
  const [host] = plan.hosts;
  assert.equal(hostWireLines(plan, host!, 77).join('\n'), `link add compute1-phys mtu 1500 type veth peer name phys mtu 1500 netns 77
link set compute1-phys master physnet up
link add compute1-mgmt mtu 1500 type veth peer name mgmt mtu 1500 netns 77
link set compute1-mgmt master mgmt up
link add compute1-ul mtu 1600 type veth peer name underlay mtu 1600 netns 77
address add 192.168.2.1/32 dev compute1-ul
link set compute1-ul up
route add 192.168.2.21/32 dev compute1-ul src 192.168.2.1`);
  assert.equal(wireScript(plan, [host!]), `echo 1 >/proc/sys/net/ipv4/conf/compute1-ul/forwarding
for end in outside-phys compute1-phys compute1-ul; do ethtool -K $end tx off >/dev/null; done`);
  assert.equal(uplinkCommands(plan, host!).join(' '), '-- --may-exist add-port br-phys phys');
});

/** Lab 10 with names as long as they may be. */
function networkNodePlan() {
  const entry = (name: string, role: HostRole) => ({ name, roles: [role] });
  const hosts = [entry('gateway012', 'network'), entry('compute012', 'compute'), entry('compute013', 'compute')];
  return planDataCentre({ state: '/s', hosts, externalBridge: { name: 'br-ext', vni: 100, hub: 'gateway012', address: '172.16.0.1/24', mtu: 1450 } });
}

test('N-NN-1, N-NN-3: hosts by their roles have the addresses of lab 10, no segment but mgmt joins them, and only the hub has a way out', () => {
  const plan = networkNodePlan();
  const [hub, spoke] = plan.hosts;
  assert.deepEqual(plan.hosts.map(({ name, roles, mgmt_ip, local_ip }) => `${name} ${roles} ${mgmt_ip} ${local_ip}`), [
    'gateway012 network 192.168.1.12 192.168.2.12', 'compute012 compute 192.168.1.21 192.168.2.21', 'compute013 compute 192.168.1.22 192.168.2.22',
  ]);
  assert.ok(plan.hosts.flatMap((host) => Object.values(wireNames(plan, host))).every((name) => name === undefined || name.length <= 15));
  const masters = (host: HostPlan) => hostWireLines(plan, host, 77).filter((line) => line.includes(' master '));
  assert.deepEqual(masters(hub!), ['link set gateway012-pub master public up', 'link set gateway012-mgmt master mgmt up']);
  assert.deepEqual(masters(spoke!), ['link set compute012-mgmt master mgmt up']);
  assert.ok(segmentLines(plan).includes('link set public arp off up') && !segmentLines(plan).join().includes('physnet'));
  assert.equal(wireScript(plan, [hub!, spoke!]).split('\n').at(-1), 'for end in outside-pub gateway012-pub gateway012-ul compute012-ul; do ethtool -K $end tx off >/dev/null; done');
});

test('N-NN-4, N-NN-6: the external bridge has the MTU of a tunnel, a patch to br-phys, and VXLAN ports from the hub to all and from the others to the hub', () => {
  const plan = networkNodePlan();
  const lines = (host: HostPlan) => uplinkCommands(plan, host).join(' ').split(/(?:^| )-- (?:--may-exist )?/).slice(1);
  const bridge = [
    'add-br br-ext', 'set Bridge br-ext datapath_type=netdev fail_mode=standalone external_ids:patchbay-uplink=true', 'set Interface br-ext mtu_request=1450',
    'add-port br-ext patch-br-phys', 'set Interface patch-br-phys type=patch options:peer=patch-br-ext',
    'add-port br-phys patch-br-ext', 'set Interface patch-br-ext type=patch options:peer=patch-br-phys',
  ];
  const tunnel = (local: string, remote: string) => [`add-port br-ext vxlan-${remote}`, `set Interface vxlan-${remote} type=vxlan options:local_ip=${local} options:remote_ip=${remote} options:key=100`];
  const [hub, spoke] = plan.hosts;
  assert.deepEqual(lines(hub!), [...bridge, ...tunnel('192.168.2.12', '192.168.2.21'), ...tunnel('192.168.2.12', '192.168.2.22')]);
  assert.deepEqual(lines(spoke!), [...bridge, ...tunnel('192.168.2.21', '192.168.2.12')]);
});

class FakeSysctls implements SysctlPort {
  readonly values = new Map([['fs.inotify.max_user_instances', 128], ['net.ipv4.neigh.default.gc_thresh3', 1024], ['net.ipv6.neigh.default.gc_thresh3', 1024]]);
  read(sysctl: string): number {
    return this.values.get(sysctl)!;
  }
  write(sysctl: string, value: number): void {
    this.values.set(sysctl, value);
  }
  inotifyInstances(): number {
    return 10;
  }
}

test('limits that all namespaces share are computed, named, raised and restored', () => {
  const sysctls = new FakeSysctls();
  const before = new Map(sysctls.values);
  assert.deepEqual(missingLimits(2, sysctls), []);
  const missing = missingLimits(40, sysctls);
  assert.equal(
    formatMissingLimits(40, missing),
    '40 hosts exceed limits of this machine (fs.inotify.max_user_instances is 128, 170 needed; net.ipv4.neigh.default.gc_thresh3 is 1024, 1280 needed; net.ipv6.neigh.default.gc_thresh3 is 1024, 1280 needed): use fewer hosts, or --raise-limits to set them until `down`',
  );
  const raised = raiseLimits(missing, sysctls);
  assert.deepEqual(missingLimits(40, sysctls), []);
  sysctls.write('fs.inotify.max_user_instances', 8192); // somebody else's wish since
  restoreLimits(raised, sysctls);
  assert.deepEqual(sysctls.values, before.set('fs.inotify.max_user_instances', 8192));
});

test('a state folder that cannot work is refused with the reason', () => {
  const complaint = (state: string) => {
    try {
      checkStatePath(state);
      return 'none';
    } catch (error) {
      return (error as Error).message;
    }
  };
  assert.equal(complaint('/tmp/patchbay-does-not-exist'), 'none');
  assert.equal(complaint('/tmp/a b'), '--state /tmp/a b: the path may hold only letters, digits and / _ . + -');
  assert.equal(complaint('/run/patchbay'), '--state /run/patchbay: hosts have their own /run; use another place');
  assert.equal(complaint(`/tmp/${'x'.repeat(90)}`), `--state /tmp/${'x'.repeat(90)}: the path is longer than 94 characters, too long for a unix socket`);
  assert.equal(complaint('/usr'), '--state /usr is not empty and not a Patchbay state; choose a new folder');
  assert.equal(complaint('/bin/sh'), '--state /bin/sh is not a directory');
});
