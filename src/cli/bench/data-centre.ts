/** A simulated data centre of two hosts, brought up by `patchbay up` as a person would. */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { setTimeout as delay } from 'node:timers/promises';
import { Vswitch } from '#openflow/vswitch.ts';
import { askStatus } from '../control-socket.ts';
import { hostInit, onHost } from '../datacentre/host.ts';
import { run } from '../datacentre/run.ts';
import { runningProcess, statePath } from '../datacentre/state-folder.ts';
import { ApiClient } from './api-client.ts';
import { liftQuotas } from './api-objects.ts';
import { freePort, readCredentials, residentMemory } from './bare-controller.ts';

const PATCHBAY = fileURLToPath(new URL('../../../patchbay', import.meta.url));

export class DataCentre {
  readonly state: string;
  /** Seconds of each `up`, from the call to its end. */
  readonly upTimes: readonly number[];
  readonly client: ApiClient;
  readonly #onExit: () => void;
  #smallest: Promise<[flavor: string, image: string]> | undefined;

  private constructor(state: string, upTimes: readonly number[], client: ApiClient, onExit: () => void) {
    this.state = state;
    this.upTimes = upTimes;
    this.client = client;
    this.#onExit = onExit;
  }

  /** Brings it up `times` times from nothing; the last stays. */
  static async up(state: string, times: number, progress: (step: string) => void): Promise<DataCentre> {
    const port = await freePort();
    const purge = () => void spawnSync(PATCHBAY, ['down', '--purge', '--state', state], { stdio: 'ignore' });
    process.once('exit', purge);
    const upTimes: number[] = [];
    for (let time = 1; time <= times; time++) {
      progress(`up ${time} of ${times}`);
      if (time > 1) await run([PATCHBAY, 'down', '--purge', '--state', state]);
      const start = performance.now();
      await run([PATCHBAY, 'up', '--state', state, '--hosts', '2', '--listen', `127.0.0.1:${port}`]);
      upTimes.push((performance.now() - start) / 1000);
    }
    const client = new ApiClient(`http://127.0.0.1:${port}`);
    const { project } = await client.authenticate(readCredentials(state)!);
    await liftQuotas(client, project.id);
    return new DataCentre(state, upTimes, client, purge);
  }

  /** Resolves when every host has applied what the store holds now. */
  async settled(): Promise<void> {
    await run([PATCHBAY, 'wait', '--state', this.state]);
  }

  async idlePorts(): Promise<Record<string, number>> {
    const { hosts } = await askStatus(this.state);
    return Object.fromEntries(hosts.map(({ host, idle_ports }) => [host, idle_ports]));
  }

  /** Resident memory in MB of a process that `up` started: `controller`, `compute1-agent`. */
  memory(name: string): number {
    return residentMemory(runningProcess(this.state, name)!.pid);
  }

  /** The machine's pid of a host's init: a way into its namespaces. */
  hostPid(host: string): number {
    return hostInit(this.state, host).pid;
  }

  /** A socket or file of the host's own file system, as the machine sees it. */
  hostFile(host: string, path: string): string {
    return `/proc/${this.hostPid(host)}/root${path}`;
  }

  vswitch(host: string): Promise<Vswitch> {
    return Vswitch.connect(this.hostFile(host, '/run/openvswitch/db.sock'));
  }

  /** The command line that runs `argv` in the network of an instance, with the host's own programs. */
  inInstance(host: string, serverId: string, argv: readonly string[]): string[] {
    const pid = readFileSync(`${statePath.instances(this.state, host)}/${serverId}/pid`, 'utf8').trim();
    return onHost(this.state, host, ['nsenter', '-t', pid, '-n', '--', ...argv]);
  }

  /** Resolves when the instance has `address`: ACTIVE is its port, and the guest asks for its lease after that. Rejects after 30 s. */
  async leased(host: string, serverId: string, address: string): Promise<void> {
    const ask = `until ip -o address show dev eth0 | grep -qw ${address}; do sleep 0.05; done`;
    await run(this.inInstance(host, serverId, ['timeout', '30', 'sh', '-c', ask]), { timeout: 40_000 });
  }

  /** Creates a server of the smallest flavor on `host`, with one NIC at `address`; resolves with its id. */
  async createServer(name: string, host: string, network: string, address: string): Promise<string> {
    const [flavor, image] = await (this.#smallest ??= Promise.all([this.#smallestFlavor(), this.#image()]));
    const server = { name, flavorRef: flavor, imageRef: image, availability_zone: `nova:${host}`, networks: [{ uuid: network, fixed_ip: address }] };
    return (await this.client.json('POST', '/compute/v2.1/servers', { server })).server.id;
  }

  /** Resolves when the server is ACTIVE. */
  async active(serverId: string): Promise<void> {
    for (const deadline = performance.now() + 30_000; ; await delay(10)) {
      const { server } = await this.client.json('GET', `/compute/v2.1/servers/${serverId}`);
      if (server.status === 'ACTIVE') return;
      if (server.status === 'ERROR' || performance.now() > deadline) throw new Error(`server ${server.name} is ${server.status}: ${server.fault?.message ?? ''}`);
    }
  }

  /** Deletes servers and resolves when they are gone. */
  async deleteServers(serverIds: readonly string[]): Promise<void> {
    for (const id of serverIds) await this.client.call('DELETE', `/compute/v2.1/servers/${id}`);
    for (const id of serverIds) {
      for (const deadline = performance.now() + 30_000; (await this.client.send('GET', `/compute/v2.1/servers/${id}`)).status !== 404; await delay(10)) {
        if (performance.now() > deadline) throw new Error(`server ${id} is still there 30 s after its deletion`);
      }
    }
  }

  async #smallestFlavor(): Promise<string> {
    const { flavors } = await this.client.json('GET', '/compute/v2.1/flavors/detail');
    return flavors.sort((a: { ram: number }, b: { ram: number }) => a.ram - b.ram)[0].id;
  }

  async #image(): Promise<string> {
    return (await this.client.json('GET', '/image/v2/images?name=busybox')).images[0].id;
  }

  async down(): Promise<void> {
    this.client.close();
    await run([PATCHBAY, 'down', '--purge', '--state', this.state]);
    process.off('exit', this.#onExit);
  }
}
