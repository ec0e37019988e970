/** Which driver runs a server: containers, unless its flavor asks for qemu; and what a qemu server is made of. */
import { MACHINE_DISK_FORMATS } from '#hoststate/instance.ts';
import type { Flavor, ServerMachine } from '#model/compute.ts';
import { ApiError } from '#model/errors.ts';
import { BUILT_IN_IMAGES, type Image } from '#model/images.ts';
import type { Tx } from '#store/store.ts';
import type { Context } from '../http/context.ts';
import { visibleImage } from '../image/images.ts';
import { otherwise } from './body.ts';

/** The extra spec of a flavor that names the driver of its servers. */
const DRIVER_SPEC = 'patchbay:driver';
const DRIVERS = ['container', 'qemu'];

/** Throws 400 when extra specs name a driver that does not exist. */
export function checkDriverSpec(specs: Readonly<Record<string, string>>): void {
  const driver = specs[DRIVER_SPEC];
  if (driver !== undefined && !DRIVERS.includes(driver)) throw new ApiError('badRequest', { reason: `Invalid input for field/attribute extra_specs. ${DRIVER_SPEC} must be one of: ${DRIVERS.join(', ')}.` });
}

/**
 * What the host needs for a server of the qemu driver; null for a container. Kernel and ramdisk are the image's properties `kernel_id` and
 * `ramdisk_id`, as in Nova; they and the image must be usable now: 400 otherwise.
 */
export async function machineOf(tx: Tx, context: Context, flavor: Flavor, image: Image): Promise<ServerMachine | null> {
  if (flavor.extra_specs[DRIVER_SPEC] !== 'qemu') return null;
  const refused = (reason: string) => new ApiError('badRequest', { reason });
  if (BUILT_IN_IMAGES.some(({ id }) => id === image.id)) throw refused(`Image ${image.id} is built in and has no disk: servers of flavor ${flavor.name} run in qemu and need an uploaded image.`);
  const { disk_format, properties: { kernel_id, ramdisk_id, os_command_line } } = image;
  if (!isBootable(disk_format)) throw refused(`Image ${image.id} has disk format ${disk_format}: servers of flavor ${flavor.name} run in qemu, from the disk formats ${MACHINE_DISK_FORMATS.join(', ')}.`);
  if (flavor.disk !== 0 && (image.size ?? 0) > flavor.disk * 2 ** 30) throw refused("Flavor's disk is too small for requested image.");
  // Nova's word for: this image boots by itself, whatever an image that it was made of said.
  const direct = kernel_id !== undefined && kernel_id !== 'nokernel';
  for (const part of direct ? [kernel_id, ramdisk_id] : []) if (part !== undefined) await usableImage(tx, context, part);
  return { disk_format, kernel_id: direct ? kernel_id : null, ramdisk_id: direct ? ramdisk_id ?? null : null, os_command_line: direct ? os_command_line ?? null : null };
}

function isBootable(format: string | null): format is typeof MACHINE_DISK_FORMATS[number] {
  return (MACHINE_DISK_FORMATS as readonly (string | null)[]).includes(format);
}

async function usableImage(tx: Tx, context: Context, id: string): Promise<void> {
  const found = await visibleImage(tx, context, id).catch(otherwise('ImageNotFound', 'Can not find requested image'));
  if (found.status !== 'active') throw new ApiError('badRequest', { reason: `Image ${id} is not active.` });
}
