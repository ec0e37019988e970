/** What the Compute service is made from. */
import type { Config } from '#model/config.ts';
import type { Store } from '#store/store.ts';
import type { Authenticator } from '../http/context.ts';
import type { Log } from '../http/log.ts';
import type { HostCalls, HostDirectory } from './hosts.ts';
import type { NetworkCommands } from './network-port.ts';

export interface Deps {
  readonly store: Store;
  readonly config: Config;
  readonly authenticator: Authenticator;
  /** `http://127.0.0.1:8770`: what links begin with. */
  readonly publicEndpoint: string;
  readonly log: Log;
  readonly network: NetworkCommands;
  readonly hosts: HostDirectory;
  readonly hostCalls: HostCalls;
}
