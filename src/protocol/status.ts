/** What a controller tells an operator about itself and its hosts (GET /status on the control socket). */

export interface Status {
  readonly controller: {
    readonly store: string;
    /** The newest committed change. */
    readonly revision: number;
    readonly public_endpoint: string;
    readonly pid: number;
    /** One line each; empty when nothing is wrong. */
    readonly errors: readonly string[];
  };
  /** By name. */
  readonly hosts: readonly HostStatus[];
}

export interface HostStatus {
  readonly host: string;
  readonly alive: boolean;
  /** Up to here everything is applied; 0 before the first. */
  readonly applied: number;
  /** The newest change that concerns the host. */
  readonly revision: number;
  readonly errors: readonly { readonly object: string; readonly reason: string }[];
  readonly idle_ports: number;
}
