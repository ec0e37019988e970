/** Rows of the Open_vSwitch database as this program reads them (ovs-vswitchd.conf.db(5)). */

interface AnyRow {
  readonly _uuid: string;
  readonly external_ids: Readonly<Record<string, string>>;
}

export interface OpenVswitchRow extends AnyRow {
  /** Count of configurations asked for, and of those that vswitchd has applied. */
  readonly next_cfg: number;
  readonly cur_cfg: number;
  readonly other_config: Readonly<Record<string, string>>;
  readonly ovs_version: string | undefined;
}

export interface BridgeRow extends AnyRow {
  readonly name: string;
  readonly datapath_type: string;
  readonly fail_mode: string | undefined;
  readonly other_config: Readonly<Record<string, string>>;
  /** UUIDs of `Port` rows. */
  readonly ports: readonly string[];
}

export interface PortRow extends AnyRow {
  readonly name: string;
  /** VLAN of an access port; without, the port is a trunk. */
  readonly tag: number | undefined;
  readonly trunks: readonly number[];
  readonly vlan_mode: string | undefined;
  readonly other_config: Readonly<Record<string, string>>;
  /** UUIDs of `Interface` rows: one, unless it is a bond. */
  readonly interfaces: readonly string[];
}

export interface InterfaceRow extends AnyRow {
  readonly name: string;
  readonly type: string;
  readonly options: Readonly<Record<string, string>>;
  /** OpenFlow port number; absent until vswitchd has seen the row, -1 when it could not be made (see `error`). */
  readonly ofport: number | undefined;
  /** Of the device; 0 for those without. A tap made anew under its name has another one. */
  readonly ifindex: number | undefined;
  readonly error: string | undefined;
  readonly admin_state: 'up' | 'down' | undefined;
  readonly link_state: 'up' | 'down' | undefined;
  readonly mac_in_use: string | undefined;
  readonly mtu: number | undefined;
}

export interface VswitchTables {
  readonly Open_vSwitch: OpenVswitchRow;
  readonly Bridge: BridgeRow;
  readonly Port: PortRow;
  readonly Interface: InterfaceRow;
}

export type VswitchTable = keyof VswitchTables;

/** Table → columns of the rows above. */
export const VSWITCH_COLUMNS = {
  Open_vSwitch: ['next_cfg', 'cur_cfg', 'external_ids', 'other_config', 'ovs_version'],
  Bridge: ['name', 'datapath_type', 'fail_mode', 'external_ids', 'other_config', 'ports'],
  Port: ['name', 'tag', 'trunks', 'vlan_mode', 'external_ids', 'other_config', 'interfaces'],
  Interface: ['name', 'type', 'options', 'external_ids', 'ofport', 'ifindex', 'error', 'admin_state', 'link_state', 'mac_in_use', 'mtu'],
} as const;

/** One row that a transaction inserted (no `before`), changed, or deleted (no `after`). */
export type VswitchChange = {
  readonly [T in VswitchTable]: { readonly table: T; readonly before?: VswitchTables[T]; readonly after?: VswitchTables[T] };
}[VswitchTable];
