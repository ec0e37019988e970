/** Address groups (extension address-group): named sets of prefixes that security group rules may refer to. */
import { boolean, cidr, list, orElse, text } from './kind.ts';
import { type Held, defaulted, defineResource, readOnly } from './resource.ts';
import { identified, standardAttributes } from './standard.ts';

/** How many addresses one request may name; a group takes more with further requests. */
const MAX_ADDRESSES = 10_000;

/** Addresses as `add_addresses` and `remove_addresses` take them: a bare one is a prefix of one. */
export const addressList = list(text(64), { max: MAX_ADDRESSES });

/** Clients of a POST may also say null. */
const prefixesOrNone = orElse([], list(cidr, { unique: true, max: MAX_ADDRESSES }));

export const addressGroup = defineResource({
  collection: 'address_groups', member: 'address_group', noun: 'AddressGroup',
  attributes: {
    ...identified,
    /** Prefixes without host bits, each once. Rows of `address_associations`, so that one more costs one row. */
    addresses: defaulted(prefixesOrNone, [], { put: false, stored: false }),
    shared: readOnly(boolean, { stored: false }),
    ...standardAttributes,
  },
});
export type AddressGroup = Held<typeof addressGroup>;

/** One prefix of a group, as hosts are told of it. */
export interface AddressAssociation {
  /** `group/prefix`. */
  readonly id: string;
  readonly address_group_id: string;
  readonly address: string;
}
