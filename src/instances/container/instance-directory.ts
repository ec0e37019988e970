/**
 * What the driver knows of an instance, on disk: `<state>/<server id>/` holds
 * `instance.json` (the item and the guest's names of its NICs), `config.json` (for crun), `config/` (the config drive),
 * `tools` and `image` (links to the lower layers), `upper/` and `work/` (the guest's own files), `console.log`.
 */

import { chmod, chown, mkdir, open, readFile, readdir, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { InstanceItem, InstanceNic } from '#hoststate/instance.ts';
import { renderConfigDrive, writeConfigDrive } from './config-drive.ts';
import { USER_SHIFT, crunConfig } from './crun-config.ts';

/** A NIC with its name inside the guest. */
export interface PluggedNic extends InstanceNic {
  readonly guest_device: string;
}

export interface InstanceRecord {
  readonly item: InstanceItem;
  readonly nics: readonly PluggedNic[];
  /** The container was made to the last tap: a kill halfway leaves one that must not be started. */
  readonly made: boolean;
}

/** The guest fills its console; the host's disk is not its to fill. */
const CONSOLE_MOST = 1024 * 1024;
const CONSOLE_KEEP = 128 * 1024;

export class InstanceDirectory {
  readonly path: string;

  constructor(stateDir: string, server_id: string) {
    this.path = join(stateDir, server_id);
  }

  /** `undefined` when the instance was never made, or its removal was interrupted. */
  async read(): Promise<InstanceRecord | undefined> {
    const text = await readFile(join(this.path, 'instance.json'), 'utf8').catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return undefined;
      throw error;
    });
    return text === undefined ? undefined : (JSON.parse(text) as InstanceRecord);
  }

  /** Replaces the record in one step. */
  async write(record: InstanceRecord): Promise<void> {
    const temporary = join(this.path, 'instance.json.new');
    await writeFile(temporary, JSON.stringify(record), { mode: 0o600 });
    await rename(temporary, join(this.path, 'instance.json'));
  }

  /** Lays out everything that create.sh needs. The guest's own files are kept. */
  async prepare(item: InstanceItem, rootPath: string, layers: { readonly tools: string; readonly image: string }): Promise<InstanceRecord> {
    // Rendered first: what cannot be rendered must leave nothing behind.
    const drive = renderConfigDrive(item);
    await mkdir(this.path, { recursive: true, mode: 0o700 });
    const record = { item, nics: item.nics.map((nic, index) => ({ ...nic, guest_device: `eth${index}` })), made: false };
    await this.write(record);
    for (const name of ['config', 'work', 'tools', 'image']) await rm(join(this.path, name), { recursive: true, force: true });
    await writeConfigDrive(join(this.path, 'config'), drive);
    await mkdir(join(this.path, 'work'));
    // The upper layer's root is the guest's root directory, and each image needs the mount point of the config drive.
    for (const directory of ['upper', 'upper/config']) {
      await mkdir(join(this.path, directory), { recursive: true });
      await chown(join(this.path, directory), USER_SHIFT, USER_SHIFT);
      await chmod(join(this.path, directory), 0o755);
    }
    await symlink(layers.tools, join(this.path, 'tools'));
    await symlink(layers.image, join(this.path, 'image'));
    await writeFile(join(this.path, 'config.json'), JSON.stringify(crunConfig(item, rootPath)));
    await writeFile(join(this.path, 'console.log'), '', { flag: 'a', mode: 0o600 });
    await writeFile(join(this.path, 'crun.log'), '');
    return record;
  }

  /** The end of the console's log. */
  async console(): Promise<string> {
    const handle = await open(join(this.path, 'console.log')).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return undefined;
      throw error;
    });
    if (handle === undefined) return '';
    try {
      const { size } = await handle.stat();
      const from = Math.max(0, size - CONSOLE_MOST);
      const buffer = Buffer.alloc(size - from);
      const { bytesRead } = await handle.read(buffer, 0, buffer.length, from);
      return buffer.toString('utf8', 0, bytesRead);
    } finally {
      await handle.close();
    }
  }

  /** Cuts a console log that has grown large to its end. The guest appends, so it goes on behind the cut. */
  async trimConsole(): Promise<void> {
    const handle = await open(join(this.path, 'console.log'), 'r+').catch(() => undefined);
    if (handle === undefined) return;
    try {
      const { size } = await handle.stat();
      if (size <= CONSOLE_MOST) return;
      const kept = Buffer.alloc(CONSOLE_KEEP);
      const { bytesRead } = await handle.read(kept, 0, CONSOLE_KEEP, size - CONSOLE_KEEP);
      await handle.truncate(0);
      await handle.write(kept, 0, bytesRead, 0);
    } finally {
      await handle.close();
    }
  }

  async remove(): Promise<void> {
    await rm(this.path, { recursive: true, force: true });
  }
}

/** The server ids that have a directory, however complete. */
export async function instanceIds(stateDir: string): Promise<string[]> {
  const entries = await readdir(stateDir, { withFileTypes: true }).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return [];
    throw error;
  });
  return entries.filter((entry) => entry.isDirectory() && isServerId(entry.name)).map((entry) => entry.name).sort();
}

/** A UUID, in any case and with or without dashes: nothing that could be a path. */
export function isServerId(text: string): boolean {
  return /^[0-9a-fA-F][0-9a-fA-F-]{7,35}$/.test(text);
}
