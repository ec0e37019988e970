/** The instances that compute placed on the host, with all that they need to come up. */
import type { Server } from '#model/compute.ts';
import { rootFileSystemOf } from '#model/images.ts';
import { configDrive, deviceName, type MetadataSource } from '#model/metadata-tree.ts';
import type { Port } from '#model/networks.ts';
import type { Node } from '../node.ts';
import type { World } from '../world.ts';
import { subnetsOf } from './dhcp-server.ts';

export const instance: Node<'instance'> = {
  type: 'instance',
  *all(world, host) {
    for (const id of world.serversOfHost.of(host)) yield [id];
  },
  item(world, host, [id = '']) {
    const server = world.get('servers', id);
    if (!server || server.host !== host) return undefined;
    const source = metadataSource(world, server);
    const { ports } = source;
    return {
      type: 'instance',
      server_id: id,
      name: server.name,
      hostname: server.hostname,
      project_id: server.project_id,
      image: rootFileSystemOf(server.image_id),
      vcpus: server.vcpus,
      ram: server.ram,
      power: server.power,
      // A port that is down by its owner's wish never becomes ACTIVE: nobody waits for it.
      ready: ports.every((port) => port.status === 'ACTIVE' || !port.admin_state_up || !world.get('networks', port.network_id)?.admin_state_up),
      generation: server.generation,
      nics: ports.map((port) => ({ port_id: port.id, device: deviceName(port.id), mac_address: port.mac_address, mtu: world.get('networks', port.network_id)?.mtu ?? 1500 })),
      config_drive: Object.fromEntries(Object.entries(configDrive(source)).map(([path, content]) => [path, content.toString('base64')])),
      has_config_drive: server.config_drive,
      ...(server.machine ? { machine: { ...server.machine, disk: server.disk } } : {}),
    };
  },
};

export interface ServerSource extends MetadataSource {
  readonly ports: readonly Port[];
}

/** What a server is told of itself, by config drive and metadata service. */
export function metadataSource(world: World, server: Server): ServerSource {
  // A port that somebody deleted takes its NIC away, never the instance.
  const ports = server.ports.map((each) => world.get('ports', each.port_id)).filter((port) => port !== undefined);
  const networkIds = [...new Set(ports.map((port) => port.network_id))];
  const networks = networkIds.map((networkId) => world.get('networks', networkId)).filter((network) => network !== undefined);
  return { server, ports, networks, subnets: networkIds.flatMap((networkId) => subnetsOf(world, networkId)) };
}
