/** TypeBox, loaded when the first schema is asked for: its 370 files would be a sixth of every start. */
import { createRequire } from 'node:module';
import type { Type } from 'typebox';

const require = createRequire(import.meta.url);
let loaded: typeof Type | undefined;

/** TypeBox's `Type`. */
export function types(): typeof Type {
  return (loaded ??= (require('typebox') as typeof import('typebox')).Type);
}
