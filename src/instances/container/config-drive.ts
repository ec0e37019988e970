/**
 * What an instance finds at /config: the config drive's tree as Nova lays it out, and beside it, for an init without a
 * JSON or YAML parser, the same facts as plain files below `.patchbay/`. A server without a config drive finds only those
 * facts that the metadata service would not tell either, or that only help to read what it tells.
 */

import type { InstanceItem } from '#hoststate/instance.ts';
import { type DriveFiles, decodedTree } from '../drive-files.ts';
import { readUserData } from './cloud-config.ts';

interface NetworkData {
  readonly links?: readonly { readonly id?: string; readonly vif_id?: string; readonly ethernet_mac_address?: string }[];
  readonly networks?: readonly NetworkDataNetwork[];
  readonly services?: readonly { readonly type?: string; readonly address?: string }[];
}

interface NetworkDataNetwork {
  readonly link?: string;
  readonly type?: string;
  readonly ip_address?: string;
  readonly netmask?: string;
  readonly gateway?: string;
  readonly routes?: readonly { readonly network?: string; readonly netmask?: string; readonly gateway?: string }[];
  readonly services?: readonly { readonly type?: string; readonly address?: string }[];
}

export interface ConfigDrive {
  readonly files: DriveFiles;
  /** The guest's name: its server's, unless user data says another. */
  readonly hostname: string;
}

/** Renders the drive. Throws `create_failed` when a path leaves the drive. A broken JSON file counts as absent. */
export function renderConfigDrive(item: InstanceItem): ConfigDrive {
  const tree = decodedTree(item);
  const files = new Map(item.has_config_drive ? tree : []);
  const plain = (path: string, lines: readonly string[]) =>
    files.set(`.patchbay/${path}`, Buffer.from(lines.map((line) => `${line}\n`).join('')));
  const plan = readUserData(tree.get('openstack/latest/user_data') ?? Buffer.alloc(0));
  const hostname = plan?.hostname ?? item.hostname;
  plain('hostname', [hostname]);
  plain('instance-id', [item.server_id]);
  if (item.has_config_drive) plain('authorized_keys', authorizedKeys(parsed(tree.get('openstack/latest/meta_data.json'))));
  for (const [path, content] of plan?.files ?? []) files.set(`.patchbay/cloud-config/${path}`, content);
  const networkData = parsed(tree.get('openstack/latest/network_data.json')) as NetworkData | undefined;
  item.nics.forEach((nic, index) => plain(`nics/eth${index}`, nicLines(nic.mac_address, networkData)));
  return { files, hostname };
}

/** The keys of `public_keys` (name to key) and of `keys` (a list with types), each once, in their order. */
function authorizedKeys(metaData: unknown): string[] {
  const data = (metaData ?? {}) as { public_keys?: Record<string, unknown>; keys?: { type?: string; data?: unknown }[] };
  const found = [
    ...Object.values(data.public_keys ?? {}),
    ...(Array.isArray(data.keys) ? data.keys : []).filter((key) => key?.type === 'ssh').map((key) => key.data),
  ];
  const lines = found.filter((key) => typeof key === 'string').flatMap((key) => key.split('\n'));
  return [...new Set(lines.map((line) => line.trim()).filter((line) => line !== ''))];
}

/**
 * What the init does for one NIC, a verb and its arguments a line: `dhcp4`, `dhcp6 PREFIXLEN`, `dhcp6-stateless`,
 * `address CIDR`, `route CIDR GATEWAY`, `dns ADDRESS`. Without network data a NIC asks by DHCP, as an image without
 * cloud-init does.
 */
function nicLines(mac: string, data: NetworkData | undefined): string[] {
  const link = data?.links?.find((each) => each.ethernet_mac_address?.toLowerCase() === mac.toLowerCase());
  if (data === undefined || link === undefined) return ['dhcp4'];
  const lines = (data.networks ?? []).filter((network) => network.link === link.id).flatMap(networkLines);
  const dns = lines.some((line) => line.startsWith('address '))
    ? (data.services ?? []).filter((service) => service.type === 'dns').map((service) => `dns ${service.address}`)
    : [];
  // The content is a tenant's as far as names go: no line may become two.
  return [...new Set([...lines, ...dns])].map((line) => line.replaceAll(/[\r\n]/g, ' '));
}

function networkLines(network: NetworkDataNetwork): string[] {
  const type = network.type ?? '';
  if (type === 'ipv4_dhcp') return ['dhcp4'];
  if (type === 'ipv6_dhcpv6-stateless') return ['dhcp6-stateless'];
  // Nova has written `ipv6_dhcp` and, later, `ipv6_dhcpv6-stateful`.
  if (type.startsWith('ipv6_dhcp')) return [`dhcp6 ${network.netmask === undefined ? 64 : prefixLength(network.netmask)}`];
  if (type !== 'ipv4' && type !== 'ipv6') return [];
  if (network.ip_address === undefined) return [];
  const address = network.ip_address.includes('/')
    ? network.ip_address
    : `${network.ip_address}/${prefixLength(network.netmask ?? (type === 'ipv4' ? '255.255.255.0' : '64'))}`;
  const routes = (network.routes ?? []).map((route) => `route ${routeTarget(route)} ${route.gateway}`);
  const gateway = network.gateway === undefined ? [] : [`route ${type === 'ipv4' ? '0.0.0.0' : '::'}/0 ${network.gateway}`];
  const dns = (network.services ?? []).filter((each) => each.type === 'dns').map((each) => `dns ${each.address}`);
  return [`address ${address}`, ...routes, ...gateway, ...dns];
}

function routeTarget(route: { readonly network?: string; readonly netmask?: string }): string {
  const network = route.network ?? '';
  return network.includes('/') ? network : `${network}/${prefixLength(route.netmask ?? '0.0.0.0')}`;
}

/** Of a mask as Nova writes it: `255.255.255.0`, `ffff:ffff:ffff:ffff::` or `64`. */
function prefixLength(netmask: string): number {
  if (/^\d+$/.test(netmask)) return Number(netmask);
  const [words, base] = netmask.includes(':') ? [netmask.split(':'), 16] as const : [netmask.split('.'), 10] as const;
  const ones = (word: string) => (word === '' ? 0 : parseInt(word, base)).toString(2).replaceAll('0', '').length;
  return words.reduce((sum, word) => sum + ones(word), 0);
}

function parsed(content: Buffer | undefined): unknown {
  if (content === undefined) return undefined;
  try {
    return JSON.parse(content.toString());
  } catch {
    return undefined;
  }
}
