/** The named network namespaces of this host, as `ip netns` keeps them. */
import { readdir, statfs } from 'node:fs/promises';

const FOLDER = '/run/netns';
const NSFS_MAGIC = 0x6e736673;

/** `namespace`, `leftover` (a name without a namespace behind it: its creation was cut short) or `absent`. */
export type NamespaceState = 'namespace' | 'leftover' | 'absent';

export async function readNamespaceNames(): Promise<string[]> {
  try {
    return await readdir(FOLDER);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}

export async function readNamespace(name: string): Promise<NamespaceState> {
  try {
    return (await statfs(`${FOLDER}/${name}`)).type === NSFS_MAGIC ? 'namespace' : 'leftover';
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return 'absent';
    throw error;
  }
}
