import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { InstanceItem } from '#hoststate/instance.ts';
import { qemuArguments } from './qemu-arguments.ts';

const item: InstanceItem = {
  type: 'instance', server_id: '6a1f4f3e-0000-4000-8000-000000000001', name: 'web', hostname: 'web', project_id: 'p', image: 'i', vcpus: 2, ram: 256,
  power: 'on', ready: true, generation: 1, config_drive: {}, has_config_drive: true,
  nics: [{ port_id: 'p1', device: 'tapaaaaaaaa-aa', mac_address: 'fa:16:3e:00:00:01', mtu: 1450 }],
  machine: { disk_format: 'raw', disk: 1, kernel_id: 'k', ramdisk_id: 'r', os_command_line: 'console=ttyS0 quiet' },
};
const place = { qmpSocket: '/run/x.qmp', pidFile: '/run/x.pid', kvm: false };

/** One option a line, as an operator would write it. */
function lines(given: InstanceItem, kvm = false): string {
  return qemuArguments(given, given.nics, { ...place, kvm }).join(' ').replaceAll(/ -(?=[a-z])/g, '\n-');
}

test('the whole command line of a guest with kernel, config drive and one NIC', () => {
  assert.equal(lines(item), `-name guest=6a1f4f3e-0000-4000-8000-000000000001
-uuid 6a1f4f3e-0000-4000-8000-000000000001
-nodefaults
-no-user-config
-display none
-rtc base=utc
-machine pc,usb=off,dump-guest-core=off
-accel tcg,thread=multi,tb-size=128
-cpu max
-smp 2
-m 256M
-smbios type=1,manufacturer=Patchbay,product=OpenStack Nova
-chardev file,id=serial,path=console.log,append=on
-serial chardev:serial
-chardev socket,id=qmp,path=/run/x.qmp,server=on,wait=off
-mon chardev=qmp,mode=control
-object rng-random,id=rng,filename=/dev/urandom
-device virtio-rng-pci,rng=rng
-blockdev driver=raw,node-name=disk,file.driver=file,file.filename=disk,discard=unmap
-device virtio-blk-pci,drive=disk,bootindex=1
-blockdev driver=raw,node-name=config,file.driver=file,file.filename=config.iso,read-only=on
-device virtio-blk-pci,drive=config
-netdev tap,id=net-tapaaaaaaaa-aa,ifname=tapaaaaaaaa-aa,script=no,downscript=no
-device virtio-net-pci,id=tapaaaaaaaa-aa,netdev=net-tapaaaaaaaa-aa,mac=fa:16:3e:00:00:01,host_mtu=1450,csum=off,guest_csum=off,gso=off,guest_tso4=off,guest_tso6=off,guest_ecn=off,guest_ufo=off,host_tso4=off,host_tso6=off,host_ecn=off,host_ufo=off,romfile=
-kernel kernel
-initrd ramdisk
-append console=ttyS0 quiet
-sandbox on,obsolete=deny,resourcecontrol=deny
-runas 1000065536:1000065536
-daemonize
-pidfile /run/x.pid`);
});

test('a kernel without a ramdisk has the usual command line; without a kernel the disk boots', () => {
  const plain = lines({ ...item, machine: { ...item.machine!, ramdisk_id: null, os_command_line: null } });
  assert.match(plain, /\n-kernel kernel\n-append root=\/dev\/vda console=tty0 console=ttyS0\n/);
  assert.doesNotMatch(lines({ ...item, machine: { ...item.machine!, kernel_id: null } }), /-kernel|-initrd|-append/);
});

test('no config drive, no NIC, and KVM where it works', () => {
  const bare = lines({ ...item, has_config_drive: false, nics: [] }, true);
  assert.doesNotMatch(bare, /config\.iso|-netdev|virtio-net|tcg/);
  assert.match(bare, /\n-accel kvm\n-cpu host\n/);
});

test('what a user writes stays one argument', () => {
  const argv = qemuArguments({ ...item, machine: { ...item.machine!, os_command_line: 'x -device evil,a=b "quoted"' } }, item.nics, place);
  assert.equal(argv[argv.indexOf('-append') + 1], 'x -device evil,a=b "quoted"');
});
