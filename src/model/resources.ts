/** Every declared resource with the keys of its table. */
import { applicationCredential, domain, project, role, user } from './identity.ts';
import { flavor, keypair, server } from './compute.ts';
import { image } from './images.ts';
import { addressGroup } from './address-groups.ts';
import { addressScope, subnetPool } from './address-scopes.ts';
import { log } from './logs.ts';
import { network, port, subnet } from './networks.ts';
import { agent } from './agents.ts';
import { rbacPolicy } from './rbac-policies.ts';
import type { Resource } from './resource.ts';
import { floatingIp, portForwarding, router } from './routers.ts';
import { defaultSecurityGroupRule, defaultStatefulness, securityGroup, securityGroupRule } from './security-groups.ts';

export interface DeclaredResource {
  readonly resource: Resource;
  readonly unique?: readonly (readonly string[])[];
  readonly indexes?: readonly (readonly string[])[];
}

export const RESOURCES: readonly DeclaredResource[] = [
  { resource: network, indexes: [['project_id'], ['name']] },
  { resource: subnet, indexes: [['network_id'], ['project_id'], ['name'], ['subnetpool_id']] },
  { resource: port, unique: [['network_id', 'mac_address']], indexes: [['project_id'], ['device_id'], ['name'], ['binding_host_id']] },
  { resource: router, indexes: [['project_id'], ['name']] },
  { resource: floatingIp, unique: [['floating_network_id', 'floating_ip_address']], indexes: [['project_id'], ['port_id'], ['router_id']] },
  { resource: portForwarding, indexes: [['floatingip_id'], ['internal_port_id']] },
  { resource: addressScope, indexes: [['project_id']] },
  { resource: subnetPool, indexes: [['project_id'], ['address_scope_id']] },
  { resource: rbacPolicy, unique: [['object_id', 'target_project', 'action']], indexes: [['target_project', 'object_type', 'object_id'], ['project_id']] },
  { resource: agent, unique: [['host', 'agent_type']] },
  { resource: securityGroup, indexes: [['project_id'], ['name']] },
  { resource: securityGroupRule, indexes: [['security_group_id'], ['project_id'], ['remote_group_id'], ['remote_address_group_id']] },
  { resource: defaultSecurityGroupRule },
  { resource: defaultStatefulness, indexes: [['project_id']] },
  { resource: addressGroup, indexes: [['project_id'], ['name']] },
  { resource: log, indexes: [['resource_id'], ['target_id']] },
  { resource: domain, unique: [['name']] },
  { resource: project, unique: [['domain_id', 'name']], indexes: [['parent_id']] },
  { resource: user, unique: [['domain_id', 'name']] },
  { resource: role, unique: [['name']] },
  { resource: applicationCredential, unique: [['user_id', 'name']], indexes: [['project_id']] },
  { resource: flavor, unique: [['name']] },
  { resource: keypair, unique: [['user_id', 'name']] },
  { resource: server, indexes: [['project_id', 'created_at'], ['host'], ['created_at']] },
  { resource: image, indexes: [['name'], ['owner']] },
];
