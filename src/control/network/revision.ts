/** If-Match on the revision number (extension revision-if-match). */
import { ApiError } from '#model/errors.ts';

/** The revision that an If-Match header asks for, if it asks for one. Throws ApiError BadRequest. */
export function expectedRevision(header: string | undefined): number | undefined {
  const tags = (header ?? '').split(',').map((tag) => tag.trim().replace(/^"(.*)"$/, '$1')).filter((tag) => tag.startsWith('revision_number='));
  const [tag] = tags;
  if (tag === undefined) return undefined;
  if (tags.length > 1) throw new ApiError('BadRequest', { resource: 'if-match', reason: 'Multiple revision_number etags are not supported' });
  const text = tag.slice('revision_number='.length);
  if (!/^[0-9]{1,15}$/.test(text)) throw new ApiError('BadRequest', { resource: 'if-match', reason: 'Revision number etag must be in the format of revision_number=<int>' });
  return Number(text);
}

/** Throws ApiError RevisionNumberConstraintFailed (412). */
export function requireRevision(expected: number | undefined, current: { readonly revision_number?: number }): void {
  if (expected !== undefined && expected !== current.revision_number) {
    throw new ApiError('RevisionNumberConstraintFailed', { expected, current: current.revision_number });
  }
}
