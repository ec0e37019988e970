/** The data of images: files below the state folder, hashed while they stream in. */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { ApiError } from '#model/errors.ts';
import type { Image } from '#model/images.ts';
import type { Store } from '#store/store.ts';
import type { Context } from '../http/context.ts';
import { images, imageToChange, updateImage } from './images.ts';

/** Bytes; Glance's `image_size_cap`. */
const SIZE_CAP = 2 ** 40;

export class ImageFiles {
  readonly #store: Store;
  readonly #folder: string;

  constructor(store: Store, stateDir: string) {
    this.#store = store;
    this.#folder = join(stateDir, 'images');
  }

  /** Where the data of an image is, or would be. */
  path(id: string): string {
    return join(this.#folder, id);
  }

  /**
   * Takes the data of a queued image: `saving` while it comes, `active` with size and hashes when it is on the disk,
   * `queued` again when it did not come to its end. Throws 409 for an image that has or gets data.
   */
  async upload(context: Context, id: string, data: Readable): Promise<void> {
    await this.#store.write(async (tx) => {
      const image = await imageToChange(tx, context, id);
      if (image.status !== 'queued') throw new ApiError('conflictingRequest', { reason: `Image status transition from ${image.status} to saving is not allowed` });
      if (image.disk_format === null || image.container_format === null) throw new ApiError('badRequest', { reason: 'Properties disk_format, container_format must be set prior to saving data.' });
      await updateImage(tx, image, { status: 'saving' });
    }, context.request_id);
    try {
      const facts = await this.#receive(id, data);
      const kept = await this.#store.write(async (tx) => {
        const image = await images.get(tx, id);
        if (image?.status !== 'saving') return false;
        await updateImage(tx, image, { status: 'active', ...facts });
        return true;
      }, context.request_id);
      if (!kept) throw new ApiError('ImageNotFound', { id });
    } catch (error) {
      await rm(this.path(id), { force: true });
      await rm(`${this.path(id)}.part`, { force: true });
      await this.#backToQueued(id);
      throw problem(error);
    }
  }

  /** The data of an active image; `undefined` when it has no file here (a built-in image). */
  async read(image: Image): Promise<{ stream: Readable; size: number } | undefined> {
    const found = await stat(this.path(image.id)).catch(() => undefined);
    return found && { stream: createReadStream(this.path(image.id)), size: found.size };
  }

  async remove(id: string): Promise<void> {
    await rm(this.path(id), { force: true });
    await rm(`${this.path(id)}.part`, { force: true });
  }

  /** After a crash: uploads that this controller had begun are queued again, and files of images that are gone go too. */
  async sweep(): Promise<void> {
    await mkdir(this.#folder, { recursive: true, mode: 0o700 });
    for (const name of await readdir(this.#folder)) {
      const id = name.replace(/\.part$/, '');
      if (name.endsWith('.part')) {
        await rm(join(this.#folder, name));
        await this.#backToQueued(id);
      } else if (!(await images.get(this.#store.reader, id))) await rm(join(this.#folder, name));
    }
  }

  async #receive(id: string, data: Readable): Promise<Pick<Image, 'size' | 'checksum' | 'os_hash_algo' | 'os_hash_value'>> {
    await mkdir(this.#folder, { recursive: true, mode: 0o700 });
    const part = `${this.path(id)}.part`;
    const [md5, sha512] = [createHash('md5'), createHash('sha512')];
    let size = 0;
    const file = await open(part, 'w', 0o600);
    try {
      for await (const chunk of data as AsyncIterable<Buffer>) {
        size += chunk.length;
        if (size > SIZE_CAP) throw new ApiError('HTTPRequestEntityTooLarge', { limit: SIZE_CAP });
        md5.update(chunk);
        sha512.update(chunk);
        await file.writeFile(chunk);
      }
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(part, this.path(id));
    return { size, checksum: md5.digest('hex'), os_hash_algo: 'sha512', os_hash_value: sha512.digest('hex') };
  }

  async #backToQueued(id: string): Promise<void> {
    await this.#store.write(async (tx) => {
      const image = await images.get(tx, id);
      if (image?.status === 'saving') await updateImage(tx, image, { status: 'queued' });
    });
  }
}

function problem(error: unknown): unknown {
  const { code } = error as { code?: string };
  if (code === 'ENOSPC') return new ApiError('ImageStorageFull');
  if (code === 'ECONNRESET' || code === 'ERR_STREAM_PREMATURE_CLOSE') return new ApiError('badRequest', { reason: 'The client closed the connection before the end of the image.' });
  return error;
}
