/** Which network a physical network carries under a VLAN id, or untagged. */
import type { HostIndex } from './host-index.ts';
import type { Walk } from './walk.ts';

export function networkOnWire(walk: Walk, physicalNetwork: string, vlan: number | null): { network_id: string; index: HostIndex } | undefined {
  for (const host of walk.topology.states.keys()) {
    const index = walk.host(host)!;
    for (const network_id of index.networks()) {
      const segment = index.segment(network_id);
      if (segment?.physical_network === physicalNetwork && (segment.network_type === 'vlan' ? segment.segmentation_id : null) === vlan) return { network_id, index };
    }
  }
  return undefined;
}
