/** PATCH of an image: JSON patch as Glance v2.1 takes it (add, replace, remove of one attribute each). */
import { ApiError } from '#model/errors.ts';
import type { Image } from '#model/images.ts';
import type { Context } from '../http/context.ts';
import { type ImageChanges, readChanges } from './images.ts';

export const PATCH_TYPE = 'application/openstack-images-v2.1-json-patch';

/** What the patch changes of `current`. Throws 400 for a malformed patch, 403 for what may not be written, 409 for a property that is not as the operation needs it. */
export function applyPatch(context: Context, current: Image, patch: unknown): ImageChanges {
  if (!Array.isArray(patch)) throw new ApiError('badRequest', { reason: 'Request body must be a JSON array of operation objects.' });
  const given: Record<string, unknown> = {};
  const removed = new Set<string>();
  const attributes = new Set(Object.keys(current).filter((name) => name !== 'properties'));
  for (const operation of patch as Record<string, unknown>[]) {
    const { op, name } = parsed(operation);
    const exists = attributes.has(name) || ((Object.hasOwn(current.properties, name) || name in given) && !removed.has(name));
    if (op === 'remove') {
      if (attributes.has(name)) throw new ApiError('ImageForbidden', { reason: `Property ${name} may not be removed.` });
      if (!exists) throw new ApiError('conflictingRequest', { reason: `Property ${name} does not exist.` });
      removed.add(name);
      delete given[name];
    } else {
      if (!('value' in operation)) throw new ApiError('badRequest', { reason: 'Operation objects must contain a "value" member.' });
      if (op === 'replace' && !exists) throw new ApiError('conflictingRequest', { reason: `Property ${name} does not exist.` });
      removed.delete(name);
      given[name] = operation['value'];
    }
  }
  const changes = readChanges(context, given, current);
  return { ...changes, properties: Object.fromEntries(Object.entries(changes.properties ?? {}).filter(([name]) => !removed.has(name))) };
}

function parsed(operation: Record<string, unknown>): { op: 'add' | 'replace' | 'remove'; name: string } {
  const op = operation?.['op'];
  const path = operation?.['path'];
  if (op !== 'add' && op !== 'replace' && op !== 'remove') throw new ApiError('badRequest', { reason: 'Operations must be one of: add, remove, replace.' });
  const match = typeof path === 'string' ? /^\/([^/]+)$/.exec(path) : null;
  if (!match || match[1] === '__proto__') throw new ApiError('badRequest', { reason: `Invalid JSON pointer for this resource: '${String(path).slice(0, 60)}'` });
  return { op, name: match[1]!.replaceAll('~1', '/').replaceAll('~0', '~') };
}
