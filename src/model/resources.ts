/** Every declared resource with the keys of its table. */
import { network, port, subnet } from './networks.ts';
import type { Resource } from './resource.ts';
import { securityGroup, securityGroupRule } from './security-groups.ts';

export interface DeclaredResource {
  readonly resource: Resource;
  readonly unique?: readonly (readonly string[])[];
  readonly indexes?: readonly (readonly string[])[];
}

export const RESOURCES: readonly DeclaredResource[] = [
  { resource: network, indexes: [['project_id'], ['name']] },
  { resource: subnet, indexes: [['network_id'], ['project_id'], ['name']] },
  { resource: port, unique: [['network_id', 'mac_address']], indexes: [['project_id'], ['device_id'], ['name'], ['binding_host_id']] },
  { resource: securityGroup, indexes: [['project_id'], ['name']] },
  { resource: securityGroupRule, indexes: [['security_group_id'], ['project_id'], ['remote_group_id']] },
];
