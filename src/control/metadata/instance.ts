/** What is known of an instance that asks for its metadata: the rows its config drive is made of, and what only EC2's tree shows. */
import { metadataSource, type ServerSource } from '#compile/nodes/instance.ts';
import type { World } from '#compile/world.ts';
import type { Server } from '#model/compute.ts';

export interface Instance extends ServerSource {
  readonly flavorName: string;
  /** Of IPv4, in the order of its NICs, as are the floating ones. */
  readonly fixedIps: readonly string[];
  readonly floatingIps: readonly string[];
  /** Names, each once. */
  readonly securityGroups: readonly string[];
  /** The address that it asks from. */
  readonly address: string;
}

export function instanceOf(world: World, server: Server, flavorName: string, address: string): Instance {
  const source = metadataSource(world, server);
  const groups = new Set(source.ports.flatMap((port) => port.security_groups).map((id) => world.get('security_groups', id)?.name ?? id));
  return {
    ...source, flavorName, address,
    fixedIps: source.ports.flatMap((port) => port.fixed_ips.map((fixed) => fixed.ip_address!)).filter((ip) => !ip.includes(':')),
    floatingIps: source.ports.flatMap((port) => [...world.floatingIpsOfPort.of(port.id)].map((id) => world.get('floatingips', id)!.floating_ip_address!).sort()),
    securityGroups: [...groups].sort(),
  };
}
