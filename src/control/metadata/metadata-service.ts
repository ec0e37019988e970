/**
 * The metadata API as Nova serves it behind Neutron's proxies: who asks stands in signed headers, what is served are the
 * EC2 and OpenStack trees. Needs no token of Identity (N-MD-10); a setting asks for session tokens.
 */
import { posix } from 'node:path';
import type { World } from '#compile/world.ts';
import { flavor, MAX_GUEST_PASSWORD, type Server } from '#model/compute.ts';
import type { Config } from '#model/config.ts';
import type { Store } from '#store/store.ts';
import { Table } from '#store/table.ts';
import { lockServer, servers, updateServer } from '../compute/servers.ts';
import type { Log } from '../http/log.ts';
import { ec2Content } from './ec2-tree.ts';
import { type Instance, instanceOf } from './instance.ts';
import { isPasswordPath, openstackContent } from './openstack-tree.ts';
import { isSessionToken, sessionToken, TOKEN_LIFE } from './session-token.ts';
import { instanceSignature, sameSecretText } from './signature.ts';

const flavors = new Table(flavor);

export interface MetadataRequest {
  readonly method: string;
  /** As it came: with a query, escapes, slashes too many. */
  readonly url: string;
  /** Lower-case names; every value apart. */
  readonly headers: Readonly<Record<string, readonly string[] | undefined>>;
  readonly body: Buffer;
}

export interface MetadataResponse {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body: string | Buffer;
}

export interface MetadataDeps {
  readonly store: Store;
  /** The cloud as compile sees it: what an instance is told here, its config drive holds too. */
  readonly world: World;
  readonly secret: string;
  readonly tokens: Config['metadata_tokens'];
  readonly log: Log;
}

/** What ends a request early. */
class Refusal extends Error {
  readonly response: MetadataResponse;

  constructor(status: number, reason: string, headers: Readonly<Record<string, string>> = {}) {
    super(reason);
    this.response = { status, headers, body: `${reason}\n` };
  }
}

const TOKEN_HEADER = 'x-aws-ec2-metadata-token';
const TOKEN_LIFE_HEADER = 'x-aws-ec2-metadata-token-ttl-seconds';

export class MetadataService {
  readonly #deps: MetadataDeps;

  constructor(deps: MetadataDeps) {
    this.#deps = deps;
  }

  /** Nova's statuses: 400 without the headers, 403 with a wrong signature, 404 for another project's instance or a path that is not there. */
  async answer(request: MetadataRequest): Promise<MetadataResponse> {
    try {
      return await this.#answer(request);
    } catch (error) {
      if (error instanceof Refusal) return error.response;
      throw error;
    }
  }

