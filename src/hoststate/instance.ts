/** An instance (a Nova server) as its host shall hold it. */

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
  /** Which image's root file system it runs: `busybox` is built in, another id names an uploaded image. */
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
  /** The read-only config drive: path below its root (`openstack/latest/meta_data.json`) to base64 content. */
  readonly config_drive: Readonly<Record<string, string>>;
}
