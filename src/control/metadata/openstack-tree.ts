/** The OpenStack tree of an instance: its versions, and the files of each (nova/api/metadata/base.py). Pure. */
import { OPENSTACK_VERSIONS, openstackFiles, type OpenstackVersion } from '#model/metadata-tree.ts';
import type { Instance } from './instance.ts';

/** Since when a guest may tell its password. */
const PASSWORD_SINCE: OpenstackVersion = '2013-04-04';

/** Nova's order of a version's files. */
const ORDER = ['meta_data.json', 'user_data', 'password', 'vendor_data.json', 'network_data.json', 'vendor_data2.json'];

/** What stands at a path below `openstack`; undefined where nothing does. The password is not among it. */
export function openstackContent(instance: Instance, path: readonly string[]): string | Buffer | undefined {
  if (path.length === 0) return [...OPENSTACK_VERSIONS, 'latest'].join('\n');
  const version = versionOf(path[0]);
  if (version === undefined || path.length > 2) return undefined;
  const files = openstackFiles(instance, version);
  if (path.length === 2) return files.get(path[1]!);
  return ORDER.filter((name) => files.has(name) || (name === 'password' && version >= PASSWORD_SINCE)).join('\n');
}

/** True for the path of the password, in a version that has it. */
export function isPasswordPath(path: readonly string[]): boolean {
  return path.length === 2 && path[1] === 'password' && (versionOf(path[0]) ?? '') >= PASSWORD_SINCE;
}

function versionOf(name: string | undefined): OpenstackVersion | undefined {
  return name === 'latest' ? OPENSTACK_VERSIONS.at(-1) : OPENSTACK_VERSIONS.find((version) => version === name);
}
