/**
 * The EC2 tree of an instance: names and leaves of nova/api/metadata/base.py, in the versions that cloud-init and others
 * ask for (N-MD-1…3). Pure.
 */
import { guestHostname } from '#model/metadata-tree.ts';
import type { Instance } from './instance.ts';

/** Oldest first, as `/` lists them before `latest`. */
export const EC2_VERSIONS = ['1.0', '2007-01-19', '2007-03-01', '2007-08-29', '2007-10-10', '2007-12-15', '2008-02-01', '2008-09-01', '2009-04-04'];

interface Directory {
  /** How its parent lists it, where that is not `name/`. */
  readonly label?: string;
  readonly entries: ReadonlyMap<string, Entry>;
}

type Entry = string | Buffer | Directory;

/** What stands at a path below the versions; undefined where nothing does. */
export function ec2Content(instance: Instance, path: readonly string[]): string | Buffer | undefined {
  if (path.length === 0) return [...EC2_VERSIONS, 'latest'].join('\n');
  const [version = '', ...rest] = path;
  const rank = version === 'latest' ? EC2_VERSIONS.length - 1 : EC2_VERSIONS.indexOf(version);
  if (rank < 0) return undefined;
  let at: Entry | undefined = versionTree(instance, rank);
  for (const name of rest) at = isDirectory(at) ? at.entries.get(name) : undefined;
  return isDirectory(at) ? listing(at) : at;
}

function versionTree(instance: Instance, rank: number): Directory {
  const { user_data } = instance.server;
  return directory({ 'meta-data': metaData(instance, rank), ...(user_data === null ? {} : { 'user-data': Buffer.from(user_data, 'base64') }) });
}

function metaData(instance: Instance, rank: number): Directory {
  const { server, flavorName, fixedIps, floatingIps, securityGroups, address } = instance;
  const hostname = guestHostname(server);
  const since = (version: string) => rank >= EC2_VERSIONS.indexOf(version);
  return directory({
    'ami-id': `ami-${shortId(server.image_id)}`,
    'ami-launch-index': String(server.launch_index),
    // No image here has a manifest in an object store.
    'ami-manifest-path': '(unknown)',
    hostname,
    'instance-id': `i-${shortId(server.id)}`,
    'local-ipv4': fixedIps[0] ?? address,
    'reservation-id': server.reservation_id,
    'security-groups': securityGroups.join('\n'),
    ...(server.key_name !== null && server.key_data !== null ? { 'public-keys': directory({ 0: directory({ 'openssh-key': server.key_data }, `0=${server.key_name}`) }) } : {}),
    ...(since('2007-01-19') ? { 'local-hostname': hostname, 'public-hostname': hostname, 'public-ipv4': floatingIps[0] ?? '' } : {}),
    ...(since('2007-08-29') ? { 'instance-type': flavorName } : {}),
    // No instance here has a kernel or ramdisk image of its own: kernel-id and ramdisk-id are absent, as in Nova.
    ...(since('2007-12-15') ? { 'block-device-mapping': directory({ ami: 'vda', root: '/dev/vda' }) } : {}),
    ...(since('2008-02-01') ? { placement: directory({ 'availability-zone': server.availability_zone ?? '' }) } : {}),
    ...(since('2008-09-01') ? { 'instance-action': 'none' } : {}),
  });
}

/** EC2's ids have 32 bits: the first ones of the UUID, so that they stay and can be recognised. */
function shortId(uuid: string): string {
  return uuid.replaceAll('-', '').slice(0, 8);
}

function listing({ entries }: Directory): string {
  return [...entries].sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, entry]) => (isDirectory(entry) ? entry.label ?? `${name}/` : name)).join('\n');
}

function directory(entries: Readonly<Record<string, Entry>>, label?: string): Directory {
  return { entries: new Map(Object.entries(entries)), ...(label === undefined ? {} : { label }) };
}

function isDirectory(entry: Entry | undefined): entry is Directory {
  return typeof entry === 'object' && !Buffer.isBuffer(entry);
}
