/**
 * What is special about a Networking resource: its rules and side effects. Everything else (reading the body, policy
 * of attributes, filters, paging, envelopes) follows from its definition.
 */
import type { Config } from '#model/config.ts';
import type { Held, Resource } from '#model/resource.ts';
import type { Reader, Tx } from '#store/store.ts';
import type { Context } from '../http/context.ts';

/** A validated POST body: required and defaulted attributes are there, `unset` ones only if given. */
export type Given<R extends Resource> = Partial<Held<R>>;

export interface Rule<R extends Resource = any> {
  readonly resource: R;
  /** Stands before the collection in its path: `/log`. */
  readonly prefix?: string;
  /** The collection below whose members these stand (`floatingips`); commands are given the member, locked. */
  readonly parent?: string;
  /** Creates many in one transaction (one in most calls); the order of answers is that of `given`. */
  create(tx: Tx, context: Context, given: readonly Given<R>[], parent?: any): Promise<Held<R>[]>;
  update(tx: Tx, context: Context, current: Held<R>, changes: Given<R>, parent?: any): Promise<Held<R>>;
  delete(tx: Tx, context: Context, current: Held<R>, parent?: any): Promise<void>;
  /** Adds computed attributes (`subnets` of a network) to a page of objects with few reads, not one per object. */
  present?(reader: Reader, context: Context, objects: readonly Held<R>[]): Promise<Record<string, unknown>[]>;
  /** Narrows a select to what the project may see; default: rows of its own project. Admins see all. */
  visible?(query: any, context: Context): any;
  /** What has to be made before `context` sees a list, once: the write to do, or nothing. Must be bounded whatever the request says (CVE-2022-3277). */
  beforeList?(reader: Reader, context: Context): Promise<((tx: Tx) => Promise<unknown>) | undefined>;
  /** What has to be made before `context` reads this resource (a project's default security group); undefined in most calls. */
  beforeRead?(reader: Reader, context: Context): Promise<((tx: Tx) => Promise<unknown>) | undefined>;
  /** Filters that are no plain column: `fixed_ips`, `security_groups`, `shared`, `router:external` of subnets. */
  readonly filters?: Readonly<Record<string, (query: any, values: readonly string[], context: Context) => any>>;
  /** True when `context`, not an admin, may change and delete `current`, which it sees; default: it is its own project's. */
  owns?(reader: Reader, context: Context, current: Held<R>): Promise<boolean>;
  /** True when `context` owns what `network_owner` attributes ask for; default: owns the object. */
  ownsNetwork?(reader: Reader, context: Context, given: Given<R>): Promise<boolean>;
  /** What `PUT /<collection>/<id>/<name>` does, by name: a change like `update`, after the same checks and under the same lock. */
  readonly actions?: Readonly<Record<string, (tx: Tx, context: Context, current: Held<R>, body: unknown) => Promise<ActionResult<R>>>>;
}

/** What the client gets: `answer` as it is, or the changed object as GET shows it. */
export type ActionResult<R extends Resource> = { readonly answer: Record<string, unknown> } | { readonly changed: Held<R> };

/** What rules are made from. */
export interface NetworkDeps {
  readonly config: Config;
}
