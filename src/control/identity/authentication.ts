/** From an authentication request to a token: who is it, for which scope, and does that hold. */
import { ApiError } from '#model/errors.ts';
import type { Reader, Store } from '#store/store.ts';
import type { AuthRequest, DomainReference, Method, Reference, RequestedScope } from './auth-request.ts';
import { applicationCredentials, type ApplicationCredential, domains, projects, users } from './identity-tables.ts';
import type { PasswordHasher } from './password-hasher.ts';
import type { Claims } from './token-codec.ts';
import type { TokenService } from './token-service.ts';
import type { ValidToken } from './valid-token.ts';

/** What one method proved. */
interface Proof {
  readonly user_id: string;
  readonly generation: number;
  readonly methods: readonly string[];
  /** Seconds since 1970; the token ends with what it came from. */
  readonly expires_at?: number;
  readonly applicationCredential?: ApplicationCredential;
  readonly parent?: Claims;
}

interface AuthenticationDeps {
  readonly store: Store;
  readonly tokens: TokenService;
  readonly passwords: PasswordHasher;
  /** Seconds. */
  readonly lifetime: number;
}

export class Authentication {
  readonly #deps: AuthenticationDeps;

  constructor(deps: AuthenticationDeps) {
    this.#deps = deps;
  }

  /** Throws Unauthorized, always with the same words, whatever of it did not hold. */
  async issue(request: AuthRequest): Promise<{ token: string; valid: ValidToken }> {
    const { tokens, lifetime } = this.#deps;
    const proofs: Proof[] = [];
    for (const method of request.methods) proofs.push(await this.#prove(method));
    const user_id = proofs[0]?.user_id;
    if (user_id === undefined || proofs.some((proof) => proof.user_id !== user_id)) throw new ApiError('Unauthorized');
    const credential = proofs.find((proof) => proof.applicationCredential)?.applicationCredential;
    const now = Math.floor(Date.now() / 1000);
    const base = {
      user_id,
      // The oldest proof counts: a password that was changed while it was checked makes no token.
      generation: Math.min(...proofs.map((proof) => proof.generation)),
      methods: [...new Set(proofs.flatMap((proof) => proof.methods))],
      expires_at: Math.min(now + lifetime, ...proofs.map((proof) => proof.expires_at ?? Infinity)),
      application_credential_id: credential?.id ?? null,
    };
    const parent = proofs.find((proof) => proof.parent)?.parent;
    const scope = credential ? credentialScope(credential, request, await this.#scope(request.scope)) : await this.#scope(request.scope);
    const issued = scope === 'default' ? await this.#issueForDefault(base, parent) : await tokens.issue({ ...base, scope }, parent);
    if (!issued) throw new ApiError('Unauthorized');
    return issued;
  }

  async #prove(method: Method): Promise<Proof> {
    switch (method.method) {
      case 'password': return this.#provePassword(method.user, method.password);
      case 'token': return this.#proveToken(method.id);
      case 'application_credential': return this.#proveApplicationCredential(method.credential, method.secret);
    }
  }

  async #provePassword(reference: Reference, password: string): Promise<Proof> {
    const { store, passwords } = this.#deps;
    const userId = await findUser(store.reader, reference);
    const secret = userId === undefined ? undefined : await secretOf(store.reader, userId);
    if (!(await passwords.verify(password, secret?.secret_hash)) || userId === undefined || !secret) throw new ApiError('Unauthorized');
    return { user_id: userId, generation: secret.generation, methods: ['password'] };
  }

