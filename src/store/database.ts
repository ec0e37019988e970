/** The tables as Kysely sees them. Resource tables follow their definitions (schema.ts); these stand beside them. */

/** Rows of resource tables go through `table.ts`, which knows their types. */
export type Row = Record<string, any>;

export interface FeedState {
  store_id: string;
  /** The newest change's number; 0 before the first. */
  last_seq: number;
  /** Changes up to this number were purged. */
  purged_seq: number;
}

export interface ChangeRow {
  seq: number;
  token: string;
  kind: string;
  id: string;
  op: string;
  request_id: string | null;
  at: string;
}

/** A free range of a number pool: addresses, VNIs, VLAN ids, host-local numbers. Numbers as 32 hex digits, so that text sorts. */
export interface FreeRangeRow {
  pool: string;
  first: string;
  last: string;
}

export interface IpAllocationRow {
  subnet_id: string;
  ip_address: string;
  network_id: string;
  port_id: string;
}

export interface SegmentAllocationRow {
  network_type: string;
  physical_network: string;
  segmentation_id: number;
  network_id: string;
}

/** A number that means something on one host only: kind `local_vlan`, key the network's id. */
export interface HostNumberRow {
  host: string;
  kind: string;
  key: string;
  number: number;
}

export interface PortGroupRow {
  port_id: string;
  security_group_id: string;
}

/** A prefix of an address group, in canonical form. */
export interface AddressAssociationRow {
  address_group_id: string;
  address: string;
}

/** What a new store is given once, and does not get again when somebody deletes it. */
export interface MadeOnceRow {
  name: string;
}

/** A project's own limit of a resource; without a row the configured default holds. */
export interface QuotaRow {
  project_id: string;
  /** `port`, `security_group_rule`. */
  resource: string;
  /** -1 is no limit. */
  hard_limit: number;
}

export interface RoleAssignmentRow {
  user_id: string;
  target_type: 'project' | 'domain';
  target_id: string;
  role_id: string;
}

/** What a user or an application credential proves itself with; apart from the resource, so that no list can show it. */
export interface IdentitySecretRow {
  owner_id: string;
  /** `$scrypt$…`; null for a user without a password. */
  secret_hash: string | null;
  /** Tokens carry it; a new password or a disabled user makes it larger, and older tokens are worth nothing. */
  generation: number;
}

/** Signs tokens on every controller of this store. */
export interface TokenKeyRow {
  id: string;
  secret: string;
  created_at: string;
}

/** What the controllers of a store made for themselves and must not differ in. */
export interface SecretRow {
  name: string;
  secret: string;
}

export interface RevokedTokenRow {
  audit_id: string;
  /** Seconds since 1970: the row is of no use after it. */
  expires_at: number;
}

/** Which host serves DHCP on a network, by which port. */
export interface DhcpBindingRow {
  network_id: string;
  host: string;
  port_id: string;
}

/** Which host carries a router. */
export interface RouterBindingRow {
  router_id: string;
  host: string;
}

export interface Database {
  feed_state: FeedState;
  changes: ChangeRow;
  free_ranges: FreeRangeRow;
  ip_allocations: IpAllocationRow;
  segment_allocations: SegmentAllocationRow;
  host_numbers: HostNumberRow;
  port_security_groups: PortGroupRow;
  address_associations: AddressAssociationRow;
  made_once: MadeOnceRow;
  network_dhcp_bindings: DhcpBindingRow;
  router_bindings: RouterBindingRow;
  quotas: QuotaRow;
  role_assignments: RoleAssignmentRow;
  identity_secrets: IdentitySecretRow;
  token_keys: TokenKeyRow;
  revoked_tokens: RevokedTokenRow;
  secrets: SecretRow;
  [table: string]: Row;
}
