/** The port contract of DESIGN §4, from the side of who plugs: our own instances and DHCP servers use the same door. */
import { addPortOps, delPortOps } from '#openflow/vswitch-operations.ts';
import type { InterfaceRow } from '#openflow/vswitch-row.ts';
import type { Vswitch } from '#openflow/vswitch.ts';
import { DEAD_VLAN } from '../../pipeline/tables.ts';

export interface Plug {
  /** The device in the host's namespace. */
  readonly device: string;
  readonly port_id: string;
  readonly mac_address: string;
  /** The instance, where there is one: os-vif writes it too. */
  readonly vm_id?: string;
}

export interface Plugger {
  /** Puts the device on br-int, dead (tag 4095) until the agent has wired it. A device made anew under its name is plugged anew. */
  plug(plug: Plug): Promise<void>;
  /** Takes the device off br-int; nothing happens when it is not there. */
  unplug(device: string): Promise<void>;
}

/**
 * Which device a port was plugged for: its ifindex then. OVS follows a name, so a tap that was deleted and made anew
 * keeps row and ofport and passes nothing (dataplane.md trap 14); the database's own ifindex column follows too.
 */
export const PLUGGED_IFINDEX = 'patchbay-ifindex';

/** `ifindexOf` reads the device's index now. */
export function ovsPlugger(vswitch: () => Vswitch, ifindexOf: (device: string) => number | undefined): Plugger {
  return {
    unplug: (device) => unplug(vswitch(), device),
    async plug({ device, port_id, mac_address, vm_id }) {
      const ifindex = String(ifindexOf(device) ?? '');
      const known = vswitch().find('Interface', device);
      if (known?.external_ids['iface-id'] === port_id && known.external_ids[PLUGGED_IFINDEX] === ifindex && known.ofport !== undefined && known.ofport >= 0) return;
      if (known) await unplug(vswitch(), device);
      await vswitch().transact(addPortOps({
        bridge: 'br-int', name: device, tag: DEAD_VLAN,
        external_ids: { 'iface-id': port_id, 'attached-mac': mac_address, 'iface-status': 'active', [PLUGGED_IFINDEX]: ifindex, ...(vm_id ? { 'vm-uuid': vm_id } : {}) },
      }));
    },
  };
}

/** Takes a row whose device was made anew off and puts it back, in two transactions: one would not help. */
export async function replug(vswitch: Vswitch, row: InterfaceRow, ifindex: number): Promise<void> {
  const { name, external_ids } = row;
  await unplug(vswitch, name);
  await vswitch.transact(addPortOps({ bridge: 'br-int', name, tag: DEAD_VLAN, external_ids: { ...external_ids, [PLUGGED_IFINDEX]: String(ifindex) } }));
}

async function unplug(vswitch: Vswitch, device: string): Promise<void> {
  const port = vswitch.find('Port', device);
  if (port) await vswitch.transact(delPortOps(port));
}
