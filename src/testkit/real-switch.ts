/** A host's bridges on a private Open vSwitch, wired by the agent's own SwitchManager: the original of the fake switch. */
import { SwitchManager } from '#agent/switch-manager.ts';
import type { Item } from '#hoststate/host-state.ts';
import { type PrivateOvs, startPrivateOvs } from './private-ovs.ts';

export const LOCAL_IP = '192.0.2.1';

export interface RealSwitch {
  readonly ovs: PrivateOvs;
  readonly manager: SwitchManager;
  /** Datapath port → `br-int:4`. */
  ports(): Promise<ReadonlyMap<string, string>>;
  stop(): Promise<void>;
}

/** Bridges, patches and tunnels of `items`, each port of theirs plugged as an internal one; `wire` is on br-phys. */
export async function startRealSwitch(items: readonly Item[]): Promise<RealSwitch> {
  const ovs = await startPrivateOvs();
  const manager = new SwitchManager({
    runDir: ovs.rundir, datapathType: 'netdev', localIp: LOCAL_IP, wake: () => {}, resolvePeer: async () => {}, flushZones: async () => {}, limitZones: async () => {}, ifindexOf: () => undefined, quieten: () => {}, onPlan: () => {}, log: () => {},
  });
  const stop = async (): Promise<void> => {
    manager.stop();
    await ovs.stop();
  };
  try {
    const netdev = ['datapath_type=netdev'];
    await ovs.tool('ovs-vsctl', 'add-br', 'br-phys', '--', 'set', 'Bridge', 'br-phys', ...netdev, '--', 'add-port', 'br-phys', 'wire', '--', 'set', 'Interface', 'wire', 'type=internal', 'ofport_request=9');
    await ovs.tool('ovs-vsctl', 'add-br', 'br-under', '--', 'set', 'Bridge', 'br-under', ...netdev, '--', 'add-port', 'br-under', 'underlay', '--', 'set', 'Interface', 'underlay', 'type=internal');
    await ovs.inNamespace('ip', 'addr', 'add', `${LOCAL_IP}/24`, 'dev', 'br-under');
    await ovs.inNamespace('ip', 'link', 'set', 'br-under', 'up');
    manager.update(items, []);
    manager.inSync();
    await manager.apply();
    for (const item of items) {
      if (item.type === 'tunnel') await ovs.tool('ovs-appctl', 'tnl/neigh/set', 'br-under', item.remote_ip, '02:00:00:00:00:01');
    }
    const plugs = items.filter((item) => item.type === 'port').flatMap(({ port_id, mac_address }) => [
      '--', 'add-port', 'br-int', `t-${port_id}`, 'tag=4095', '--', 'set', 'Interface', `t-${port_id}`, 'type=internal', `external_ids:iface-id=${port_id}`, `external_ids:attached-mac="${mac_address}"`,
    ]);
    await ovs.tool('ovs-vsctl', ...plugs.slice(1));
    await manager.vswitch.waitApplied();
    for (let i = 0; i < 3; i++) await manager.apply();
  } catch (error) {
    await stop();
    throw error;
  }
  return { ovs, manager, ports: () => readPorts(ovs), stop };
}

async function readPorts(ovs: PrivateOvs): Promise<ReadonlyMap<string, string>> {
  const ports = new Map<string, string>();
  let bridge = '';
  for (const line of (await ovs.tool('ovs-appctl', 'dpif/show')).split('\n')) {
    bridge = /^ {2}(\S+):/.exec(line)?.[1] ?? bridge;
    const [, ofport, dpPort] = /^ {4}\S+ (\d+)\/(\d+):/.exec(line) ?? [];
    if (dpPort !== undefined) ports.set(dpPort, `${bridge}:${ofport}`);
  }
  return ports;
}
