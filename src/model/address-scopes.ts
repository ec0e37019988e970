/** Address scopes and subnet pools (extensions address-scope, subnet_allocation, default-subnetpools). */
import { boolean, cidr, integer, list, nullable, text, uuid } from './kind.ts';
import { type Held, defaulted, defineResource, optional, readOnly, required } from './resource.ts';
import { identified, standardAttributes, tagged } from './standard.ts';

/** A routing domain: within one, addresses do not overlap and need no NAT; between two there is no direct path (N-L3-13). */
export const addressScope = defineResource({
  collection: 'address_scopes', member: 'address_scope', noun: 'AddressScope',
  attributes: {
    id: readOnly(uuid),
    name: defaulted(text(255), ''),
    project_id: optional(text(255), { put: false }),
    shared: defaulted(boolean, false, { writers: 'admin' }),
    ip_version: required(integer(4, 6), { put: false }),
  },
});
export type AddressScope = Held<typeof addressScope>;

/** Prefixes from which subnets are carved. */
export const subnetPool = defineResource({
  collection: 'subnetpools', member: 'subnetpool', noun: 'SubnetPool',
  attributes: {
    ...identified,
    name: required(text(255)),
    prefixes: required(list(cidr)),
    default_quota: optional(nullable(integer(0))),
    ip_version: readOnly(integer(4, 6)),
    default_prefixlen: optional(integer(0, 128)),
    min_prefixlen: optional(integer(0, 128)),
    max_prefixlen: optional(integer(0, 128)),
    is_default: defaulted(boolean, false, { writers: 'admin' }),
    shared: defaulted(boolean, false, { put: false, writers: 'admin' }),
    address_scope_id: optional(nullable(uuid)),
    ...standardAttributes, ...tagged,
  },
});
export type SubnetPool = Held<typeof subnetPool>;
