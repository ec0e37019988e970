/** Instances as containers run by crun (DESIGN §8 "Instances"). */

import { chmod, mkdir } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import type { InstanceItem, InstanceNic } from '#hoststate/instance.ts';
import {
  type ExecOptions,
  type ExecResult,
  type InstanceDriver,
  InstanceError,
  type InstanceState,
} from '../instance-driver.ts';
import { Cgroups } from '../cgroups.ts';
import { readConsole, trimConsole } from '../console-log.ts';
import { untilGone } from '../process.ts';
import { RunError, run, runOk } from '../run.ts';
import { checkServerId, serverIds } from '../server-id.ts';
import { checkNics, presentDevices } from '../taps.ts';
import { Turns } from '../turns.ts';
import { TOOLS } from './crun-config.ts';
import { type GuestProcess, guestProcess } from './guest-process.ts';
import { InstanceDirectory, type InstanceRecord, plugArgument } from './instance-directory.ts';
import { type ImagePath, Layers } from './layers.ts';

export interface ContainerDriverOptions {
  /** What outlives the host's crash: records, files of the guests, console logs. Made when it is missing. */
  readonly stateDir: string;
  /** What dies with the host; must be below directories that anybody may enter. */
  readonly runDir?: string;
  /** The lower layers, which the hosts of one machine may share. */
  readonly layersDir?: string;
  /** Finds uploaded images; without it there is only the built-in one. */
  readonly imagePath?: ImagePath;
  /** Milliseconds between SIGTERM and SIGKILL. */
  readonly stopTimeout?: number;
}

/** More than a guest of a test cloud needs, and few enough that a fork bomb hurts only itself. */
const MOST_PROCESSES = 512;
const SCRIPTS = join(import.meta.dirname, 'host');
/** A mount namespace of its own, and busybox's shell in it: static, and its applets need no exec. */
const PRIVATE_MOUNTS = ['unshare', '--mount', '--propagation', 'private', 'busybox', 'sh'];

export class ContainerDriver implements InstanceDriver {
  readonly #stateDir: string;
  readonly #rootPath: string;
  readonly #crunRoot: string;
  readonly #stopTimeout: number;
  readonly #cgroups: Cgroups;
  readonly #layers: Layers;
  readonly #turns = new Turns();

  constructor(options: ContainerDriverOptions) {
    this.#stateDir = resolve(options.stateDir);
    const runDir = resolve(options.runDir ?? '/run/patchbay/instances');
    this.#rootPath = join(runDir, 'root');
    this.#crunRoot = join(runDir, 'crun');
    this.#stopTimeout = options.stopTimeout ?? 3000;
    this.#cgroups = new Cgroups(runDir);
    this.#layers = new Layers(resolve(options.layersDir ?? join(this.#stateDir, 'layers')), options.imagePath ?? (async () => undefined));
  }

