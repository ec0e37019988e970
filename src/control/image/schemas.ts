/** JSON schemas of the Image API, which clients read to learn the attributes. */
import { image } from '#model/images.ts';

const STATIC: Readonly<Record<string, unknown>> = {
  virtual_size: { type: ['null', 'integer'], readOnly: true, description: 'Virtual size of image in bytes' },
  self: { type: 'string', readOnly: true }, file: { type: 'string', readOnly: true }, schema: { type: 'string', readOnly: true },
};

export function imageSchema(): Record<string, unknown> {
  const properties: Record<string, unknown> = { ...STATIC };
  for (const [name, { kind, post }] of Object.entries(image.attributes)) {
    if (name === 'properties') continue;
    const plain = { text: 'string', integer: 'integer', boolean: 'boolean', json: 'array' }[kind.column];
    properties[name] = { type: isNullable(kind) ? ['null', plain] : plain, ...(plain === 'array' ? { items: { type: 'string', maxLength: 255 } } : {}), ...(post || name === 'tags' ? {} : { readOnly: true }) };
  }
  return { name: 'image', properties, additionalProperties: { type: 'string' }, links: [{ rel: 'self', href: '{self}' }, { rel: 'enclosure', href: '{file}' }, { rel: 'describedby', href: '{schema}' }] };
}

export function imagesSchema(): Record<string, unknown> {
  return {
    name: 'images',
    properties: { images: { type: 'array', items: imageSchema() }, first: { type: 'string' }, next: { type: 'string' }, schema: { type: 'string' } },
    links: [{ rel: 'first', href: '{first}' }, { rel: 'next', href: '{next}' }, { rel: 'describedby', href: '{schema}' }],
  };
}

function isNullable(kind: { convert: (value: unknown) => unknown }): boolean {
  try {
    return kind.convert(null) === null;
  } catch {
    return false;
  }
}