  async #answer(request: MetadataRequest): Promise<MetadataResponse> {
    const server = this.#authenticated(request);
    const path = pathOf(request.url);
    const { tokens } = this.#deps;
    if (tokens !== 'off' && path.join('/') === 'latest/api/token') return this.#issueToken(request, server);
    if (tokens !== 'off') this.#checkToken(request, server);
    if (path[0] === 'openstack' && isPasswordPath(path.slice(1))) return this.#password(request, server);
    const [tree, ...rest] = path;
    const instance = await this.#instance(request, server);
    const content = tree === 'openstack' ? openstackContent(instance, rest) : ec2Content(instance, tree === 'ec2' ? rest : path);
    if (content === undefined) throw new Refusal(404, `there is no /${path.join('/')}`);
    mustBe(request, 'GET', 'HEAD');
    return { status: 200, headers: { 'content-type': path.at(-1)?.endsWith('.json') ? 'application/json' : 'text/plain; charset=UTF-8' }, body: content };
  }

  /** The instance that the headers name, if they are signed and its project is theirs (N-MD-8, N-MD-9). */
  #authenticated({ headers }: MetadataRequest): Server {
    const { world, secret, log } = this.#deps;
    const id = single(headers, 'X-Instance-ID');
    const signature = single(headers, 'X-Instance-ID-Signature');
    const projectId = single(headers, 'X-Tenant-ID');
    if (!sameSecretText(instanceSignature(secret, id), signature)) {
      log.warning('metadata: a signature does not fit', { instance_id: id.slice(0, 64), address: headers['x-forwarded-for']?.[0] });
      throw new Refusal(403, 'X-Instance-ID-Signature does not fit X-Instance-ID');
    }
    const server = world.get('servers', id);
    if (server?.project_id !== projectId) throw new Refusal(404, `project ${projectId.slice(0, 64)} has no instance ${id.slice(0, 64)}`);
    return server;
  }

  async #instance({ headers }: MetadataRequest, server: Server): Promise<Instance> {
    const { store, world } = this.#deps;
    const name = (await flavors.get(store.reader, server.flavor_id))?.name;
    return instanceOf(world, server, name ?? server.flavor_id, headers['x-forwarded-for']?.[0] ?? '');
  }

  #issueToken(request: MetadataRequest, { id }: Server): MetadataResponse {
    mustBe(request, 'PUT');
    const text = request.headers[TOKEN_LIFE_HEADER]?.[0] ?? '';
    const life = /^[0-9]{1,5}$/.test(text) ? Number(text) : 0;
    if (life < TOKEN_LIFE.least || life > TOKEN_LIFE.most) throw new Refusal(400, `${TOKEN_LIFE_HEADER} must be a number of seconds from ${TOKEN_LIFE.least} to ${TOKEN_LIFE.most}`);
    return { status: 200, headers: { 'content-type': 'text/plain', [TOKEN_LIFE_HEADER]: String(life) }, body: sessionToken(this.#deps.secret, id, Date.now() / 1000, life) };
  }

  /** A token that is shown must be good; one must be shown where the setting says so. */
  #checkToken({ headers }: MetadataRequest, { id }: Server): void {
    const { secret, tokens } = this.#deps;
    const token = headers[TOKEN_HEADER]?.[0];
    if (token === undefined && tokens === 'optional') return;
    if (token === undefined) throw new Refusal(401, `${TOKEN_HEADER} is missing: PUT /latest/api/token gives one`);
    if (!isSessionToken(secret, id, token, Date.now() / 1000)) throw new Refusal(401, `${TOKEN_HEADER} is not good, or not any more`);
  }

  /** A guest tells its password once; it can be cleared by the Compute API only. */
  async #password(request: MetadataRequest, { id }: Server): Promise<MetadataResponse> {
    mustBe(request, 'GET', 'HEAD', 'POST');
    const { store } = this.#deps;
    const headers = { 'content-type': 'text/plain; charset=UTF-8' };
    if (request.method !== 'POST') return { status: 200, headers, body: (await servers.get(store.reader, id))?.password ?? '' };
    if (request.body.length > MAX_GUEST_PASSWORD) throw new Refusal(400, `a password has at most ${MAX_GUEST_PASSWORD} bytes`);
    const password = request.body.toString();
    if (password.includes('\0') || !Buffer.from(password).equals(request.body)) throw new Refusal(400, 'a password is text in UTF-8');
    await store.write(async (tx) => {
      await lockServer(tx, id);
      const current = await servers.get(tx, id);
      if (!current) throw new Refusal(404, `there is no instance ${id}`);
      if (current.password) throw new Refusal(409, 'the password was told before');
      await updateServer(tx, current, { password });
    });
    return { status: 200, headers, body: '' };
  }
}

/** The one value of a header; 400 without it, or with two. */
function single(headers: MetadataRequest['headers'], name: string): string {
  const [value, ...more] = headers[name.toLowerCase()] ?? [];
  if (value === undefined) throw new Refusal(400, `${name} is missing`);
  if (more.length > 0) throw new Refusal(400, `${name} stands there twice`);
  return value;
}

function mustBe({ method }: MetadataRequest, ...allowed: string[]): void {
  if (!allowed.includes(method)) throw new Refusal(405, `${method} is not for this path`, { allow: allowed.join(', ') });
}

/** The names in a path, with or without scheme and host before it: slashes too many and dots count for nothing. */
function pathOf(url: string): string[] {
  try {
    return posix.normalize(`/${decodeURIComponent(url.replace(/^https?:\/\/[^/?]*/i, '').split('?', 1)[0]!)}`).split('/').filter((name) => name !== '');
  } catch {
    throw new Refusal(404, 'the path cannot be decoded');
  }
}
