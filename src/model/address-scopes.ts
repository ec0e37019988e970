/** Address scopes and subnet pools (extensions address-scope, subnet_allocation, default-subnetpools). */
import { boolean, cidr, filled, integer, ipVersion, list, nullable, text, uuid } from './kind.ts';
import { type Held, defaulted, defineResource, optional, readOnly, required } from './resource.ts';
import { identified, standardAttributes, tagged } from './standard.ts';

/** A routing domain: within one, addresses do not overlap and need no NAT; between two there is no direct path (N-L3-13). */
export const addressScope = defineResource({
  collection: 'address_scopes', member: 'address_scope', noun: 'AddressScope',
  attributes: {
    id: readOnly(uuid),
    name: defaulted(text(255), ''),
    project_id: optional(text(255), { put: false }),
    shared: defaulted(boolean, false, { writers: 'admin', stored: false }),
    ip_version: required(ipVersion, { put: false }),
  },
});
export type AddressScope = Held<typeof addressScope>;

/** Prefixes from which subnets are carved; what is allocated stands in the subnets alone. */
export const subnetPool = defineResource({
  collection: 'subnetpools', member: 'subnetpool', noun: 'SubnetPool',
  attributes: {
    ...identified,
    name: required(filled(text(255))),
    /** Normalised: the fewest prefixes, lowest first. */
    prefixes: required(list(cidr, { unique: true })),
    /** How much of the pool one project may take, in /32 of IPv4 and /64 of IPv6; null and 0 are no limit. */
    default_quota: optional(nullable(integer(0))),
    ip_version: readOnly(ipVersion),
    default_prefixlen: optional(integer(0)),
    min_prefixlen: optional(integer(0)),
    max_prefixlen: optional(integer(0)),
    is_default: defaulted(boolean, false, { writers: 'admin' }),
    shared: defaulted(boolean, false, { put: false, writers: 'admin', stored: false }),
    address_scope_id: optional(nullable(uuid)),
    ...standardAttributes, ...tagged,
  },
});
export type SubnetPool = Held<typeof subnetPool>;
