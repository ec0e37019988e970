import assert from 'node:assert/strict';
import { test } from 'node:test';
import { USER_COUNT, USER_SHIFT, crunConfig } from './crun-config.ts';
import { type SeccompRule, seccompProfile } from './seccomp.ts';

interface Config {
  readonly process: { readonly noNewPrivileges: boolean; readonly capabilities: Record<string, string[]>; readonly terminal: boolean };
  readonly root: { readonly path: string };
  readonly hostname: string;
  readonly mounts: { readonly destination: string; readonly type: string; readonly source: string; readonly options: string[] }[];
  readonly linux: {
    readonly namespaces: { readonly type: string; readonly path?: string }[];
    readonly uidMappings: object[];
    readonly gidMappings: object[];
    readonly maskedPaths: string[];
    readonly readonlyPaths: string[];
    readonly seccomp: ReturnType<typeof seccompProfile>;
  };
}

const config = crunConfig('web-1', '/run/x/root', 'x64') as Config;

test('a guest has every namespace of its own and no user of the host', () => {
  assert.deepEqual(
    config.linux.namespaces.map((each) => each.type).sort(),
    ['cgroup', 'ipc', 'mount', 'network', 'pid', 'user', 'uts'],
  );
  assert.ok(config.linux.namespaces.every((each) => each.path === undefined), 'none is somebody else’s');
  for (const mapping of [config.linux.uidMappings, config.linux.gidMappings])
    assert.deepEqual(mapping, [{ containerID: 0, hostID: USER_SHIFT, size: USER_COUNT }]);
});

test('root inside keeps no capability over the kernel, and none can be gained', () => {
  const { bounding, effective, permitted, inheritable, ambient } = config.process.capabilities;
  assert.deepEqual(bounding, effective);
  assert.deepEqual(bounding, permitted);
  assert.equal(inheritable, undefined);
  assert.equal(ambient, undefined);
  for (const forbidden of ['SYS_ADMIN', 'SYS_MODULE', 'SYS_TIME', 'SYS_BOOT', 'SYS_RAWIO', 'SYS_PTRACE', 'SYS_RESOURCE', 'MKNOD', 'BPF', 'PERFMON', 'SYSLOG', 'SETFCAP', 'DAC_READ_SEARCH'])
    assert.ok(!bounding!.includes(`CAP_${forbidden}`), forbidden);
  assert.equal(config.process.noNewPrivileges, true);
});

test('of /proc/sys only net is writable, and nothing of the host is mounted', () => {
  assert.ok(!config.linux.readonlyPaths.some((path) => path.startsWith('/proc/sys/net') || path === '/proc/sys'));
  for (const part of ['kernel', 'vm', 'fs', 'dev', 'user']) assert.ok(config.linux.readonlyPaths.includes(`/proc/sys/${part}`), part);
  for (const path of ['/proc/kcore', '/proc/kmsg', '/sys/firmware']) assert.ok(config.linux.maskedPaths.includes(path), path);
  assert.deepEqual([...new Set(config.mounts.map((mount) => mount.type))].sort(), ['devpts', 'proc', 'sysfs', 'tmpfs']);
  assert.ok(config.mounts.every((mount) => !mount.options.includes('bind') && !mount.options.includes('rbind')));
  assert.ok(config.mounts.find((mount) => mount.destination === '/sys')!.options.includes('ro'));
});

test('the caller gives the host name and the root', () => {
  assert.equal(config.hostname, 'web-1');
  assert.equal(config.root.path, '/run/x/root');
  assert.equal((crunConfig('x'.repeat(100), '/', 'x64') as Config).hostname.length, 63);
});

test('the system call filter denies mounts, modules, clocks, nested namespaces, devices and vsock', () => {
  const verdict = (name: string, ...args: number[]) => filter(config.linux.seccomp.syscalls, name, args);
  for (const name of ['mount', 'umount2', 'fsopen', 'move_mount', 'init_module', 'finit_module', 'settimeofday', 'clock_settime', 'clock_adjtime', 'unshare', 'setns', 'bpf', 'keyctl', 'kexec_load', 'ptrace', 'open_by_handle_at', 'reboot'])
    assert.equal(verdict(name), 1, name);
  assert.equal(verdict('clone3'), 38);
  assert.equal(verdict('clone', 0x11), 'allowed', 'fork');
  assert.equal(verdict('clone', 0x3d0f00), 'allowed', 'a thread');
  assert.equal(verdict('clone', 0x10000011), 1, 'CLONE_NEWUSER');
  assert.equal(verdict('clone', 0x40000011), 1, 'CLONE_NEWNET');
  assert.equal(verdict('mknodat', 0, 0, 0o060644), 1, 'block device');
  assert.equal(verdict('mknod', 0, 0o020644), 1, 'character device');
  assert.equal(verdict('mknodat', 0, 0, 0o010644), 'allowed', 'a fifo');
  assert.equal(verdict('socket', 40), 97, 'AF_VSOCK');
  assert.equal(verdict('socket', 17), 'allowed', 'AF_PACKET, for DHCP and tcpdump');
  assert.equal(verdict('socket', 2), 'allowed');
});

test('calls of another ABI are no way around the filter', () => {
  assert.deepEqual(seccompProfile('x64').architectures, ['SCMP_ARCH_X86_64']);
  assert.deepEqual(seccompProfile('arm64').architectures, ['SCMP_ARCH_AARCH64']);
});

/** What the profile does with a call, as libseccomp reads it: an error number or `allowed`. */
function filter(rules: readonly SeccompRule[], name: string, args: readonly number[]): number | 'allowed' {
  const hit = rules.find(
    (rule) =>
      rule.names.includes(name) &&
      (rule.args ?? []).every(({ index, value, valueTwo, op }) => {
        const arg = args[index] ?? 0;
        return op === 'SCMP_CMP_EQ' ? arg === value : (BigInt(arg) & BigInt(value)) === BigInt(valueTwo!);
      }),
  );
  return hit?.errnoRet ?? 'allowed';
}
