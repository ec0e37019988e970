/** The ports of a host's switches, as `ovs-appctl dpif/show` and the database say it. Pure. */

export interface SwitchPort {
  readonly bridge: string;
  readonly name: string;
  readonly ofport: number;
  /** Its number in the datapath, as text; undefined for patch and tunnel ports that have none of their own. */
  readonly dpPort: string | undefined;
  /** `external_ids:iface-id`: the port of the API. */
  readonly port_id: string | undefined;
  readonly mac_address: string | undefined;
  /** `external_ids:vm-uuid`: the server that it is a NIC of. */
  readonly server_id: string | undefined;
  /** `options:remote_ip` of a tunnel. */
  readonly remote_ip: string | undefined;
  readonly type: string;
}

/** `dpif`: the output of `ovs-appctl dpif/show`; `interfaces`: of `ovs-vsctl --format=json --columns=name,type,external_ids,options list Interface`. */
export function readSwitchPorts(dpif: string, interfaces: string): SwitchPort[] {
  const rows = new Map((JSON.parse(interfaces) as { data: [string, string, unknown, unknown][] }).data.map(([name, type, ids, options]) => [name, { type, ids: mapOf(ids), options: mapOf(options) }]));
  const ports: SwitchPort[] = [];
  let bridge = '';
  for (const line of dpif.split('\n')) {
    bridge = /^ {2}(\S+):$/.exec(line)?.[1] ?? bridge;
    const [, name = '', ofport, dpPort] = /^ {4}(\S+) (\d+)\/(\d+|none):/.exec(line) ?? [];
    const row = rows.get(name);
    if (ofport === undefined || !row) continue;
    ports.push({
      bridge, name, ofport: Number(ofport), dpPort: dpPort === 'none' ? undefined : dpPort, type: row.type,
      port_id: row.ids['iface-id'], mac_address: row.ids['attached-mac'], server_id: row.ids['vm-uuid'], remote_ip: row.options['remote_ip'],
    });
  }
  return ports;
}

function mapOf(value: unknown): Record<string, string> {
  return Object.fromEntries((value as ['map', [string, string][]])[1]);
}
