/** The router advertisement daemons of this host, one for each router that announces an IPv6 prefix. They outlive the agent. */
import type { RouterPortItem } from '#hoststate/router.ts';
import { Daemons } from './drivers/daemon/daemons.ts';
import { type Intervals, radvdConfig } from './drivers/radvd/desired.ts';

/** Debian's package brings it. */
const USER = 'radvd';

/** Not in the state folder: radvd reads its file again as USER, and ends when a folder on the way is closed to that one. */
export const RADVD_ROOT = '/run/patchbay/radvd';

export interface AdvertisersOptions {
  /** An absolute path, open to every user; the files of a namespace's radvd are in a folder of its name below it. */
  readonly root: string;
  readonly intervals: Intervals;
  /** Hears every plan that is not empty, as the lines an operator would type, before it is carried out. */
  readonly onPlan?: (namespace: string, lines: readonly string[]) => void;
}

export class Advertisers {
  readonly #daemons: Daemons;
  readonly #intervals: Intervals;

  constructor({ root, intervals, onPlan = () => {} }: AdvertisersOptions) {
    this.#daemons = new Daemons({ program: 'radvd', root, onPlan });
    this.#intervals = intervals;
  }

  /** radvd says in the namespace, which has the legs, what they announce; it does not run when that is nothing. Throws when it does not start. */
  async ensure(namespace: string, legs: readonly RouterPortItem[]): Promise<void> {
    const config = radvdConfig(legs, this.#intervals);
    if (config === undefined) return this.#daemons.remove(namespace);
    const folder = this.#daemons.folder(namespace);
    return this.#daemons.ensure(namespace, { namespace, config, args: ['-C', `${folder}/config`, '-p', `${folder}/pid`, '-u', USER], change: 'SIGHUP' });
  }

  remove(namespace: string): Promise<void> {
    return this.#daemons.remove(namespace);
  }

  distrust(namespace: string): void {
    this.#daemons.distrust(namespace);
  }

  /** Before namespaces are checked: the next call looks through /proc again, once for all. */
  lookAgain(): void {
    this.#daemons.lookAgain();
  }

  /** The namespaces of which something is there, by a new look: for a sweep. */
  namespaces(): string[] {
    return this.#daemons.names();
  }
}
