/** Both instance drivers behind one: a server whose item has a `machine` is qemu's, any other a container; later calls go to whoever has it. */

import { join } from 'node:path';
import type { InstanceItem, InstanceNic } from '#hoststate/instance.ts';
import { ContainerDriver } from './container/container-driver.ts';
import type { ImagePath } from './container/layers.ts';
import type { ExecOptions, ExecResult, InstanceDriver, InstanceState } from './instance-driver.ts';
import { QemuDriver } from './qemu/qemu-driver.ts';

export interface InstanceDriversOptions {
  /** The host's folder: containers are below `instances`, machines below `machines`. */
  readonly hostDir: string;
  /** Lower layers of containers, which the hosts of one machine may share. */
  readonly layersDir?: string;
  /** Finds uploaded images; without it there is only the built-in one. */
  readonly imagePath?: ImagePath;
}

export class InstanceDrivers implements InstanceDriver {
  readonly #containers: ContainerDriver;
  readonly #machines: QemuDriver;
  /** Those that were asked for here, which may not be on disk yet. */
  readonly #asked = new Set<string>();

  constructor({ hostDir, layersDir, imagePath = async () => undefined }: InstanceDriversOptions) {
    this.#containers = new ContainerDriver({ stateDir: join(hostDir, 'instances'), imagePath, ...(layersDir === undefined ? {} : { layersDir }) });
    this.#machines = new QemuDriver({ stateDir: join(hostDir, 'machines'), imagePath });
  }

  /** Builds the built-in image's layers ahead of the first instance. */
  warmUp(): Promise<void> {
    return this.#containers.warmUp();
  }

  async list(): Promise<InstanceState[]> {
    return (await Promise.all([this.#containers.list(), this.#machines.list()])).flat();
  }

  create(item: InstanceItem): Promise<void> {
    if (item.machine === undefined) return this.#containers.create(item);
    this.#asked.add(item.server_id);
    return this.#machines.create(item);
  }

  start(server_id: string): Promise<void> {
    return this.#of(server_id).start(server_id);
  }

  stop(server_id: string): Promise<void> {
    return this.#of(server_id).stop(server_id);
  }

  remove(server_id: string): Promise<void> {
    return this.#of(server_id).remove(server_id);
  }

  consoleLog(server_id: string, tailLines?: number): Promise<string> {
    return this.#of(server_id).consoleLog(server_id, tailLines);
  }

  exec(server_id: string, argv: readonly string[], options?: ExecOptions): Promise<ExecResult> {
    return this.#of(server_id).exec(server_id, argv, options);
  }

  execCommand(server_id: string, argv: readonly string[], options?: Pick<ExecOptions, 'tty'>): Promise<string[]> {
    return this.#of(server_id).execCommand(server_id, argv, options);
  }

  addNic(server_id: string, nic: InstanceNic): Promise<void> {
    return this.#of(server_id).addNic(server_id, nic);
  }

  removeNic(server_id: string, port_id: string): Promise<void> {
    return this.#of(server_id).removeNic(server_id, port_id);
  }

  #of(server_id: string): InstanceDriver {
    return this.#asked.has(server_id) || this.#machines.knows(server_id) ? this.#machines : this.#containers;
  }
}
