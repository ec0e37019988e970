/** A network namespace with one wire: the bare end that limits are measured with. It ends with us, and leaves nothing. */
import { type ChildProcess, spawn } from 'node:child_process';
import { readlinkSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { run } from '../datacentre/run.ts';

export class Namespace {
  readonly pid: number;
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess) {
    this.#child = child;
    this.pid = child.pid!;
  }

  static async make(): Promise<Namespace> {
    // `cat` ends when our end of its stdin is gone, also when we are killed.
    const child = spawn('unshare', ['--net', '--', 'cat'], { stdio: ['pipe', 'ignore', 'inherit'] });
    const ours = readlinkSync('/proc/self/ns/net');
    while (readlinkSync(`/proc/${child.pid}/ns/net`) === ours) {
      if (child.exitCode !== null) throw new Error('unshare failed');
      await delay(2);
    }
    return new Namespace(child);
  }

  /** The command line that runs `argv` here. */
  inside(argv: readonly string[]): string[] {
    return ['nsenter', '-t', String(this.pid), '-n', '--', ...argv];
  }

  /** `ip` commands, one a line. */
  async ip(...lines: readonly string[]): Promise<void> {
    await run(this.inside(['ip', '-batch', '-']), { input: `${lines.join('\n')}\n` });
  }

  /**
   * A veth pair between `eth0` here and `device` in the namespace of the process `peerPid`, both up.
   * With `offload: false` checksums are made in the kernel's software: userspace switches need that (dataplane.md trap 1).
   */
  async wire(peerPid: number, device: string, { mac, offload = true }: { mac?: string; offload?: boolean } = {}): Promise<void> {
    await this.ip('link set lo up', `link add eth0${mac ? ` address ${mac}` : ''} type veth peer name ${device} netns ${peerPid}`);
    if (!offload) await run(this.inside(['ethtool', '-K', 'eth0', 'tx', 'off']));
    await run(['nsenter', '-t', String(peerPid), '-n', '--', 'ip', 'link', 'set', device, 'up']);
    await this.ip('link set eth0 up');
  }

  end(): void {
    this.#child.kill('SIGKILL');
  }
}
