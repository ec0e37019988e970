/**
 * What the driver knows of an instance, on disk: `<state>/<server id>/` holds
 * `instance.json` (the item and the guest's names of its NICs), `config.json` (for crun), `config/` (the config drive),
 * `tools` and `image` (links to the lower layers), `upper/` and `work/` (the guest's own files), `console.log`.
 */

import { chmod, chown, mkdir, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { InstanceItem, InstanceNic } from '#hoststate/instance.ts';
import { writeFiles } from '../drive-files.ts';
import { readRecord, writeRecord } from '../record-file.ts';
import { renderConfigDrive } from './config-drive.ts';
import { USER_SHIFT, crunConfig } from './crun-config.ts';

/** A NIC with its name inside the guest. */
export interface PluggedNic extends InstanceNic {
  readonly guest_device: string;
}

/** A NIC as plug.sh takes it. */
export function plugArgument(nic: PluggedNic): string {
  return [nic.device, nic.mac_address, String(nic.mtu), nic.guest_device].join(',');
}

export interface InstanceRecord {
  readonly item: InstanceItem;
  readonly nics: readonly PluggedNic[];
  /** The container was made to the last tap: a kill halfway leaves one that must not be started. */
  readonly made: boolean;
}

export class InstanceDirectory {
  readonly path: string;

  constructor(stateDir: string, server_id: string) {
    this.path = join(stateDir, server_id);
  }

  get #recordPath(): string {
    return join(this.path, 'instance.json');
  }

  get consolePath(): string {
    return join(this.path, 'console.log');
  }

  /** `undefined` when the instance was never made, or its removal was interrupted. */
  read(): Promise<InstanceRecord | undefined> {
    return readRecord(this.#recordPath);
  }

  write(record: InstanceRecord): Promise<void> {
    return writeRecord(this.#recordPath, record);
  }

  /** Lays out everything that create.sh needs. The guest's own files are kept. */
  async prepare(item: InstanceItem, rootPath: string, layers: { readonly tools: string; readonly image: string }): Promise<InstanceRecord> {
    // Rendered first: what cannot be rendered must leave nothing behind.
    const { files, hostname } = renderConfigDrive(item);
    await mkdir(this.path, { recursive: true, mode: 0o700 });
    const record = { item, nics: item.nics.map((nic, index) => ({ ...nic, guest_device: `eth${index}` })), made: false };
    await this.write(record);
    for (const name of ['config', 'work', 'tools', 'image']) await rm(join(this.path, name), { recursive: true, force: true });
    await writeFiles(join(this.path, 'config'), files);
    await mkdir(join(this.path, 'work'));
    // The upper layer's root is the guest's root directory, and each image needs the mount point of the config drive.
    for (const directory of ['upper', 'upper/config']) {
      await mkdir(join(this.path, directory), { recursive: true });
      await chown(join(this.path, directory), USER_SHIFT, USER_SHIFT);
      await chmod(join(this.path, directory), 0o755);
    }
    await symlink(layers.tools, join(this.path, 'tools'));
    await symlink(layers.image, join(this.path, 'image'));
    await writeFile(join(this.path, 'config.json'), JSON.stringify(crunConfig(hostname, rootPath)));
    await writeFile(this.consolePath, '', { flag: 'a', mode: 0o600 });
    await writeFile(join(this.path, 'crun.log'), '');
    return record;
  }

  async remove(): Promise<void> {
    await rm(this.path, { recursive: true, force: true });
  }
}
