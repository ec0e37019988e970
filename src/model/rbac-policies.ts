/** RBAC policies (extensions rbac-policies, rbac-security-groups, …): which project may use an object of another. */
import { enumeration, filled, type Kind, text, uuid } from './kind.ts';
import { type Held, defineResource, optional, required } from './resource.ts';
import { identified } from './standard.ts';

/** What can be shared, by the name of one (`Resource.member`). How each is shared stands in control/network/rbac-objects.ts. */
export const RBAC_OBJECT_TYPES = ['network', 'security_group', 'address_group', 'address_scope', 'subnetpool'] as const;
export type RbacObjectType = (typeof RBAC_OBJECT_TYPES)[number];

export const ACCESS_AS_SHARED = 'access_as_shared';
export const ACCESS_AS_EXTERNAL = 'access_as_external';
export type RbacAction = typeof ACCESS_AS_SHARED | typeof ACCESS_AS_EXTERNAL;

/** In place of a project: all of them. */
export const EVERY_PROJECT = '*';

/** Types in any case, as Neutron takes them. */
const objectType: Kind<RbacObjectType> = { ...enumeration(...RBAC_OBJECT_TYPES), convert: (value) => enumeration(...RBAC_OBJECT_TYPES).convert(typeof value === 'string' ? value.trim().toLowerCase() : value) };
const target = filled(text(255));

export const rbacPolicy = defineResource({
  collection: 'rbac_policies', member: 'rbac_policy', noun: 'RbacPolicy',
  attributes: {
    id: identified.id,
    project_id: identified.project_id,
    object_type: required(objectType, { put: false }),
    object_id: required(uuid, { put: false }),
    action: required(enumeration(ACCESS_AS_SHARED, ACCESS_AS_EXTERNAL), { put: false }),
    target_project: optional(target),
    /** The old name of `target_project`. */
    target_tenant: optional(target, { stored: false }),
  },
});
export type RbacPolicy = Held<typeof rbacPolicy>;
