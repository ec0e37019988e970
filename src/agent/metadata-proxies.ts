/** The metadata proxies of this host, one for each namespace whose guests may ask. They outlive the agent. */
import { Daemons } from './drivers/daemon/daemons.ts';
import { desiredMetadataProxy, type MetadataAsker } from './drivers/haproxy/desired.ts';

export interface MetadataProxiesOptions {
  /** An absolute path; the files of a namespace's proxy are in a folder of its name below it. */
  readonly root: string;
  /** The metadata agent's. */
  readonly socket: string;
  /** Hears every plan that is not empty, as the lines an operator would type, before it is carried out. */
  readonly onPlan?: (namespace: string, lines: readonly string[]) => void;
}

export class MetadataProxies {
  readonly #daemons: Daemons;
  readonly #socket: string;

  constructor({ root, socket, onPlan = () => {} }: MetadataProxiesOptions) {
    this.#daemons = new Daemons({ program: 'haproxy', root, onPlan });
    this.#socket = socket;
  }

  /** A proxy for `asker` runs in the namespace, which exists and has its addresses. Throws when it does not start. One call at a time for a namespace. */
  ensure(namespace: string, asker: MetadataAsker): Promise<void> {
    return this.#daemons.ensure(namespace, desiredMetadataProxy(this.#daemons.folder(namespace), namespace, asker, this.#socket));
  }

  /** No proxy runs for the namespace, and nothing of one is left. */
  remove(namespace: string): Promise<void> {
    return this.#daemons.remove(namespace);
  }

  /** The next call for the namespace reads everything again. */
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
