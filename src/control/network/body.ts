/** Request bodies: envelope, known attributes, permission by verb, values. Neutron's order of checks and its wording of the facts. */
import { ApiError } from '#model/errors.ts';
import { InvalidValue } from '#model/kind.ts';
import type { Attribute, Resource } from '#model/resource.ts';
import type { Context } from '../http/context.ts';
import type { Given } from './rule.ts';

export interface ParsedObject {
  readonly given: Given<any>;
  /** The attributes that the client named, whatever their values. */
  readonly named: readonly string[];
}

/** Deeper bodies than any attribute needs would overflow the stack of JSON.stringify. */
const MAX_DEPTH = 20;

/** Reads `{member: {…}}` or `{collection: [{…}, …]}` of a POST. Throws ApiError HTTPBadRequest. */
export function parseCreate(resource: Resource, context: Context, body: unknown): { objects: ParsedObject[]; bulk: boolean } {
  const envelope = requireObject(body, 'Resource body required');
  requireShallow(body);
  const many = envelope[resource.collection];
  // Where one and many have one name, a list is many.
  if (Object.hasOwn(envelope, resource.collection) && (resource.collection !== resource.member || Array.isArray(many))) {
    if (!Array.isArray(many) || many.length === 0) throw bad('Resources required');
    return { objects: many.map((item) => parseNew(resource, context, bare(resource, item))), bulk: true };
  }
  return { objects: [parseNew(resource, context, member(resource, envelope))], bulk: false };
}

/** Reads `{member: {…}}` of a PUT. Throws ApiError HTTPBadRequest. */
export function parseUpdate(resource: Resource, context: Context, body: unknown): ParsedObject {
  const envelope = requireObject(body, 'Resource body required');
  requireShallow(body);
  const raw = withProject(resource, context, member(resource, envelope));
  requireKnown(resource, raw);
  const given: Record<string, unknown> = {};
  for (const name of Object.keys(raw)) {
    const attribute = resource.attributes[name]!;
    if (!attribute.put) throw bad(`Cannot update read-only attribute ${name}`);
    given[name] = convert(name, attribute, raw[name]);
  }
  return { given, named: Object.keys(raw) };
}

/** What a broken rule of a kind is to the client. */
export function invalidInput(name: string, reason: string): ApiError {
  return bad(`Invalid input for ${name}. Reason: ${reason.length > 1000 ? `${reason.slice(0, 1000)}…` : reason}.`);
}

/** The attributes of one object to be made: given ones converted, defaults filled in. */
function parseNew(resource: Resource, context: Context, item: Record<string, unknown>): ParsedObject {
  const raw = withProject(resource, context, item);
  const named = Object.keys(raw);
  requireKnown(resource, raw);
  const given: Record<string, unknown> = {};
  for (const [name, attribute] of Object.entries(resource.attributes)) {
    if (Object.hasOwn(raw, name)) {
      if (!attribute.post) throw bad(`Attribute '${name}' not allowed in POST`);
      given[name] = convert(name, attribute, raw[name]);
    } else if (attribute.initial === 'required') {
      throw bad(`Failed to parse request. Required attribute '${name}' not specified`);
    } else if (attribute.initial !== 'unset') {
      given[name] = fresh(attribute.initial.default);
    }
  }
  // A null, where the attribute takes one, is no project and not the client's.
  if ('project_id' in resource.attributes && given['project_id'] === undefined) given['project_id'] = context.project_id ?? '';
  return { given, named };
}

/** `tenant_id` is the old name of `project_id`; only admins name a project other than their own. */
function withProject(resource: Resource, context: Context, item: Record<string, unknown>): Record<string, unknown> {
  if (!('project_id' in resource.attributes) || (item['tenant_id'] === undefined && item['project_id'] === undefined)) return item;
  const { tenant_id, ...raw } = item;
  if (tenant_id !== undefined) {
    if (raw['project_id'] !== undefined && raw['project_id'] !== tenant_id) throw bad("'project_id' and 'tenant_id' do not match");
    raw['project_id'] = tenant_id;
  }
  if (raw['project_id'] !== context.project_id && !context.is_admin) throw bad("Specifying 'project_id' or 'tenant_id' other than the authenticated project in request is not allowed for the current user.");
  return raw;
}

function requireKnown(resource: Resource, raw: Record<string, unknown>): void {
  const unknown = Object.keys(raw).filter((name) => !Object.hasOwn(resource.attributes, name) || (resource.attributes[name]!.readers === 'nobody' && !resource.attributes[name]!.post));
  if (unknown.length > 0) throw bad(`Unrecognized attribute(s) '${unknown.slice(0, 20).map((name) => name.slice(0, 100)).join(', ')}'`);
}

function convert(name: string, attribute: Attribute<any>, value: unknown): unknown {
  try {
    return attribute.kind.convert(value);
  } catch (error) {
    if (error instanceof InvalidValue) throw invalidInput(name, error.message);
    throw error;
  }
}

/** Defaults are shared by all requests: rules get their own. */
function fresh(value: unknown): unknown {
  return Array.isArray(value) ? [...value] : typeof value === 'object' && value !== null ? { ...value } : value;
}

function member(resource: Resource, envelope: Record<string, unknown>): Record<string, unknown> {
  if (!Object.hasOwn(envelope, resource.member)) throw bad(`Unable to find '${resource.member}' in request body`);
  return requireObject(envelope[resource.member], 'Body contains invalid data');
}

/** Clients of old wrap each object of a bulk request once more. */
function bare(resource: Resource, item: unknown): Record<string, unknown> {
  const object = requireObject(item, 'Body contains invalid data');
  const inner = object[resource.member];
  return Object.keys(object).length === 1 && typeof inner === 'object' && inner !== null ? requireObject(inner, 'Body contains invalid data') : object;
}

function requireObject(value: unknown, otherwise: string): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw bad(otherwise);
  return value as Record<string, unknown>;
}

function requireShallow(body: unknown): void {
  let level: unknown[] = [body];
  for (let depth = 0; level.length > 0; depth++) {
    if (depth > MAX_DEPTH) throw bad(`The request body is nested deeper than ${MAX_DEPTH} levels`);
    level = level.flatMap((value) => (typeof value === 'object' && value !== null ? Object.values(value) : []));
  }
}

function bad(reason: string): ApiError {
  return new ApiError('HTTPBadRequest', { reason });
}
