/** What RBAC policies may share: one entry for each type of object. */
import { type RawBuilder, sql } from 'kysely';
import { addressGroup } from '#model/address-groups.ts';
import { addressScope, subnetPool, type SubnetPool } from '#model/address-scopes.ts';
import { ApiError } from '#model/errors.ts';
import { network } from '#model/networks.ts';
import { ACCESS_AS_EXTERNAL, ACCESS_AS_SHARED, type RbacAction, type RbacObjectType } from '#model/rbac-policies.ts';
import type { Resource } from '#model/resource.ts';
import { securityGroup } from '#model/security-groups.ts';
import type { Tx } from '#store/store.ts';
import { Table } from '#store/table.ts';
import { followPolicies } from './network-external.ts';
import { sharedWith } from './rbac-visibility.ts';

/** A select of `project_id`: the projects that have something which needs the object with this id. */
type Users = (id: string) => RawBuilder<unknown>;

export interface RbacObject {
  readonly resource: Resource;
  /** The actions that a policy of this type may name, each with who depends on it. */
  readonly actions: Readonly<Partial<Record<RbacAction, Users>>>;
  /** Refuses a target that could not use the object. */
  requireFit?(tx: Tx, object: any, target: string): Promise<void>;
  /** After a policy came, changed or went, in the same transaction. */
  changed?(tx: Tx, object: any): Promise<void>;
}

export const RBAC_OBJECTS: Readonly<Record<RbacObjectType, RbacObject>> = {
  network: {
    resource: network,
    actions: {
      [ACCESS_AS_SHARED]: (id) => sql`select project_id from ports where network_id = ${id} union all select project_id from subnets where network_id = ${id}`,
      [ACCESS_AS_EXTERNAL]: (id) => sql`select routers.project_id from ports join routers on routers.id = ports.device_id where ports.network_id = ${id} and ports.device_owner = 'network:router_gateway'`,
    },
    changed: followPolicies,
  },
  security_group: {
    resource: securityGroup,
    actions: { [ACCESS_AS_SHARED]: (id) => sql`select ports.project_id from port_security_groups member join ports on ports.id = member.port_id where member.security_group_id = ${id}` },
  },
  address_group: {
    resource: addressGroup,
    actions: { [ACCESS_AS_SHARED]: (id) => sql`select project_id from security_group_rules where remote_address_group_id = ${id}` },
  },
  address_scope: {
    resource: addressScope,
    actions: { [ACCESS_AS_SHARED]: (id) => sql`select project_id from subnetpools where address_scope_id = ${id}` },
  },
  subnetpool: {
    resource: subnetPool,
    actions: { [ACCESS_AS_SHARED]: (id) => sql`select project_id from subnets where subnetpool_id = ${id}` },
    requireFit: requireScopeOf,
  },
};

const scopes = new Table(addressScope);

/** Who may take subnets from a pool needs its address scope too. */
async function requireScopeOf(tx: Tx, { id, address_scope_id }: SubnetPool, target: string): Promise<void> {
  if (address_scope_id === null || (await sharedWith(tx, addressScope, [address_scope_id], target)).size > 0) return;
  if ((await scopes.get(tx, address_scope_id))?.project_id === target) return;
  throw new ApiError('InvalidInput', { reason: `subnet pool ${id} cannot be shared with a project that has no access to its address scope ${address_scope_id}` });
}
