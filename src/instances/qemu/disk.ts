/** The disk of a guest: a copy of its image, which may go while the guest lives, as large as its flavor says. */

import { copyFile, rename, rm, stat, truncate } from 'node:fs/promises';
import { type Machine, MACHINE_DISK_FORMATS } from '#hoststate/instance.ts';
import { InstanceError } from '../instance-driver.ts';
import { run } from '../run.ts';

const GIB = 2 ** 30;
/** To look at what a tenant made, qemu-img gets 1 GiB and 30 s of a processor, as Nova grants it (CVE-2015-5162). */
const LIMITS = ['--as=1073741824', '--cpu=30'];

interface QcowInfo {
  readonly 'virtual-size': number;
  readonly 'backing-filename'?: string;
  readonly 'format-specific'?: { readonly data?: { readonly 'data-file'?: string } };
}

/**
 * Makes the raw disk `target` of an image's file, in one step. The format is the declared one, never one that the bytes
 * claim: a raw disk that begins like a qcow2 with a backing file would otherwise show files of the host (CVE-2024-32498).
 */
export async function makeDisk(image: string, file: string, machine: Machine, target: string): Promise<void> {
  const part = `${target}.part`;
  const most = machine.disk === 0 ? Infinity : machine.disk * GIB;
  if (!MACHINE_DISK_FORMATS.includes(machine.disk_format)) throw new InstanceError('image_format', `image ${image} has the disk format ${machine.disk_format}: the qemu driver boots ${MACHINE_DISK_FORMATS.join(', ')}`);
  const size = machine.disk_format === 'qcow2' ? await qcowSize(image, file) : (await stat(file)).size;
  if (size > most) throw new InstanceError('image_format', `image ${image} is ${size} bytes large, the flavor's disk ${most}`);
  try {
    const argv = machine.disk_format === 'qcow2'
      ? ['qemu-img', 'convert', '-f', 'qcow2', '-O', 'raw', file, part]
      : ['cp', '--sparse=always', '--reflink=auto', file, part];
    const { code, stderr } = await run(argv[0]!, argv.slice(1));
    if (code !== 0) throw new InstanceError('image_format', `image ${image}: ${stderr.trim().slice(-300)}`);
    // qemu reads whole sectors.
    await truncate(part, most === Infinity ? Math.max(512, Math.ceil(size / 512) * 512) : most);
    await rename(part, target);
  } finally {
    await rm(part, { force: true });
  }
}

/** Copies a kernel or ramdisk, in one step. */
export async function copyImage(file: string, target: string): Promise<void> {
  await copyFile(file, `${target}.part`);
  await rename(`${target}.part`, target);
}

/** Bytes of the disk in a qcow2. Throws for one that is not whole in itself. */
async function qcowSize(image: string, file: string): Promise<number> {
  const { code, stdout, stderr } = await run('prlimit', [...LIMITS, 'qemu-img', 'info', '--output=json', '-f', 'qcow2', file]);
  if (code !== 0) throw new InstanceError('image_format', `image ${image}: ${stderr.trim().slice(-300)}`);
  const info = JSON.parse(stdout) as QcowInfo;
  if (info['backing-filename'] !== undefined || info['format-specific']?.data?.['data-file'] !== undefined) throw new InstanceError('image_format', `image ${image} is a qcow2 that refers to another file`);
  return info['virtual-size'];
}
