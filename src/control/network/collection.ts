/** The routes of one declared resource: list, show, create one or many, update, delete (Networking API v2.0). */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Config } from '#model/config.ts';
import { ApiError, type ErrorType } from '#model/errors.ts';
import { InvalidValue } from '#model/kind.ts';
import type { Resource } from '#model/resource.ts';
import type { Reader, Store, Tx } from '#store/store.ts';
import { Table } from '#store/table.ts';
import type { Context } from '../http/context.ts';
import { invalidInput, parseCreate, parseUpdate } from './body.ts';
import { pageLinks, pageWhere } from './pages.ts';
import { type Action, requireAttributes, requireOwner, requireWriter, visibleRows } from './policy.ts';
import { Presenter } from './present.ts';
import { type Listing, ListQueryParser, type Query } from './query.ts';
import { expectedRevision, requireRevision } from './revision.ts';
import type { Rule } from './rule.ts';

export interface CollectionOptions {
  readonly store: Store;
  readonly config: Config;
  /** `http://…:8770/network`: links in answers begin with it, whatever the request's Host header says. */
  readonly url: string;
}

/** `parent` is there for what stands below another object: `/floatingips/<parent>/port_forwardings/<id>`. */
type NestedRequest = FastifyRequest<{ Params: { parent?: string } }>;
type MemberRequest = FastifyRequest<{ Params: { id: string; parent?: string } }>;

export class Collection {
  readonly rule: Rule;
  readonly resource: Resource;
  /** `/v2.0/security-groups`, `/v2.0/floatingips/:parent/port_forwardings`. */
  readonly path: string;
  readonly parent: Collection | undefined;
  readonly #options: CollectionOptions;
  readonly #table: Table<any>;
  readonly #query: ListQueryParser;
  readonly #presenter: Presenter;

  /** `parent`: the collection that the rule names as its parent. */
  constructor(rule: Rule, options: CollectionOptions, parent?: Collection) {
    this.rule = rule;
    this.resource = rule.resource;
    this.parent = parent;
    this.path = parent ? `${parent.path}/:parent/${this.resource.collection}` : `/v2.0${rule.prefix ?? ''}/${this.resource.collection.replaceAll('_', '-')}`;
    this.#options = options;
    this.#table = new Table(this.resource);
    this.#query = new ListQueryParser(rule, options.config);
    this.#presenter = new Presenter(rule);
  }

