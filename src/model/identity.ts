/** The declared resources of the Identity API: domains, projects, users, roles, application credentials. */
import { boolean, InvalidValue, json, type Kind, list, nullable, object, text } from './kind.ts';
import { defaulted, defineResource, optional, readOnly, required } from './resource.ts';
import { types } from './type-builder.ts';

/** 32 hex digits, or `default` for the first domain. */
const id = readOnly(text(64));

/** A name with at least one character that is not a space. */
function name(max: number): Kind<string> {
  return {
    column: 'text',
    schema: () => types().String({ minLength: 1, maxLength: max, pattern: '[\\S]+' }),
    convert(value) {
      const given = text(max).convert(value);
      if (given.trim() === '') throw new InvalidValue(`'${given}' does not match '[\\\\S]+'`);
      return given;
    },
  };
}

const description = defaulted(nullable(text(4000)), '', { filter: false, sort: false });
const enabled = defaulted(boolean, true);
/** `immutable` is the one resource option that Keystone's projects, domains and roles know. */
const options = defaulted(object({ immutable: nullable(boolean) }), {});
/** Attributes that Keystone does not know: kept and shown as they were given (`--property`). */
const extra = readOnly(json);

export const domain = defineResource({
  collection: 'domains',
  member: 'domain',
  noun: 'domain',
  attributes: { id, name: required(name(64)), description, enabled, options, extra },
});

export const project = defineResource({
  collection: 'projects',
  member: 'project',
  noun: 'project',
  attributes: {
    id,
    name: required(name(64)),
    domain_id: optional(text(64), { put: false }),
    parent_id: optional(nullable(text(64)), { put: false }),
    description,
    enabled,
    tags: defaulted(list(text(255), { unique: true, max: 80 }), []),
    options,
    extra,
  },
});

export const user = defineResource({
  collection: 'users',
  member: 'user',
  noun: 'user',
  attributes: {
    id,
    name: required(name(255)),
    domain_id: optional(text(64), { put: false }),
    default_project_id: defaulted(nullable(text(64)), null),
    description: defaulted(nullable(text(4000)), null, { filter: false, sort: false }),
    enabled,
    /** None of Keystone's user options (lock_password, multi-factor rules …) is built in, so none is taken. */
    options: defaulted(object({}), {}),
    extra,
  },
});

export const role = defineResource({
  collection: 'roles',
  member: 'role',
  noun: 'role',
  attributes: { id, name: required(name(255)), description: defaulted(nullable(text(4000)), null, { filter: false, sort: false }), options, extra },
});

export const applicationCredential = defineResource({
  collection: 'application_credentials',
  member: 'application_credential',
  noun: 'application credential',
  attributes: {
    id,
    name: required(name(255)),
    description,
    user_id: readOnly(text(64)),
    project_id: readOnly(text(64)),
    /** Ids of roles; on the wire objects of id or name. */
    roles: readOnly(list(text(64))),
    /** UTC to the second, `2026-11-23T15:53:12Z`. */
    expires_at: optional(nullable(text(40)), { put: false }),
    unrestricted: defaulted(boolean, false, { put: false }),
  },
});
