import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hostWireLines, wireNames, wireScript } from './fabric.ts';
import { type SysctlPort, formatMissingLimits, missingLimits, raiseLimits, restoreLimits } from './limits.ts';
import { MAX_HOSTS, listenPort, planDataCentre } from './plan.ts';
import { checkStatePath } from './state-folder.ts';

test('hosts get the addresses of the labs, each its own', () => {
  const { hosts, listen, physnet_mtu } = planDataCentre({ state: '/s', hosts: MAX_HOSTS });
  assert.deepEqual(hosts[0], { name: 'compute1', number: 1, mgmt_ip: '192.168.1.21', local_ip: '192.168.2.21' });
  assert.equal(new Set(hosts.map(({ local_ip }) => local_ip)).size, MAX_HOSTS);
  assert.ok(hosts.every(({ local_ip }) => Number(local_ip.split('.')[3]) < 255));
  assert.ok(hosts.flatMap(wireNames).every((name) => name.length <= 15), 'names of links have at most 15 characters');
  assert.equal(listenPort(listen), 8770);
  assert.equal(physnet_mtu, 1500);
  assert.throws(() => planDataCentre({ state: '/s', hosts: 0 }), { message: '--hosts takes a number from 1 to 200, not 0' });
});

test('the wires of a host: two segments, and an underlay link with a route of its own and 100 bytes more', () => {
  const [host] = planDataCentre({ state: '/s', hosts: 1 }).hosts;
  assert.equal(hostWireLines(host!, 77, 1500).join('\n'), `link add compute1-phys mtu 1500 type veth peer name phys mtu 1500 netns 77
link set compute1-phys master physnet up
link add compute1-mgmt mtu 1500 type veth peer name mgmt mtu 1500 netns 77
link set compute1-mgmt master mgmt up
link add compute1-ul mtu 1600 type veth peer name underlay mtu 1600 netns 77
address add 192.168.2.1/32 dev compute1-ul
link set compute1-ul up
route add 192.168.2.21/32 dev compute1-ul src 192.168.2.1`);
  assert.equal(wireScript([host!]), `echo 1 >/proc/sys/net/ipv4/conf/compute1-ul/forwarding
for end in outside-phys compute1-phys compute1-ul; do ethtool -K $end tx off >/dev/null; done`);
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
