/**
 * The system calls a guest does not get, as an OCI seccomp profile.
 *
 * The user namespace already forbids most of them; the profile is the second lock, and the only one on doors that a user
 * namespace opens (a nested user namespace gives all capabilities) or ignores (vsock knows no network namespace).
 */

export interface SeccompArg {
  readonly index: number;
  readonly value: number;
  readonly valueTwo?: number;
  readonly op: 'SCMP_CMP_EQ' | 'SCMP_CMP_MASKED_EQ';
}

export interface SeccompRule {
  readonly names: readonly string[];
  readonly action: 'SCMP_ACT_ERRNO';
  readonly errnoRet: number;
  readonly args?: readonly SeccompArg[];
}

export interface SeccompProfile {
  readonly defaultAction: 'SCMP_ACT_ALLOW';
  /** Only the native one: calls by another ABI (i386, x32) kill the process, so that they are no way around. */
  readonly architectures: readonly string[];
  readonly syscalls: readonly SeccompRule[];
}

const EPERM = 1;
const ENOSYS = 38;
const EAFNOSUPPORT = 97;

const DENIED = [
  // mounts
  'mount', 'umount2', 'pivot_root', 'move_mount', 'open_tree', 'fsopen', 'fsconfig', 'fsmount', 'fspick', 'mount_setattr',
  'swapon', 'swapoff', 'quotactl', 'quotactl_fd', 'name_to_handle_at', 'open_by_handle_at', 'fanotify_init',
  // namespaces
  'unshare', 'setns',
  // the kernel and the machine
  'init_module', 'finit_module', 'delete_module', 'kexec_load', 'kexec_file_load', 'reboot', 'syslog', 'acct',
  'iopl', 'ioperm', 'vhangup',
  // the clock
  'settimeofday', 'clock_settime', 'clock_adjtime', 'adjtimex',
  // ways into the kernel that a guest of a network does not need
  'bpf', 'perf_event_open', 'userfaultfd', 'io_uring_setup', 'io_uring_enter', 'io_uring_register', 'keyctl', 'add_key',
  'request_key', 'ptrace', 'process_vm_readv', 'process_vm_writev', 'kcmp', 'lookup_dcookie',
];

/** CLONE_NEWNS, …CGROUP, …UTS, …IPC, …USER, …PID, …NET (linux/sched.h). */
const CLONE_NEW = [0x00020000, 0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000];
const S_IFMT = 0o170000;
const S_IFCHR = 0o020000;
const S_IFBLK = 0o060000;
const AF_ALG = 38;
const AF_VSOCK = 40;
const TIOCSTI = 0x5412;

/** The profile for a guest on a machine of this architecture, in Node's words (`x64`, `arm64`). */
export function seccompProfile(arch: string): SeccompProfile {
  return {
    defaultAction: 'SCMP_ACT_ALLOW',
    architectures: [arch === 'arm64' ? 'SCMP_ARCH_AARCH64' : 'SCMP_ARCH_X86_64'],
    syscalls: [
      deny(DENIED, EPERM),
      // A filter cannot look into clone3's struct; glibc falls back to clone.
      deny(['clone3'], ENOSYS),
      ...CLONE_NEW.map((flag) => deny(['clone'], EPERM, masked(0, flag, flag))),
      ...[S_IFCHR, S_IFBLK].flatMap((type) => [
        // arm64 has no mknod, and libseccomp skips what an architecture does not have.
        deny(['mknod'], EPERM, masked(1, S_IFMT, type)),
        deny(['mknodat'], EPERM, masked(2, S_IFMT, type)),
      ]),
      ...[AF_ALG, AF_VSOCK].map((family) => deny(['socket'], EAFNOSUPPORT, { index: 0, value: family, op: 'SCMP_CMP_EQ' })),
      deny(['ioctl'], EPERM, masked(1, 0xffffffff, TIOCSTI)),
    ],
  };
}

function deny(names: readonly string[], errnoRet: number, ...args: SeccompArg[]): SeccompRule {
  return { names, action: 'SCMP_ACT_ERRNO', errnoRet, ...(args.length > 0 && { args }) };
}

function masked(index: number, mask: number, value: number): SeccompArg {
  return { index, value: mask, valueTwo: value, op: 'SCMP_CMP_MASKED_EQ' };
}
