/** A small guest for qemu, built from Debian's packages: kernel, and a ramdisk of busybox, modules and the scripts in `guest`. */

import { chmodSync, copyFileSync, existsSync, globSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { run, runOk } from '#instances/run.ts';

/** What is taken out of the kernel's package stays here from one run to the next. */
const CACHE = '/var/tmp/patchbay-test/kernel';
/** In an order that each finds what it needs. */
const MODULES = [
  'drivers/virtio/virtio_ring', 'drivers/virtio/virtio', 'drivers/virtio/virtio_pci_modern_dev', 'drivers/virtio/virtio_pci_legacy_dev', 'drivers/virtio/virtio_pci',
  'net/core/failover', 'drivers/net/net_failover', 'drivers/net/virtio_net', 'drivers/block/virtio_blk', 'drivers/cdrom/cdrom', 'fs/isofs/isofs',
  'drivers/char/hw_random/virtio-rng', 'drivers/input/evdev', 'drivers/acpi/button',
];

export interface SmallGuest {
  readonly kernel: string;
  readonly ramdisk: string;
}

/** Builds the guest into `folder`. */
export async function buildSmallGuest(folder: string): Promise<SmallGuest> {
  const parts = await kernelParts();
  const root = join(folder, 'root');
  for (const directory of ['bin', 'lib']) mkdirSync(join(root, directory), { recursive: true });
  copyFileSync('/bin/busybox', join(root, 'bin/busybox'));
  for (const [name, target] of [['init', 'init'], ['lease', 'bin/lease']] as const) {
    copyFileSync(join(import.meta.dirname, 'guest', name), join(root, target));
    chmodSync(join(root, target), 0o755);
  }
  const modules = MODULES.map((module) => basename(module));
  for (const module of modules) copyFileSync(join(parts, `${module}.ko`), join(root, 'lib', `${module}.ko`));
  writeFileSync(join(root, 'lib/order'), modules.map((module) => `${module}\n`).join(''));
  const ramdisk = join(folder, 'ramdisk');
  await runOk('sh', ['-ec', 'cd "$1"; find . | busybox cpio -o -H newc 2> /dev/null | gzip -1 > "$2"', 'sh', root, ramdisk]);
  rmSync(root, { recursive: true });
  return { kernel: join(parts, 'vmlinuz'), ramdisk };
}

/** The folder with `vmlinuz` and modules of the newest cloud kernel that apt knows; needs the network when it is not in the cache. */
export async function kernelParts(): Promise<string> {
  const name = await kernelPackage();
  const target = join(CACHE, name);
  if (existsSync(target)) return target;
  mkdirSync(CACHE, { recursive: true });
  const work = mkdtempSync(join(CACHE, '.work-'));
  try {
    const download = ['download', name];
    // The second time with lists that are as new as the archive.
    if ((await run('apt-get', download, { cwd: work })).code !== 0) await runOk('sh', ['-ec', 'apt-get update >&2; exec apt-get "$@"', 'sh', ...download], { cwd: work });
    await runOk('sh', ['-ec', 'dpkg-deb -x *.deb root'], { cwd: work });
    const [modules] = globSync(join(work, 'root/lib/modules/*/kernel'));
    mkdirSync(join(work, 'parts'));
    copyFileSync(globSync(join(work, 'root/boot/vmlinuz-*'))[0]!, join(work, 'parts/vmlinuz'));
    for (const module of MODULES) copyFileSync(join(modules!, `${module}.ko`), join(work, 'parts', `${basename(module)}.ko`));
    renameSync(join(work, 'parts'), target);
  } finally {
    rmSync(work, { recursive: true });
  }
  return target;
}

/** The lists of a fresh machine are empty. */
async function kernelPackage(): Promise<string> {
  for (const prepare of [async () => {}, () => run('apt-get', ['update'])]) {
    await prepare();
    const { stdout } = await run('apt-cache', ['depends', 'linux-image-cloud-amd64']);
    const name = /Depends: (linux-image-\S+)/.exec(stdout)?.[1];
    if (name !== undefined) return name;
  }
  throw new Error('apt knows no linux-image-cloud-amd64');
}
