/** What usually has to change so that a packet is not dropped for a reason: a command where there is one. */
import type { DropReason, Named } from './step.ts';

export function usualRepair(reason: DropReason, object: Named | null): string {
  return USUAL[reason](object?.id ?? 'ID', object?.kind ?? 'network');
}

const USUAL: Readonly<Record<DropReason, (id: string, kind: Named['kind']) => string>> = {
  unbound: (id) => `openstack server add port SERVER ${id}`,
  down: (id, kind) => `openstack ${kind === 'router' ? 'router' : 'port'} set --enable ${id}`,
  'port-security': (id) => `openstack port set --allowed-address ip-address=ADDRESS,mac-address=MAC ${id}`,
  'security-group': () => 'openstack security group rule create GROUP',
  'no-connection': () => 'the question comes first, and its answer the same way back',
  'no-route': (id, kind) => (kind === 'router' ? `openstack router set --route destination=CIDR,gateway=ADDRESS ${id}` : 'send from a port of the same IP version to an address that its subnet or its gateway leads to'),
  'no-neighbour': (id) => `openstack port list --network ${id}: a port there has to have the address, or be allowed it (openstack port set --allowed-address)`,
  'unknown-mac': (id) => `openstack port list --network ${id}: the port with that MAC has to be bound to a host that is alive`,
  'no-segment': () => './patchbay status: the host has yet to get the network, or has an error',
  'no-tunnel': () => './patchbay status: both hosts need an agent that is alive, with a local_ip',
  'no-physical-network': () => 'bridge_mappings in the configuration of the host',
  forward: () => 'openstack floating ip create --port PORT NETWORK, or subnet pools of one address scope for both networks',
  mtu: () => 'send smaller packets',
  loop: (id) => `openstack router show ${id}: its routes lead in a circle`,
};
