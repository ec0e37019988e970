/**
 * Operations on the Open_vSwitch database, as `ovs-vsctl` would do them. Each function returns operations of one step;
 * steps put behind one another make one transaction: `transact([...addPortOps(a), ...addPortOps(b)])`.
 */
import type { Operation } from './ovsdb-client.ts';
import { wireMap, wireOptional, type WireValue } from './ovsdb-value.ts';

type StringMap = Readonly<Record<string, string>>;

export interface BridgeSpec {
  readonly name: string;
  /** `netdev` = userspace, `system` = kernel module. */
  readonly datapath_type?: string;
  /** `secure`: without flows nothing passes. */
  readonly fail_mode?: 'secure' | 'standalone';
  readonly external_ids?: StringMap;
  readonly other_config?: StringMap;
}

/** Makes a bridge with its own internal port. The transaction fails when one of this name exists. */
export function addBridgeOps(spec: BridgeSpec): Operation[] {
  const { name } = spec;
  return [
    { op: 'insert', table: 'Interface', 'uuid-name': rowName('interface', name), row: { name, type: 'internal' } },
    { op: 'insert', table: 'Port', 'uuid-name': rowName('port', name), row: { name, interfaces: named('interface', name) } },
    {
      op: 'insert',
      table: 'Bridge',
      'uuid-name': rowName('bridge', name),
      row: {
        name,
        ports: named('port', name),
        ...(spec.datapath_type !== undefined && { datapath_type: spec.datapath_type }),
        ...(spec.fail_mode && { fail_mode: spec.fail_mode }),
        ...(spec.external_ids && { external_ids: wireMap(spec.external_ids) }),
        ...(spec.other_config && { other_config: wireMap(spec.other_config) }),
      },
    },
    { op: 'mutate', table: 'Open_vSwitch', where: [], mutations: [['bridges', 'insert', named('bridge', name)]] },
  ];
}

/** Removes a bridge with all its ports; does nothing when it is gone. */
export function delBridgeOps(bridge: { readonly _uuid: string }): Operation[] {
  return [{ op: 'mutate', table: 'Open_vSwitch', where: [], mutations: [['bridges', 'delete', ['uuid', bridge._uuid]]] }];
}

export interface PortSpec {
  readonly bridge: string;
  readonly name: string;
  /** Of the interface: `` for a device of the system (the default), `internal`, `patch`, `vxlan`, `gre`, `geneve`. */
  readonly type?: string;
  /** Of the interface: `peer`, `remote_ip`, `local_ip`, `key`, … */
  readonly options?: StringMap;
  /** Of the interface: `iface-id`, `attached-mac`, … */
  readonly external_ids?: StringMap;
  readonly ofport_request?: number;
  readonly mtu_request?: number;
  /** Of the port. */
  readonly tag?: number;
  readonly trunks?: readonly number[];
  readonly vlan_mode?: string;
  readonly other_config?: StringMap;
}

/** Adds a port with one interface. The transaction fails when the bridge is missing or a port of this name exists. */
export function addPortOps(spec: PortSpec): Operation[] {
  const { bridge, name } = spec;
  return [
    mustExist('Bridge', bridge),
    {
      op: 'insert',
      table: 'Interface',
      'uuid-name': rowName('interface', name),
      row: {
        name,
        ...(spec.type && { type: spec.type }),
        ...(spec.options && { options: wireMap(spec.options) }),
        ...(spec.external_ids && { external_ids: wireMap(spec.external_ids) }),
        ...(spec.ofport_request !== undefined && { ofport_request: spec.ofport_request }),
        ...(spec.mtu_request !== undefined && { mtu_request: spec.mtu_request }),
      },
    },
    {
      op: 'insert',
      table: 'Port',
      'uuid-name': rowName('port', name),
      row: {
        name,
        interfaces: named('interface', name),
        ...(spec.tag !== undefined && { tag: spec.tag }),
        ...(spec.trunks && { trunks: ['set', spec.trunks] }),
        ...(spec.vlan_mode && { vlan_mode: spec.vlan_mode }),
        ...(spec.other_config && { other_config: wireMap(spec.other_config) }),
      },
    },
    { op: 'mutate', table: 'Bridge', where: [['name', '==', bridge]], mutations: [['ports', 'insert', named('port', name)]] },
  ];
}

/** Removes a port from its bridge; does nothing when it is gone. */
export function delPortOps(port: { readonly _uuid: string }): Operation[] {
  const uuid = ['uuid', port._uuid];
  return [{ op: 'mutate', table: 'Bridge', where: [['ports', 'includes', uuid]], mutations: [['ports', 'delete', uuid]] }];
}