  /** Adds the routes; other methods on the same paths are answered with 405. */
  routes(app: FastifyInstance): void {
    const refuse = async (request: FastifyRequest) => {
      throw new ApiError('HTTPMethodNotAllowed', { method: request.method });
    };
    for (const suffix of ['', '.json']) {
      app.get(`${this.path}${suffix}`, (request) => this.#list(request as NestedRequest));
      app.post(`${this.path}${suffix}`, (request, reply) => this.#create(request as NestedRequest, reply));
    }
    app.route({ method: ['PUT', 'DELETE', 'PATCH'], url: this.path, handler: refuse });
    app.get(`${this.path}/:id`, (request) => this.#show(request as MemberRequest));
    app.put(`${this.path}/:id`, (request) => this.#update(request as MemberRequest));
    app.delete(`${this.path}/:id`, (request, reply) => this.#delete(request as MemberRequest, reply));
    app.route({ method: ['POST', 'PATCH'], url: `${this.path}/:id`, handler: refuse });
    for (const name of Object.keys(this.rule.actions ?? {})) app.put(`${this.path}/:id/${name}`, (request) => this.#act(request as MemberRequest, name));
  }

  /** The object with `id`, below `parent` if it has one, if `context` may see it. Throws ApiError `<Noun>NotFound`, also for what others own. */
  async require(reader: Reader, context: Context, id: string, parent?: { readonly id: string }): Promise<any> {
    // PostgreSQL's text holds no NUL, so no id does.
    const [found] = id.includes('\0') ? [] : await this.#table.list(reader, { filters: { id: [id] }, where: (query) => visibleRows(this.rule, this.#below(query, parent), context) });
    if (!found) throw new ApiError(`${this.resource.noun}NotFound` as ErrorType, { id });
    return found;
  }

  /**
   * Runs `command` on the object in one transaction in which nobody else changes it, after all checks of who may.
   * What stands below a parent changes with its parent locked. Throws ApiError: 404 for what `context` does not see,
   * 403 for what it sees and does not own, 412 for an If-Match.
   */
  async change<T>(request: MemberRequest, action: Action, command: (tx: Tx, current: any, parent?: any) => Promise<T>): Promise<T> {
    const { context } = request;
    const id = idOf(request);
    const expected = expectedRevision(request.headers['if-match']);
    return this.#options.store.write(async (tx) => {
      const parent = await this.#lockedParent(tx, request);
      if (!parent && !id.includes('\0')) await lockObject(tx, this.resource, id);
      const current = await this.require(tx, context, id, parent);
      requireWriter(this.resource, context, action);
      await requireOwner(this.rule, tx, context, action, current);
      requireRevision(expected, current);
      return described(() => command(tx, current, parent));
    }, context.request_id);
  }

  async #lockedParent(tx: Tx, request: NestedRequest): Promise<any> {
    const { parent } = request.params;
    if (this.parent && !parent!.includes('\0')) await lockObject(tx, this.parent.resource, parent!);
    return this.#parentOf(tx, request);
  }

  /** Undefined for a collection that stands by itself. */
  async #parentOf(reader: Reader, request: NestedRequest): Promise<any> {
    return this.parent?.require(reader, request.context, request.params.parent!);
  }

  #below(select: any, parent: { readonly id: string } | undefined): any {
    return parent ? select.where(`${this.resource.collection}.${this.parent!.resource.member}_id`, '=', parent.id) : select;
  }

  async #list(request: NestedRequest): Promise<unknown> {
    const { context } = request;
    const query = request.query as Query;
    const { reader } = this.#options.store;
    const parsed = this.#query.parse(query, context);
    await this.#beforeRead(context);
    const parent = await this.#parentOf(reader, request);
    const listing = parent ? { ...parsed, where: (select: any) => parsed.where(this.#below(select, parent)) } : parsed;
    const missing = await this.rule.beforeList?.(reader, context);
    if (missing) await this.#options.store.write(missing, context.request_id);
    const marker = listing.marker !== undefined && listing.limit !== undefined ? await this.require(reader, context, listing.marker, parent) : undefined;
    const objects = await this.#page(reader, context, listing, marker);
    if (listing.reverse) objects.reverse();
    const shown = await this.#presenter.present(reader, context, objects, listing.fields);
    const links = pageLinks(`${this.#options.url}${this.path.replace(':parent', parent?.id)}`, query, listing, objects.map(({ id }) => id as string));
    return { [this.resource.collection]: shown, ...(links.length > 0 ? { [`${this.resource.collection}_links`]: links } : {}) };
  }

  /** Whole rows are never sorted by the database: a page is found by its ids, and all rows in the order of ids are sorted here. */
  async #page(reader: Reader, context: Context, listing: Listing, marker: any): Promise<any[]> {
    const filtered = (select: any) => listing.where(visibleRows(this.rule, select, context));
    if (listing.limit === undefined && listing.sort.length === 1) {
      const objects: any[] = await this.#table.list(reader, { where: filtered });
      const [before, after] = (listing.sort[0]!.dir === 'asc') !== listing.reverse ? [-1, 1] : [1, -1];
      return objects.sort((a, b) => (a.id < b.id ? before : after));
    }
    const page = pageWhere(this.resource, listing, marker);
    const { collection } = this.resource;
    const rows: any[] = await page(filtered(reader.db.selectFrom(collection).select(`${collection}.id`))).execute();
    const byId = new Map((await this.#table.getMany(reader, rows.map(({ id }) => id))).map((object: any) => [object.id, object]));
    // One that was deleted between the two reads is not there any more.
    return rows.flatMap(({ id }) => byId.get(id) ?? []);
  }

  async #show(request: MemberRequest): Promise<unknown> {
    const { reader } = this.#options.store;
    const fields = [(request.query as Query)['fields'] ?? []].flat().filter((field) => field !== '') as string[];
    await this.#beforeRead(request.context);
    const object = await this.require(reader, request.context, idOf(request), await this.#parentOf(reader, request));
    const [shown] = await this.#presenter.present(reader, request.context, [object], fields.length > 0 ? new Set(fields) : undefined);
    return { [this.resource.member]: shown };
  }

  async #beforeRead(context: Context): Promise<void> {
    const command = await this.rule.beforeRead?.(this.#options.store.reader, context);
    if (command) await this.#options.store.write(command, context.request_id);
  }

  async #create(request: NestedRequest, reply: FastifyReply): Promise<unknown> {
    const { context } = request;
    const { objects, bulk } = parseCreate(this.resource, context, request.body);
    requireWriter(this.resource, context, 'create');
    const { store } = this.#options;
    const made: any[] = await store.write(async (tx) => {
      const parent = await this.#lockedParent(tx, request);
      for (const { named, given } of objects) await requireAttributes(this.rule, tx, context, 'create', named, given);
      return described(() => this.rule.create(tx, context, objects.map(({ given }) => given), parent));
    }, context.request_id);
    const shown = await this.#presenter.present(store.reader, context, made);
    void reply.code(201);
    return bulk ? { [this.resource.collection]: shown } : { [this.resource.member]: shown[0] };
  }

  async #update(request: MemberRequest): Promise<unknown> {
    const { context } = request;
    const { given, named } = parseUpdate(this.resource, context, request.body);
    const updated = await this.change(request, 'update', async (tx, current, parent) => {
      await requireAttributes(this.rule, tx, context, 'update', named, { ...current, ...given });
      return named.length === 0 ? current : this.rule.update(tx, context, current, given, parent);
    });
    return this.#shown(context, updated);
  }

  async #act(request: MemberRequest, name: string): Promise<unknown> {
    const { context } = request;
    const result = await this.change(request, 'update', (tx, current) => this.rule.actions![name]!(tx, context, current, request.body));
    return 'answer' in result ? result.answer : this.#shown(context, result.changed);
  }

  /** An object of ours after its change was committed. */
  async #shown(context: Context, object: any): Promise<unknown> {
    const [shown] = await this.#presenter.present(this.#options.store.reader, context, [object]);
    return { [this.resource.member]: shown };
  }

  async #delete(request: MemberRequest, reply: FastifyReply): Promise<void> {
    await this.change(request, 'delete', (tx, current, parent) => this.rule.delete(tx, request.context, current, parent));
    await reply.code(204).send();
  }
}

/** Waits until no other transaction changes or deletes this object, and keeps others out to the end of this one. */
export async function lockObject(tx: Tx, resource: Resource, id: string): Promise<void> {
  await tx.lock(`${resource.collection}:${id}`);
}

/** Rules throw a kind's InvalidValue as it comes; here it becomes the client's error. */
async function described<T>(command: () => Promise<T>): Promise<T> {
  try {
    return await command();
  } catch (error) {
    if (error instanceof InvalidValue) throw error.attribute ? invalidInput(error.attribute, error.message) : new ApiError('InvalidInput', { reason: error.message });
    throw error;
  }
}

/** Clients of old ask for `/networks/ID.json`. */
function idOf(request: MemberRequest): string {
  return request.params.id.replace(/\.json$/, '');
}