  async #proveToken(id: string): Promise<Proof> {
    const valid = await this.#deps.tokens.validate(id);
    if (!valid) throw new ApiError('Unauthorized');
    const { claims, applicationCredential } = valid;
    return {
      user_id: claims.user_id, generation: claims.generation, methods: ['token', ...claims.methods], expires_at: claims.expires_at,
      parent: claims, ...(applicationCredential ? { applicationCredential } : {}),
    };
  }

  async #proveApplicationCredential(reference: Extract<Method, { method: 'application_credential' }>['credential'], secret: string): Promise<Proof> {
    const { store, passwords } = this.#deps;
    const found = await findApplicationCredential(store.reader, reference);
    const owner = found && (await secretOf(store.reader, found.user_id));
    const held = found && (await secretOf(store.reader, found.id));
    if (!(await passwords.verify(secret, held?.secret_hash)) || !found || !owner) throw new ApiError('Unauthorized');
    const expires = found.expires_at === null ? {} : { expires_at: Math.floor(Date.parse(found.expires_at) / 1000) };
    return { user_id: found.user_id, generation: owner.generation, methods: ['application_credential'], applicationCredential: found, ...expires };
  }

  async #scope(requested: RequestedScope | undefined): Promise<Claims['scope'] | 'default'> {
    const { reader } = this.#deps.store;
    if (!requested) return 'default';
    if (requested.type === 'unscoped') return null;
    // Nobody has a role on the system here.
    if (requested.type === 'system') throw new ApiError('Unauthorized');
    const id = requested.type === 'project' ? await findProject(reader, requested.project) : await findDomain(reader, requested.domain);
    if (id === undefined) throw new ApiError('Unauthorized');
    return { type: requested.type, id };
  }

  /** The user's default project if the user may work there, else no scope. */
  async #issueForDefault(base: Omit<Claims, 'scope' | 'audit_ids' | 'issued_at'>, parent: Claims | undefined) {
    const { store, tokens } = this.#deps;
    const project = (await users.get(store.reader, base.user_id))?.default_project_id;
    const scoped = project ? await tokens.issue({ ...base, scope: { type: 'project', id: project } }, parent) : undefined;
    return scoped ?? tokens.issue({ ...base, scope: null }, parent);
  }
}

/** An application credential is bound to its project: it may not ask for a scope, and its tokens lead to no other one. */
function credentialScope(credential: ApplicationCredential, request: AuthRequest, asked: Claims['scope'] | 'default'): Claims['scope'] {
  const bound = { type: 'project', id: credential.project_id } as const;
  const fromToken = request.methods.every((method) => method.method === 'token');
  const same = asked !== null && asked !== 'default' && asked.type === 'project' && asked.id === bound.id;
  if (asked !== 'default' && !(fromToken && same)) throw new ApiError('Unauthorized');
  return bound;
}

async function secretOf(reader: Reader, ownerId: string) {
  return reader.db.selectFrom('identity_secrets').selectAll().where('owner_id', '=', ownerId).executeTakeFirst();
}

async function findDomain(reader: Reader, reference: DomainReference): Promise<string | undefined> {
  if ('id' in reference) return reference.id;
  return (await domains.list(reader, { filters: { name: [reference.name] } }))[0]?.id;
}

async function findProject(reader: Reader, reference: Reference): Promise<string | undefined> {
  return 'id' in reference ? reference.id : findNamed(reader, projects, reference);
}

/** The id of the user, enabled or not. */
export async function findUser(reader: Reader, reference: Reference): Promise<string | undefined> {
  return 'id' in reference ? (await users.get(reader, reference.id))?.id : findNamed(reader, users, reference);
}

async function findNamed(reader: Reader, table: typeof projects | typeof users, reference: { name: string; domain: DomainReference }): Promise<string | undefined> {
  const domainId = await findDomain(reader, reference.domain);
  if (domainId === undefined) return undefined;
  const [found] = await table.list(reader, { filters: { domain_id: [domainId], name: [reference.name] } });
  return found?.id;
}

async function findApplicationCredential(reader: Reader, reference: { id: string } | { name: string; user: Reference }): Promise<ApplicationCredential | undefined> {
  if ('id' in reference) return applicationCredentials.get(reader, reference.id);
  const userId = await findUser(reader, reference.user);
  if (userId === undefined) return undefined;
  return (await applicationCredentials.list(reader, { filters: { user_id: [userId], name: [reference.name] } }))[0];
}
