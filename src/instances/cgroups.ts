/**
 * The cgroups that bound an instance, one directory `patchbay-<server id>` in each hierarchy that matters: the unified
 * one (v2) where it has the memory controller, else memory and pids of v1. The processes enter by themselves (create.sh,
 * exec.sh), because crun refuses mixed layouts (dataplane.md trap 16).
 */

import { access, mkdir, readFile, rmdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { run } from './run.ts';

export interface Hierarchy {
  readonly kind: 'v2' | 'memory' | 'pids' | 'systemd';
  /** Where it is mounted. */
  readonly path: string;
}

export interface Limits {
  /** MiB. */
  readonly memory: number;
  readonly pids: number;
}

/** A guest whose flavor asks for less could not run the init and sshd; its flavor's figure is raised to this. */
const LEAST_MEMORY = 32;
const MIB = 1024 * 1024;

export class Cgroups {
  readonly #runDir: string;
  #hierarchies: Promise<readonly Hierarchy[]> | undefined;

  constructor(runDir: string) {
    this.#runDir = runDir;
  }

  /** Makes the cgroups of an instance and sets its limits. Resolves with their directories. */
  async ensure(server_id: string, limits: Limits): Promise<string[]> {
    const hierarchies = await this.#found();
    for (const { kind, path } of hierarchies) {
      const directory = join(path, cgroupName(server_id));
      // Without the controllers below the root there are no files to write limits to.
      if (kind === 'v2') await writeFile(join(path, 'cgroup.subtree_control'), '+memory +pids');
      // Not `recursive`: on a path below sysfs Node would try for ever.
      await mkdir(directory).catch((error: NodeJS.ErrnoException) => {
        if (error.code !== 'EEXIST') throw error;
      });
      for (const [file, value] of limitFiles(kind, limits)) await writeFile(join(directory, file), value);
    }
    return this.directories(server_id);
  }

  /** The directories of an instance's cgroups. */
  async directories(server_id: string): Promise<string[]> {
    return (await this.#found()).map(({ path }) => join(path, cgroupName(server_id)));
  }

  /** Removes the cgroups of an instance, whose processes are gone or about to be. */
  async remove(server_id: string): Promise<void> {
    for (const directory of await this.directories(server_id)) {
      for (let pause = 1; ; pause *= 2) {
        const error = await rmdir(directory).then(() => undefined, (reason: NodeJS.ErrnoException) => reason);
        if (error === undefined || error.code === 'ENOENT') break;
        // A killed process leaves its cgroup a moment after it died.
        if (error.code !== 'EBUSY' || pause > 1000) throw error;
        await setTimeout(pause);
      }
    }
  }

  #found(): Promise<readonly Hierarchy[]> {
    this.#hierarchies ??= this.#find().catch((error: unknown) => {
      this.#hierarchies = undefined;
      throw error;
    });
    return this.#hierarchies;
  }

  async #find(): Promise<readonly Hierarchy[]> {
    const mounts: Hierarchy[] = [];
    for (const mount of cgroupMounts(await readFile('/proc/self/mountinfo', 'utf8'))) {
      // The table also lists mounts that lie under another one, such as a simulated host's own /sys.
      if (await access(join(mount.path, 'cgroup.procs')).then(() => true, () => false)) mounts.push(mount);
    }
    for (const mount of mounts.filter(({ kind }) => kind === 'v2')) {
      const controllers = await readFile(join(mount.path, 'cgroup.controllers'), 'utf8').catch(() => '');
      if (/\bmemory\b/.test(controllers) && /\bpids\b/.test(controllers)) return [mount];
    }
    const v1: Hierarchy[] = mounts.filter(({ kind }) => kind === 'systemd');
    const known = await readFile('/proc/self/cgroup', 'utf8');
    for (const kind of ['memory', 'pids'] as const) {
      const mounted = mounts.find((mount) => mount.kind === kind);
      if (mounted !== undefined) v1.push(mounted);
      else if (new RegExp(`^\\d+:([^:]*,)?${kind}[,:]`, 'm').test(known)) v1.push({ kind, path: await this.#mount(kind) });
    }
    if (v1.some(({ kind }) => kind === 'memory') && v1.some(({ kind }) => kind === 'pids')) return v1;
    return [{ kind: 'v2', path: await this.#mount('v2') }];
  }

  /** A simulated host has a fresh /sys without cgroups: mounts a hierarchy below the run directory. */
  async #mount(kind: 'v2' | 'memory' | 'pids'): Promise<string> {
    const path = join(this.#runDir, `cgroup-${kind}`);
    await mkdir(path, { recursive: true });
    const type = kind === 'v2' ? ['-t', 'cgroup2'] : ['-t', 'cgroup', '-o', kind];
    const { code, stderr } = await run('mount', [...type, 'cgroup', path]);
    if (code !== 0) throw new Error(`cannot mount the cgroup hierarchy ${kind} on ${path}: ${stderr.trim()}`);
    return path;
  }
}

/** The name of an instance's cgroup; also what `down --purge` may look for. */
export function cgroupName(server_id: string): string {
  return `patchbay-${server_id}`;
}

/** The hierarchies of interest in a /proc/self/mountinfo, those mounted with their root. */
export function cgroupMounts(mountinfo: string): Hierarchy[] {
  return mountinfo.split('\n').flatMap((line): Hierarchy[] => {
    const [before, after] = line.split(' - ');
    const [, , , root, path] = before?.split(' ') ?? [];
    const [type, , options] = after?.split(' ') ?? [];
    if (root !== '/' || path === undefined) return [];
    if (type === 'cgroup2') return [{ kind: 'v2', path }];
    if (type !== 'cgroup') return [];
    const controllers = options?.split(',') ?? [];
    if (controllers.includes('name=systemd')) return [{ kind: 'systemd', path }];
    return (['memory', 'pids'] as const).filter((kind) => controllers.includes(kind)).map((kind) => ({ kind, path }));
  });
}

/** The files that hold the limits, and what to write. */
export function limitFiles(kind: Hierarchy['kind'], limits: Limits): [string, string][] {
  const bytes = String(Math.max(limits.memory, LEAST_MEMORY) * MIB);
  const pids = String(limits.pids);
  if (kind === 'v2') return [['memory.max', bytes], ['pids.max', pids]];
  if (kind === 'memory') return [['memory.limit_in_bytes', bytes]];
  return kind === 'pids' ? [['pids.max', pids]] : [];
}
