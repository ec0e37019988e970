/** The command line of qemu for a guest: pure, from what is asked for to what `qemu-system-x86_64` reads. Paths are relative to the guest's folder. */

import type { InstanceItem, InstanceNic } from '#hoststate/instance.ts';

/** Whom qemu is once it has opened everything: nobody else on the host, above the users of containers. */
export const QEMU_USER = 1_000_065_536;

/** MiB that qemu itself needs besides the guest's memory: half of it for code that it has translated, which it would let grow to 1 GiB. */
export const OVERHEAD = 256;
const TRANSLATED = OVERHEAD / 2;

/** Trap 1 of dataplane.md: a switch in user space passes no packet whose checksum is still to be computed; the rest depends on checksums. */
const OFFLOADS = ['csum', 'guest_csum', 'gso', 'guest_tso4', 'guest_tso6', 'guest_ecn', 'guest_ufo', 'host_tso4', 'host_tso6', 'host_ecn', 'host_ufo'];

export interface QemuPlace {
  /** Of the QMP socket and the pid file; absolute, without a comma. */
  readonly qmpSocket: string;
  readonly pidFile: string;
  readonly kvm: boolean;
}

/** Arguments for a guest whose item has a `machine`; `nics` may be others than the item's. */
export function qemuArguments(item: InstanceItem, nics: readonly InstanceNic[], { qmpSocket, pidFile, kvm }: QemuPlace): string[] {
  const { server_id, ram, vcpus, machine } = item;
  return [
    '-name', `guest=${server_id}`, '-uuid', server_id,
    '-nodefaults', '-no-user-config', '-display', 'none', '-rtc', 'base=utc',
    '-machine', 'pc,usb=off,dump-guest-core=off',
    ...(kvm ? ['-accel', 'kvm', '-cpu', 'host'] : ['-accel', `tcg,thread=multi,tb-size=${TRANSLATED}`, '-cpu', 'max']),
    '-smp', String(vcpus), '-m', `${ram}M`,
    // By this name cloud-init knows that it is in OpenStack.
    '-smbios', 'type=1,manufacturer=Patchbay,product=OpenStack Nova',
    '-chardev', 'file,id=serial,path=console.log,append=on', '-serial', 'chardev:serial',
    '-chardev', `socket,id=qmp,path=${qmpSocket},server=on,wait=off`, '-mon', 'chardev=qmp,mode=control',
    // An emulated machine has next to nothing to be random with.
    '-object', 'rng-random,id=rng,filename=/dev/urandom', '-device', 'virtio-rng-pci,rng=rng',
    ...disk('disk', 'disk', 'discard=unmap', 'bootindex=1'),
    ...(item.has_config_drive ? disk('config', 'config.iso', 'read-only=on') : []),
    ...nics.flatMap(nicArguments),
    ...directBoot(machine),
    // What qemu opens it opens first, as root; it forks to go to the background, so that the filter cannot forbid forks.
    '-sandbox', 'on,obsolete=deny,resourcecontrol=deny', '-runas', `${QEMU_USER}:${QEMU_USER}`,
    '-daemonize', '-pidfile', pidFile,
  ];
}

/** The back end's id of a NIC; the front end's is its device. */
export function netdevId(device: string): string {
  return `net-${device}`;
}

function nicArguments({ device, mac_address, mtu }: InstanceNic): string[] {
  return [
    '-netdev', `tap,id=${netdevId(device)},ifname=${device},script=no,downscript=no`,
    '-device', ['virtio-net-pci', `id=${device}`, `netdev=${netdevId(device)}`, `mac=${mac_address}`, `host_mtu=${mtu}`, ...OFFLOADS.map((name) => `${name}=off`), 'romfile='].join(','),
  ];
}

function disk(id: string, file: string, option: string, ...device: string[]): string[] {
  return ['-blockdev', `driver=raw,node-name=${id},file.driver=file,file.filename=${file},${option}`, '-device', ['virtio-blk-pci', `drive=${id}`, ...device].join(',')];
}

function directBoot(machine: InstanceItem['machine']): string[] {
  if (!machine?.kernel_id) return [];
  return ['-kernel', 'kernel', ...(machine.ramdisk_id ? ['-initrd', 'ramdisk'] : []), '-append', machine.os_command_line ?? 'root=/dev/vda console=tty0 console=ttyS0'];
}
