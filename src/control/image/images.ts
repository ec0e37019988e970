/** The rows of images: who sees which, and what a request may write. */
import { CONTAINER_FORMATS, DISK_FORMATS, type Image, image as imageResource, VISIBILITIES } from '#model/images.ts';
import { ApiError } from '#model/errors.ts';
import { boolean, enumeration, integer, InvalidValue, type Kind, list, nullable, text, uuid } from '#model/kind.ts';
import type { Reader, Tx } from '#store/store.ts';
import { Table } from '#store/table.ts';
import type { Context } from '../http/context.ts';

export const images = new Table(imageResource);

/** Attributes that a request may write, each with its kind; a name that is none of these and not read-only is a property. */
const WRITABLE = {
  name: nullable(text()), visibility: enumeration(...VISIBILITIES), disk_format: nullable(enumeration(...DISK_FORMATS)), container_format: nullable(enumeration(...CONTAINER_FORMATS)),
  min_disk: integer(0), min_ram: integer(0), protected: boolean, os_hidden: boolean, tags: list(text(), { max: 128 }),
} satisfies Record<string, Kind<any>>;

const READ_ONLY = new Set([
  'status', 'size', 'virtual_size', 'checksum', 'os_hash_algo', 'os_hash_value', 'created_at', 'updated_at', 'file', 'schema', 'self', 'direct_url', 'locations', 'stores', 'properties',
]);

const MAX_PROPERTIES = 128;

export type ImageChanges = Partial<Pick<Image, keyof typeof WRITABLE | 'properties' | 'owner'>>;

/** The image, if the token may see it; 404 otherwise. */
export async function visibleImage(reader: Reader, context: Context, id: string): Promise<Image> {
  const found = await images.get(reader, id);
  if (!found || !(context.is_admin || owns(context, found) || found.visibility === 'public' || found.visibility === 'community')) throw new ApiError('ImageNotFound', { id });
  return found;
}

/** The image, for a change: only its owner and admins may. */
export async function imageToChange(tx: Tx, context: Context, id: string): Promise<Image> {
  await tx.lock(`images:${id}`);
  const found = await visibleImage(tx, context, id);
  mayWrite(context, 'modify_image');
  if (!context.is_admin && !owns(context, found)) throw new ApiError('ImageForbidden', { reason: 'You are not permitted to modify this image.' });
  return found;
}

export function owns(context: Context, { owner }: Image): boolean {
  return owner !== null && owner === context.project_id;
}

/** Throws 403 unless the token may write; `action` is Glance's name of the rule. */
export function mayWrite(context: Context, action: string): void {
  if (context.is_reader || (!context.is_admin && !context.roles.includes('member'))) throw new ApiError('ImageForbidden', { reason: `You are not authorized to complete ${action} action.` });
}

/** Checks the attributes of a POST or PATCH; names that the API does not know become properties. */
export function readChanges(context: Context, given: Readonly<Record<string, unknown>>, current?: Image): ImageChanges {
  const changes: Record<string, unknown> = {};
  const properties: Record<string, string> = { ...current?.properties };
  for (const [name, value] of Object.entries(given)) {
    if (READ_ONLY.has(name)) throw new ApiError('ImageForbidden', { reason: `Attribute '${name}' is read-only.` });
    else if (name === 'owner') changes['owner'] = readOwner(context, value);
    else if (Object.hasOwn(WRITABLE, name)) changes[name] = read(WRITABLE[name as keyof typeof WRITABLE] as Kind<unknown>, name, value);
    else properties[checkName(name)] = read(text(65_535), name, value);
  }
  if (Object.keys(properties).length > MAX_PROPERTIES) throw new ApiError('HTTPRequestEntityTooLarge', { limit: `${MAX_PROPERTIES} properties: too many for the` });
  if (changes['visibility'] === 'public' && !context.is_admin) throw new ApiError('ImageForbidden', { reason: 'You are not authorized to complete publicize_image action.' });
  if (Array.isArray(changes['tags'])) changes['tags'] = [...new Set(changes['tags'])];
  const formats = ['disk_format', 'container_format'].find((name) => name in changes && current && current.status !== 'queued' && current[name as 'disk_format'] !== changes[name]);
  if (formats) throw new ApiError('ImageForbidden', { reason: `Attribute ${formats} can be only replaced for a queued image.` });
  return { ...changes, properties } as ImageChanges;
}

/** Stores a new image, queued until its data comes. 409 when its id is taken. */
export async function createImage(tx: Tx, context: Context, id: string, changes: ImageChanges): Promise<Image> {
  await tx.lock('images');
  if (await images.get(tx, id)) throw new ApiError('conflictingRequest', { reason: `Image ID ${id} already exists!` });
  const created: Image = { ...blankImage(id, tx.now), owner: context.project_id, ...changes };
  await images.insert(tx, [created]);
  return created;
}

/** An image of no one, without data, with the defaults of every attribute. */
export function blankImage(id: string, now: string): Image {
  return {
    id, name: null, owner: null, status: 'queued', visibility: 'shared', disk_format: null, container_format: null, min_disk: 0, min_ram: 0, protected: false, os_hidden: false,
    tags: [], properties: {}, size: null, checksum: null, os_hash_algo: null, os_hash_value: null, created_at: now, updated_at: now,
  };
}

export function updateImage(tx: Tx, current: Image, changes: Partial<Image>): Promise<Image> {
  return images.update(tx, current, { ...changes, updated_at: tx.now });
}

/** An id that the client chose, or a new one. */
export function readId(given: unknown): string {
  return given === undefined ? crypto.randomUUID() : read(uuid, 'id', given).toLowerCase();
}

function readOwner(context: Context, given: unknown): string | null {
  const owner = read(nullable(text()), 'owner', given);
  if (!context.is_admin && owner !== context.project_id) throw new ApiError('ImageForbidden', { reason: "You are not permitted to create images owned by another project." });
  return owner;
}

function checkName(name: string): string {
  if (name.length > 255 || name === '' || name === '__proto__' || name.includes('\0')) throw new ApiError('badRequest', { reason: `Invalid property name '${name.slice(0, 60)}'` });
  return name;
}

function read<T>(kind: Kind<T>, name: string, value: unknown): T {
  try {
    return kind.convert(value);
  } catch (error) {
    if (!(error instanceof InvalidValue)) throw error;
    throw new ApiError('badRequest', { reason: `Provided object does not match schema 'image': ${error.message}. (${name})` });
  }
}
