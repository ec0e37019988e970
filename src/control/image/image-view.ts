/** Images as the API shows them: attributes and properties side by side. */
import type { Image } from '#model/images.ts';

export function wireImage({ properties, ...image }: Image): Record<string, unknown> {
  return { ...properties, ...image, virtual_size: null, self: `/v2/images/${image.id}`, file: `/v2/images/${image.id}/file`, schema: '/v2/schemas/image' };
}