  /** Builds the built-in image's layers ahead of the first instance. */
  async warmUp(): Promise<void> {
    await Promise.all([this.#layers.tools(), this.#layers.image('busybox')]);
  }

  async list(): Promise<InstanceState[]> {
    const [ids, devices] = await Promise.all([serverIds(this.#stateDir), presentDevices()]);
    return Promise.all(ids.map((server_id) => this.#state(server_id, devices)));
  }

  create(item: InstanceItem): Promise<void> {
    return this.#inTurn(item.server_id, async (directory) => {
      checkNics(item.nics);
      const [record, guest] = await Promise.all([directory.read(), this.#guest(item.server_id)]);
      if (record !== undefined && guest !== undefined && record.item.generation === item.generation && (record.made || !guest.waiting)) return;
      const [tools, image] = await Promise.all([this.#layers.tools(), this.#layers.image(item.image)]);
      if (record !== undefined) await this.#end(directory, item.server_id, record);
      await Promise.all([this.#rootPath, this.#crunRoot].map((path) => mkdir(path, { recursive: true })));
      // A crun that clears up after a crashed host may have been here first, and makes folders for root only.
      await chmod(dirname(this.#rootPath), 0o755);
      const [made, cgroups] = await Promise.all([
        directory.prepare(item, this.#rootPath, { tools, image }),
        this.#cgroups.ensure(item.server_id, { memory: item.ram, pids: MOST_PROCESSES }),
      ]);
      const script = [
        join(SCRIPTS, 'create.sh'), directory.path, this.#rootPath, this.#crunRoot, item.server_id,
        String(cgroups.length), ...cgroups, ...made.nics.map(plugArgument),
      ];
      try {
        await runOk('busybox', [...PRIVATE_MOUNTS, ...script], { detached: true });
      } catch (error) {
        await this.#end(directory, item.server_id, made);
        const said = error instanceof RunError ? error.result.stderr.trim() : String(error);
        throw new InstanceError('create_failed', `the container of server ${item.server_id} could not be made: ${said}`);
      }
      await directory.write({ ...made, made: true });
    });
  }

  start(server_id: string): Promise<void> {
    return this.#inTurn(server_id, async () => {
      const guest = await this.#guest(server_id);
      if (guest === undefined) throw new InstanceError('not_created', `server ${server_id} has no container to start`);
      if (!guest.waiting) return;
      await this.#crun('start', server_id);
    });
  }

  stop(server_id: string): Promise<void> {
    return this.#inTurn(server_id, async (directory) => {
      const record = await directory.read();
      if (record !== undefined) await this.#end(directory, server_id, record);
    });
  }

  remove(server_id: string): Promise<void> {
    return this.#inTurn(server_id, async (directory) => {
      const known = (await serverIds(this.#stateDir)).includes(server_id);
      if (known) await this.#end(directory, server_id, await directory.read());
      await this.#cgroups.remove(server_id);
      await directory.remove();
    });
  }

  async consoleLog(server_id: string, tailLines?: number): Promise<string> {
    const directory = this.#directory(server_id);
    if ((await directory.read()) === undefined) throw new InstanceError('not_found', `server ${server_id} is not on this host`);
    return readConsole(directory.consolePath, tailLines);
  }

  async exec(server_id: string, argv: readonly string[], options: ExecOptions = {}): Promise<ExecResult> {
    const [command, ...args] = await this.execCommand(server_id, argv, options);
    return run(command!, args, { stdio: options.stdio, input: options.input, timeout: options.timeout });
  }

  async execCommand(server_id: string, argv: readonly string[], options: Pick<ExecOptions, 'tty'> = {}): Promise<string[]> {
    const guest = await this.#guest(server_id);
    if (guest === undefined || guest.waiting) throw new InstanceError('not_running', `server ${server_id} does not run on this host`);
    const cgroups = await this.#cgroups.directories(server_id);
    const script = [join(SCRIPTS, 'exec.sh'), this.#crunRoot, server_id, String(cgroups.length), ...cgroups];
    return ['busybox', ...PRIVATE_MOUNTS, ...script, ...(options.tty === true ? ['--tty'] : []), '--', ...argv];
  }

  addNic(server_id: string, nic: InstanceNic): Promise<void> {
    return this.#inTurn(server_id, async (directory) => {
      checkNics([nic]);
      const [record, guest, devices] = await Promise.all([directory.read(), this.#guest(server_id), presentDevices()]);
      if (record === undefined) throw new InstanceError('not_found', `server ${server_id} is not on this host`);
      const known = record.nics.find(({ port_id }) => port_id === nic.port_id);
      const plugged = known ?? { ...nic, guest_device: freeDevice(record) };
      // Written before it is made: whatever happens between, `stop` and `remove` know the tap.
      if (known === undefined) await directory.write({ ...record, nics: [...record.nics, plugged] });
      if (guest === undefined || (known !== undefined && devices.has(nic.device))) return;
      if (devices.has(nic.device)) await run('ip', ['link', 'delete', nic.device]);
      await runOk('busybox', ['sh', join(SCRIPTS, 'plug.sh'), String(guest.pid), plugArgument(plugged)]);
      if (!guest.waiting) await this.#inGuest(server_id, 'nic-up', plugged.guest_device);
    });
  }

  removeNic(server_id: string, port_id: string): Promise<void> {
    return this.#inTurn(server_id, async (directory) => {
      const record = await directory.read();
      const nic = record?.nics.find((each) => each.port_id === port_id);
      if (record === undefined || nic === undefined) return;
      if ((await presentDevices()).has(nic.device)) await runOk('ip', ['link', 'delete', nic.device]);
      await directory.write({ ...record, nics: record.nics.filter((each) => each !== nic) });
      const guest = await this.#guest(server_id);
      if (guest !== undefined && !guest.waiting) await this.#inGuest(server_id, 'nic-down', nic.guest_device);
    });
  }

  async #state(server_id: string, devices: ReadonlySet<string>): Promise<InstanceState> {
    const directory = this.#directory(server_id);
    const [record, guest] = await Promise.all([directory.read(), this.#guest(server_id), trimConsole(directory.consolePath)]);
    return {
      server_id,
      state: guest === undefined ? 'stopped' : guest.waiting ? 'created' : 'running',
      generation: record?.item.generation ?? 0,
      nics: (record?.nics ?? [])
        .filter((nic) => devices.has(nic.device))
        .map(({ port_id, device, mac_address, mtu }) => ({ port_id, device, mac_address, mtu })),
      ...(guest !== undefined && { pid: guest.pid }),
    };
  }

  /** Ends the guest and its taps; of the instance there remains what is on disk. */
  async #end(directory: InstanceDirectory, server_id: string, record: InstanceRecord | undefined): Promise<void> {
    const guest = await this.#guest(server_id);
    // A container that waits for its start is crun itself, which has nothing to say goodbye to.
    if (guest !== undefined && !guest.waiting) await this.#terminate(guest);
    const devices = await presentDevices();
    const taps = (record?.nics ?? []).map((nic) => nic.device).filter((device) => devices.has(device));
    await runOk('busybox', ['sh', join(SCRIPTS, 'destroy.sh'), directory.path, this.#crunRoot, server_id, ...taps]);
    if (guest !== undefined) await untilGone(guest, 5000);
  }

  async #terminate(guest: GuestProcess): Promise<void> {
    try {
      process.kill(guest.pid, 'SIGTERM');
    } catch {
      return; // It ended by itself meanwhile.
    }
    await untilGone(guest, this.#stopTimeout);
  }

  /** Starts one of our helpers in the guest and does not wait for it; an image may lack what it needs. */
  async #inGuest(server_id: string, helper: string, device: string): Promise<void> {
    await this.exec(server_id, ['/bin/sh', '-c', `${TOOLS}/${helper} ${device} >> /proc/1/fd/1 2>&1 < /dev/null &`]);
  }

  async #crun(command: string, server_id: string): Promise<void> {
    await runOk('crun', ['--cgroup-manager=disabled', '--root', this.#crunRoot, command, server_id]);
  }

  #guest(server_id: string): Promise<GuestProcess | undefined> {
    return guestProcess(this.#crunRoot, server_id);
  }

  #directory(server_id: string): InstanceDirectory {
    checkServerId(server_id);
    return new InstanceDirectory(this.#stateDir, server_id);
  }

  #inTurn<T>(server_id: string, work: (directory: InstanceDirectory) => Promise<T>): Promise<T> {
    const directory = this.#directory(server_id);
    return this.#turns.take(server_id, () => work(directory));
  }
}

/** The lowest eth name that no NIC has. */
function freeDevice(record: InstanceRecord): string {
  const taken = new Set(record.nics.map((nic) => nic.guest_device));
  for (let number = 0; ; number++) if (!taken.has(`eth${number}`)) return `eth${number}`;
}
