/** Validates tokens at a real Keystone instead of the built-in service: the setting `keystone`. */
import type { Config } from '#model/config.ts';
import { ApiError } from '#model/errors.ts';
import type { Authenticator, Context } from '../http/context.ts';
import type { Log } from '../http/log.ts';
import { contextOf } from './context-of.ts';
import { LruCache } from './lru-cache.ts';

/** Milliseconds that an answer is believed: a revoked token lives on that long, as with keystonemiddleware's cache. */
const BELIEVED = 60_000;
/** Milliseconds until Keystone counts as not answering. */
const TIMEOUT = 10_000;
const REMEMBERED = 4096;
/** Apart and few: made-up tokens must not push the good ones out. */
const REFUSED_REMEMBERED = 512;
/** A token of Keystone's own kinds is far shorter. */
const MAX_LENGTH = 8192;

type KnownContext = Omit<Context, 'request_id'>;

/** What GET /v3/auth/tokens says, as far as we read it. */
interface KeystoneToken {
  readonly expires_at: string | null;
  readonly user: { readonly id: string; readonly name: string; readonly domain: { readonly id: string } };
  readonly project?: { readonly id: string; readonly name: string; readonly domain: { readonly id: string } };
  readonly roles?: readonly { readonly name: string }[];
}

interface Answer {
  readonly status: number;
  /** The header X-Subject-Token. */
  readonly subject: string | null;
  readonly body: string;
}

export class KeystoneAuthenticator implements Authenticator {
  readonly #settings: NonNullable<Config['keystone']>;
  readonly #log: Log;
  readonly #known = new LruCache<string, { readonly context: KnownContext; readonly until: number }>(REMEMBERED);
  /** Token → until when the refusal is believed. */
  readonly #refused = new LruCache<string, number>(REFUSED_REMEMBERED);
  /** One question for many requests with the same token. */
  readonly #asking = new Map<string, Promise<KnownContext | undefined>>();
  #own: Promise<string> | undefined;

  /** Asks Keystone as the user of `settings`, who needs the role `admin` or `service` there. */
  constructor(settings: NonNullable<Config['keystone']>, log: Log) {
    this.#settings = settings;
    this.#log = log;
  }

  /** Throws HTTPServiceUnavailable when Keystone does not answer or refuses our own user: the client's token may be good. */
  async authenticate(token: string): Promise<KnownContext | undefined> {
    // Not a header's text: it would break our own request to Keystone.
    if (token.length > MAX_LENGTH || !/^[\x21-\x7e]+$/.test(token)) return undefined;
    const known = this.#known.get(token);
    if (known && known.until > Date.now()) return known.context;
    if ((this.#refused.get(token) ?? 0) > Date.now()) return undefined;
    const asked = this.#asking.get(token) ?? this.#ask(token).finally(() => this.#asking.delete(token));
    this.#asking.set(token, asked);
    return asked;
  }

  async #ask(token: string): Promise<KnownContext | undefined> {
    let answer = await this.#validate(token);
    if (answer.status === 401) {
      // Our own token has ended, so one more try with a new one.
      this.#own = undefined;
      answer = await this.#validate(token);
    }
    if (answer.status === 404) {
      this.#refused.set(token, Date.now() + BELIEVED);
      return undefined;
    }
    if (answer.status !== 200) throw this.#unavailable(`it answered ${answer.status} to the validation of a token`);
    const { expires_at, user, project, roles = [] } = (JSON.parse(answer.body) as { token: KeystoneToken }).token;
    const context = contextOf({ ...user, domain_id: user.domain.id }, project ? { ...project, domain_id: project.domain.id } : null, roles);
    const until = Math.min(Date.now() + BELIEVED, expires_at === null ? Infinity : Date.parse(expires_at));
    this.#known.set(token, { context, until });
    return until > Date.now() ? context : undefined;
  }

  async #validate(token: string): Promise<Answer> {
    this.#own ??= this.#login();
    let own: string;
    try {
      own = await this.#own;
    } catch (error) {
      this.#own = undefined;
      throw error;
    }
    return this.#fetch('/v3/auth/tokens?nocatalog', { headers: { 'x-auth-token': own, 'x-subject-token': token } });
  }

  async #login(): Promise<string> {
    const { username = '', password = '', project_name = '', user_domain_name = 'Default', project_domain_name = 'Default' } = this.#settings;
    const auth = {
      identity: { methods: ['password'], password: { user: { name: username, domain: { name: user_domain_name }, password } } },
      scope: { project: { name: project_name, domain: { name: project_domain_name } } },
    };
    const answer = await this.#fetch('/v3/auth/tokens?nocatalog', { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ auth }) });
    const token = answer.subject;
    if (answer.status !== 201 || !token) throw this.#unavailable(`it refuses user ${username} of the setting keystone with ${answer.status}`);
    return token;
  }

  async #fetch(path: string, init: RequestInit): Promise<Answer> {
    const root = (this.#settings.auth_url ?? '').replace(/\/+$/, '').replace(/\/v3$/, '');
    try {
      const answer = await fetch(`${root}${path}`, { ...init, redirect: 'error', signal: AbortSignal.timeout(TIMEOUT) });
      if (answer.status >= 500) throw new Error(`it answered ${answer.status}`);
      // Read to its end in every case, or the connection is not given back.
      return { status: answer.status, subject: answer.headers.get('x-subject-token'), body: await answer.text() };
    } catch (error) {
      const cause = (error as Error).cause;
      throw this.#unavailable(cause instanceof Error ? cause.message : (error as Error).message);
    }
  }

  #unavailable(reason: string): ApiError {
    this.#log.error('cannot validate tokens at Keystone', { auth_url: this.#settings.auth_url, error: reason });
    return new ApiError('HTTPServiceUnavailable', { reason: 'Keystone cannot be asked about this token. Try again later.' });
  }
}
