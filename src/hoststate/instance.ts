/** An instance (a Nova server) as its host shall hold it. */

/** What the qemu driver boots from. */
export const MACHINE_DISK_FORMATS = ['raw', 'ami', 'qcow2'] as const;

/** What the qemu driver needs besides; the ids are those of uploaded images. */
export interface Machine {
  /** Of the image, as whoever uploaded it declared it: it is never guessed from the bytes. */
  readonly disk_format: typeof MACHINE_DISK_FORMATS[number];
  /** GiB; 0 is as large as the image. */
  readonly disk: number;
  /** Booted directly, without a boot loader on the disk; null boots from the disk. */
  readonly kernel_id: string | null;
  readonly ramdisk_id: string | null;
  /** Of the kernel; null leaves it to the driver. */
  readonly os_command_line: string | null;
}

export interface InstanceNic {
  readonly port_id: string;
  /** `tap` and the first 11 characters of the port id (N-OVS-4): the name on the host. */
  readonly device: string;
  readonly mac_address: string;
  readonly mtu: number;
}

export interface InstanceItem {
  readonly type: 'instance';
  /** The server's UUID. */
  readonly server_id: string;
  readonly name: string;
  readonly hostname: string;
  readonly project_id: string;
  /** Which image it begins with, for a container a root file system: `busybox` is built in, another id names an uploaded image. */
  readonly image: string;
  readonly vcpus: number;
  /** MiB. */
  readonly ram: number;
  /** `on` runs, `off` exists without a process. */
  readonly power: 'on' | 'off';
  /** All its ports are ACTIVE, so it may be started; one that runs is never stopped for want of this. */
  readonly ready: boolean;
  /** Grows with each reboot: a running instance of a lower generation is started anew. */
  readonly generation: number;
  /** In the order of the guest's eth0, eth1, …. */
  readonly nics: readonly InstanceNic[];
  /** The tree that tells the guest who it is: path below its root (`openstack/latest/meta_data.json`) to base64 content. */
  readonly config_drive: Readonly<Record<string, string>>;
  /** The guest finds that tree on a config drive. Without one it asks the metadata service, and the driver keeps the tree for itself. */
  readonly has_config_drive: boolean;
  /** A guest of the qemu driver; absent for a container. */
  readonly machine?: Machine;
}
