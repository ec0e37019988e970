/** The body of POST /v3/auth/tokens, read strictly: what does not fit is 400 before any work is done. */
import { ApiError } from '#model/errors.ts';

/** An id, or a name below a domain that has an id or a name. */
export type Reference = { readonly id: string } | { readonly name: string; readonly domain: DomainReference };
export type DomainReference = { readonly id: string } | { readonly name: string };

export type Method =
  | { readonly method: 'password'; readonly user: Reference; readonly password: string }
  | { readonly method: 'token'; readonly id: string }
  | { readonly method: 'application_credential'; readonly credential: { readonly id: string } | { readonly name: string; readonly user: Reference }; readonly secret: string };

export type RequestedScope =
  | { readonly type: 'unscoped' }
  | { readonly type: 'project'; readonly project: Reference }
  | { readonly type: 'domain'; readonly domain: DomainReference }
  | { readonly type: 'system' };

export interface AuthRequest {
  readonly methods: readonly Method[];
  /** Absent: the user's default project, else unscoped. */
  readonly scope?: RequestedScope;
}

type Fields = Readonly<Record<string, unknown>>;

/** Throws ValidationError for a body that is no authentication request, Unauthorized for a method that is not built in. */
export function readAuthRequest(body: unknown): AuthRequest {
  const auth = fields(body, 'auth', '');
  const identity = fields(auth, 'identity', 'auth.');
  const names = identity['methods'];
  if (!Array.isArray(names) || names.length === 0 || names.length > 3) throw invalid('auth.identity.methods has to be a list of methods');
  const methods = [...new Set(names)].map((name) => readMethod(name, identity));
  return { methods, ...(auth['scope'] === undefined || auth['scope'] === null ? {} : { scope: readScope(auth['scope']) }) };
}

function readMethod(name: unknown, identity: Fields): Method {
  if (name !== 'password' && name !== 'token' && name !== 'application_credential') throw new ApiError('Unauthorized');
  const at = 'auth.identity.';
  const given = fields(identity, name, at);
  switch (name) {
    case 'password': {
      const user = fields(given, 'user', `${at}password.`);
      return { method: name, user: reference(user, `${at}password.user`), password: string(user, 'password', `${at}password.user.`) };
    }
    case 'token':
      return { method: name, id: string(given, 'id', `${at}token.`) };
    case 'application_credential': {
      const secret = string(given, 'secret', `${at}application_credential.`);
      if (given['id'] !== undefined) return { method: name, credential: { id: string(given, 'id', `${at}application_credential.`) }, secret };
      const user = reference(fields(given, 'user', `${at}application_credential.`), `${at}application_credential.user`);
      return { method: name, credential: { name: string(given, 'name', `${at}application_credential.`), user }, secret };
    }
  }
}

function readScope(value: unknown): RequestedScope {
  if (value === 'unscoped') return { type: 'unscoped' };
  const scope = fields({ scope: value }, 'scope', 'auth.');
  const kinds = Object.keys(scope);
  if (kinds.length !== 1) throw invalid('auth.scope has to name one of project, domain, system, unscoped');
  switch (kinds[0]) {
    case 'unscoped': return { type: 'unscoped' };
    case 'system': return { type: 'system' };
    case 'project': return { type: 'project', project: reference(fields(scope, 'project', 'auth.scope.'), 'auth.scope.project') };
    case 'domain': return { type: 'domain', domain: domainReference(fields(scope, 'domain', 'auth.scope.'), 'auth.scope.domain') };
    default: throw invalid(`auth.scope.${kinds[0]} is not supported`);
  }
}

function reference(given: Fields, at: string): Reference {
  if (given['id'] !== undefined) return { id: string(given, 'id', `${at}.`) };
  return { name: string(given, 'name', `${at}.`), domain: domainReference(fields(given, 'domain', `${at}.`), `${at}.domain`) };
}

function domainReference(given: Fields, at: string): DomainReference {
  return given['id'] !== undefined ? { id: string(given, 'id', `${at}.`) } : { name: string(given, 'name', `${at}.`) };
}

function fields(parent: unknown, key: string, at: string): Fields {
  const value = typeof parent === 'object' && parent !== null ? (parent as Fields)[key] : undefined;
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw invalid(`'${at}${key}' is a required property and has to be an object`);
  return value as Fields;
}

function string(parent: Fields, key: string, at: string): string {
  const value = parent[key];
  // NUL: PostgreSQL refuses it in a text, which would be our fault and not the client's.
  if (typeof value !== 'string' || value.length > 4096 || value.includes('\0')) throw invalid(`'${at}${key}' is a required property and has to be a text`);
  return value;
}

function invalid(reason: string): ApiError {
  return new ApiError('ValidationError', { reason });
}
