/** Instances as virtual machines, one qemu process each, which outlives the driver (DESIGN §8 "Instances"). */

import { constants, existsSync } from 'node:fs';
import { access, mkdir, readFile, rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import type { InstanceItem, InstanceNic } from '#hoststate/instance.ts';
import { Cgroups } from '../cgroups.ts';
import { readConsole, trimConsole } from '../console-log.ts';
import { type ExecResult, type InstanceDriver, InstanceError, type InstanceState } from '../instance-driver.ts';
import { type ProcessId, untilGone } from '../process.ts';
import { findProgram } from '../program.ts';
import { RunError, run, runOk } from '../run.ts';
import { checkServerId, isServerId, serverIds } from '../server-id.ts';
import { checkNics, presentDevices } from '../taps.ts';
import { Turns } from '../turns.ts';
import { MachineDirectory, type MachineRecord } from './machine-directory.ts';
import { machineProcess } from './machine-process.ts';
import { netdevId, OVERHEAD, qemuArguments } from './qemu-arguments.ts';
import { withQmp } from './qmp.ts';

export interface QemuDriverOptions {
  /** What outlives the host's crash: records, disks, console logs. Made when it is missing. */
  readonly stateDir: string;
  /** What dies with the host: pid files and sockets. */
  readonly runDir?: string;
  /** Finds uploaded images. */
  readonly imagePath: (image: string) => Promise<string | undefined>;
  /** Milliseconds between the power button, to which a guest may listen, and the end. */
  readonly stopTimeout?: number;
  readonly findProgram?: typeof findProgram;
}

const QEMU = 'qemu-system-x86_64';
/** The Debian package of each program that a guest may need. */
const PACKAGES: Readonly<Record<string, string>> = { [QEMU]: 'qemu-system-x86', genisoimage: 'genisoimage', 'qemu-img': 'qemu-utils' };
/** Threads of a qemu: one for each processor of the guest, some for its disks. */
const MOST_THREADS = 512;
const SCRIPTS = join(import.meta.dirname, 'host');

export class QemuDriver implements InstanceDriver {
  readonly #stateDir: string;
  readonly #runDir: string;
  readonly #imagePath: QemuDriverOptions['imagePath'];
  readonly #stopTimeout: number;
  readonly #findProgram: typeof findProgram;
  readonly #cgroups: Cgroups;
  readonly #turns = new Turns();

  constructor(options: QemuDriverOptions) {
    this.#stateDir = resolve(options.stateDir);
    this.#runDir = resolve(options.runDir ?? '/run/patchbay/machines');
    this.#imagePath = options.imagePath;
    this.#stopTimeout = options.stopTimeout ?? 10_000;
    this.#findProgram = options.findProgram ?? findProgram;
    this.#cgroups = new Cgroups(this.#runDir);
  }

  async list(): Promise<InstanceState[]> {
    const [ids, devices] = await Promise.all([serverIds(this.#stateDir), presentDevices()]);
    return Promise.all(ids.map((server_id) => this.#state(server_id, devices)));
  }

  /** Whether this driver has anything of the server. */
  knows(server_id: string): boolean {
    return isServerId(server_id) && existsSync(join(this.#stateDir, server_id));
  }

  create(item: InstanceItem): Promise<void> {
    return this.#inTurn(item.server_id, async (directory) => {
      const { server_id, generation, machine } = item;
      if (machine === undefined) throw new InstanceError('create_failed', `server ${server_id} is no machine`);
      checkNics(item.nics);
      await this.#checkPrograms(item);
      const [record, { state, generation: held }] = await Promise.all([directory.read(), this.#state(server_id, await presentDevices())]);
      if (held === generation && state !== 'stopped') return;
      if (record !== undefined) await this.#end(directory, record);
      const prepared = await directory.prepare({ ...item, machine }, this.#imagePath).catch(async (error: unknown) => {
        if (record === undefined) await directory.remove();
        throw error;
      });
      await this.#plug(prepared);
      await directory.write({ ...prepared, phase: 'made' });
    });
  }

  start(server_id: string): Promise<void> {
    return this.#inTurn(server_id, async (directory) => {
      const [record, guest] = await Promise.all([directory.read(), this.#guest(server_id)]);
      if (guest !== undefined) return;
      if (record?.phase !== 'made') throw new InstanceError('not_created', `server ${server_id} has no machine to start`);
      const { item, nics } = record;
      const cgroups = await this.#cgroups.ensure(server_id, { memory: item.ram + OVERHEAD, pids: MOST_THREADS });
      await mkdir(this.#runDir, { recursive: true });
      await directory.write({ ...record, phase: 'started' });
      const qemu = [QEMU, ...qemuArguments(item, nics, { qmpSocket: this.#qmpSocket(server_id), pidFile: this.#pidFile(server_id), kvm: await kvmWorks() })];
      try {
        await runOk('busybox', ['sh', join(SCRIPTS, 'start.sh'), directory.path, String(cgroups.length), ...cgroups, ...qemu], { detached: true });
      } catch (error) {
        await directory.write(record);
        throw new InstanceError('create_failed', `qemu could not start server ${server_id}: ${error instanceof RunError ? error.result.stderr.trim() : String(error)}`);
      }
    });
  }

  stop(server_id: string): Promise<void> {
    return this.#inTurn(server_id, async (directory) => {
      const record = await directory.read();
      if (record !== undefined) await this.#end(directory, record);
    });
  }

  remove(server_id: string): Promise<void> {
    return this.#inTurn(server_id, async (directory) => {
      const record = await directory.read();
      if (record !== undefined) await this.#end(directory, record, { atOnce: true });
      await this.#cgroups.remove(server_id);
      await directory.remove();
    });
  }

  async consoleLog(server_id: string, tailLines?: number): Promise<string> {
    const directory = this.#directory(server_id);
    if ((await directory.read()) === undefined) throw new InstanceError('not_found', `server ${server_id} is not on this host`);
    return readConsole(directory.consolePath, tailLines);
  }

  async exec(server_id: string): Promise<ExecResult> {
    return Promise.reject(noAgentInside(server_id));
  }

  async execCommand(server_id: string): Promise<string[]> {
    return Promise.reject(noAgentInside(server_id));
  }

  addNic(server_id: string, nic: InstanceNic): Promise<void> {
    return this.#inTurn(server_id, async (directory) => {
      checkNics([nic]);
      const [record, guest] = await Promise.all([directory.read(), this.#guest(server_id)]);
      if (record === undefined) throw new InstanceError('not_found', `server ${server_id} is not on this host`);
      if (record.nics.some(({ port_id }) => port_id === nic.port_id)) return;
      // A qemu that is nobody on the host may open no tap any more.
      if (guest !== undefined) throw new InstanceError('not_supported', `port ${nic.port_id}: server ${server_id} runs in qemu and takes no NIC while it runs; it has it after a hard reboot`);
      const next = { ...record, nics: [...record.nics, nic] };
      await directory.write(next);
      if (record.phase === 'made') await this.#plug({ ...next, nics: [nic] });
    });
  }

  removeNic(server_id: string, port_id: string): Promise<void> {
    return this.#inTurn(server_id, async (directory) => {
      const [record, guest] = await Promise.all([directory.read(), this.#guest(server_id)]);
      const nic = record?.nics.find((each) => each.port_id === port_id);
      if (record === undefined || nic === undefined) return;
      if (guest !== undefined) await this.#unplug(server_id, nic);
      if ((await presentDevices()).has(nic.device)) await runOk('ip', ['link', 'delete', nic.device]);
      await directory.write({ ...record, nics: record.nics.filter((each) => each !== nic) });
    });
  }

  async #state(server_id: string, devices: ReadonlySet<string>): Promise<InstanceState> {
    const directory = this.#directory(server_id);
    const [record, guest] = await Promise.all([directory.read(), this.#guest(server_id), trimConsole(directory.consolePath)]);
    const nics = (record?.nics ?? []).filter(({ device }) => devices.has(device));
    const waits = record?.phase === 'made' && nics.length === record.nics.length;
    return {
      server_id,
      state: guest !== undefined ? 'running' : waits ? 'created' : 'stopped',
      generation: record?.item.generation ?? 0,
      nics: nics.map(({ port_id, device, mac_address, mtu }) => ({ port_id, device, mac_address, mtu })),
      ...(guest !== undefined && { pid: guest.pid }),
    };
  }

  /** Throws `not_installed` with the package that helps. */
  async #checkPrograms({ server_id, machine, has_config_drive }: InstanceItem): Promise<void> {
    if (process.arch !== 'x64') throw new InstanceError('not_supported', `server ${server_id}: the qemu driver runs on x86_64 hosts only`);
    const needed = [QEMU, ...(has_config_drive ? ['genisoimage'] : []), ...(machine?.disk_format === 'qcow2' ? ['qemu-img'] : [])];
    for (const name of needed) {
      if ((await this.#findProgram(name)) === undefined) throw new InstanceError('not_installed', `server ${server_id} needs ${name}, which is not on this host: apt-get install ${PACKAGES[name]}`);
    }
  }

  async #plug({ item, nics }: MachineRecord): Promise<void> {
    try {
      await runOk('busybox', ['sh', join(SCRIPTS, 'plug.sh'), ...nics.flatMap(({ device, mtu }) => [device, String(mtu)])]);
    } catch (error) {
      throw new InstanceError('create_failed', `the taps of server ${item.server_id} could not be made: ${error instanceof RunError ? error.result.stderr.trim() : String(error)}`);
    }
  }

  /** Takes a NIC out of a running guest. A guest that does not let go of it keeps one that leads nowhere. */
  async #unplug(server_id: string, { device }: InstanceNic): Promise<void> {
    await withQmp(this.#qmpSocket(server_id), async (qmp) => {
      await qmp.execute('device_del', { id: device });
      await qmp.next(({ event }) => event === 'DEVICE_DELETED', 2000).catch(() => {});
    }).catch(() => {});
    await withQmp(this.#qmpSocket(server_id), (qmp) => qmp.execute('netdev_del', { id: netdevId(device) }));
  }

  /** Ends the guest and its taps; of the instance there remains what is on disk. */
  async #end(directory: MachineDirectory, record: MachineRecord, { atOnce = false } = {}): Promise<void> {
    const { server_id } = record.item;
    // A killed driver's start may still be under way.
    await run('flock', ['-w', '20', directory.lockPath, 'true']);
    const guest = await this.#guest(server_id);
    if (guest !== undefined) await this.#terminate(server_id, guest, atOnce);
    const devices = await presentDevices();
    for (const { device } of record.nics) if (devices.has(device)) await runOk('ip', ['link', 'delete', device]);
    for (const file of [this.#qmpSocket(server_id), this.#pidFile(server_id)]) await rm(file, { force: true });
    await directory.write({ ...record, phase: 'stopped' });
  }

  async #terminate(server_id: string, guest: ProcessId, atOnce: boolean): Promise<void> {
    if (!atOnce) {
      const pressed = await withQmp(this.#qmpSocket(server_id), (qmp) => qmp.execute('system_powerdown')).then(() => true, () => false);
      if (pressed && (await untilGone(guest, this.#stopTimeout))) return;
    }
    for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
      try {
        process.kill(guest.pid, signal);
      } catch {
        return; // It ended by itself meanwhile.
      }
      if (await untilGone(guest, 5000)) return;
    }
  }

  #guest(server_id: string): Promise<ProcessId | undefined> {
    return machineProcess(this.#pidFile(server_id), server_id);
  }

  #qmpSocket(server_id: string): string {
    return join(this.#runDir, `${server_id}.qmp`);
  }

  #pidFile(server_id: string): string {
    return join(this.#runDir, `${server_id}.pid`);
  }

  #directory(server_id: string): MachineDirectory {
    checkServerId(server_id);
    return new MachineDirectory(this.#stateDir, server_id);
  }

  #inTurn<T>(server_id: string, work: (directory: MachineDirectory) => Promise<T>): Promise<T> {
    const directory = this.#directory(server_id);
    return this.#turns.take(server_id, () => work(directory));
  }
}

function noAgentInside(server_id: string): InstanceError {
  return new InstanceError('not_supported', `server ${server_id} runs in qemu, and nothing inside it takes commands from its host: use ssh, or read \`openstack console log show\``);
}

/** Not where /dev/kvm is one that runs no ordinary kernel: PVM, inside a virtual machine itself (dataplane.md trap 5). */
async function kvmWorks(): Promise<boolean> {
  const usable = await access('/dev/kvm', constants.R_OK | constants.W_OK).then(() => true, () => false);
  return usable && /^flags\s*:.* (vmx|svm)( |$)/m.test(await readFile('/proc/cpuinfo', 'utf8'));
}
