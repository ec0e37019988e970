/** Who answers for an address on a network of a built topology, as ARP and neighbour discovery would say. */
import { type BuiltTopology, OUTSIDE } from './topology-build.ts';

export interface AddressOwner {
  readonly mac: string;
  /** False where the network is local and the owner on another host: nobody hears the question. */
  readonly answers: boolean;
}

/** By address, for somebody on `host`: endpoints, legs of routers, floating IPs at their router, and the world outside. */
export function addressOwners({ endpoints, legs, external }: BuiltTopology, networkId: string, host: string | null): Map<string, AddressOwner> {
  const owners = new Map<string, AddressOwner>();
  const local = endpoints.some((endpoint) => endpoint.local && endpoint.network_id === networkId);
  if (networkId === external) {
    for (const address of OUTSIDE.addresses) owners.set(address, { mac: OUTSIDE.mac, answers: true });
    for (const { floating, network_id } of endpoints) {
      const router = floating === null ? undefined : legs.find((leg) => !leg.external && leg.network_id === network_id)!.router_id;
      if (floating !== null) owners.set(floating, { mac: legs.find((leg) => leg.external && leg.router_id === router)!.mac, answers: true });
    }
  }
  for (const owner of [...legs, ...endpoints]) {
    if (owner.network_id === networkId) for (const address of owner.addresses) owners.set(address, { mac: owner.mac, answers: !local || owner.host === host });
  }
  return owners;
}
