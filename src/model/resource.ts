/**
 * API resources are declared: one definition per resource drives validation, wire mapping, policy,
 * filtering, paging, the API document and the table (DESIGN §3).
 */
import type { Kind } from './kind.ts';

/**
 * Who may give or see an attribute: everybody the resource is open to, admins only, who owns its network, or nobody.
 * What nobody reads is stored for the hosts (a rule's `conj_id`) and never leaves by the API, filters and sorting included.
 */
export type Who = 'anyone' | 'admin' | 'network_owner' | 'nobody';

export interface Attribute<T> {
  readonly kind: Kind<T>;
  /** May stand in a POST body. */
  readonly post: boolean;
  /** May stand in a PUT body. */
  readonly put: boolean;
  /** Value of a POST that leaves it out; `required` and `unset` (the resource's rule decides) have none. */
  readonly initial: { readonly default: T } | 'required' | 'unset';
  /** Who may give it; naming it at all counts, even with its present value (OSSA-2014-031). */
  readonly writers: Who;
  readonly readers: Who;
  /** False for attributes that the rule computes when it is shown. */
  readonly stored: boolean;
  readonly filter: boolean;
  readonly sort: boolean;
}

type AttributeOptions<T> = Partial<Omit<Attribute<T>, 'kind' | 'initial'>>;

function attribute<T>(kind: Kind<T>, initial: Attribute<T>['initial'], options: AttributeOptions<T>): Attribute<T> {
  return { post: true, put: true, writers: 'anyone', readers: 'anyone', stored: true, filter: kind.column !== 'json', sort: kind.column !== 'json', ...options, kind, initial };
}

/** Must be given in a POST. */
export function required<T>(kind: Kind<T>, options: AttributeOptions<T> = {}): Attribute<T> {
  return attribute(kind, 'required', options);
}

/** Has a value of its own when a POST leaves it out. */
export function defaulted<T>(kind: Kind<T>, value: T, options: AttributeOptions<T> = {}): Attribute<T> {
  return attribute(kind, { default: value }, options);
}

/** Decided by the resource's rule when a POST leaves it out. */
export function optional<T>(kind: Kind<T>, options: AttributeOptions<T> = {}): Attribute<T> {
  return attribute(kind, 'unset', options);
}

/** Written by the system only. */
export function readOnly<T>(kind: Kind<T>, options: AttributeOptions<T> = {}): Attribute<T> {
  return attribute(kind, 'unset', { post: false, put: false, ...options });
}

export type Attributes = Readonly<Record<string, Attribute<any>>>;

export interface Resource<A extends Attributes = Attributes> {
  /** `networks`: the path, the list's envelope and the table. */
  readonly collection: string;
  /** `network`: the envelope of one. */
  readonly member: string;
  /** Names the resource in errors, as Neutron spells it: `Network`. */
  readonly noun: string;
  readonly attributes: A;
}

/** What the model holds of a resource: every stored attribute. */
export type Held<R extends Resource> = { -readonly [K in keyof R['attributes']]: R['attributes'][K] extends Attribute<infer T> ? T : never };

export function defineResource<A extends Attributes>(resource: Resource<A>): Resource<A> {
  return resource;
}
