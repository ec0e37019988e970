/**
 * What the agent asks of whoever runs instances. Comes in: items of HostState. Goes out: what is true on this host.
 *
 * Instances belong to the host: they outlive the driver's process, and a driver that starts with empty memory knows
 * from disk and kernel all that its predecessor did. Every call may be repeated; twice is once. Whatever a killed
 * predecessor left half made, `create` and `remove` clear away. Calls for one server are served in order of arrival.
 *
 * The agent plugs the taps between `create` and `start` (the port contract, DESIGN §4): the driver makes them and never
 * touches a bridge.
 */

import type { InstanceItem, InstanceNic } from '#hoststate/instance.ts';

export interface InstanceState {
  readonly server_id: string;
  /** `created` waits for `start`: its namespaces and taps exist and no program of the guest has run. */
  readonly state: 'created' | 'running' | 'stopped';
  /** Of the item it was last created from; 0 when the rest of an interrupted removal is all there is. */
  readonly generation: number;
  /** Those whose tap exists in this network namespace now. */
  readonly nics: readonly InstanceNic[];
  /** Of the guest's first process, in this PID namespace; absent when stopped. */
  readonly pid?: number;
}

export interface ExecOptions {
  /** `inherit` hands over this process's own streams; then `stdout` and `stderr` of the result are empty. */
  readonly stdio?: 'capture' | 'inherit';
  /** Standard input when captured. */
  readonly input?: string | Uint8Array;
  /** Asks for a terminal inside the guest; only useful with `inherit`. */
  readonly tty?: boolean;
  /** Milliseconds. */
  readonly timeout?: number;
}

export interface ExecResult {
  /** As a shell gives it: 126 not executable, 127 not found, 128 + n killed by signal n. */
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface InstanceDriver {
  /** All instances of this host, by server id. Needs no program to be started. */
  list(): Promise<InstanceState[]>;

  /**
   * Brings an instance to `created` with its taps up, its disk kept from earlier lives. One that is `created` or
   * `running` with this generation stays as it is; one of another generation is stopped first.
   */
  create(item: InstanceItem): Promise<void>;

  /** Lets a created instance run. Nothing happens to one that runs. Throws `not_created` otherwise. */
  start(server_id: string): Promise<void>;

  /** Ends the guest (SIGTERM, then SIGKILL) and its taps; files, console log and knowledge of it stay. */
  stop(server_id: string): Promise<void>;

  /** Ends the guest and leaves nothing of it. */
  remove(server_id: string): Promise<void>;

  /** The console since the instance was first made, or its last lines; the driver keeps at least the last 128 KiB. */
  consoleLog(server_id: string, tailLines?: number): Promise<string>;

  /** Runs a program as root inside a running guest. Throws `not_running` otherwise, and `not_supported` where nothing inside listens. */
  exec(server_id: string, argv: readonly string[], options?: ExecOptions): Promise<ExecResult>;

  /** The command line that does what `exec` does, for a caller that wants to be replaced by it. */
  execCommand(server_id: string, argv: readonly string[], options?: Pick<ExecOptions, 'tty'>): Promise<string[]>;

  /** Adds a NIC under the guest's next free eth name; a running container asks for its address by DHCP, a running machine takes none (`not_supported`). */
  addNic(server_id: string, nic: InstanceNic): Promise<void>;

  /** Takes a NIC away by its port id. */
  removeNic(server_id: string, port_id: string): Promise<void>;
}

export type InstanceErrorCode =
  | 'not_found'
  | 'not_created'
  | 'not_running'
  | 'image_not_found'
  | 'image_format'
  | 'not_installed'
  | 'not_supported'
  | 'create_failed';

/** A refusal or a failure of one instance, with a sentence fit for the server's `fault`. */
export class InstanceError extends Error {
  readonly code: InstanceErrorCode;

  constructor(code: InstanceErrorCode, message: string) {
    super(message);
    this.name = 'InstanceError';
    this.code = code;
  }
}
