/** How large a packet a network carries (N-MTU-1…5): what the physical network carries, less the encapsulation. */
import { type Config, physnetMap } from '#model/config.ts';
import type { NetworkType } from '#model/networks.ts';

const IPV4_HEADER = 20;

/** Bytes besides the outer IP header: UDP, tunnel header and the inner Ethernet header. */
const ENCAPSULATION = { vxlan: 30, gre: 22, geneve: 30 } as const;

/** The smallest MTU that each family's specification allows (RFC 791, RFC 8200). */
export const MIN_MTU = { 4: 68, 6: 1280 } as const;

/** The MTU that a network of this type has unless it is set, and the largest it may have. */
export function maxMtu(config: Config, type: NetworkType, physicalNetwork: string | null): number {
  switch (type) {
    case 'local': return config.global_physnet_mtu;
    case 'flat':
    case 'vlan': return Math.min(config.global_physnet_mtu, Number(physnetMap('physical_network_mtus', config.physical_network_mtus).get(physicalNetwork ?? '') ?? Infinity));
    default: return Math.min(config.global_physnet_mtu, config.path_mtu || Infinity) - IPV4_HEADER - ENCAPSULATION[type];
  }
}
