/** The port contract of DESIGN §4, from the side of who plugs: our own instances and DHCP servers use the same door. */
import { addPortOps, delPortOps } from '#openflow/vswitch-operations.ts';
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

/** `ifindexOf` reads the device's index now; the database's may be that of a device which is gone. */
export function ovsPlugger(vswitch: () => Vswitch, ifindexOf: (device: string) => number | undefined): Plugger {
  const unplug = async (device: string): Promise<void> => {
    const port = vswitch().find('Port', device);
    if (port) await vswitch().transact(delPortOps(port));
  };
  return {
    unplug,
    async plug({ device, port_id, mac_address, vm_id }) {
      const known = vswitch().find('Interface', device);
      if (known?.external_ids['iface-id'] === port_id && known.ifindex === ifindexOf(device) && known.ofport !== undefined && known.ofport >= 0) return;
      // Two transactions: deleted and inserted in one, a re-created tap keeps its ofport and passes nothing (dataplane.md trap 14).
      if (known) await unplug(device);
      await vswitch().transact(addPortOps({
        bridge: 'br-int', name: device, tag: DEAD_VLAN,
        external_ids: { 'iface-id': port_id, 'attached-mac': mac_address, 'iface-status': 'active', ...(vm_id ? { 'vm-uuid': vm_id } : {}) },
      }));
    },
  };
}
