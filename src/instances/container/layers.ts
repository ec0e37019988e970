/**
 * The read-only lower layers of instances' root file systems: directories whose owners are shifted into the guests' user
 * namespace. Each is built once, beside its final name, and renamed into place, so that what exists is complete.
 */

import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { cp, lchown, lstat, mkdir, mkdtemp, open, readdir, rename, rm, chmod, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { run, runOk } from '../run.ts';
import { findProgram } from '../program.ts';
import { InstanceError } from '../instance-driver.ts';
import { USER_SHIFT } from './crun-config.ts';

/** The built-in image's id in an instance's item. */
export const BUILT_IN_IMAGE = 'busybox';

/** Where an uploaded image's bytes are on this host: a file, or `undefined` when there is no such image. */
export type ImagePath = (image: string) => Promise<string | undefined>;

export class Layers {
  readonly #directory: string;
  readonly #imagePath: ImagePath;
  readonly #building = new Map<string, Promise<string>>();

  constructor(directory: string, imagePath: ImagePath) {
    this.#directory = directory;
    this.#imagePath = imagePath;
  }

  /** The layer with the init and its helpers, the same over every image. */
  async tools(): Promise<string> {
    const busybox = await programPath('busybox');
    const sources = [...(await readdir(GUEST)).map((name) => join(GUEST, name)), busybox];
    return this.#layer(`tools-${await digest(sources)}`, async (building) => {
      await mkdir(join(building, '.patchbay'), { recursive: true });
      for (const source of sources) {
        const target = join(building, '.patchbay', basename(source));
        await cp(source, target, { dereference: true });
        await chmod(target, 0o755);
      }
    });
  }

  /** The layer of an image. Throws `image_not_found`, or `image_format` for what is no root file system as a tar. */
  async image(image: string): Promise<string> {
    if (image === BUILT_IN_IMAGE) {
      const builder = join(HOST, 'busybox-layer.sh');
      const programs = await Promise.all(['busybox', 'dropbear', 'ip', 'curl', 'bash'].map(programPath));
      return this.#layer(`busybox-${await digest([builder, ...programs])}`, async (building) => {
        await runOk('sh', [builder, building]);
      }, async (building) => lchown(join(building, 'home/cirros'), USER_SHIFT + 1000, USER_SHIFT + 1000));
    }
    const file = await this.#imagePath(image);
    if (file === undefined || !(await exists(file))) throw new InstanceError('image_not_found', `image ${image} is not on this host`);
    return this.#layer(`image-${image.replaceAll(/[^A-Za-z0-9-]/g, '_')}`, (building) => unpack(file, image, building));
  }

  #layer(name: string, fill: (building: string) => Promise<void>, finish?: (building: string) => Promise<void>): Promise<string> {
    const known = this.#building.get(name);
    if (known !== undefined) return known;
    const layer = this.#build(name, fill, finish).catch((error: unknown) => {
      this.#building.delete(name);
      throw error;
    });
    this.#building.set(name, layer);
    return layer;
  }

  async #build(name: string, fill: (building: string) => Promise<void>, finish?: (building: string) => Promise<void>): Promise<string> {
    const path = join(this.#directory, name);
    if (await exists(path)) return path;
    await mkdir(this.#directory, { recursive: true });
    const temporary = await mkdtemp(join(this.#directory, '.building-'));
    try {
      const building = join(temporary, name);
      await mkdir(building);
      await fill(building);
      await shiftOwners(building);
      await finish?.(building);
      // Another host's agent may have been faster: its layer is as good.
      await rename(building, path).catch(async (error: unknown) => {
        if (!(await exists(path))) throw error;
      });
      return path;
    } finally {
      await rm(temporary, { recursive: true, force: true });
    }
  }
}

const GUEST = join(import.meta.dirname, 'guest');
const HOST = join(import.meta.dirname, 'host');

/** Unpacks a tar, compressed or not. Device nodes stay out: the guest gets its own /dev. */
async function unpack(file: string, image: string, directory: string): Promise<void> {
  if (!(await looksLikeTar(file))) throw unsupported(image);
  const { code, stderr } = await run('tar', [
    '--extract', '--file', file, '--directory', directory, '--numeric-owner', '--preserve-permissions',
    '--no-acls', '--no-selinux', '--no-xattrs', '--exclude=./dev/*', '--exclude=dev/*', '--delay-directory-restore',
  ]);
  if (code !== 0) throw new InstanceError('image_format', `image ${image}: tar: ${stderr.trim().slice(-300)}`);
  for (const [name, mode] of [['dev', 0o755], ['proc', 0o755], ['sys', 0o755], ['run', 0o755], ['tmp', 0o1777]] as const) {
    // An image may hold a symbolic link here; a mount point must be a directory.
    if (!(await lstat(join(directory, name)).catch(() => undefined))?.isDirectory()) {
      await rm(join(directory, name), { force: true });
      await mkdir(join(directory, name));
      await chmod(join(directory, name), mode);
    }
  }
  if (!(await exists(join(directory, 'bin'))) && !(await exists(join(directory, 'usr')))) throw unsupported(image);
}

function unsupported(image: string): InstanceError {
  return new InstanceError(
    'image_format',
    `image format not supported by the container driver: image ${image} must be a tar (or tar.gz, tar.xz, tar.bz2, tar.zst) of a root file system`,
  );
}

/** By content: the names of uploaded images say nothing. */
async function looksLikeTar(file: string): Promise<boolean> {
  const handle = await open(file);
  try {
    const head = Buffer.alloc(512);
    await handle.read(head, 0, 512, 0);
    const compressed = ['1f8b', 'fd377a585a', '425a68', '28b52ffd'].some((magic) => head.toString('hex').startsWith(magic));
    return compressed || head.toString('latin1', 257, 262) === 'ustar';
  } finally {
    await handle.close();
  }
}

/** Moves all owners by USER_SHIFT. A link is changed itself, never what it points to. */
async function shiftOwners(path: string): Promise<void> {
  const before = await lstat(path);
  // Two names of one file: the second must not shift it again.
  if (before.uid < USER_SHIFT) {
    await lchown(path, before.uid + USER_SHIFT, before.gid + USER_SHIFT);
    // A change of owner takes the set-id bits away.
    if (!before.isSymbolicLink() && (before.mode & 0o6000) !== 0) await chmod(path, before.mode & 0o7777);
  }
  if (before.isDirectory()) for (const name of await readdir(path)) await shiftOwners(join(path, name));
}

/** A short name for the content of small files and the identity (size, time) of large ones. */
async function digest(paths: readonly string[]): Promise<string> {
  const hash = createHash('sha256');
  for (const path of paths) {
    const { size, mtimeMs } = await stat(path);
    hash.update(`${basename(path)}\0`);
    if (size > 65_536) hash.update(`${size} ${mtimeMs}\0`);
    else for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer);
  }
  return hash.digest('hex').slice(0, 12);
}

async function programPath(name: string): Promise<string> {
  const found = await findProgram(name);
  if (found === undefined) throw new InstanceError('not_installed', `${name} is not installed on this host`);
  return found;
}

async function exists(path: string): Promise<boolean> {
  return (await lstat(path).catch(() => undefined)) !== undefined;
}
