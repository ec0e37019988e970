/**
 * The `openstack` tree that tells an instance who it is (N-MD-17, N-MD-18): the same bytes on the config drive and from
 * the metadata service, which has the older versions too.
 */
import { createHash } from 'node:crypto';
import { parseCidr } from '#net/cidr.ts';
import { formatIp, IP_BITS } from '#net/ip.ts';
import type { Server } from './compute.ts';
import type { FixedIp, Network, Port, Subnet } from './networks.ts';

/** Versions of the tree, oldest first (nova/api/metadata/base.py); `latest` is the last. */
export const OPENSTACK_VERSIONS = [
  '2012-08-10', '2013-04-04', '2013-10-17', '2015-10-15', '2016-06-30', '2016-10-06', '2017-02-22', '2018-08-27', '2020-10-14', '2025-04-04',
] as const;
export type OpenstackVersion = (typeof OPENSTACK_VERSIONS)[number];
const LATEST: OpenstackVersion = '2025-04-04';

/** Nova's `dhcp_domain`: what a guest appends to its host name. */
const DHCP_DOMAIN = 'novalocal';

const SEED_BYTES = 512;

export interface MetadataSource {
  readonly server: Server;
  /** Only its ports, in the order of the guest's NICs. */
  readonly ports: readonly Pick<Port, 'id' | 'network_id' | 'mac_address' | 'fixed_ips'>[];
  readonly networks: readonly Pick<Network, 'id' | 'mtu'>[];
  readonly subnets: readonly Subnet[];
}

/** The config drive of a server: path below its root to content. */
export function configDrive(source: MetadataSource): Record<string, Buffer> {
  return Object.fromEntries([...openstackFiles(source)].map(([name, content]) => [`openstack/latest/${name}`, content]));
}

/** The files of one version, by name. Versions are dates, so they compare as text. */
export function openstackFiles(source: MetadataSource, version: OpenstackVersion = LATEST): Map<string, Buffer> {
  const { user_data } = source.server;
  const files = new Map([['meta_data.json', json(metaData(source, version))]]);
  if (user_data !== null) files.set('user_data', Buffer.from(user_data, 'base64'));
  // Nobody has vendor data here: Nova's words for none.
  if (version >= '2013-10-17') files.set('vendor_data.json', json({}));
  if (version >= '2015-10-15') files.set('network_data.json', json(networkData(source)));
  if (version >= '2016-10-06') files.set('vendor_data2.json', json({ static: {} }));
  return files;
}

/** `meta_data.json`; like Nova's it has no `public_keys` and `keys` without a key, and no `meta` without metadata. */
export function metaData({ server, ports }: Pick<MetadataSource, 'server' | 'ports'>, version: OpenstackVersion = LATEST): Record<string, unknown> {
  const { key_name, key_data } = server;
  return {
    uuid: server.id,
    ...(Object.keys(server.metadata).length > 0 ? { meta: server.metadata } : {}),
    ...(key_name !== null && key_data !== null ? {
      public_keys: { [key_name]: key_data },
      keys: [{ name: key_name, type: 'ssh', data: key_data }],
    } : {}),
    hostname: guestHostname(server),
    name: server.name,
    launch_index: server.launch_index,
    availability_zone: server.availability_zone,
    ...(version >= '2013-04-04' ? { random_seed: randomSeed(server.seed) } : {}),
    ...(version >= '2015-10-15' ? { project_id: server.project_id } : {}),
    ...(version >= '2016-06-30' ? { devices: devices(server, ports, version) } : {}),
    ...(version >= '2020-10-14' ? { dedicated_cpus: [] } : {}),
  };
}

/** The name that a guest gives itself. */
export function guestHostname(server: Pick<Server, 'hostname'>): string {
  return `${server.hostname}.${DHCP_DOMAIN}`;
}

/** The NICs that their owner has named. */
function devices(server: Server, ports: MetadataSource['ports'], version: OpenstackVersion): Record<string, unknown>[] {
  return server.ports.filter(({ tag }) => tag !== undefined).map(({ port_id, tag }) => ({
    ...(version >= '2018-08-27' ? { vf_trusted: false } : {}),
    type: 'nic', bus: 'none', address: 'none', mac: ports.find(({ id }) => id === port_id)?.mac_address ?? '', tags: [tag],
  }));
}

/** `network_data.json`: one link per NIC, one network per address of it, and all name servers. */
export function networkData({ ports, networks, subnets }: MetadataSource): Record<string, unknown> {
  const links: unknown[] = [];
  const found: unknown[] = [];
  const services = new Map<string, unknown>();
  for (const port of ports) {
    const link = deviceName(port.id);
    links.push({
      id: link, vif_id: port.id, type: 'ovs', mtu: networks.find(({ id }) => id === port.network_id)?.mtu ?? null,
      ethernet_mac_address: port.mac_address,
    });
    for (const { subnet_id, ip_address } of (port.fixed_ips ?? []) as FixedIp[]) {
      const subnet = subnets.find(({ id }) => id === subnet_id);
      if (!subnet) continue;
      found.push({ id: `network${found.length}`, link, network_id: port.network_id, ...addressing(subnet, ip_address) });
      for (const service of dnsServices(subnet)) services.set(service.address, service);
    }
  }
  return { links, networks: found, services: [...services.values()] };
}

/** The name of a port's device on its host, and of its link in `network_data.json` (N-OVS-4). */
export function deviceName(portId: string): string {
  return `tap${portId.slice(0, 11)}`;
}

/** How the guest gets this address: asks by DHCP, listens to routers, or sets what is written here. */
function addressing(subnet: Subnet, address: string): Record<string, unknown> {
  const family = `ipv${subnet.ip_version}`;
  if (subnet.ipv6_address_mode === null && subnet.enable_dhcp) return { type: `${family}_dhcp` };
  const mask = netmask(subnet.cidr);
  return {
    type: subnet.ipv6_address_mode === null ? family : `${family}_${subnet.ipv6_address_mode}`,
    ip_address: address,
    netmask: mask,
    routes: [
      ...(subnet.gateway_ip ? [{ ...(subnet.ip_version === 4 ? { network: '0.0.0.0', netmask: '0.0.0.0' } : { network: '::', netmask: '::' }), gateway: subnet.gateway_ip }] : []),
      ...subnet.host_routes.map(({ destination = '', nexthop }) => ({ network: destination.split('/')[0], netmask: netmask(destination), gateway: nexthop })),
    ],
    services: dnsServices(subnet),
  };
}

function dnsServices(subnet: Subnet): { type: 'dns'; address: string }[] {
  return subnet.dns_nameservers.map((address) => ({ type: 'dns', address }));
}

function netmask(cidr: string): string {
  const { version, prefix } = parseCidr(cidr) ?? { version: 4 as const, prefix: 32 };
  const hostBits = BigInt(IP_BITS[version] - prefix);
  return formatIp({ version, value: ((1n << BigInt(prefix)) - 1n) << hostBits });
}

/** Base64 of 512 bytes that only the seed's holder can tell, the same at every read. */
function randomSeed(seed: string): string {
  const blocks = Array.from({ length: SEED_BYTES / 64 }, (_, i) => createHash('sha512').update(`${i}:${seed}`).digest());
  return Buffer.concat(blocks).toString('base64');
}

const json = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));
