import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cgroupMounts, limitFiles } from './cgroups.ts';

test('hierarchies are found in the mount table, those with their own root', () => {
  const table = `30 20 0:26 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755
31 30 0:27 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
32 30 0:28 / /sys/fs/cgroup/pids rw,relatime shared:5 - cgroup cgroup rw,pids
33 30 0:29 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,name=systemd
34 30 0:30 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct
35 30 0:31 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
36 30 0:27 /docker/1 /elsewhere rw,relatime - cgroup cgroup rw,memory
`;
  assert.deepEqual(cgroupMounts(table), [
    { kind: 'memory', path: '/sys/fs/cgroup/memory' },
    { kind: 'pids', path: '/sys/fs/cgroup/pids' },
    { kind: 'systemd', path: '/sys/fs/cgroup/systemd' },
    { kind: 'v2', path: '/sys/fs/cgroup/unified' },
  ]);
});

test('limits go into the files of each kind, never below what an init needs', () => {
  const limits = { memory: 64, pids: 512 };
  assert.deepEqual(limitFiles('v2', limits), [['memory.max', '67108864'], ['pids.max', '512']]);
  assert.deepEqual(limitFiles('memory', limits), [['memory.limit_in_bytes', '67108864']]);
  assert.deepEqual(limitFiles('pids', limits), [['pids.max', '512']]);
  assert.deepEqual(limitFiles('systemd', limits), []);
  assert.deepEqual(limitFiles('memory', { memory: 1, pids: 1 }), [['memory.limit_in_bytes', '33554432']]);
});
