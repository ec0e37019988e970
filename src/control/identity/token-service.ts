/** Issues and validates tokens. What a token means is read from the store and remembered until a change there may alter it. */
import { randomBytes } from 'node:crypto';
import type { Store, Tx, Watermark } from '#store/store.ts';
import type { Authenticator, Context } from '../http/context.ts';
import type { Log } from '../http/log.ts';
import { TOKEN_KINDS } from './identity-tables.ts';
import { LruCache } from './lru-cache.ts';
import { type Claims, readToken, signToken, type TokenKey } from './token-codec.ts';
import { resolveClaims, type ValidToken } from './valid-token.ts';

/** Tokens remembered: about 1.5 kB each. */
const REMEMBERED = 4096;
/** Milliseconds from the notice of another controller's commit to the look at what it was; one look for many commits. */
const LOOK_AFTER = 20;

export class TokenService implements Authenticator {
  readonly #store: Store;
  readonly #log: Log;
  readonly #known = new LruCache<string, ValidToken>(REMEMBERED);
  /** Counts the clearings: what was read before one must not be remembered after it. */
  #clearings = 0;
  #key: TokenKey | undefined;
  #mark: Watermark | undefined;
  #look: NodeJS.Timeout | undefined;
  readonly #unsubscribe: () => void;

  constructor(store: Store, log: Log) {
    this.#store = store;
    this.#log = log;
    this.#unsubscribe = store.feed.subscribe(() => this.#lookSoon());
  }

  async authenticate(token: string): Promise<Omit<Context, 'request_id'> | undefined> {
    return (await this.validate(token))?.context;
  }

  /** What the token means now; `undefined` when it is forged, expired or revoked, or its user, scope or roles are gone. */
  async validate(token: string): Promise<ValidToken | undefined> {
    const known = this.#known.get(token);
    if (known) return known.claims.expires_at * 1000 > Date.now() ? known : undefined;
    const claims = readToken(await this.#signingKey(), token);
    return claims && this.#resolve(token, claims);
  }

  /** A new token for these claims; `undefined` when they do not hold (disabled user or project, no role there …). */
  async issue(claims: Omit<Claims, 'audit_ids' | 'issued_at'>, parent?: Claims): Promise<{ token: string; valid: ValidToken } | undefined> {
    const chain = parent?.audit_ids.at(-1);
    const audit_ids = [randomBytes(16).toString('base64url'), ...(chain ? [chain] : [])];
    const all: Claims = { ...claims, audit_ids, issued_at: Math.floor(Date.now() / 1000) };
    const token = signToken(await this.#signingKey(), all);
    const valid = await this.#resolve(token, all);
    return valid && { token, valid };
  }

  /** Makes one token worthless, on every controller; tokens made from it live on. */
  async revoke(claims: Claims, requestId: string): Promise<void> {
    const [audit_id = ''] = claims.audit_ids;
    await this.write(async (tx) => {
      await tx.db.deleteFrom('revoked_tokens').where('expires_at', '<', Math.floor(Date.now() / 1000)).execute();
      await tx.db.insertInto('revoked_tokens').values({ audit_id, expires_at: claims.expires_at }).onConflict((conflict) => conflict.doNothing()).execute();
      tx.record('revoked_tokens', audit_id, 'create');
    }, requestId);
  }

  /** `store.write` for all of the Identity API: before the answer, this controller forgets what the change may have altered. */
  async write<T>(command: (tx: Tx) => Promise<T>, requestId?: string): Promise<T> {
    const value = await this.#store.write(command, requestId);
    this.#forget();
    return value;
  }

  close(): void {
    this.#unsubscribe();
    clearTimeout(this.#look);
  }

  async #resolve(token: string, claims: Claims): Promise<ValidToken | undefined> {
    const before = this.#clearings;
    const valid = await resolveClaims(this.#store.reader, claims);
    if (valid && before === this.#clearings) this.#known.set(token, valid);
    return valid;
  }

  #forget(): void {
    this.#clearings++;
    this.#known.clear();
  }

  async #signingKey(): Promise<TokenKey> {
    if (this.#key) return this.#key;
    const row = await this.#store.reader.db.selectFrom('token_keys').selectAll().orderBy('created_at', 'desc').orderBy('id').executeTakeFirst();
    if (!row) throw new Error('the store has no token key: bootstrap() has not run');
    this.#key = { id: row.id, secret: Buffer.from(row.secret, 'base64') };
    return this.#key;
  }

  #lookSoon(): void {
    this.#look ??= setTimeout(() => void this.#lookAtFeed(), LOOK_AFTER).unref();
  }

  async #lookAtFeed(): Promise<void> {
    this.#look = undefined;
    try {
      const more = this.#mark && (await this.#store.feed.after(this.#mark));
      // Without a mark (the first time; a restored or purged store) anything may have changed up to now.
      this.#mark = more?.mark ?? (await this.#store.feed.head());
      if (!more || more.changes.some((change) => TOKEN_KINDS.has(change.kind))) this.#forget();
      if (more && more.changes.length > 0) this.#lookSoon();
    } catch (error) {
      this.#forget();
      this.#log.warning('cannot read the feed; tokens are looked up anew', { error: (error as Error).message });
    }
  }
}