/** Makes the port an access port of `tag`, or a trunk when it is `undefined`. Fails when there is no such port. */
export function setPortTagOps(name: string, tag: number | undefined): Operation[] {
  return updateOps('Port', name, { tag: wireOptional(tag) });
}

export interface PortChange {
  readonly tag?: number | null;
  readonly trunks?: readonly number[];
  readonly vlan_mode?: string | null;
  readonly external_ids?: MapChange;
  readonly other_config?: MapChange;
}

/** Keys to set, or to remove where the value is `null`; other keys stay. */
export type MapChange = Readonly<Record<string, string | null>>;

/** Changes what is given of a port (`null` clears). Fails when there is no such port. */
export function setPortOps(name: string, change: PortChange): Operation[] {
  return [
    ...updateOps('Port', name, {
      ...(change.tag !== undefined && { tag: wireOptional(change.tag ?? undefined) }),
      ...(change.trunks && { trunks: ['set', change.trunks] as const }),
      ...(change.vlan_mode !== undefined && { vlan_mode: wireOptional(change.vlan_mode ?? undefined) }),
    }),
    ...changeMapOps('Port', name, 'external_ids', change.external_ids),
    ...changeMapOps('Port', name, 'other_config', change.other_config),
  ];
}

export interface InterfaceChange {
  readonly type?: string;
  /** All options: those not given are removed. */
  readonly options?: StringMap;
  readonly external_ids?: MapChange;
  readonly ofport_request?: number | null;
  readonly mtu_request?: number | null;
}

/** Changes what is given of an interface (`null` clears). Fails when there is no such interface. */
export function setInterfaceOps(name: string, change: InterfaceChange): Operation[] {
  return [
    ...updateOps('Interface', name, {
      ...(change.type !== undefined && { type: change.type }),
      ...(change.options && { options: wireMap(change.options) }),
      ...(change.ofport_request !== undefined && { ofport_request: wireOptional(change.ofport_request ?? undefined) }),
      ...(change.mtu_request !== undefined && { mtu_request: wireOptional(change.mtu_request ?? undefined) }),
    }),
    ...changeMapOps('Interface', name, 'external_ids', change.external_ids),
  ];
}

export interface BridgeChange {
  readonly fail_mode?: 'secure' | 'standalone' | null;
  readonly external_ids?: MapChange;
  readonly other_config?: MapChange;
}

/** Changes what is given of a bridge (`null` clears). Fails when there is no such bridge. */
export function setBridgeOps(name: string, change: BridgeChange): Operation[] {
  return [
    ...updateOps('Bridge', name, change.fail_mode === undefined ? {} : { fail_mode: wireOptional(change.fail_mode ?? undefined) }),
    ...changeMapOps('Bridge', name, 'external_ids', change.external_ids),
    ...changeMapOps('Bridge', name, 'other_config', change.other_config),
  ];
}

/** Changes `external_ids` and `other_config` of the switch as a whole. */
export function setOpenVswitchOps(change: { readonly external_ids?: MapChange; readonly other_config?: MapChange }): Operation[] {
  return [
    ...changeMapOps('Open_vSwitch', undefined, 'external_ids', change.external_ids),
    ...changeMapOps('Open_vSwitch', undefined, 'other_config', change.other_config),
  ];
}

function updateOps(table: string, name: string, row: Readonly<Record<string, WireValue>>): Operation[] {
  const guard = mustExist(table, name);
  return Object.keys(row).length === 0 ? [guard] : [guard, { op: 'update', table, where: [['name', '==', name]], row }];
}

/** `insert` into a map keeps what a key has, so keys are deleted first. */
function changeMapOps(table: string, name: string | undefined, column: string, change: MapChange | undefined): Operation[] {
  if (!change) return [];
  const entries = Object.entries(change).filter((entry): entry is [string, string] => entry[1] !== null);
  return [
    {
      op: 'mutate',
      table,
      where: name === undefined ? [] : [['name', '==', name]],
      mutations: [
        [column, 'delete', ['set', Object.keys(change)]],
        [column, 'insert', ['map', entries]],
      ],
    },
  ];
}

/** An update of no row is no error to OVSDB, and a port of no bridge is silently collected. */
function mustExist(table: string, name: string): Operation {
  return { op: 'wait', table, timeout: 0, where: [['name', '==', name]], columns: ['name'], until: '==', rows: [{ name }] };
}

function named(kind: string, name: string): readonly ['named-uuid', string] {
  return ['named-uuid', rowName(kind, name)];
}

/** A name for a row within its transaction; only letters, digits and `_` are allowed in one. */
function rowName(kind: string, name: string): string {
  return `${kind}_${name.replace(/[^A-Za-z0-9]/g, (char) => `_${char.charCodeAt(0).toString(16)}_`)}`;
}
