/** Errors of the Identity API. */
export const IDENTITY_ERRORS = {
  Unauthorized: [401, 'The request you have made requires authentication.'],
} as const;
