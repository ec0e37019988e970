/**
 * What the driver knows of a guest, on disk: `<state>/<server id>/` holds `machine.json`, `disk`, `kernel` and `ramdisk`
 * (copies of the images), `config.iso` (the config drive) and `console.log`.
 */

import { mkdir, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { InstanceItem, InstanceNic, Machine } from '#hoststate/instance.ts';
import { decodedTree, writeFiles } from '../drive-files.ts';
import { InstanceError } from '../instance-driver.ts';
import { readRecord, writeRecord } from '../record-file.ts';
import { runOk } from '../run.ts';
import { copyImage, makeDisk } from './disk.ts';

export interface MachineRecord {
  readonly item: InstanceItem & { readonly machine: Machine };
  readonly nics: readonly InstanceNic[];
  /** `made` has its taps and waits for its start; `started` has a qemu, or had one that ended by itself. */
  readonly phase: 'stopped' | 'made' | 'started';
}

/** Where an uploaded image's bytes are on this host. */
type ImagePath = (image: string) => Promise<string | undefined>;

export class MachineDirectory {
  readonly path: string;

  constructor(stateDir: string, server_id: string) {
    this.path = join(stateDir, server_id);
  }

  get consolePath(): string {
    return join(this.path, 'console.log');
  }

  /** Held by whoever starts qemu, until it runs. */
  get lockPath(): string {
    return join(this.path, 'lock');
  }

  /** `undefined` when the guest was never made, or its removal was interrupted. */
  read(): Promise<MachineRecord | undefined> {
    return readRecord(this.#recordPath);
  }

  write(record: MachineRecord): Promise<void> {
    return writeRecord(this.#recordPath, record);
  }

  get #recordPath(): string {
    return join(this.path, 'machine.json');
  }

  /** Lays out everything that qemu opens. A disk that is there is kept. */
  async prepare(item: MachineRecord['item'], imagePath: ImagePath): Promise<MachineRecord> {
    const { image, machine, has_config_drive } = item;
    const tree = decodedTree(item);
    await mkdir(this.path, { recursive: true, mode: 0o700 });
    const record: MachineRecord = { item, nics: item.nics, phase: 'stopped' };
    await this.write(record);
    await this.#make('disk', image, imagePath, (file, target) => makeDisk(image, file, machine, target));
    if (machine.kernel_id !== null) await this.#make('kernel', machine.kernel_id, imagePath, copyImage);
    if (machine.ramdisk_id !== null) await this.#make('ramdisk', machine.ramdisk_id, imagePath, copyImage);
    if (has_config_drive) await this.#burn(tree);
    await writeFile(this.consolePath, '', { flag: 'a', mode: 0o600 });
    await writeFile(this.lockPath, '');
    return record;
  }

  async remove(): Promise<void> {
    await rm(this.path, { recursive: true, force: true });
  }

  /** Makes one file of an image, unless it is there. */
  async #make(name: string, image: string, imagePath: ImagePath, make: (file: string, target: string) => Promise<void>): Promise<void> {
    const target = join(this.path, name);
    if (await isThere(target)) return;
    const file = await imagePath(image);
    if (file === undefined || !(await isThere(file))) throw new InstanceError('image_not_found', `image ${image} is not on this host`);
    await make(file, target);
  }

  /** With the arguments that Nova gives the same program. */
  async #burn(tree: ReadonlyMap<string, Buffer>): Promise<void> {
    const folder = join(this.path, 'config');
    await rm(folder, { recursive: true, force: true });
    await writeFiles(folder, tree);
    await runOk('genisoimage', ['-quiet', '-output', join(this.path, 'config.iso'), '-volid', 'config-2', '-publisher', 'Patchbay', '-joliet', '-rock', '-ldots', '-allow-lowercase', '-allow-multidot', '-l', folder]);
    await rm(folder, { recursive: true });
  }
}

async function isThere(path: string): Promise<boolean> {
  return stat(path).then(() => true, () => false);
}
