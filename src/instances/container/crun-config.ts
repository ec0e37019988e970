/** The OCI runtime configuration of an instance: pure, what `crun create` reads. */

import { seccompProfile } from './seccomp.ts';

/** The guest's users 0…65535 are these on the host: far above what Debian hands out as subuids. */
export const USER_SHIFT = 1_000_000_000;
export const USER_COUNT = 65_536;

/** Where the guest finds the files that the driver brings along; a name no image uses. */
export const TOOLS = '/.patchbay';

/** What root keeps inside: its own network, its own files and processes. No SYS_ADMIN: nothing to mount with. */
const CAPABILITIES = [
  'CAP_CHOWN',
  'CAP_DAC_OVERRIDE',
  'CAP_FOWNER',
  'CAP_FSETID',
  'CAP_KILL',
  'CAP_NET_ADMIN',
  'CAP_NET_BIND_SERVICE',
  'CAP_NET_RAW',
  'CAP_SETGID',
  'CAP_SETUID',
  'CAP_SYS_CHROOT',
];

const MASKED = [
  '/proc/acpi', '/proc/asound', '/proc/kallsyms', '/proc/kcore', '/proc/keys', '/proc/key-users', '/proc/kmsg',
  '/proc/latency_stats', '/proc/sched_debug', '/proc/scsi', '/proc/timer_list', '/proc/timer_stats', '/proc/vmallocinfo',
  '/sys/devices/virtual/powercap', '/sys/firmware', '/sys/fs/selinux', '/sys/kernel/debug', '/sys/kernel/tracing',
];

/** All of /proc/sys but `net`, which belongs to the guest's own network namespace. */
const READ_ONLY = [
  '/proc/bus', '/proc/fs', '/proc/irq', '/proc/sysrq-trigger',
  '/proc/sys/abi', '/proc/sys/crypto', '/proc/sys/debug', '/proc/sys/dev', '/proc/sys/fs', '/proc/sys/kernel',
  '/proc/sys/sunrpc', '/proc/sys/user', '/proc/sys/vm',
];

/**
 * The configuration for `crun create`. `rootPath` is where the overlay is mounted in the namespace crun starts in.
 * Cgroups are not in it: the driver puts crun itself into them (dataplane.md trap 16).
 */
export function crunConfig(hostname: string, rootPath: string, arch: string = process.arch): object {
  const mapping = [{ containerID: 0, hostID: USER_SHIFT, size: USER_COUNT }];
  return {
    ociVersion: '1.0.0',
    process: {
      terminal: false,
      user: { uid: 0, gid: 0 },
      args: [`${TOOLS}/init`],
      env: ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', 'HOME=/root', 'TERM=linux'],
      cwd: '/',
      capabilities: { bounding: CAPABILITIES, effective: CAPABILITIES, permitted: CAPABILITIES },
      noNewPrivileges: true,
      rlimits: [{ type: 'RLIMIT_CORE', soft: 0, hard: 0 }],
    },
    root: { path: rootPath, readonly: false },
    // The kernel takes 64 characters; a server with a longer name shall run all the same.
    hostname: hostname.slice(0, 63),
    mounts: [
      { destination: '/proc', type: 'proc', source: 'proc', options: ['nosuid', 'noexec', 'nodev'] },
      { destination: '/dev', type: 'tmpfs', source: 'tmpfs', options: ['nosuid', 'mode=755', 'size=64k'] },
      {
        destination: '/dev/pts',
        type: 'devpts',
        source: 'devpts',
        options: ['nosuid', 'noexec', 'newinstance', 'ptmxmode=0666', 'mode=0620'],
      },
      { destination: '/dev/shm', type: 'tmpfs', source: 'shm', options: ['nosuid', 'noexec', 'nodev', 'mode=1777'] },
      { destination: '/sys', type: 'sysfs', source: 'sysfs', options: ['nosuid', 'noexec', 'nodev', 'ro'] },
      { destination: '/run', type: 'tmpfs', source: 'tmpfs', options: ['nosuid', 'nodev', 'mode=755'] },
    ],
    linux: {
      namespaces: ['user', 'pid', 'network', 'ipc', 'uts', 'mount', 'cgroup'].map((type) => ({ type })),
      uidMappings: mapping,
      gidMappings: mapping,
      maskedPaths: MASKED,
      readonlyPaths: READ_ONLY,
      seccomp: seccompProfile(arch),
    },
  };
}
