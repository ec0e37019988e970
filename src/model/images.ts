/** Images (Image API v2), and the ones that are built in. */
import { boolean, enumeration, integer, type Kind, nullable, text, uuid } from './kind.ts';
import { type Held, defaulted, defineResource, readOnly } from './resource.ts';
import { types } from './type-builder.ts';

export const DISK_FORMATS = ['ami', 'ari', 'aki', 'vhd', 'vhdx', 'vmdk', 'raw', 'qcow2', 'vdi', 'iso', 'ploop'] as const;
export const CONTAINER_FORMATS = ['ami', 'ari', 'aki', 'bare', 'ovf', 'ova', 'docker', 'compressed'] as const;
export const IMAGE_STATUSES = ['queued', 'saving', 'active', 'deactivated'] as const;
export const VISIBILITIES = ['public', 'private', 'shared', 'community'] as const;

function written<T>(): Kind<T> {
  return { column: 'json', schema: () => types().Unknown(), convert: (value) => value as T };
}

export const image = defineResource({
  collection: 'images', member: 'image', noun: 'Image',
  attributes: {
    id: readOnly(uuid),
    name: defaulted(nullable(text()), null),
    /** The project; null for images of the system. */
    owner: readOnly(nullable(text())),
    status: readOnly(enumeration(...IMAGE_STATUSES)),
    visibility: defaulted(enumeration(...VISIBILITIES), 'shared'),
    disk_format: defaulted(nullable(enumeration(...DISK_FORMATS)), null),
    container_format: defaulted(nullable(enumeration(...CONTAINER_FORMATS)), null),
    /** GiB, as Compute reads it. */
    min_disk: defaulted(integer(0), 0),
    /** MiB. */
    min_ram: defaulted(integer(0), 0),
    protected: defaulted(boolean, false),
    os_hidden: defaulted(boolean, false),
    tags: readOnly(written<string[]>()),
    /** Everything else that a user puts on an image: name to text. */
    properties: readOnly(written<Record<string, string>>()),
    /** Bytes; null before the upload, and for built-in images, which have no file. */
    size: readOnly(nullable(integer(0, Number.MAX_SAFE_INTEGER))),
    /** MD5 in hex. */
    checksum: readOnly(nullable(text(32))),
    os_hash_algo: readOnly(nullable(text(16))),
    os_hash_value: readOnly(nullable(text(128))),
    created_at: readOnly(text(32)),
    updated_at: readOnly(text(32)),
  },
});
export type Image = Held<typeof image>;

/**
 * The images that every cloud has from its first start: a small Linux that hosts build from their own packages, so
 * there is no file to upload. `cirros` is the same under the name that tutorials use.
 */
export const BUILT_IN_IMAGES = [
  { id: 'b0b0b0b0-0000-4000-8000-000000000001', name: 'busybox' },
  { id: 'b0b0b0b0-0000-4000-8000-000000000002', name: 'cirros' },
] as const;

/** What `InstanceItem.image` says of an image: `busybox` for a built-in one, else its id. */
export function rootFileSystemOf(imageId: string): string {
  return BUILT_IN_IMAGES.some(({ id }) => id === imageId) ? 'busybox' : imageId;
}
