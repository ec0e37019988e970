/**
 * The long-running programs of one kind, kept as they shall be, each in a folder of its own below one root. What is known
 * of them is remembered, so that one which needs nothing costs a look at its process; an agent without memory reads
 * everything once and, when all is right, changes nothing.
 */
import { basename, join } from 'node:path';
import { applyDaemon, readDaemon, removeDaemon } from './apply.ts';
import { findProcesses, readFolders, readProcess } from './owned.ts';
import { type DesiredDaemon, planDaemon, printDaemonPlan } from './plan.ts';

export interface DaemonsOptions {
  readonly program: string;
  /** An absolute path; the program called `name` has its files in `ROOT/name`. */
  readonly root: string;
  /** Hears every plan that is not empty, as the lines an operator would type, before it is carried out. */
  readonly onPlan: (name: string, lines: readonly string[]) => void;
}

export class Daemons {
  readonly #options: DaemonsOptions;
  /** What is known to be true. Without an entry: read everything first. */
  readonly #mirror = new Map<string, { readonly desired: string; readonly pid: number }>();
  /** Processes seen at the last look through /proc, by folder. */
  #seen: Map<string, readonly { readonly pid: number }[]> | undefined;

  constructor(options: DaemonsOptions) {
    this.#options = options;
  }

  folder(name: string): string {
    return join(this.#options.root, name);
  }

  /** The next call for `name` believes nothing and reads files and process again. */
  distrust(name: string): void {
    this.#mirror.delete(name);
  }

  /** The next call that reads something looks through /proc again, for processes that no pid file names. */
  lookAgain(): void {
    this.#seen = undefined;
  }

  /** Makes the program run as `given` says, in a namespace that exists. Throws when it does not start. Calls for one name come one after the other. */
  async ensure(name: string, given: Omit<DesiredDaemon, 'program' | 'folder'>): Promise<void> {
    const desired: DesiredDaemon = { ...given, program: this.#options.program, folder: this.folder(name) };
    const text = JSON.stringify(desired);
    const known = this.#mirror.get(name);
    if (known?.desired === text && readProcess(desired.program, known.pid, desired.folder)) return;
    this.#mirror.delete(name);
    const found = await readDaemon(desired, this.#pidsOf(name));
    const plan = planDaemon(desired, found);
    const lines = printDaemonPlan(desired, plan);
    if (lines.length > 0) this.#options.onPlan(name, lines);
    const { pid } = lines.length === 0 ? found.process! : await applyDaemon(desired, plan, found);
    this.#mirror.set(name, { desired: text, pid });
    // Its pid file may get lost: a second one beside it would answer half of all requests.
    this.#processes().set(desired.folder, [{ pid }]);
  }

  /** Ends the program and removes its folder, whatever of them is there. */
  async remove(name: string): Promise<void> {
    this.#mirror.delete(name);
    const lines = await removeDaemon(this.#options.program, this.folder(name), this.#pidsOf(name));
    this.#seen?.delete(this.folder(name));
    if (lines.length > 0) this.#options.onPlan(name, lines);
  }

  /** The names of all that is there, by folder or process, from a new look: what nobody wants of it is to be removed. */
  names(): string[] {
    this.lookAgain();
    return [...new Set([...readFolders(this.#options.root), ...this.#processes().keys()].map((folder) => basename(folder)))];
  }

  #pidsOf(name: string): number[] {
    return (this.#processes().get(this.folder(name)) ?? []).map(({ pid }) => pid);
  }

  #processes(): Map<string, readonly { readonly pid: number }[]> {
    return (this.#seen ??= findProcesses(this.#options.program, this.#options.root));
  }
}
