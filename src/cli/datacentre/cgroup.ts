/** A cgroup folder per simulated host, in the unified hierarchy and, where that lacks memory and pids, in those of version 1. */
import { existsSync, mkdirSync, readFileSync, readdirSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

const ROOT = '/sys/fs/cgroup';
const CONTROLLERS = ['memory', 'pids'];

/** Where cgroups are mounted on this machine; an absent hierarchy is `undefined`. */
interface Hierarchies {
  readonly unified?: string;
  readonly memory?: string;
  readonly pids?: string;
}

function hierarchies(): Hierarchies {
  if (existsSync(join(ROOT, 'cgroup.controllers'))) return { unified: ROOT };
  const mount = (name: string) => (existsSync(join(ROOT, name, 'cgroup.procs')) ? join(ROOT, name) : undefined);
  return { unified: mount('unified'), memory: mount('memory'), pids: mount('pids') };
}

/** Makes a host's folders and returns their paths: the host's init enters them before it takes a cgroup namespace of its own. */
export function makeHostCgroups(stateId: string, host: string): string[] {
  return Object.values(hierarchies() as Record<string, string | undefined>).flatMap((hierarchy) => {
    if (!hierarchy) return [];
    const parent = join(hierarchy, parentName(stateId));
    mkdirSync(join(parent, host), { recursive: true });
    for (const folder of [hierarchy, parent, join(parent, host)]) delegate(folder);
    return join(parent, host);
  });
}

/** Lets the children of a version 2 folder have memory and pids limits; a hierarchy without these is left as it is. */
function delegate(folder: string): void {
  const available = join(folder, 'cgroup.controllers');
  if (!existsSync(available)) return;
  const names = readFileSync(available, 'utf8').trim().split(' ');
  for (const name of CONTROLLERS.filter((controller) => names.includes(controller))) {
    try {
      writeFileSync(join(folder, 'cgroup.subtree_control'), `+${name}`);
    } catch {
      // The machine's own root may forbid it (a container): instances then run without that limit.
    }
  }
}

/** Removes every folder of a state, the instances' too; its processes must have ended. */
export async function removeCgroups(stateId: string): Promise<void> {
  for (const hierarchy of Object.values(hierarchies()) as (string | undefined)[]) {
    if (hierarchy) await removeTree(join(hierarchy, parentName(stateId)));
  }
}

async function removeTree(folder: string): Promise<void> {
  if (!existsSync(folder)) return;
  for (const entry of readdirSync(folder, { withFileTypes: true })) if (entry.isDirectory()) await removeTree(join(folder, entry.name));
  for (let tries = 0; ; tries++) {
    try {
      return rmdirSync(folder);
    } catch (error) {
      // A killed process leaves its group a moment after it died.
      if ((error as NodeJS.ErrnoException).code !== 'EBUSY' || tries > 500) throw error;
      await delay(10);
    }
  }
}

function parentName(stateId: string): string {
  return `patchbay-${stateId}`;
}
