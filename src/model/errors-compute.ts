/** Errors of the Compute and Image APIs. */
export const COMPUTE_ERRORS = {
  itemNotFound: [404, '{reason}'],
  badRequest: [400, '{reason}'],
  conflictingRequest: [409, '{reason}'],
} as const;
