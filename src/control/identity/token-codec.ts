/** A token's text: what it claims, and a signature that every controller of the same store can check. */
import { createHmac, timingSafeEqual } from 'node:crypto';

export interface Claims {
  readonly user_id: string;
  /** See `IdentitySecretRow.generation`. */
  readonly generation: number;
  /** Null for an unscoped token. */
  readonly scope: { readonly type: 'project' | 'domain'; readonly id: string } | null;
  readonly methods: readonly string[];
  /** Seconds since 1970. */
  readonly issued_at: number;
  readonly expires_at: number;
  /** Its own audit id, and that of the first of its chain if it came from another token. */
  readonly audit_ids: readonly string[];
  readonly application_credential_id: string | null;
}

export interface TokenKey {
  readonly id: string;
  readonly secret: Buffer;
}

/** Far above what we write (about 300); spares the work on headers that cannot be ours. */
const MAX_LENGTH = 2048;

/** `key.claims.signature`, all characters safe in a header and a URL. */
export function signToken(key: TokenKey, claims: Claims): string {
  const signed = `${key.id}.${Buffer.from(JSON.stringify(claims)).toString('base64url')}`;
  return `${signed}.${signature(key, signed)}`;
}

/** The claims of a token that this key signed, expired or not; `undefined` for anything else. */
export function readToken(key: TokenKey, token: string): Claims | undefined {
  if (token.length > MAX_LENGTH) return undefined;
  const end = token.lastIndexOf('.');
  const signed = token.slice(0, Math.max(end, 0));
  const [keyId, claims] = signed.split('.');
  if (keyId !== key.id || !claims) return undefined;
  // Compared as text: base64 has several spellings of the same bytes, and only one of them is our token.
  const given = Buffer.from(token.slice(end + 1));
  const expected = Buffer.from(signature(key, signed));
  if (given.length !== expected.length || !timingSafeEqual(given, expected)) return undefined;
  return JSON.parse(Buffer.from(claims, 'base64url').toString()) as Claims;
}

function signature(key: TokenKey, signed: string): string {
  return createHmac('sha256', key.secret).update(signed).digest('base64url');
}
